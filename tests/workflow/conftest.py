"""A planned run with a cascade whose trainings take a second each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from autospine.data.disk.files import write_text
from autospine.data.folds import Fold, write_folds
from autospine.machine.precision import pinned
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import plan_to_toml
from autospine.preprocessing import fill
from autospine.workflow import train as workflow_train
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.steps import timing
from tests.workflow.predicting import Noting as Noting
from tests.workflow.predicting import made_model, put_image

NAMES = tuple(f"toy_{number:02}" for number in range(6))
LABELS = (("upper", 1), ("lower", 3))


def small(configuration: Configuration, inputs: int, **changes: object) -> Configuration:
    """Two classes, four features, two steps; the toy cases' coarse axis first."""
    network = replace(configuration.network, in_channels=inputs, out_channels=3, features=(4, 8))
    loss = replace(configuration.loss, class_weights=(1.0, 1.0, 1.0))
    training = replace(configuration.training, epochs=1, steps_per_epoch=2, validation_steps=1)
    both = {"network": network, "loss": loss, "training": training, "axis_order": (1, 0, 2)}
    return replace(configuration, **(both | changes))


@pytest.fixture(autouse=True)
def float32() -> Iterator[None]:
    """These tests say what a device is called, and small networks are as fast in one precision as in the other."""
    with pinned("float32"):
        yield


@pytest.fixture(autouse=True)
def _undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test here looks at the curves of its training, but those that ask for `drawn`."""
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(workflow_train, "_drawing", lambda folder: lambda record: None)


@pytest.fixture
def drawn() -> None:
    """Trainings of this test draw their curves."""


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which a step of any configuration takes a hundredth of a second."""
    monkeypatch.setattr(timing, "_measure", lambda data, device, **_: lambda configuration, bounds: 0.01)


@pytest.fixture
def toy_folds() -> tuple[Fold, ...]:
    """Three folds of the toy dataset; fold k validates cases k and k + 3."""
    return tuple(
        Fold(tuple(name for index, name in enumerate(NAMES) if index % 3 != fold), NAMES[fold::3]) for fold in range(3)
    )


@pytest.fixture
def run(
    tmp_path: Path,
    toy_dataset: Path,
    toy_folds: tuple[Fold, ...],
    make_configuration: Callable[..., Configuration],
    make_plan: Callable[..., Plan],
    monkeypatch: pytest.MonkeyPatch,
) -> RunFolder:
    """A planned run of the toy dataset: 2d, 2.5d, full resolution, low resolution and the cascade of both."""
    monkeypatch.setattr(fill, "bounded_workers", lambda *_: 1)  # starting a process takes longer than the toy's cases
    monkeypatch.setattr(workflow_train, "draw_validation", lambda *given: None)  # the picture is not looked at
    monkeypatch.setattr(workflow_train, "report_training", lambda *_: None)  # nor is the report read
    base = make_configuration()
    spacing = {"spacing_mm": (4.0, 1.5, 1.0), "median_shape": (10, 21, 26)}
    flat = small(make_configuration(spacing_mm=(1.5, 1.0)), 1, median_shape=(21, 26))
    neighbourly = small(flat, 3, name="2.5d", neighbours=1)
    full = small(base, 1, **spacing)
    low = small(base, 1, name="3d_lowres", spacing_mm=(4.0, 3.0, 2.0), median_shape=(10, 10, 13), patch=(8, 8, 8))
    cascade = small(base, 3, name="3d_cascade_fullres", previous="3d_lowres", **spacing)
    configurations = (flat, neighbourly, full, low, cascade)
    plan = make_plan(dataset="toy", labels=LABELS, configurations=configurations)
    folder = RunFolder.of(tmp_path / "runs", toy_dataset)
    write_text(folder.plan, plan_to_toml(plan))
    write_folds(folder.splits, toy_folds)
    return folder


@pytest.fixture
def configuration(make_configuration: Callable[..., Configuration]) -> Configuration:
    return make_configuration(spacing_mm=(1.0, 1.0))


@pytest.fixture
def model(tmp_path: Path, configuration: Configuration) -> Path:
    """A model of one channel that nobody trained."""
    return made_model(tmp_path / "models" / "2d", configuration, 0)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for seed, name in enumerate("abcde"):
        put_image(tmp_path / "in" / f"{name}.nii.gz", seed)
    return tmp_path / "in"
