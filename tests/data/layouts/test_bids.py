"""BIDS: sessions, kinds of masks, and what they are of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autospine.data.dataset import open_dataset
from autospine.data.geometry import Volume
from autospine.data.structure import Label, Reading
from autospine.data.volume import write_volume
from autospine.errors import DataError
from tests.data.small import GRID, image, mask, put


def test_bids_with_sessions_kinds_and_other_images(tmp_path: Path) -> None:
    anat = "sub-01/ses-{}/anat/sub-01_ses-{}_"
    for session in "12":
        place = anat.format(session, session)
        put(tmp_path, f"{place}T2w.nii.gz", f"{place}acq-ax_T2star.nii.gz")
        for kind in ("label-SC_seg", "label-lesion_mask"):
            write_volume(tmp_path / "derivatives/labels" / f"{place}T2w_{kind}.nii.gz", mask(0, 1))
    put(tmp_path, "sub-02/anat/sub-02_T2w.nii.gz")
    with pytest.raises(DataError, match=r"2 kinds: T2w_label-SC_seg, T2w_label-lesion_mask[\s\S]*--masks"):
        open_dataset(tmp_path)
    with pytest.raises(DataError, match="none is 'disc'"):
        open_dataset(tmp_path, Reading(masks="disc"))
    dataset = open_dataset(tmp_path, Reading(masks="SC"))
    assert dataset.channels == ("T2w",)
    assert [(case.name, case.subject, case.label is None) for case in dataset.cases] == [
        ("sub-01_ses-1", "sub-01", False),
        ("sub-01_ses-2", "sub-01", False),
        ("sub-02", "sub-02", True),
    ]
    assert dataset.notes == ("images that no chosen mask segments, left aside: acq-ax_T2star (2)",)


def test_a_bids_mask_that_names_no_image_is_of_all_on_its_grid(tmp_path: Path) -> None:
    put(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_T2w.nii.gz")
    put(tmp_path, "sub-01/anat/sub-01_PD.nii.gz", volume=Volume(image(3).array[:, :2], replace(GRID, shape=(2, 4, 5))))
    put(tmp_path, "derivatives/x/sub-01/anat/sub-01_dseg.nii.gz", volume=mask(0, 1))
    dataset = open_dataset(tmp_path)
    assert dataset.channels == ("T1w", "T2w") and len(dataset.cases) == 1
    assert "PD (1)" in dataset.notes[0]


def test_bids_without_masks(tmp_path: Path) -> None:
    put(tmp_path, "sub-01/anat/sub-01_T2w.nii.gz")
    with pytest.raises(DataError, match="no masks of these images"):
        open_dataset(tmp_path)
    put(tmp_path, "derivatives/x/sub-02/anat/sub-02_T2w_seg.nii.gz", volume=mask(1))
    with pytest.raises(DataError, match="no masks of these images"):
        open_dataset(tmp_path)


def test_bids_whose_derivatives_have_no_name(tmp_path: Path) -> None:
    for subject in ("sub-01", "sub-02", "sub-03"):
        put(tmp_path, f"{subject}/anat/{subject}_T2w.nii.gz")
        put(tmp_path, f"derivatives/{subject}/anat/{subject}_T2w_seg.nii.gz", volume=mask(0, 1))
        put(tmp_path, f"derivatives/preprocessed/{subject}/anat/{subject}_T2w.nii.gz")  # no mask
    put(tmp_path, "sub-04/anat/sub-04_T1w.nii.gz")
    (tmp_path / "derivatives" / "dseg.tsv").write_text("index\tname\n1\tcord\n7\tignore\n")
    dataset = open_dataset(tmp_path)
    assert [case.name for case in dataset.cases] == ["sub-01", "sub-02", "sub-03"]
    assert (dataset.labels, dataset.ignore) == ((Label("cord", 1),), 7)
    assert "cases without all of T2w, left aside: sub-04" in dataset.notes


def test_verse(tmp_path: Path) -> None:
    for subject in ("sub-verse004", "sub-verse005"):
        put(tmp_path, f"rawdata/{subject}/{subject}_ct.nii.gz")
        put(tmp_path, f"derivatives/{subject}/{subject}_seg-vert_msk.nii.gz", volume=mask(0, 1))
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, dataset.channels) == ("bids", ("ct",))
    assert [case.label is None for case in dataset.cases] == [False, False]


def test_masks_of_no_image_in_bids_are_named(tmp_path: Path) -> None:
    put(tmp_path, "sub-01/anat/sub-01_T2w.nii.gz")
    orphan = "derivatives/x/sub-07/anat/sub-07_T2w_seg.nii.gz"
    put(tmp_path, orphan, volume=mask(0, 1))
    with pytest.raises(DataError, match=f"no masks of these images, but masks of others: {orphan}"):
        open_dataset(tmp_path)
    put(tmp_path, "derivatives/x/sub-01/anat/sub-01_T2w_seg.nii.gz", volume=mask(0, 1))
    dataset = open_dataset(tmp_path)
    assert dataset.notes == (f"masks that belong to no image here, left aside: {orphan}",)
