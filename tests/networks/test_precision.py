"""Which precision a CPU computes in: measured, on the network itself, and whatever else the machine does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from autospine.machine.precision import Choice, Precision, has_bfloat16_units, pinned
from autospine.networks import precision
from autospine.networks.precision import choose_precision, faster
from autospine.planning.document.configuration import Configuration

CPU = torch.device("cpu")
Make = Callable[..., Configuration]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Configuration]:
    """A processor with units, whose every network is twice as fast in bfloat16; what was measured."""
    seen: list[Configuration] = []

    def look(seconds_in: object) -> Choice:
        seen.append(seconds_in)  # type: ignore[arg-type]
        return Choice("bfloat16", 2.0)

    monkeypatch.setattr(precision, "has_bfloat16_units", lambda: True)
    monkeypatch.setattr(precision, "faster", look)
    monkeypatch.setattr(precision, "_found", {})
    return seen


def passes(**seconds: list[float]) -> Callable[[Precision], float]:
    """A function that gives the seconds of each pass in turn; the last ones are repeated."""
    return lambda asked: seconds[asked].pop(0) if len(seconds[asked]) > 1 else seconds[asked][0]


@pytest.mark.parametrize(
    ("float32", "bfloat16", "choice"),
    [
        # a first pass compiles and does not count; a first look that is clear ends it, whatever would come
        ([0.9, 0.2, 9.0], [0.9, 0.1], Choice("bfloat16", 2.0)),
        ([0.9, 0.1], [0.9, 0.2, 0.001], Choice("float32", 0.5)),
        # so close that the next look may say otherwise
        ([0.9, 0.105], [0.9, 0.1], Choice("float32", 1.05)),
        # the least counts, and a look that was disturbed does not
        ([0.9, 0.12, 0.12], [0.9, 0.13, 0.1], Choice("bfloat16", 1.2)),
        ([0.9, 0.13, 0.1], [0.9, 0.1, 0.1], Choice("float32", 1.0)),
        # without a kernel of its own in one of them: nothing more is looked at
        ([1.0, 0.001], [0.2, 9.0], Choice("bfloat16", 5.0)),
        ([0.1, 9.0], [0.5, 0.001], Choice("float32", 0.2)),
    ],
)
def test_the_faster_of_two_by_hand(float32: list[float], bfloat16: list[float], choice: Choice) -> None:
    found = faster(passes(float32=float32, bfloat16=bfloat16))
    assert found.precision == choice.precision
    assert found.speed == pytest.approx(choice.speed)


def test_looks_take_turns_and_end() -> None:
    asked: list[Precision] = []

    def seconds_in(precision: Precision) -> float:
        asked.append(precision)
        return 0.05

    faster(seconds_in)
    # a first pass each, then 0.1 s a turn until more than 0.4 s are over: neither is clearly faster
    assert asked == ["float32", "bfloat16"] * 6


def test_without_units_nothing_is_measured(make_configuration: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bfloat16_units", lambda: False)
    monkeypatch.setattr(precision, "_measured", None)
    assert choose_precision(make_configuration(), CPU, training=True) == Choice("float32")


def test_a_network_is_measured_once(make_configuration: Make, measured: list[Configuration]) -> None:
    configuration = make_configuration()
    spaced = replace(configuration, spacing_mm=(2.0, 2.0, 2.0), training=replace(configuration.training, epochs=3))
    for one in (configuration, spaced, configuration):
        assert choose_precision(one, CPU, training=True) == Choice("bfloat16", 2.0)
    assert len(measured) == 1
    # the patch and the batch do not matter
    choose_precision(replace(configuration, batch=4, patch=(8, 8, 8)), CPU, training=True)
    assert len(measured) == 1
    choose_precision(configuration, CPU, training=False)
    narrower = replace(configuration.network, features=(4, 8))
    choose_precision(replace(configuration, network=narrower), CPU, training=True)
    assert len(measured) == 3


def test_whoever_says_so_has_the_precision(make_configuration: Make, measured: list[Configuration]) -> None:
    with pinned("float32"):
        assert choose_precision(make_configuration(), CPU, training=True) == Choice("float32")
        with pinned("bfloat16"):
            assert choose_precision(make_configuration(), CPU, training=False) == Choice("bfloat16")
        assert choose_precision(make_configuration(), CPU, training=True) == Choice("float32")
    assert choose_precision(make_configuration(), CPU, training=True).precision == "bfloat16"
    assert len(measured) == 1


@pytest.mark.parametrize("training", [True, False])
def test_measuring_leaves_no_trace(make_configuration: Make, training: bool) -> None:
    network, patch, batch = (getattr(make_configuration(), name) for name in ("network", "patch", "batch"))
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    threads = torch.get_num_threads()
    with torch.inference_mode():
        found = precision._measured(network, patch, batch, training)
        assert torch.is_inference_mode_enabled() and not torch.is_grad_enabled()
    assert found.speed is not None and found.speed > 0
    assert torch.equal(torch.rand(4), expected)
    assert torch.get_num_threads() == threads


def test_a_large_network_is_looked_at_on_a_part_of_its_patch(make_configuration: Make) -> None:
    base = make_configuration()
    network = replace(base.network, features=(32, 64))
    large = replace(base, network=network, patch=(64, 128, 96), batch=4)
    small = precision.smaller(large)
    assert small.batch == 1
    work = [precision.multiply_adds(network, patch, 1) for patch in (small.patch, large.patch)]
    assert work[0] <= precision.MOST_WORK < 2.0 * work[0] and work[0] < work[1]
    assert all(edge % 2 == 0 and 2 * precision.LEAST_EDGE <= edge for edge in small.patch)
    # strides of 2: 7 voxels of the coarser stage become 3, and fewer they do not
    odd = precision.smaller(replace(large, patch=(14, 4000, 6)))
    assert odd.patch[0] in (6, 14) and odd.patch[2] == 6 and odd.patch[1] % 2 == 0
    assert precision.smaller(base) == base  # 8 x 16 x 16: small enough


ISA = """
import torch
from autospine.networks.precision import faster, _measured
from autospine.planning.document.parts import NetworkPlan
plan = NetworkPlan(2, 1, 2, (16, 32), ((3, 3), (3, 3)), ((1, 1), (2, 2)), (2, 2))
print(_measured(plan, (64, 64), 2, True).precision)
"""


@pytest.mark.skipif(not has_bfloat16_units(), reason="this processor has no bfloat16 units")
@pytest.mark.skipif("ONEDNN_MAX_CPU_ISA" in os.environ, reason="oneDNN was told already which instructions to use")
def test_units_that_onednn_may_not_use_are_none() -> None:
    # whether the units pay where they may be used is the processor's: on some they do not
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", ISA], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["float32"]
