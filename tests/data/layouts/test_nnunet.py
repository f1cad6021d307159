"""nnU-Net's raw layout: its dataset.json is taken at its word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autospine.data.dataset import open_dataset
from autospine.data.structure import Label
from autospine.errors import DataError
from tests.data.laid_out import nnunet
from tests.data.raw import raw
from tests.data.small import CONTENT, edit_json, mask, put, seen


@pytest.mark.parametrize(
    "reader", ["SimpleITKIO", "SimpleITKIOWithReorient", "NibabelIOWithReorient", "Tiff3DIO", "None", None]
)
def test_nnunet_readers_are_understood(tmp_path: Path, reader: str) -> None:
    nnunet(tmp_path, CONTENT)
    edit_json(tmp_path / "dataset.json", overwrite_image_reader_writer=reader)
    assert len(open_dataset(tmp_path).cases) == 6
    edit_json(tmp_path / "dataset.json", overwrite_image_reader_writer="MyIO")
    with pytest.raises(DataError, match="MyIO"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ({}, '"dataset" is {}'),
        ({"a": {"label": "x.nii.gz"}}, "case 'a'"),
        ({"a": {"images": ["x.nii.gz", "y.nii.gz"], "label": "z.nii.gz"}}, "2 images"),
        ({"a": {"images": ["x.nii.gz"], "label": 3}}, "label 3"),
        ({"a": {"images": [4]}}, "case 'a'"),
    ],
)
def test_nnunet_lists_that_are_wrong(tmp_path: Path, listed: Any, found: str) -> None:
    nnunet(tmp_path, CONTENT)
    edit_json(tmp_path / "dataset.json", dataset=listed)
    with pytest.raises(DataError, match=found):
        open_dataset(tmp_path)


def test_names_stay_in_their_folder(tmp_path: Path) -> None:
    nnunet(tmp_path, CONTENT)
    for name in ("../x", "", ".", "a/b"):
        edit_json(tmp_path / "dataset.json", dataset={name: {"images": ["imagesTr/sub-01_0000.nii.gz"]}})
        with pytest.raises(DataError, match="names that files can bear"):
            open_dataset(tmp_path)


def test_numbered_cases_in_nnunets_folders(tmp_path: Path) -> None:
    """One channel, and a label with the very name of its image."""
    for number in range(4):
        put(tmp_path, f"imagesTr/vol_{number:04d}.nii.gz")
        put(tmp_path, f"labelsTr/vol_{number:04d}.nii.gz", volume=mask(0, 1))
    described = {"channel_names": {"0": "T2"}, "labels": {"background": 0, "L5": 1}, "file_ending": ".nii.gz"}
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    assert [(name, files) for name, (files, _) in seen(tmp_path).items()] == [
        (f"vol_{number:04d}", (f"vol_{number:04d}.nii.gz",)) for number in range(4)
    ]


def test_nnunet_raw(tmp_path: Path) -> None:
    dataset = open_dataset(raw(tmp_path / "Dataset001_Spine", channels=2))
    root = tmp_path / "Dataset001_Spine"
    assert dataset.name == "Dataset001_Spine"
    assert dataset.channels == ("T1", "T2")
    assert dataset.labels == (Label("L5", 1), Label("L4", 4))
    assert [case.name for case in dataset.cases] == ["a", "b"]
    assert dataset.cases[1].images == (root / "imagesTr/b_0000.nii.gz", root / "imagesTr/b_0001.nii.gz")
    assert dataset.cases[1].label == root / "labelsTr/b.nii.gz"
    assert dataset.cases[1].subject == "b"
