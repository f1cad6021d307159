"""A folder per case."""

from __future__ import annotations

from pathlib import Path

import pytest

from autospine.data.dataset import open_dataset
from autospine.data.structure import Reading
from autospine.errors import DataError
from tests.data.small import mask, put


def test_a_folder_per_case_with_several_channels(tmp_path: Path) -> None:
    for name in ("p1", "p2"):
        put(tmp_path / name, "T2.nii.gz", "T1.nii.gz")
        put(tmp_path / name, f"{name}_seg.nii.gz", volume=mask(0, 1))
    dataset = open_dataset(tmp_path)
    assert dataset.channels == ("T1", "T2")
    assert dataset.cases[1].images == (tmp_path / "p2/T1.nii.gz", tmp_path / "p2/T2.nii.gz")
    put(tmp_path / "p2", "mask.nii.gz", volume=mask(0, 1))
    with pytest.raises(DataError, match="masks of 2 kinds: mask, seg"):
        open_dataset(tmp_path)


def test_a_folder_per_case_with_names_of_its_own(tmp_path: Path) -> None:
    for name, file in (("p1", "scan_from_monday"), ("p2", "x77")):
        put(tmp_path / name, f"{file}.nii.gz")
        put(tmp_path / name, "seg.nii.gz", volume=mask(0, 1))
    dataset = open_dataset(tmp_path)
    assert dataset.channels == ("channel_0",)
    assert [case.images[0].name for case in dataset.cases] == ["scan_from_monday.nii.gz", "x77.nii.gz"]


@pytest.mark.parametrize("second", ["seg_canal", "seg_manual", "mask_L1", "label-disc"])
def test_a_second_mask_of_a_case_is_no_channel(tmp_path: Path, second: str) -> None:
    for name in ("p1", "p2"):
        put(tmp_path / name, f"{name}_T2.nii.gz")
        put(tmp_path / name, f"{name}_seg.nii.gz", f"{name}_{second}.nii.gz", volume=mask(0, 1))
    with pytest.raises(DataError, match="masks of 2 kinds"):
        open_dataset(tmp_path)
    dataset = open_dataset(tmp_path, Reading(masks=second))
    assert dataset.channels == ("T2",)
    assert dataset.cases[0].label == tmp_path / "p1" / f"p1_{second}.nii.gz"


def test_what_is_left_aside_is_said(tmp_path: Path) -> None:
    for name in ("p1", "p2"):
        put(tmp_path / name, "T2.nii.gz")
        put(tmp_path / name, "seg.nii.gz", volume=mask(0, 1))
    put(tmp_path, "p3/scan/T2.nii.gz")
    (tmp_path / "p1" / "other.mnc").write_bytes(b"")
    notes = open_dataset(tmp_path).notes
    assert notes[0] == "folders without images in them, left aside: p3"
    assert "other.mnc" in notes[1]
