"""A training keeps its precision, and one in bfloat16 learns what one in float32 does."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from autospine.errors import Stopped
from autospine.machine.device import describe_device
from autospine.machine.precision import Choice, Precision, has_bfloat16_units, pinned
from autospine.networks import precision as networks
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.model_file import WEIGHTS
from autospine.preprocessing.store import Store
from autospine.training import precision as trainings
from autospine.training.checkpoint import recorded_precision
from autospine.training.precision import training_precision
from tests.cards import card_of
from tests.inference.predicting import predict_logits
from tests.training.trainings import CPU, stop_at, train

BOTH: tuple[Precision, Precision] = ("float32", "bfloat16")


needs_units = pytest.mark.skipif(
    not has_bfloat16_units() or "ONEDNN_MAX_CPU_ISA" in os.environ,
    reason="this processor has no bfloat16 units, or oneDNN was told which instructions to use",
)


@pytest.fixture
def faster(monkeypatch: pytest.MonkeyPatch) -> Callable[[Precision], None]:
    """A function that makes a precision the faster one of this machine."""

    def set_faster(precision: Precision) -> None:
        for place in (networks, trainings):
            monkeypatch.setattr(place, "has_bfloat16_units", lambda: True)
        monkeypatch.setattr(networks, "_found", {})
        monkeypatch.setattr(networks, "_measured", lambda *_: Choice(precision, 2.0))

    return set_faster


@pytest.mark.parametrize(("begun", "later"), [("float32", "bfloat16"), ("bfloat16", "float32")])
def test_a_resumed_training_keeps_its_precision(
    small_store: Store,
    quick: Configuration,
    tmp_path: Path,
    faster: Callable[[Precision], None],
    begun: Precision,
    later: Precision,
) -> None:
    assert train(quick, small_store, tmp_path / "whole", precision=begun).precision == begun
    faster(begun)
    with pytest.raises(Stopped):
        train(quick, small_store, tmp_path / "parts", on_step=stop_at(3))
    assert recorded_precision(tmp_path / "parts") == begun
    faster(later)
    assert train(quick, small_store, tmp_path / "parts").precision == begun
    whole, parts = (load_file(tmp_path / name / WEIGHTS) for name in ("whole", "parts"))
    assert all(torch.equal(tensor, parts[name]) for name, tensor in whole.items())
    assert train(quick, small_store, tmp_path / "anew").precision == later


def test_what_decides_a_precision(
    small_store: Store, quick: Configuration, tmp_path: Path, faster: Callable[[Precision], None]
) -> None:
    faster("bfloat16")
    assert training_precision(quick, tmp_path, CPU) == Choice("bfloat16", 2.0)
    here, elsewhere = describe_device(CPU, "float32"), "CPU, 999 cores, float32"
    assert training_precision(quick, tmp_path, CPU, here) == Choice("float32", because="as the plan was timed")
    assert training_precision(quick, tmp_path, CPU, elsewhere) == Choice("bfloat16", 2.0)
    with pytest.raises(Stopped):
        train(quick, small_store, tmp_path, on_step=stop_at(2))
    assert training_precision(quick, tmp_path, CPU, here) == Choice("bfloat16", because="as it was begun")
    assert training_precision(quick, None, CPU, here).precision == "float32"  # begins anew, whatever stands there
    with pinned("float32"):
        assert training_precision(quick, tmp_path, CPU, elsewhere) == Choice("float32")


def test_a_plan_timed_in_bfloat16_means_a_processor_with_units(
    quick: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = describe_device(CPU, "bfloat16")
    for units, precision in ((True, "bfloat16"), (False, "float32")):
        for place in (networks, trainings):
            monkeypatch.setattr(place, "has_bfloat16_units", lambda units=units: units)
        assert training_precision(quick, None, CPU, timed).precision == precision


@pytest.mark.parametrize(("begun", "units"), [("float16", True), ("bfloat16", False)])
def test_what_a_gpu_began_goes_on_as_this_processor_computes(
    quick: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: str, units: bool
) -> None:
    """In float16, or in bfloat16 without units for it, a step would take ten times as long."""
    monkeypatch.setattr(trainings, "recorded_precision", lambda folder: begun)
    monkeypatch.setattr(trainings, "choose_precision", lambda *_, **__: Choice("float32"))
    for place in (networks, trainings):
        monkeypatch.setattr(place, "has_bfloat16_units", lambda: units)
    assert training_precision(quick, tmp_path, CPU) == Choice("float32")


@needs_units
def test_a_training_in_bfloat16_learns_and_both_precisions_predict_the_same(
    small_store: Store, quick: Configuration, tmp_path: Path
) -> None:
    training = replace(quick.training, optimiser="adamw", learning_rate=0.02, epochs=12, steps_per_epoch=6)
    longer = replace(quick, network=replace(quick.network, features=(8, 16)), training=training)
    images = [np.array(small_store.open(name).image) for name in ("a", "b", "c")]
    losses = []
    for precision in BOTH:
        result = train(longer, small_store, tmp_path / precision, precision=precision)
        assert result.precision == precision
        assert result.history[-1].train_loss < result.history[0].train_loss - 0.5
        losses.append(result.history[-1].train_loss)
        network = UNet(longer.network, longer.patch).eval()
        network.load_state_dict(load_file(tmp_path / precision / WEIGHTS))
        labels = [
            [predict_logits([network], image, card_of(longer), precision=asked).argmax(0) for image in images]
            for asked in BOTH
        ]
        assert np.any(labels[0])
        assert np.mean(np.array(labels[0]) == np.array(labels[1])) >= 0.999
    assert losses[0] == pytest.approx(losses[1], abs=0.1)
