"""Trainings from the command line: they go on, and nothing is taken for another."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.calling import Run, call, refused, text


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


def test_no_cuda_where_it_is_asked(trained: Run, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    refused(call("train", trained.dataset, 1, "--runs", trained.runs, "--device", "cuda"), "CUDA", "--devicecpu")
    assert not (trained.runs / "toy" / "3d_fullres" / "fold_1").exists()
    refused(call("plan", trained.dataset, "--runs", tmp_path / "r", "--budget", "1m", "--device", "cuda"), "CUDA")


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
