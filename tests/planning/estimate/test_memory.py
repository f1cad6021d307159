from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autospine.machine.arithmetic import Machine
from autospine.machine.precision import Precision, has_bfloat16_units
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.parts import LossPlan, NetworkPlan
from autospine.planning.estimate.memory import _Step, training_memory_gb
from tests.measured_steps import compare, peak_bytes

MB = 10**6
CPU = torch.device("cpu")


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# One layer on a patch of 10 x 10: 100 voxels, 400 bytes a channel.
#   weights: conv 8 + 8, norm 8 + 8, head 16 + 2 = 50 numbers, 200 bytes
ONE_LAYER = NetworkPlan(
    dimension=2,
    in_channels=1,
    out_channels=2,
    features=(8,),
    kernels=((1, 1),),
    strides=((1, 1),),
    blocks=(1,),
)


def _one_layer(make_configuration: Callable[..., Configuration], **changes: Any) -> Configuration:
    made = make_configuration(
        spacing_mm=(1.0, 1.0),
        median_shape=(10, 10),
        patch=(10, 10),
        batch=1,
        network=ONE_LAYER,
        loss=LossPlan("dice_ce", (1.0, 1.0), batch_dice=False),
    )
    return replace(made, **changes)


def test_one_layer_by_hand(make_configuration: Callable[..., Configuration]) -> None:
    # Image 400, target 800, logits 800, conv out 3200, norm out 3200: 8400. The loss leaves the gradient of the
    # logits, 800: 9200. The head's way back: the gradient of what entered 3200, then a copy of what entered 3200, of
    # the gradient of the logits 800 and of its 16 weights 64: 9200 + 3200 + 3200 + 800 + 64 = 16464, the peak.
    # Weights and momentum 2 x 200, and with AdamW 200 more.
    flat = _one_layer(make_configuration)
    assert training_memory_gb(flat) * 1e9 == pytest.approx(16464 + 400)
    adamw = replace(flat, training=replace(flat.training, optimiser="adamw"))
    assert training_memory_gb(adamw) * 1e9 == pytest.approx(16464 + 600)
    assert _Step(flat, Machine()).parameters == 50


def test_half_precision_by_hand(make_configuration: Callable[..., Configuration]) -> None:
    # Image 400, target 800, logits 400, weights in half 16 + 32, conv out 1600, norm out 1600: 4848.
    # The loss in float32 keeps log-probabilities and probabilities 2 x 800, a mask 100 and a target 800: 7348. Beside
    # them the logits in float32 800, the targets' probabilities 400, their bins 800, a float64 or masked copy 800:
    # 10148, the peak; then weights and momentum.
    assert training_memory_gb(_one_layer(make_configuration), Machine()) * 1e9 == pytest.approx(10148 + 400)


def test_bfloat16_on_a_cpu_by_hand(make_configuration: Callable[..., Configuration]) -> None:
    # As on a GPU, and the image in bfloat16 200: 10348. But the way back of the head is dearer. Then 5048 are kept, and
    # the gradient of the logits, 400: 5448 (the loss is done). The gradient of what entered is added up in float32 by
    # the thread, 100 voxels of 16 channels 6400, beside oneDNN's copies of it and of the logits' gradient, 16 channels
    # each 3200, and of the weights, 32: 5448 + 6400 + 3200 + 3200 + 32 = 18280, the peak.
    machine = Machine("bfloat16")
    assert training_memory_gb(_one_layer(make_configuration), machine) * 1e9 == pytest.approx(18280 + 400)
    # each thread adds up by itself
    four = training_memory_gb(_one_layer(make_configuration), replace(machine, threads=4))
    assert four * 1e9 == pytest.approx(18280 + 3 * 6400 + 400)


CHANGES: list[dict[str, Any]] = [
    {},
    {"encoder": "residual", "blocks": (1, 2, 2), "convs_decoder": 1},
    {"bottleneck": "msff"},
    {"bottleneck": "control"},
    {"features": (8, 16, 16), "encoder": "residual", "blocks": (1, 2, 2), "bottleneck": "msff"},
]


def _network(dimension: int, **changes: Any) -> NetworkPlan:
    plain = NetworkPlan(
        dimension=2 if dimension == 2 else 3,
        in_channels=1,
        out_channels=4,
        features=(8, 16, 32),
        kernels=((3,) * dimension,) * 3,
        strides=((1,) * dimension, (2,) * dimension, (2,) * dimension),
        blocks=(2, 2, 2),
    )
    return replace(plain, **changes)


def _configuration(
    make_configuration: Callable[..., Configuration], patch: tuple[int, ...], batch: int, **changes: Any
) -> Configuration:
    network = _network(len(patch), **changes)
    size = len(patch)
    return make_configuration(spacing_mm=(1.0,) * size, median_shape=patch, patch=patch, batch=batch, network=network)


