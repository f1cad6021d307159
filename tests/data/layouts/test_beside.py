"""Masks beside their images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autospine.data.dataset import load_case, open_dataset
from autospine.data.structure import Reading
from autospine.errors import DataError
from tests.data.small import mask, put, seen


def test_masks_of_two_kinds_beside_their_image(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    with pytest.raises(DataError, match=r"masks of 2 kinds: seg-subreg_msk, seg-vert_msk"):
        open_dataset(real_data("t2-crop"))
    dataset = open_dataset(real_data("t2-crop"), Reading(masks="seg-vert"))
    assert dataset.channels == ("T2w",)
    (case,) = dataset.cases
    assert case.label is not None and "seg-vert" in case.label.name
    assert load_case(dataset, case).label is not None


def test_images_without_masks_beside_others_are_unlabelled(tmp_path: Path) -> None:
    put(tmp_path, "a.nii.gz", "b.nii.gz")
    put(tmp_path, "a_seg.nii.gz", volume=mask(0, 2))
    dataset = open_dataset(tmp_path)
    assert [(case.name, case.label is None) for case in dataset.cases] == [("a", False), ("b", True)]


def test_a_mask_goes_to_the_image_whose_name_it_bears(tmp_path: Path) -> None:
    put(tmp_path, "p1.nii.gz", "p1_T1.nii.gz", "p2.nii.gz")
    put(tmp_path, "p1_seg.nii.gz", "p1_T1_seg.nii.gz", "seg_p2.nii.gz", volume=mask(0, 1))
    found = {name: label for name, (_, label) in seen(tmp_path).items()}
    assert found == {"p1": "p1_seg.nii.gz", "p1_T1": "p1_T1_seg.nii.gz", "p2": "seg_p2.nii.gz"}
