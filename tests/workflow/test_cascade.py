"""A cascade from its previous stage's training to a prediction, and 2.5d on the store it shares with 2d."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from autospine.data.files import write_text
from autospine.data.folds import Fold, write_folds
from autospine.data.volume import read_volume
from autospine.errors import OutputError, PlanError
from autospine.planning.model import WEIGHTS
from autospine.planning.plan import Configuration, Plan
from autospine.planning.plan_file import plan_to_toml
from autospine.preprocessing import store
from autospine.preprocessing.store import Store
from autospine.workflow import train as workflow_train
from autospine.workflow.cascade import find_out_of_fold, segment_out_of_fold
from autospine.workflow.predict import PredictRequest, predict_paths
from autospine.workflow.progress import Silent
from autospine.workflow.runs import RunFolder
from autospine.workflow.train import TrainRequest, train_fold

CPU = torch.device("cpu")
NAMES = tuple(f"toy_{number:02}" for number in range(6))
FOLDS = tuple(
    Fold(tuple(name for index, name in enumerate(NAMES) if index % 3 != fold), NAMES[fold::3]) for fold in range(3)
)
"""Fold k validates cases k and k + 3."""
LABELS = (("upper", 1), ("lower", 3))


def small(configuration: Configuration, inputs: int, **changes: object) -> Configuration:
    """Two classes, four features, two steps; the toy cases' coarse axis first."""
    network = replace(configuration.network, in_channels=inputs, out_channels=3, features=(4, 8))
    loss = replace(configuration.loss, class_weights=(1.0, 1.0, 1.0))
    training = replace(configuration.training, epochs=1, steps_per_epoch=2, validation_steps=1)
    both = {"network": network, "loss": loss, "training": training, "axis_order": (1, 0, 2)}
    return replace(configuration, **(both | changes))


@pytest.fixture
def run(
    tmp_path: Path,
    toy_dataset: Path,
    make_configuration: Callable[..., Configuration],
    make_plan: Callable[..., Plan],
    monkeypatch: pytest.MonkeyPatch,
) -> RunFolder:
    """A planned run of the toy dataset: 2d, 2.5d, full resolution, low resolution and the cascade of both."""
    monkeypatch.setattr(store, "bounded_workers", lambda *_: 1)  # starting a process takes longer than the toy's cases
    monkeypatch.setattr(workflow_train, "_drawing", lambda folder: lambda record: None)  # nor is the curve looked at
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
    write_folds(folder.splits, FOLDS)
    return folder


def train(run: RunFolder, dataset: Path, configuration: str, fold: int, **more: object) -> Path:
    request = TrainRequest(configuration=configuration, device="cpu", workers=0, **more)  # type: ignore[arg-type]
    return train_fold(dataset, fold, run.root.parent, request).folder


def always(run: RunFolder, fold: int, value: int) -> None:
    """Exchange the weights of a low-resolution fold for some that give every voxel the class `value`."""
    path = run.fold("3d_lowres", fold) / WEIGHTS
    weights = {name: torch.zeros_like(tensor) for name, tensor in load_file(path).items()}
    bias = weights["heads.0.bias"]
    bias[value] = 1.0
    save_file(weights, path)


def next_stage(run: RunFolder, fold: int) -> dict[str, np.ndarray]:
    folder = run.fold("3d_lowres", fold) / "next_stage"
    return {path.stem: np.load(path) for path in sorted(folder.glob("*.npy"))}


def test_a_cascade_from_end_to_end(run: RunFolder, toy_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError) as none:
        train(run, toy_dataset, "3d_cascade_fullres", 0)
    assert "fold(s) 0, 1, 2 of 3d_lowres are not trained" in none.value.found
    assert f"autospine train {toy_dataset} all -c 3d_lowres" in none.value.remedy
    assert not (run.root / "prepared").exists()  # said before any work

    for fold in (0, 2):
        train(run, toy_dataset, "3d_lowres", fold)
    with pytest.raises(PlanError, match=r"fold\(s\) 1 of 3d_lowres are not trained"):
        train(run, toy_dataset, "3d_cascade_fullres", 0)
    train(run, toy_dataset, "3d_lowres", 1)

    # fold k says class k everywhere: each case must come from the fold that validates it
    for fold in range(3):
        always(run, fold, fold)
    folder = train(run, toy_dataset, "3d_cascade_fullres", 0)
    assert (folder / "metrics.json").is_file()
    assert sorted(path.name for path in (folder / "validation").iterdir()) == ["toy_00.nii.gz", "toy_03.nii.gz"]
    for fold in range(3):
        made = next_stage(run, fold)
        assert tuple(made) == FOLDS[fold].validation
        for name, labels in made.items():
            # the prepared grid: 10 slices of 4 mm, the toy's rows of 1.5 mm and columns of 1 mm
            assert labels.shape == (10, 20 + int(name[-1]) % 3, 26)
            assert labels.dtype == np.uint8
            assert (labels == fold).all()
    assert sorted(path.name for path in (run.root / "prepared").iterdir()) == ["3d_fullres", "3d_lowres"]

    # the same again does nothing; other weights of the previous stage are another training
    train(run, toy_dataset, "3d_cascade_fullres", 0)
    before = {path: path.stat().st_mtime_ns for path in run.model("3d_lowres").glob("fold_*/next_stage/*.npy")}
    always(run, 1, 0)
    with pytest.raises(PlanError, match="previous stage"):
        train(run, toy_dataset, "3d_cascade_fullres", 0)
    train(run, toy_dataset, "3d_cascade_fullres", 0, overwrite=True)
    after = {path: path.stat().st_mtime_ns for path in run.model("3d_lowres").glob("fold_*/next_stage/*.npy")}
    assert {path.parts[-3] for path in before if before[path] != after[path]} == {"fold_1"}
    assert all((labels == 0).all() for labels in next_stage(run, 1).values())

    # a prediction starts with the low-resolution network of the same fold
    image, out = toy_dataset / "imagesTr" / "toy_01_0000.nii.gz", tmp_path / "out"
    out.mkdir()
    request = PredictRequest(model=run.model("3d_cascade_fullres"), device="cpu")
    done = predict_paths(image, out, run.root.parent, request)
    written = read_volume(done.files[0])
    assert written.array.shape == read_volume(image).array.shape
    assert set(np.unique(written.array)) <= {0, 1, 3}
    assert not predict_paths(image, out, run.root.parent, request).seconds  # there already
    always(run, 0, 2)  # what another previous stage would make of it is another prediction
    with pytest.raises(OutputError, match="another model"):
        predict_paths(image, out, run.root.parent, request)
    shutil.rmtree(run.model("3d_lowres"))
    with pytest.raises(PlanError, match="starts from its segmentations"):
        predict_paths(image, tmp_path / "elsewhere", run.root.parent, request)


