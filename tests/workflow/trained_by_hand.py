"""What a training leaves in its run folder, without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autospine.data.disk.files import write_json, write_text
from autospine.data.folds import read_folds
from autospine.data.volume import read_volume, write_volume
from autospine.evaluation.score import score_cases
from autospine.planning.document.model_file import write_model
from autospine.workflow.runs.folder import RunFolder


def put_fold(run: RunFolder, dataset: Path, configuration: str, fold: int) -> Path:
    """A trained fold: its first validation case is predicted as its reference is, each further one a voxel higher."""
    plan, folder = run.read_plan(), run.fold(configuration, fold)
    write_model(run.model(configuration), plan.card(configuration))
    scored = []
    for place, name in enumerate(read_folds(run.splits)[fold].validation):
        volume = read_volume(dataset / "labelsTr" / f"{name}.nii.gz")
        predicted = np.roll(volume.array, place, axis=1)
        write_volume(folder / "validation" / f"{name}.nii.gz", type(volume)(predicted, volume.geometry))
        scored.append((name, predicted[0], volume.array[0], volume.geometry.spacing_mm))
    write_json(folder / "metrics.json", score_cases(scored, plan.data.labels).to_json())
    write_text(folder / "history.csv", "epoch,train_loss,dice_upper\n0,1.0,0.5\n1,0.5,\n")
    write_text(folder / "run.toml", '[hardware]\ndevice = "CPU"\n\n[result]\nsteps = 4\nseconds = 2.5\n')
    write_json(folder / "fast.json", {"dice": 0.9, "fast_dice": 0.8, "cases": 2})
    structure = {"predicted_voxels": 100, "soft_voxels": 90.0, "inside": 80.0}
    case = read_folds(run.splits)[fold].validation[0]
    write_json(folder / "evidence.json", {"schema": 1, "cases": {case: {"structures": {"upper": structure}}}})
    return folder
