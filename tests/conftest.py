"""What every test may use: the real data where it is there, and settings that keep the tests quick and repeatable."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import write_volume
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import DataPlan, IntensityPlan
from autospine.planning.document.parts import LossPlan, NetworkPlan, ResamplingPlan, TrainingPlan
from autospine.planning.document.plan import Plan

# Read by torch and the BLAS when they are first imported, and by every process a test starts. The arrays of the tests
# are small: more threads only wait for each other, the more so beside other test processes.
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")

# The same examples in every run; a deadline would fail on a busy machine and not on a fault.
settings.register_profile("autospine", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("autospine")

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """A function from the name of a real data set to its folder; the test skips where it is not there."""

    def find(name: str) -> Path:
        folder = REAL_DATA / name
        if not folder.exists():
            pytest.skip(f"the real data set {name!r} is not beside this checkout (../shared/data/{name})")
        return folder

    return find


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of this test alone: other processes of the tests make such files, too."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


_NETWORK = NetworkPlan(
    dimension=3,
    in_channels=1,
    out_channels=4,
    features=(8, 16),
    kernels=((3, 3, 3), (3, 3, 3)),
    strides=((1, 1, 1), (2, 2, 2)),
    blocks=(2, 2),
)
_TRAINING = TrainingPlan(
    optimiser="sgd",
    learning_rate=0.01,
    weight_decay=3e-5,
    momentum=0.99,
    warmup=0.0,
    poly_power=0.9,
    clip_norm=12.0,
    epochs=10,
    steps_per_epoch=10,
    validation_steps=2,
    budget_s=None,
    oversample_foreground=0.33,
    foreground_jitter=0.0,
    shift=0.0,
    mirror_axes=(0, 1, 2),
    rotation_deg=30.0,
    rotate_in_plane=False,
    scale_range=(0.7, 1.4),
)
_BASE = Configuration(
    name="3d_fullres",
    axis_order=(0, 1, 2),
    spacing_mm=(1.0, 1.0, 1.0),
    median_shape=(16, 32, 24),
    patch=(8, 16, 16),
    batch=2,
    normalisation=("zscore",),
    use_mask=False,
    network=_NETWORK,
    resampling=ResamplingPlan(),
    loss=LossPlan(kind="dice_ce", class_weights=(1.0, 1.0, 1.0, 1.0), batch_dice=False),
    training=_TRAINING,
)
_FLAT = {
    "name": "2d",
    "median_shape": (32, 24),
    "patch": (16, 16),
    "network": replace(
        _NETWORK, dimension=2, kernels=((3, 3), (3, 3)), strides=((1, 1), (2, 2)), in_channels=1, features=(8, 16)
    ),
    "training": replace(_TRAINING, mirror_axes=(0, 1)),
}


@pytest.fixture
def make_configuration() -> Callable[..., Configuration]:
    """A function that gives a small configuration with some fields changed; two spacings make it 2D."""

    def make(**changes: Any) -> Configuration:
        flat = _FLAT if len(changes.get("spacing_mm", (1, 1, 1))) == 2 else {}
        return replace(_BASE, **(flat | changes))

    return make


@pytest.fixture
def make_plan() -> Callable[..., Plan]:
    """A function that gives the plan of one configuration, with some fields of it or of its data changed."""

    def make(configuration: Configuration = _BASE, **changes: Any) -> Plan:
        data: dict[str, Any] = {
            "dataset": "demo",
            "channels": ("T2",),
            "labels": (("L1", 1), ("L2", 2), ("L3", 3)),
            "intensities": (IntensityPlan(mean=100.0, std=20.0, percentile_00_5=10.0, percentile_99_5=200.0),),
        }
        own = {field.name for field in fields(DataPlan)}
        data |= {key: value for key, value in changes.items() if key in own}
        changes = {key: value for key, value in changes.items() if key not in own}
        plan: dict[str, Any] = {"configurations": (configuration,), "default": configuration.name}
        return Plan(DataPlan(**data), **{"recipe": "default", "fingerprint_hash": "0" * 64, **plan, **changes})

    return make


@pytest.fixture(scope="session")
def toy_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small cases in nnU-Net raw layout: a bright block above a dark one in noise; every axis has its own size."""
    root = tmp_path_factory.mktemp("data") / "toy"
    for number in range(6):
        rng = np.random.default_rng(number)
        shape = (20 + number % 3, 10, 26)
        label = np.zeros(shape, np.uint8)
        low = 3 + int(rng.integers(3))
        label[low : low + 6, 2:8, 6:18] = 3
        label[low + 7 : low + 13, 3:9, 7:20] = 1
        image = rng.normal(100, 5, shape) + 60.0 * (label == 1) - 60.0 * (label == 3)
        geometry = Geometry(shape, (1.5, 4.0, 1.0), (5.0, -7.0, 9.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
        name = f"toy_{number:02}"
        write_volume(root / "imagesTr" / f"{name}_0000.nii.gz", Volume(image.astype(np.float32)[None], geometry, ()))
        write_volume(root / "labelsTr" / f"{name}.nii.gz", Volume(label[None], geometry, ()))
    description = {
        "channel_names": {"0": "T2"},
        "labels": {"background": 0, "upper": 1, "lower": 3},
        "numTraining": 6,
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(description))
    return root


@pytest.fixture(scope="session")
def toy_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe whose training takes seconds."""
    path = tmp_path_factory.mktemp("recipe") / "toy.toml"
    path.write_text(
        "base_features = 4\nmax_features_2d = 8\nmax_features_3d = 8\nepochs = 2\nsteps_per_epoch = 4\n"
        "validation_steps = 1\n"
    )
    return path


@pytest.fixture(scope="session")
def _planned_once(toy_dataset: Path, toy_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from autospine.machine.precision import pinned
    from autospine.workflow.plan import PlanRequest, plan_dataset

    runs = tmp_path_factory.mktemp("planned")
    with pinned("float32"):
        plan_dataset(toy_dataset, runs, PlanRequest(str(toy_recipe), device="cpu"))
    return runs


@pytest.fixture
def planned_toy(_planned_once: Path, tmp_path: Path) -> Path:
    """A folder of runs of this test alone, in which the toy dataset is planned by the toy recipe on a CPU."""
    return Path(shutil.copytree(_planned_once, tmp_path / "runs"))