def test_what_the_previous_stage_was_trained_with_must_still_stand(run: RunFolder, toy_dataset: Path) -> None:
    for fold in range(3):
        train(run, toy_dataset, "3d_lowres", fold)
    plan = run.read_plan()
    cascade = plan.configuration("3d_cascade_fullres")

    def find(plan: Plan = plan, folds: tuple[Fold, ...] = FOLDS) -> dict[str, int]:
        return dict(find_out_of_fold(toy_dataset, run, plan, cascade, folds, NAMES).networks)

    assert find() == {"toy_00": 0, "toy_01": 1, "toy_02": 2, "toy_03": 0, "toy_04": 1, "toy_05": 2}
    # toy_00 and toy_01 change places: fold 1 has trained on toy_00, and fold 0 on toy_01
    swapped = {"toy_00": "toy_01", "toy_01": "toy_00"}
    other = tuple(
        Fold(*(tuple(swapped.get(name, name) for name in part) for part in (fold.train, fold.validation)))
        for fold in FOLDS
    )
    with pytest.raises(PlanError, match=r"fold\(s\) 0, 1, 2 of 3d_lowres were trained with another split"):
        find(folds=other)
    with pytest.raises(PlanError, match="no fold validates toy_02"):
        find(folds=(FOLDS[0], FOLDS[1], Fold(FOLDS[2].train, ("toy_05",))))
    wider = replace(plan.configuration("3d_lowres"), overlap=0.25)
    with pytest.raises(PlanError, match="3d_lowres was trained with another plan"):
        find(plan=plan.with_configuration(wider, {}))
    # its schedule may have changed since
    low = plan.configuration("3d_lowres")
    longer = replace(low, training=replace(low.training, epochs=9))
    assert find(plan=plan.with_configuration(longer, {})) == find()


def test_a_stopped_segmentation_goes_on(run: RunFolder, toy_dataset: Path) -> None:
    for fold in range(3):
        train(run, toy_dataset, "3d_lowres", fold)
        always(run, fold, fold)
    train(run, toy_dataset, "3d_fullres", 0)
    plan = run.read_plan()
    cascade = plan.configuration("3d_cascade_fullres")
    source = find_out_of_fold(toy_dataset, run, plan, cascade, FOLDS, NAMES)
    full, first = Store(run.prepared("3d_fullres")), Store(run.prepared("3d_lowres"))
    segment_out_of_fold(source, full, lambda: first, CPU, Silent())
    one = source.stage.files["toy_04"]
    kept = {name: path.stat().st_mtime_ns for name, path in source.stage.files.items() if path != one}
    one.unlink()
    segment_out_of_fold(source, full, lambda: first, CPU, Silent())
    assert (np.load(one) == 1).all()
    assert all(source.stage.files[name].stat().st_mtime_ns == stamp for name, stamp in kept.items())

    def unwanted() -> Store:
        raise AssertionError("nothing is missing: the previous stage's cases are not needed")

    segment_out_of_fold(source, full, unwanted, CPU, Silent())


def test_slices_with_neighbours_from_end_to_end(run: RunFolder, toy_dataset: Path, tmp_path: Path) -> None:
    train(run, toy_dataset, "2d", 0)
    stamps = {path: path.stat().st_mtime_ns for path in run.prepared("2d").glob("*.npy")}
    folder = train(run, toy_dataset, "2.5d", 0)
    assert (folder / "metrics.json").is_file()
    assert sorted(path.name for path in (run.root / "prepared").iterdir()) == ["2d"]
    assert {path: path.stat().st_mtime_ns for path in run.prepared("2d").glob("*.npy")} == stamps
    request = PredictRequest(model=run.model("2.5d"), device="cpu")
    done = predict_paths(toy_dataset / "imagesTr", tmp_path / "out", run.root.parent, request)
    assert len(done.files) == 6
    # the validation case comes out as validation had it
    validated = read_volume(folder / "validation" / "toy_03.nii.gz").array
    np.testing.assert_array_equal(read_volume(tmp_path / "out" / "toy_03.nii.gz").array, validated)
