"""A folder of images and one of masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from autospine.data.dataset import load_case, open_dataset
from autospine.data.structure import Label, Reading
from autospine.errors import DataError
from tests.data.laid_out import folders, nnunet
from tests.data.raw import labelled, plain, voxels
from tests.data.small import CONTENT, mask, put


def test_nnunet_folders_without_a_description_are_two_folders(tmp_path: Path) -> None:
    nnunet(tmp_path, CONTENT)
    (tmp_path / "dataset.json").unlink()
    dataset = open_dataset(tmp_path)
    assert dataset.layout == "folders" and [label.value for label in dataset.labels] == [1, 4]
    assert [case.name for case in dataset.cases] == list(CONTENT.cases)


def test_two_masks_of_one_kind(tmp_path: Path) -> None:
    put(tmp_path, "images/a.nii.gz", "images/b.nii.gz", "labels/a_seg.nii.gz", "labels/a-seg.nii.gz")
    with pytest.raises(DataError, match="a has 2 masks: a-seg, a_seg"):
        open_dataset(tmp_path)


def test_two_folders_of_masks(tmp_path: Path) -> None:
    for folder in ("labels", "masks"):
        put(tmp_path, f"{folder}/a.nii.gz", volume=mask(0, 1 + len(folder)))
    put(tmp_path, "images/a.nii.gz")
    with pytest.raises(DataError, match="masks of 2 kinds: labels, masks"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path, Reading(masks="masks")).labels == (Label("label_6", 6),)


def test_another_image_of_the_same_name_is_no_mask(tmp_path: Path) -> None:
    put(tmp_path, "images/1_t2.nii.gz")
    put(tmp_path, "labels/1_t2_SPACE.nii.gz", volume=mask(0, 1))
    assert open_dataset(tmp_path).cases[0].label == tmp_path / "labels" / "1_t2.nii.gz"  # which the check misses


def test_suffixes_in_upper_case(tmp_path: Path) -> None:
    folders(tmp_path, CONTENT)
    for path in (*tmp_path.glob("*/*.nii*"), *tmp_path.glob("*/*.nrrd"), *tmp_path.glob("*/*.mha")):
        path.rename(path.with_name(path.name.replace(".nii.gz", ".NII.GZ").replace(".mha", ".MHA")))
    dataset = open_dataset(tmp_path)
    assert [case.name for case in dataset.cases] == list(CONTENT.cases)
    for case, (wanted, _) in zip(dataset.cases, CONTENT.cases.values(), strict=True):
        np.testing.assert_array_equal(load_case(dataset, case).image.array, wanted.array)


def test_plain_folder_finds_its_labels(tmp_path: Path) -> None:
    files: dict[str, npt.NDArray[Any]] = {
        "images/b.nrrd": voxels(0),
        "images/a.nii.gz": voxels(1),
        "labels/a.nii": labelled(7),
        "labels/b.mha": labelled(3, 9),
    }
    dataset = open_dataset(plain(tmp_path, files))
    assert dataset.labels == (Label("label_3", 3), Label("label_7", 7), Label("label_9", 9))
    assert dataset.channels == ("channel_0",)
    assert [(case.name, case.label) for case in dataset.cases] == [
        ("a", tmp_path / "labels/a.nii"),
        ("b", tmp_path / "labels/b.mha"),
    ]
    (tmp_path / "labels.json").write_text('{"disc": 3, "canal": 9, "body": 7}')
    assert open_dataset(tmp_path).labels == (Label("disc", 3), Label("body", 7), Label("canal", 9))


def test_plain_folder_with_channels(tmp_path: Path) -> None:
    files: dict[str, npt.NDArray[Any]] = {
        f"images/{name}_000{channel}.nii": voxels(0) for name in "ab" for channel in (0, 1)
    }
    files |= {"labels/a.nii": labelled(1), "labels/b.nii": labelled(1)}
    dataset = open_dataset(plain(tmp_path, files))
    assert dataset.channels == ("channel_0", "channel_1")
    assert [len(case.images) for case in dataset.cases] == [2, 2]


def test_plain_folder_with_numbered_cases(tmp_path: Path) -> None:
    """Image and mask of one name are a case, whatever the digits look like."""
    files = {f"{part}/scan_000{number}.nii": labelled(number) for part in ("images", "labels") for number in (0, 1, 2)}
    dataset = open_dataset(plain(tmp_path, files))
    assert [case.name for case in dataset.cases] == ["scan_0000", "scan_0001", "scan_0002"]
    assert dataset.channels == ("channel_0",)