@pytest.fixture(params=["float32", "bfloat16"])
def precision(request: pytest.FixtureRequest) -> Precision:
    """Each that this machine can be held against."""
    if request.param == "bfloat16" and not has_bfloat16_units():
        pytest.skip("this processor has no bfloat16 units: oneDNN computes otherwise")
    if request.param == "bfloat16" and "ONEDNN_MAX_CPU_ISA" in os.environ:
        pytest.skip("oneDNN was told which instructions to use, perhaps none for bfloat16")
    found: Precision = request.param
    return found


@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.parametrize(("patch", "batch"), [((64, 96), 2), ((16, 32, 24), 2)])
def test_a_real_step_takes_what_was_estimated(
    one_thread: None,
    make_configuration: Callable[..., Configuration],
    patch: tuple[int, ...],
    batch: int,
    changes: dict[str, Any],
    precision: Precision,
) -> None:
    configuration = _configuration(make_configuration, patch, batch, **changes)
    expected, measured = compare(configuration, CPU, precision=precision)
    assert expected == pytest.approx(measured, rel=0.15)


def test_components_bring_their_sizes_and_weights(
    one_thread: None, make_configuration: Callable[..., Configuration], precision: Precision
) -> None:
    plain = _configuration(make_configuration, (64, 96), 2)
    loss = replace(plain.loss, kind="dice_size_adaptive_ce", largest_size=2.0)
    expected, measured = compare(replace(plain, loss=loss), CPU, precision=precision)
    assert expected == pytest.approx(measured, rel=0.15)
    # the sizes stay; the weights, and those of the voxels that count, until their scale is through
    voxels = 2 * 64 * 96
    more = round(1e9 * (expected - training_memory_gb(plain, Machine(precision))))
    assert 4 * voxels <= more <= 12 * voxels


def test_the_measurement_itself_by_hand() -> None:
    def prepare() -> Callable[[], None]:
        kept = [torch.empty(MB, dtype=torch.uint8)]

        def step() -> None:
            two, three = torch.empty(2 * MB, dtype=torch.uint8), torch.empty(3 * MB, dtype=torch.uint8)
            del two
            four = torch.empty(4 * MB, dtype=torch.uint8)
            del three, four
            kept.append(torch.empty(5 * MB, dtype=torch.uint8))

        return step

    # The second step finds 1 + 5 alive; 2 + 3, then 3 + 4, then 5 more.
    assert peak_bytes(prepare, CPU) == (1 + 5 + 7) * MB


@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.parametrize("patch", [(16, 24), (4, 4), (8, 8, 12), (4, 4, 4)])
def test_parameters_are_those_of_the_network(
    make_configuration: Callable[..., Configuration], patch: tuple[int, ...], changes: dict[str, Any]
) -> None:
    configuration = _configuration(make_configuration, patch, 1, **changes)
    with torch.device("meta"):
        network = UNet(configuration.network, patch)
    assert _Step(configuration, Machine()).parameters == sum(parameter.numel() for parameter in network.parameters())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    patch=st.lists(st.integers(1, 12), min_size=2, max_size=3),
    axis=st.integers(0, 1),
    batch=st.integers(1, 6),
    changes=st.sampled_from(CHANGES),
    precision=st.sampled_from(["float32", "bfloat16", "half"]),
)
def test_more_voxels_patches_layers_and_threads_never_take_less(
    make_configuration: Callable[..., Configuration],
    patch: list[int],
    axis: int,
    batch: int,
    changes: dict[str, Any],
    precision: str,
) -> None:
    def memory(edges: list[int], batch: int, threads: int = 1, **more: Any) -> float:
        edges = [4 * edge for edge in edges]
        configuration = _configuration(make_configuration, tuple(edges), batch, **(changes | more))
        return training_memory_gb(configuration, Machine(precision, threads))

    here = memory(patch, batch)
    longer = [edge + (index == axis) for index, edge in enumerate(patch)]
    assert memory(longer, batch) > here
    assert memory(patch, batch + 1) > here
    assert memory(patch, batch, convs_decoder=4) > here
    assert memory(patch, batch, threads=8) >= here


def test_half_precision_takes_more_than_half_and_less_than_all(
    make_configuration: Callable[..., Configuration],
) -> None:
    configuration = _configuration(make_configuration, (64, 64, 64), 2)
    full = training_memory_gb(configuration)
    half, on_a_cpu = (training_memory_gb(configuration, Machine(precision)) for precision in ("half", "bfloat16"))
    assert 0.4 * full < half < on_a_cpu < 0.75 * full
