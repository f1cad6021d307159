"""A cascade from its previous stage's training to a prediction, and 2.5d on the store it shares with 2d."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from autospine.data.folds import Fold
from autospine.data.volume import read_volume
from autospine.errors import OutputError, PlanError
from autospine.inference.predictor import Predictor, Prepared
from autospine.planning.document.data import LevelsPlan
from autospine.planning.document.model_file import WEIGHTS, read_previous, weights_digest, write_previous
from autospine.planning.document.plan import Plan
from autospine.preprocessing.arrays import write_array
from autospine.preprocessing.prepare import CaseProperties
from autospine.preprocessing.store import Store
from autospine.workflow.predict import PredictRequest, predict_paths
from autospine.workflow.progress import Silent
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.runs.prepared import ensure_prepared
from autospine.workflow.steps.cascade import OutOfFold, find_out_of_fold, segment_out_of_fold
from autospine.workflow.train import TrainRequest, train_fold

CPU = torch.device("cpu")
NAMES = tuple(f"toy_{number:02}" for number in range(6))


def train(run: RunFolder, dataset: Path, configuration: str, fold: int, **more: object) -> Path:
    request = TrainRequest(configuration=configuration, device="cpu", **{"workers": 0, **more})  # type: ignore[arg-type]
    return train_fold(dataset, fold, run.root.parent, request).folder


def always(run: RunFolder, fold: int, value: int, configuration: str = "3d_lowres") -> None:
    """Exchange the weights of a fold for some that give every voxel the class `value`."""
    path = run.fold(configuration, fold) / WEIGHTS
    weights = {name: torch.zeros_like(tensor) for name, tensor in load_file(path).items()}
    bias = weights["heads.0.bias"]
    bias[value] = 1.0
    save_file(weights, path)


def next_stage(run: RunFolder, fold: int) -> dict[str, np.ndarray]:
    """What the cascade starts from now; what earlier weights made may stand beside it."""
    folders = (run.fold("3d_lowres", fold) / "next_stage").iterdir()
    newest = max(folders, key=lambda path: path.stat().st_mtime_ns)
    return {path.stem: np.load(path) for path in sorted(newest.glob("*.npy"))}


def test_a_cascade_from_end_to_end(
    run: RunFolder, toy_dataset: Path, toy_folds: tuple[Fold, ...], tmp_path: Path
) -> None:
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
        assert tuple(made) == toy_folds[fold].validation
        for name, labels in made.items():
            # the prepared grid: 10 slices of 4 mm, the toy's rows of 1.5 mm and columns of 1 mm
            assert labels.shape == (10, 20 + int(name[-1]) % 3, 26)
            assert labels.dtype == np.uint8
            assert (labels == fold).all()
    assert sorted(path.name for path in (run.root / "prepared").iterdir()) == ["3d_fullres", "3d_lowres"]

    # the same again does nothing; other weights of the previous stage are another training
    train(run, toy_dataset, "3d_cascade_fullres", 0)
    before = {path: path.stat().st_mtime_ns for path in run.model("3d_lowres").glob("fold_*/next_stage/*/*.npy")}
    always(run, 1, 0)
    with pytest.raises(PlanError, match="previous stage"):
        train(run, toy_dataset, "3d_cascade_fullres", 0)
    train(run, toy_dataset, "3d_cascade_fullres", 0, overwrite=True, workers=1)
    after = {path: path.stat().st_mtime_ns for path in run.model("3d_lowres").glob("fold_*/next_stage/*/*.npy")}
    assert before.items() <= after.items()
    assert {path.parts[-4] for path in after.keys() - before.keys()} == {"fold_1"}
    assert all((labels == 0).all() for labels in next_stage(run, 1).values())

    assert read_previous(folder) == {str(fold): weights_digest(run.model("3d_lowres"), fold) for fold in range(3)}

    # a prediction starts with the low-resolution network of the same fold; the two are the one model of the run
    image, out = toy_dataset / "imagesTr" / "toy_01_0000.nii.gz", tmp_path / "out"
    out.mkdir()
    request = PredictRequest(device="cpu")
    done = predict_paths(image, out, run.root.parent, request)
    assert done.model == run.model("3d_cascade_fullres")
    written = read_volume(done.files[0])
    assert written.array.shape == read_volume(image).array.shape
    assert not predict_paths(image, out, run.root.parent, request).seconds  # there already
    kept = load_file(folder / WEIGHTS)
    always(run, 0, 2, "3d_cascade_fullres")
    (lower,) = predict_paths(image, out, run.root.parent, PredictRequest(device="cpu", overwrite=True)).files
    assert set(np.unique(read_volume(lower).array)) == {3}  # the value on disk of the second class
    save_file(kept, folder / WEIGHTS)
    predict_paths(image, out, run.root.parent, PredictRequest(device="cpu", overwrite=True))
    always(run, 0, 2)
    with pytest.raises(PlanError, match="fold 0 was trained on another 3d_lowres"):
        predict_paths(image, out, run.root.parent, request)
    # what another previous stage makes of it is another prediction
    write_previous(folder, {0: weights_digest(run.model("3d_lowres"), 0)})
    with pytest.raises(OutputError, match="another model"):
        predict_paths(image, out, run.root.parent, request)
    shutil.rmtree(run.model("3d_lowres"))
    with pytest.raises(PlanError, match="starts from its segmentations"):
        predict_paths(image, tmp_path / "elsewhere", run.root.parent, request)


def test_what_the_previous_stage_was_trained_with_must_still_stand(
    run: RunFolder, toy_dataset: Path, toy_folds: tuple[Fold, ...]
) -> None:
    for fold in range(3):
        train(run, toy_dataset, "3d_lowres", fold)
    plan = run.read_plan()
    cascade = plan.configuration("3d_cascade_fullres")

    def find(plan: Plan = plan, folds: tuple[Fold, ...] = toy_folds) -> OutOfFold:
        return find_out_of_fold(toy_dataset, run, plan, cascade, folds, NAMES)

    assert find().networks == {"toy_00": 0, "toy_01": 1, "toy_02": 2, "toy_03": 0, "toy_04": 1, "toy_05": 2}
    # toy_00 and toy_01 change places: fold 1 has trained on toy_00, and fold 0 on toy_01
    swapped = {"toy_00": "toy_01", "toy_01": "toy_00"}
    other = tuple(
        Fold(*(tuple(swapped.get(name, name) for name in part) for part in (fold.train, fold.validation)))
        for fold in toy_folds
    )
    with pytest.raises(PlanError, match=r"fold\(s\) 0, 1, 2 of 3d_lowres were trained with another split"):
        find(folds=other)
    with pytest.raises(PlanError, match="no fold validates toy_02"):
        find(folds=(*toy_folds[:2], Fold(toy_folds[2].train, ("toy_05",))))
    # as after a change of the images and a new plan: who knows what those folds have seen
    with pytest.raises(PlanError, match=r"fold\(s\) 0, 1, 2 of 3d_lowres were trained on other data"):
        find(plan=replace(plan, fingerprint_hash="1" * 64))
    low = plan.configuration("3d_lowres")
    larger = replace(low, patch=(8, 8, 16))
    with pytest.raises(PlanError, match="3d_lowres was trained with another plan") as fault:
        find(plan=plan.with_configuration(larger, {}))
    assert f"autospine train {toy_dataset} all -c 3d_lowres --overwrite" in fault.value.remedy
    # its schedule may have changed since
    longer = replace(low, training=replace(low.training, epochs=9))
    same = find(plan=plan.with_configuration(longer, {}))
    assert (same.networks, same.keys) == (find().networks, find().keys)
    # tiles that overlap otherwise take the weights as they are, and make other segmentations of them
    sparser = find(plan=plan.with_configuration(replace(low, overlap=0.25), {}))
    assert sparser.weights == find().weights
    assert all(sparser.keys[fold] != key for fold, key in find().keys.items())
    # and so do pieces that agree on their levels
    agreed = find(plan=replace(plan, data=replace(plan.data, levels=LevelsPlan((1, 2), 0, 1.0, (0.5, 0.5)))))
    assert agreed.weights == find().weights
    assert all(agreed.keys[fold] != key for fold, key in find().keys.items())


def test_a_segmentation_goes_on_beside_another(
    run: RunFolder, toy_dataset: Path, toy_folds: tuple[Fold, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for fold in range(3):
        train(run, toy_dataset, "3d_lowres", fold)
        always(run, fold, fold)
    plan = run.read_plan()
    cascade = plan.configuration("3d_cascade_fullres")
    ensure_prepared(toy_dataset, run, plan, cascade, Silent())
    source = find_out_of_fold(toy_dataset, run, plan, cascade, toy_folds, NAMES)
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

    # two that start at once go different ways
    def blank(self: Predictor, case: Prepared, following: CaseProperties) -> np.ndarray:
        return np.zeros(following.prepared_shape, np.uint8)

    real = Predictor.labels_for
    monkeypatch.setattr(Predictor, "labels_for", blank)
    orders = set()
    for _ in range(4):
        for path in source.stage.files.values():
            path.unlink(missing_ok=True)
        segment_out_of_fold(source, full, lambda: first, CPU, Silent())
        stamps = {name: path.stat().st_mtime_ns for name, path in source.stage.files.items()}
        orders.add(tuple(sorted(stamps, key=stamps.__getitem__)))
    assert len(orders) > 1  # of 48; four times the same: once in 110000

    # another process makes all the others while this one is at its first case
    for path in source.stage.files.values():
        path.unlink()
    predicted = []

    def meanwhile(*inputs: Any, **more: Any) -> np.ndarray:
        predicted.append(inputs)
        for name, path in source.stage.files.items():
            write_array(path, np.full(full.open(name).label.shape, 9, np.uint8))
        return real(*inputs, **more)

    monkeypatch.setattr(Predictor, "labels_for", meanwhile)
    segment_out_of_fold(source, full, lambda: first, CPU, Silent())
    assert len(predicted) == 1
    assert sorted({int(np.load(path).max()) for path in source.stage.files.values()})[1:] == [9]


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
