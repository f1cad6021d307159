"""Small columns of three levels with predictions that are as good as a network's: masks to be made wrong and found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autospine.data.disk.files import write_json
from autospine.data.folds import Fold, write_folds
from autospine.data.geometry import Geometry, Volume
from autospine.data.slices import slice_axis
from autospine.data.volume import write_volume
from autospine.evaluation.disagreement import CaseDisagreement, measure_disagreement
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import plan_to_toml
from autospine.workflow.runs.folder import RunFolder

Labels = npt.NDArray[np.uint8]
NAMES = ("L3", "L2", "L1")
VALUES = (4, 7, 9)
"""On disk; classes are 1 to 3."""
SHAPE = (64, 18, 8)
SPACING_MM = (1.0, 1.0, 4.0)
STEP = 18
"""Voxels from level to level along Z."""
GRID = Geometry(SHAPE, SPACING_MM, (3.0, -7.0, 11.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
SLICES = slice_axis(SHAPE, SPACING_MM).axis


def column(number: int) -> Labels:
    """The mask of a case (Z, Y, X): three ellipsoids above each other, a little elsewhere in each case."""
    rng = np.random.default_rng(number)
    z, y, x = np.indices(SHAPE)
    label = np.zeros(SHAPE, np.uint8)
    low, front = 12 + rng.uniform(-2, 2), 9 + rng.uniform(-1, 1)
    for level in range(3):
        middle = low + STEP * level
        size = (7 + rng.uniform(-0.4, 0.4), 6 + rng.uniform(-0.4, 0.4), 3.2)
        inside = ((z - middle) / size[0]) ** 2 + ((y - front) / size[1]) ** 2 + ((x - 3.5) / size[2]) ** 2 < 1
        label[inside] = level + 1
    return label


def predicted(label: Labels, number: int) -> Labels:
    """What a network makes of the case: Dice of about 0.9, errors along the outline."""
    rng = np.random.default_rng(1000 + number)
    noise = ndimage.gaussian_filter(rng.normal(size=SHAPE), (1.5, 1.5, 0.7))
    noise *= 0.18 / noise.std()
    found = np.zeros_like(label)
    for level in range(1, 4):
        inside = ndimage.gaussian_filter((label == level).astype(np.float64), (1, 1, 0.3))
        found[inside + noise * (inside > 0.02) > 0.5] = level
    return found


def disagreement(mask: Labels, number: int, right: Labels | None = None) -> CaseDisagreement:
    """Of a mask with what a network makes of the case whose right mask is `right`."""
    found = predicted(mask if right is None else right, number)
    return measure_disagreement(mask, found, ((1,), (2,), (3,)), SPACING_MM, SLICES)


def write_dataset(root: Path, masks: dict[str, Labels]) -> Path:
    """A data set in nnU-Net's layout with these masks, images bright where something is."""
    table = np.array((0, *VALUES), np.uint8)
    for name, mask in masks.items():
        image = np.where(mask > 0, 150, 50) + np.random.default_rng(len(name)).normal(0, 5, SHAPE)
        write_volume(root / "imagesTr" / f"{name}_0000.nii.gz", Volume(image.astype(np.float32)[None], GRID))
        write_volume(root / "labelsTr" / f"{name}.nii.gz", Volume(table[mask][None], GRID))
    labels = {"background": 0, **dict(zip(NAMES, VALUES, strict=True))}
    content = {"channel_names": {"0": "T2"}, "labels": labels, "numTraining": len(masks), "file_ending": ".nii.gz"}
    write_json(root / "dataset.json", content)
    return root


def write_run(runs: Path, dataset: Path, plan: Plan, predictions: dict[str, Labels]) -> RunFolder:
    """A run of the data set whose folds have predicted these cases."""
    run, table = RunFolder.of(runs, dataset), np.array((0, *VALUES), np.uint8)
    run.root.mkdir(parents=True)
    run.plan.write_text(plan_to_toml(plan))
    names = sorted(predictions)
    folds = [Fold(tuple(set(names) - set(names[part::2])), tuple(names[part::2])) for part in range(2)]
    write_folds(run.splits, folds)
    for number, fold in enumerate(folds):
        for name in fold.validation:
            path = run.fold(plan.default, number) / "validation" / f"{name}.nii.gz"
            write_volume(path, Volume(table[predictions[name]][None], GRID))
    return run
