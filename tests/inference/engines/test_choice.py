"""Which engine computes: the faster one, and only one that says what torch says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from autospine.inference.engines import choice as choices
from autospine.inference.engines.choice import Computing
from autospine.inference.engines.compiled import Compiled
from autospine.machine.precision import Choice, pinned
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration

CPU = torch.device("cpu")
FLOAT = Choice("float32")
Make = Callable[..., Configuration]


def float32() -> Choice:
    return FLOAT


@pytest.fixture
def computing(make_configuration: Make, monkeypatch: pytest.MonkeyPatch) -> Computing:
    """Of one network, worth a look; what takes how long is said by hand, torch being ten times as slow."""
    pytest.importorskip("openvino")
    monkeypatch.setattr(choices, "LEAST_WORK", 0.0)
    monkeypatch.setattr(choices, "has_bfloat16_units", lambda: False)
    takes(monkeypatch, torch_s=10.0, openvino_s=1.0)
    configuration = make_configuration(spacing_mm=(1.0, 1.0))
    return Computing((UNet(configuration.network, configuration.patch).eval(),), configuration, CPU)


def takes(monkeypatch: pytest.MonkeyPatch, *, torch_s: float, openvino_s: float) -> None:
    monkeypatch.setattr(choices, "_least", lambda network, *_: openvino_s if isinstance(network, Compiled) else torch_s)


def test_openvino_computes_where_it_is_faster_and_says_the_same(computing: Computing) -> None:
    chosen = computing.choose(float32)
    assert (chosen.precision, chosen.engine) == ("float32", "openvino")
    assert str(chosen) == "float32; OpenVINO, 10 times as fast as torch in float32 on a small image"
    tiles = torch.randn(3, 1, *computing.configuration.patch)
    with torch.inference_mode():
        expected = computing.networks[0](tiles)[0]
        torch.testing.assert_close(computing.compiled(chosen)[0](tiles)[0], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("openvino_s", "told"), [(10.0, "1 times as fast"), (20.0, "0.5 times as fast")])
def test_torch_computes_where_it_is_as_fast(
    computing: Computing, monkeypatch: pytest.MonkeyPatch, openvino_s: float, told: str
) -> None:
    takes(monkeypatch, torch_s=10.0, openvino_s=openvino_s)
    chosen = computing.choose(float32)
    assert chosen.engine == "torch" and told in str(chosen)
    assert computing.compiled(chosen) == computing.networks


def test_an_engine_that_says_something_else_does_not_compute(
    computing: Computing, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(Compiled):
        def __call__(self, tiles: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (super().__call__(tiles)[0] * 1.01,)

    monkeypatch.setattr(choices, "Compiled", Wrong)
    chosen = computing.choose(float32)
    assert chosen.engine == "torch"
    assert "something else: in float32 logits differ by 0.01 of their size, labels agree in 100.0%" in str(chosen)


def test_an_engine_that_says_no_numbers_does_not_compute(computing: Computing, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(Compiled):
        def __call__(self, tiles: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (super().__call__(tiles)[0] * torch.nan,)

    monkeypatch.setattr(choices, "Compiled", Wrong)
    assert computing.choose(float32).engine == "torch"


def test_every_network_of_a_model_is_checked(computing: Computing, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = UNet(computing.configuration.network, computing.configuration.patch).eval()
    good = Compiled

    class WrongOfOne(Compiled):
        def __init__(self, network: torch.nn.Module, *given: Any, **named: Any) -> None:
            good.__init__(self, computing.networks[0] if network is bad else network, *given, **named)

    monkeypatch.setattr(choices, "Compiled", WrongOfOne)
    both = replace(computing, networks=(*computing.networks, bad))
    assert both.choose(float32).engine == "torch"


@pytest.mark.parametrize("kind", [RuntimeError, OSError, AttributeError, MemoryError])
def test_what_fails_leaves_the_work_to_torch_with_a_reason(
    computing: Computing, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise kind("Exception from src/core.cpp:1\nno such plugin")

    monkeypatch.setattr(choices, "Compiled", fail)
    assert str(computing.choose(float32)) == "float32; torch, as OpenVINO fails here (no such plugin)"


def test_what_cannot_be_compiled_for_whole_tiles_is_torchs(
    computing: Computing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small image was computed, and for the tiles themselves memory is too little: found out before any case."""

    class Small(Compiled):
        def __init__(self, network: torch.nn.Module, shape: Any, precision: Any, **named: Any) -> None:
            if named.get("streams", 1) > 1:
                raise RuntimeError("std::bad_alloc")
            super().__init__(network, shape, precision, **named)

    monkeypatch.setattr(choices, "Compiled", Small)
    assert str(computing.choose(float32)) == "float32; torch, as OpenVINO fails here (std::bad_alloc)"


def test_without_the_extra_torch_computes_and_the_extra_is_named(
    computing: Computing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choices, "has_openvino", lambda: False)
    assert str(computing.choose(float32)) == 'float32; torch, without the extra "autospine[cpu]"'


def test_a_choice_stands_and_little_work_is_left_to_torch(
    computing: Computing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choices, "LEAST_WORK", 1e18)
    few = computing.choose(float32, cases=1)
    assert few.engine == "torch" and "so few images" in str(few)
    monkeypatch.setattr(choices, "LEAST_WORK", 0.0)
    assert computing.choose(float32) is few
    other = replace(computing, networks=(UNet(computing.configuration.network, computing.configuration.patch).eval(),))
    assert other.choose(float32).engine == "openvino"


def test_a_pinned_precision_and_a_gpu_are_torchs(computing: Computing) -> None:
    with pinned("float32"):
        assert computing.choose(float32) is FLOAT
    half = Choice("float16")
    assert replace(computing, device=torch.device("cuda")).choose(lambda: half) is half


def test_bfloat16_is_looked_at_where_the_processor_has_it(
    computing: Computing, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Seen(Compiled):
        def __init__(self, network: torch.nn.Module, shape: Any, precision: Any, **named: Any) -> None:
            asked.append(precision)
            super().__init__(network, shape, precision, **named)

    monkeypatch.setattr(choices, "Compiled", Seen)
    monkeypatch.setattr(choices, "has_bfloat16_units", lambda: True)
    torchs = {"float32": 10.0, "bfloat16": 5.0}
    monkeypatch.setattr(Computing, "_torch_seconds", lambda self, precision, image: torchs[precision])
    chosen = computing.choose(lambda: Choice("bfloat16", 1.8))
    assert asked == ["float32", "bfloat16", chosen.precision] and chosen.engine == "openvino"
    assert "as fast as torch in bfloat16" in str(chosen)


def test_a_measurement_by_the_clock_takes_the_least_of_some() -> None:
    times = iter([0.0, 0.03, 10.0, 10.01, 20.0, 20.02])
    passes: list[int] = []
    least = choices._least(lambda image: passes.append(1) or (image,), torch.zeros(1), lambda: next(times))
    assert least == pytest.approx(0.01) and len(passes) == choices.TURNS


def test_a_slow_network_is_looked_at_once() -> None:
    times = iter([0.0, 0.5])
    assert choices._least(lambda image: (image,), torch.zeros(1), lambda: next(times)) == 0.5


def test_where_openvino_computes_nobody_measures_torchs_precision(computing: Computing) -> None:
    def measure() -> Choice:
        raise AssertionError("measured")

    assert computing.choose(measure).engine == "openvino"
