"""Masks of one file per structure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.data.dataset import load_case, open_dataset
from autospine.data.masks.files import read_mask
from autospine.data.structure import Label
from autospine.errors import DataError
from tests.data.masks.mask_files import GRID, image, labels, mask


def structures(root: Path, **held: np.ndarray) -> Path:
    for name, array in held.items():
        mask(root / "segmentations", f"{name}.nii.gz", array)
    return root / "segmentations"


def test_totalsegmentators_folders_are_read_by_the_names_of_their_files(tmp_path: Path) -> None:
    five, four = (labels() == 1).astype(np.uint8), (labels() == 2).astype(np.uint8)
    for seed, name in enumerate(("s0001", "s0002")):
        image(tmp_path / name, "mri.nii.gz", seed)
    structures(tmp_path / "s0001", vertebrae_L5=five, vertebrae_L4=four, spleen=five * 0)
    structures(tmp_path / "s0002", vertebrae_L5=four * 255, vertebrae_L4=five, spleen=five * 0)
    (tmp_path / "meta.csv").write_text("image_id;age\ns0001;40\n")
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, dataset.channels) == ("cases", ("mri",))
    assert dataset.labels == (Label("spleen", 1), Label("vertebrae_L4", 2), Label("vertebrae_L5", 3))
    np.testing.assert_array_equal(load_case(dataset, dataset.cases[0]).label, np.array([0, 3, 2])[labels()])
    np.testing.assert_array_equal(load_case(dataset, dataset.cases[1]).label, np.array([0, 2, 3])[labels()])
    (tmp_path / "labels.json").write_text('{"vertebrae_L5": 7}')
    dataset = open_dataset(tmp_path)
    assert dataset.labels == (Label("vertebrae_L5", 7),)
    assert dataset.notes == ("structures that labels.json does not name, left aside: spleen, vertebrae_L4",)
    np.testing.assert_array_equal(load_case(dataset, dataset.cases[0]).label, five)
    (tmp_path / "labels.json").write_text('{"L5": 7}')
    dataset = open_dataset(tmp_path)
    with pytest.raises(DataError, match=r"3 structures \(spleen, vertebrae_L4, vertebrae_L5\)"):
        load_case(dataset, dataset.cases[0])


def test_structures_that_cannot_be_one_mask(tmp_path: Path) -> None:
    five = (labels() == 1).astype(np.uint8)
    folder = structures(tmp_path / "a", canal=five, cord=labels() // 1 % 2)
    with pytest.raises(DataError, match=r"structures that overlap: canal and cord \(4 voxels\)"):
        read_mask(folder)
    folder = structures(tmp_path / "b", canal=labels())
    with pytest.raises(DataError, match=r"canal\.nii\.gz: 2 labels \(1, 2\)"):
        read_mask(folder)
    structures(tmp_path / "c", canal=five)
    folder = mask(tmp_path / "c" / "segmentations", "cord.nii.gz", five * 0, replace(GRID, spacing_mm=(4, 1, 1))).parent
    with pytest.raises(DataError, match=r"cord\.nii\.gz: not on the grid of canal\.nii\.gz"):
        read_mask(folder)
    folder = structures(tmp_path / "d", canal=five * np.float32(0.4))
    with pytest.raises(DataError, match=r"canal\.nii\.gz: values that are no labels: 0\.4 \(4 voxels\)"):
        read_mask(folder)
