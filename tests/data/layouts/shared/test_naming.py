"""Names of files: cases, channels and subjects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autospine.data.dataset import open_dataset
from autospine.data.layouts.shared.naming import subjects_of
from autospine.data.structure import Reading
from autospine.errors import DataError
from tests.data.raw import labelled, plain, raw, voxels
from tests.data.small import mask, put, seen


@pytest.mark.parametrize(
    ("names", "subjects"),
    [
        (("sub-1_ses-1", "sub-1_ses-2", "sub-2_acq-sag"), ("sub-1", "sub-1", "sub-2")),
        (("sub-10Ses1", "sub-10Ses2", "sub-11"), ("sub-10", "sub-10", "sub-11")),
        (("p7_visit_1", "p7_visit_2", "p8_TP1"), ("p7", "p7", "p8")),
        (("cases1", "cases2", "courses3"), ("cases1", "cases2", "courses3")),
        (("visit_2023", "visit_2024"), ("visit_2023", "visit_2024")),
        (("spine_ses1", "spine_ses2"), ("spine_ses1", "spine_ses2")),
        (("sub-01", "sub-02"), ("sub-01", "sub-02")),
        (("sub-01_pre", "sub-01_post", "sub-02_pre"), ("sub-01", "sub-01", "sub-02")),
        (("1_t1", "1_t2", "1_t2_SPACE", "2_t2"), ("1", "1", "1", "2")),
        (("spine_T2", "spine_T1"), ("spine_T2", "spine_T1")),
    ],
)
def test_subjects_by_the_names_of_their_sessions(names: tuple[str, ...], subjects: tuple[str, ...]) -> None:
    assert tuple(subjects_of(names, None).values()) == subjects


def test_the_sessions_of_the_cord_data_are_of_six_people(real_data: Callable[[str], Path]) -> None:
    assert len({case.subject for case in open_dataset(real_data("cord-axial")).cases}) == 6


@pytest.mark.parametrize("folders", [("", ""), ("images/", "labels/")])
def test_numbers_that_are_names_of_cases(tmp_path: Path, folders: tuple[str, str]) -> None:
    for index in range(3):
        put(tmp_path, f"{folders[0]}case_{index:04d}.nii.gz")
        put(tmp_path, f"{folders[1]}case_{index:04d}_seg.nii.gz", volume=mask(0, 1))
    assert list(seen(tmp_path)) == ["case_0000", "case_0001", "case_0002"]


def test_numbers_stay_names_where_one_of_them_has_a_mask(tmp_path: Path) -> None:
    put(tmp_path, *(f"images/vol_{number:04d}.nii.gz" for number in range(4)))
    for number in (1, 2):
        put(tmp_path, f"labels/vol_{number:04d}.nii.gz", volume=mask(0, 1))
    assert list(seen(tmp_path)) == ["vol_0000", "vol_0001", "vol_0002", "vol_0003"]
    assert open_dataset(tmp_path).channels == ("channel_0",)


def test_hidden_files_are_no_cases(tmp_path: Path) -> None:
    raw(tmp_path, names=("a",))
    (tmp_path / "imagesTr/._a_0000.nii.gz").write_bytes(b"macOS")
    (tmp_path / "imagesTr/notes.txt").write_text("no image")
    assert [case.name for case in open_dataset(tmp_path).cases] == ["a"]


def test_two_files_of_one_name(tmp_path: Path) -> None:
    plain(tmp_path, {"images/a.nii": voxels(0), "images/a.mha": voxels(0), "labels/a.nii": labelled(1)})
    with pytest.raises(DataError, match=r"same name as a\.mha"):
        open_dataset(tmp_path)


def test_subjects_from_a_pattern(tmp_path: Path) -> None:
    raw(tmp_path, names=("sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1"))
    found = [case.subject for case in open_dataset(tmp_path, Reading(subjects=r"sub-\d+")).cases]
    assert found == ["sub-01", "sub-01", "sub-02"]
    found = [case.subject for case in open_dataset(tmp_path, Reading(subjects=r"sub-(\d+)_")).cases]
    assert found == ["01", "01", "02"]
    with pytest.raises(DataError, match="sub-01_ses-1: does not match"):
        open_dataset(tmp_path, Reading(subjects="patient"))
    with pytest.raises(DataError, match="not a regular expression"):
        open_dataset(tmp_path, Reading(subjects="("))
