"""The commands as a user types them, on a small dataset; and what a wrong one answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from autospine.cli.app import app
from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import read_volume, write_volume


@dataclass(frozen=True)
class Run:
    """A run folder in which fold 0 has been planned and trained."""

    dataset: Path
    runs: Path


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def text(result: Result) -> str:
    """All output without the line breaks and frames of the terminal."""
    return " ".join(result.output.replace("│", " ").split())


@pytest.fixture(scope="module")
def trained(toy_dataset: Path, toy_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    runs = tmp_path_factory.mktemp("runs")
    planned = call("plan", toy_dataset, "--recipe", toy_recipe, "--runs", runs)
    assert planned.exit_code == 0, planned.output
    result = call("train", toy_dataset, 0, "--runs", runs, "--device", "cpu")
    assert result.exit_code == 0, result.output
    yield Run(toy_dataset, runs)


def test_plan_and_train_leave_what_the_design_says(trained: Run) -> None:
    root = trained.runs / "toy"
    for name in ("fingerprint.json", "plan.toml", "splits.json", "prepared/3d_fullres/store.json"):
        assert (root / name).is_file(), name
    fold = root / "3d_fullres" / "fold_0"
    for name in ("model.safetensors", "training.ckpt", "history.csv", "progress.png", "run.toml", "metrics.json"):
        assert (fold / name).is_file(), name
    assert (root / "3d_fullres" / "model.json").is_file()
    validation = json.loads((root / "splits.json").read_text())[0]["val"]
    assert {path.name for path in (fold / "validation").iterdir()} == {f"{name}.nii.gz" for name in validation}
    content = json.loads((fold / "metrics.json").read_text())
    assert set(content["classes"]) == {"upper", "lower"}
    assert [case["case"] for case in content["cases"]] == validation


def test_train_again_goes_on_from_its_end(trained: Run) -> None:
    weights = trained.runs / "toy" / "3d_fullres" / "fold_0" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    result = call("train", trained.dataset, 0, "--runs", trained.runs, "--device", "cpu")
    assert result.exit_code == 0
    assert "trained already" in text(result)
    assert weights.stat().st_mtime_ns == before


def test_plan_again_shows_the_standing_plan_and_refuses_another(trained: Run, toy_recipe: Path) -> None:
    path = trained.runs / "toy" / "plan.toml"
    before = path.read_bytes()
    same = call("plan", trained.dataset, "--recipe", toy_recipe, "--runs", trained.runs)
    assert same.exit_code == 0
    assert "stood there already" in text(same)
    other = call("plan", trained.dataset, "--runs", trained.runs)
    assert other.exit_code == 1
    assert "--overwrite" in text(other)
    assert path.read_bytes() == before


def test_what_stands_is_never_taken_for_another_training(toy_dataset: Path, toy_recipe: Path, tmp_path: Path) -> None:
    options = ("--runs", tmp_path)
    assert call("plan", toy_dataset, "--recipe", toy_recipe, *options).exit_code == 0
    refused(call("plan", toy_dataset, "--recipe", toy_recipe, "--subjects", r"(toy_\d)", *options), "subjects")
    refused(call("plan", toy_dataset, "--recipe", toy_recipe, "--memory", 4, *options), "--memory")
    train = ("train", toy_dataset, 0, *options, "--device", "cpu")
    assert call(*train, "--epochs", 1).exit_code == 0
    longer = call(*train, "--epochs", 2)
    assert longer.exit_code == 0 and "goes on from epoch 1 to 2; the learning rate follows" in text(longer)
    refused(call(*train, "--epochs", 1), "2epochs", "--epochs", "--overwrite")
    plan = tmp_path / "toy" / "plan.toml"
    plan.write_text(plan.read_text().replace("momentum = 0.99", "momentum = 0.9"))
    refused(call(*train, "--epochs", 3), "anotherplan")
    splits = tmp_path / "toy" / "splits.json"
    folds = json.loads(splits.read_text())
    folds[1]["train"] += folds[1]["val"]
    splits.write_text(json.dumps(folds))
    refused(call("train", toy_dataset, 1, *options), "fold0trainsandvalidates")
    splits.unlink()
    assert call("plan", toy_dataset, "--recipe", toy_recipe, *options).exit_code == 0
    assert splits.is_file()


def test_plan_takes_epochs_and_says_how_long_a_training_is(toy_dataset: Path, toy_recipe: Path, tmp_path: Path) -> None:
    options = ("--recipe", toy_recipe, "--runs", tmp_path / "runs", "--device", "cpu")
    planned = call("plan", toy_dataset, "--epochs", 3, *options)
    assert planned.exit_code == 0, planned.output
    said = " ".join(planned.output.split())
    assert "A training of 3d_fullres: 3 epochs, 12 steps: about" in said
    assert "a step on CPU" in said and "12 steps; about" in said
    refused(call("plan", toy_dataset, *options), "--epochs")
    assert call("plan", toy_dataset, "--epochs", 3, "--budget", "1m", *options).exit_code == 2


def test_dry_run_writes_nothing(toy_dataset: Path, tmp_path: Path) -> None:
    result = call("plan", toy_dataset, "--runs", tmp_path / "runs", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "3d_fullres" in result.output
    assert list(tmp_path.iterdir()) == []


def test_predict_and_evaluate(trained: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = call("predict", trained.dataset / "imagesTr", out, "--runs", trained.runs, "--device", "cpu")
    assert result.exit_code == 0, result.output
    image = read_volume(trained.dataset / "imagesTr" / "toy_00_0000.nii.gz")
    predicted = read_volume(out / "toy_00.nii.gz")
    assert predicted.geometry == image.geometry
    held = set(np.unique(predicted.array).tolist())
    assert held & {1, 3} and held <= {0, 1, 3}  # an empty one would say nothing about the values
    again = call("predict", trained.dataset / "imagesTr", out, "--runs", trained.runs, "--device", "cpu")
    assert again.exit_code == 0
    assert "6 case(s) had been predicted before" in text(again)

    scored = call("evaluate", out, trained.dataset / "labelsTr")
    assert scored.exit_code == 0, scored.output
    content = json.loads((out / "metrics.json").read_text())
    assert len(content["cases"]) == 6
    assert set(content["classes"]) == {"upper", "lower"}


def test_other_images_of_the_same_name_are_not_taken_for_done(trained: Run, tmp_path: Path) -> None:
    for number in (0, 1):
        folder = tmp_path / f"hospital_{number}"
        folder.mkdir()
        shutil.copy(trained.dataset / "imagesTr" / f"toy_0{number}_0000.nii.gz", folder / "case_0000.nii.gz")
    options = (tmp_path / "out", "--runs", trained.runs, "--device", "cpu")
    assert call("predict", tmp_path / "hospital_0", *options).exit_code == 0
    refused(call("predict", tmp_path / "hospital_1", *options), "case.nii.gz", "--overwrite")
    assert call("predict", tmp_path / "hospital_1", *options, "--overwrite").exit_code == 0
    geometry = read_volume(tmp_path / "hospital_1" / "case_0000.nii.gz").geometry
    assert read_volume(tmp_path / "out" / "case.nii.gz").geometry == geometry


def test_predict_never_writes_over_its_images(trained: Run, tmp_path: Path) -> None:
    image = tmp_path / "case.nii.gz"
    shutil.copy(trained.dataset / "imagesTr" / "toy_00_0000.nii.gz", image)
    before = image.read_bytes()
    for source, target in ((tmp_path, tmp_path), (image, image), (image, tmp_path)):
        result = call("predict", source, target, "--runs", trained.runs, "--device", "cpu", "--overwrite")
        refused(result, "images themselves")
    assert image.read_bytes() == before


def test_predict_one_file(trained: Run, tmp_path: Path) -> None:
    image = trained.dataset / "imagesTr" / "toy_00_0000.nii.gz"
    options = ("--runs", trained.runs, "--device", "cpu", "--no-mirror")
    result = call("predict", image, tmp_path / "result.nii.gz", *options)
    assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["result.nii.gz"]
    again = call("predict", image, tmp_path / "result.nii.gz", *options)
    assert again.exit_code == 0 and "1 case(s) had been predicted before" in text(again)
    assert call("predict", image, tmp_path / "result.nii.gz", *options, "--overwrite").exit_code == 0


def test_predict_leaves_files_of_others_alone(trained: Run, tmp_path: Path) -> None:
    (tmp_path / "toy_00.nii.gz").write_bytes(b"mine")
    result = call("predict", trained.dataset / "imagesTr", tmp_path, "--runs", trained.runs, "--device", "cpu")
    assert result.exit_code == 1
    assert "5 of 6 done" in text(result) and "prediction.json does not name it" in text(result)
    assert (tmp_path / "toy_00.nii.gz").read_bytes() == b"mine"
    assert len(list(tmp_path.glob("toy_*.nii.gz"))) == 6


@pytest.fixture
def spoiled(toy_dataset: Path, tmp_path: Path) -> Path:
    """A copy of the dataset to break."""
    return Path(shutil.copytree(toy_dataset, tmp_path / "spoiled"))


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    for word in words:
        assert word in text(result).replace(" ", "") or word in text(result), (word, result.output)


def test_all_problems_of_a_dataset_are_listed_at_once(spoiled: Path, tmp_path: Path) -> None:
    (spoiled / "labelsTr" / "toy_00.nii.gz").unlink()
    broken = spoiled / "imagesTr" / "toy_01_0000.nii.gz"
    broken.write_bytes(broken.read_bytes()[:2000])
    other = read_volume(spoiled / "labelsTr" / "toy_03.nii.gz")
    write_volume(spoiled / "labelsTr" / "toy_02.nii.gz", other)
    mask = read_volume(spoiled / "labelsTr" / "toy_04.nii.gz")
    mask.array[0, 0, 0, 0] = 9
    write_volume(spoiled / "labelsTr" / "toy_04.nii.gz", mask)
    names = ("toy_00", "toy_01_0000.nii.gz", "toy_02", "toy_04")
    refused(call("check", spoiled), *names)
    refused(call("plan", spoiled, "--runs", tmp_path / "runs"), *names)
    assert not list((tmp_path / "runs").glob("spoiled/*"))


def test_check_of_a_sound_dataset(toy_dataset: Path) -> None:
    result = call("check", toy_dataset)
    assert result.exit_code == 0
    assert "6 cases: 0 error(s)" in result.output


def test_wrong_channel_count(trained: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("toy_00_0000", "toy_00_0001", "toy_01_0000", "toy_01_0001"):
        shutil.copy(trained.dataset / "imagesTr" / "toy_00_0000.nii.gz", folder / f"{name}.nii.gz")
    result = call("predict", folder, tmp_path / "out", "--runs", trained.runs, "--device", "cpu")
    refused(result, "toy_00")
    assert not (tmp_path / "out").exists()


def test_numbers_of_cases_are_no_channels(trained: Run, tmp_path: Path) -> None:
    """One channel has one number: more of them under one name are cases. What is no image is left aside and told."""
    folder = tmp_path / "in"
    folder.mkdir()
    image = trained.dataset / "imagesTr" / "toy_00_0000.nii.gz"
    for name in ("vol_0000", "vol_0001", "vol_0001_seg"):
        shutil.copy(image, folder / f"{name}.nii.gz")
    (folder / "vol_0000.png").write_bytes(b"a picture")
    result = call("predict", folder, tmp_path / "out", "--runs", trained.runs, "--device", "cpu", "--no-mirror")
    assert result.exit_code == 0, result.output
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["prediction.json", "vol_0000.nii.gz", "vol_0001.nii.gz"]
    assert "masks by their names, left aside: vol_0001_seg.nii.gz" in text(result)
    assert "previews of other images, left aside: vol_0000.png" in text(result)
    assert "numbers at the end of names are those of cases" in text(result)


def test_a_file_is_a_file_whatever_the_case_of_its_suffix(trained: Run, tmp_path: Path) -> None:
    image = tmp_path / "IN.NII.GZ"
    shutil.copy(trained.dataset / "imagesTr" / "toy_00_0000.nii.gz", image)
    options = ("--runs", trained.runs, "--device", "cpu", "--no-mirror")
    result = call("predict", image, tmp_path / "OUT.NII.GZ", *options)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "OUT.NII.GZ").is_file()
    assert read_volume(tmp_path / "OUT.NII.GZ").geometry == read_volume(image).geometry
    for target in ("out.mnc", "out.npz", "Out.Nii.Gz"):
        refused(call("predict", image, tmp_path / target, *options), target)
        assert not (tmp_path / target).exists()
    folder = trained.dataset / "imagesTr"
    refused(call("predict", folder, tmp_path / "all.nii.gz", *options), "a file for the segmentations of a folder (6)")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("name", ["Müller".encode(), "Ωμέγα".encode(), b"M\xfcller"])
def test_a_name_that_the_terminal_cannot_show(tmp_path: Path, encoding: str, name: bytes) -> None:
    """The last is no UTF-8, for which ITK would end the process: it is refused by name."""
    case, unread = os.fsdecode(name), b"\xfc" in name
    values = np.arange(60, dtype=np.uint8).reshape(1, 3, 4, 5)
    grid = Geometry((3, 4, 5), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    for folder, array in (("images", values), ("labels", np.minimum(values, 1))):
        write_volume(tmp_path / "set" / folder / "a.nii.gz", Volume(array, grid))
        shutil.move(tmp_path / "set" / folder / "a.nii.gz", tmp_path / "set" / folder / f"{case}.nii.gz")
    (tmp_path / "set" / "images" / f"{case}.mnc").write_bytes(b"")  # so that its name is shown
    environment = os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": "300"}
    for command in ("check", "describe"):
        words = [sys.executable, "-m", "autospine", command, tmp_path / "set"]
        done = subprocess.run(words, env=environment, capture_output=True, cwd=tmp_path)
        said = (done.stdout + done.stderr).decode(encoding, "strict")
        assert "Traceback" not in said and done.returncode == unread, said
        assert ("a name that is not UTF-8" in said) == unread
        shown = case.encode(encoding, "backslashreplace").decode(encoding)
        assert f"{shown}." in "".join(said.split())


def test_wrong_paths(trained: Run, tmp_path: Path) -> None:
    refused(call("plan", tmp_path / "nowhere", "--runs", tmp_path / "runs"), "nowhere")
    refused(call("train", tmp_path / "nowhere", 0, "--runs", tmp_path), "nowhere")
    refused(call("train", trained.dataset, 9, "--runs", trained.runs), "0to4")
    refused(call("train", trained.dataset, 0, "-c", "4d", "--runs", trained.runs), "4d")
    refused(call("predict", tmp_path, tmp_path / "out", "--runs", tmp_path), "no trained model")
    refused(call("evaluate", tmp_path, tmp_path / "nowhere"), "nowhere")
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


@pytest.mark.skipif(os.name != "posix", reason="permissions of a folder")
def test_a_folder_that_cannot_be_written(toy_dataset: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    refused(call("plan", toy_dataset, "--runs", blocked), "file")


def test_no_cuda_where_it_is_asked(trained: Run, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    refused(call("train", trained.dataset, 1, "--runs", trained.runs, "--device", "cuda"), "CUDA", "--devicecpu")
    assert not (trained.runs / "toy" / "3d_fullres" / "fold_1").exists()
    refused(call("plan", trained.dataset, "--runs", tmp_path / "r", "--budget", "1m", "--device", "cuda"), "CUDA")


def test_usage_errors_exit_with_2(toy_dataset: Path) -> None:
    assert call("plan", toy_dataset, "--budget", "soon").exit_code == 2
    assert call("train", toy_dataset, 0, "--budget", "1m", "--epochs", "3").exit_code == 2
    assert call("fly").exit_code == 2
    assert call("plan").exit_code == 2


def test_ctrl_c_exits_with_130_and_the_same_command_goes_on(
    toy_dataset: Path, toy_recipe: Path, tmp_path: Path
) -> None:
    assert call("plan", toy_dataset, "--recipe", toy_recipe, "--runs", tmp_path).exit_code == 0
    command = [sys.executable, "-m", "autospine", "train", str(toy_dataset), "0", "--runs", str(tmp_path)]
    process = subprocess.Popen([*command, "--device", "cpu", "--epochs", "100000"], stderr=subprocess.PIPE, text=True)
    history = tmp_path / "toy" / "3d_fullres" / "fold_0" / "history.csv"
    deadline = time.monotonic() + 60
    while not history.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(2)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130, complaint
    assert "the same command goes on" in complaint
    assert (history.parent / "training.ckpt").is_file()
    assert not (history.parent / "model.safetensors").exists()


def test_help_answers_at_once() -> None:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "autospine", "--help"], capture_output=True, text=True, check=True)
        times.append(time.perf_counter() - start)
    assert "predict" in done.stdout
    # half a second on a quiet machine; a busy one gets the benefit of the doubt
    assert min(times) < 1.5
    code = "import sys, autospine.cli.app; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "SimpleITK", "scipy", "matplotlib"} & set(loaded)
