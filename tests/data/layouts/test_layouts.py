"""Which layout a folder has, and what all of them share."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.data.dataset import load_case, open_dataset
from autospine.data.structure import Label, Reading
from autospine.errors import DataError
from tests.data.dicom_files import write_series
from tests.data.laid_out import LAID_OUT, bids, folders, nnunet
from tests.data.raw import raw
from tests.data.small import CONTENT, GRID, edit_json, image, mask, put


@pytest.mark.parametrize("name", LAID_OUT)
def test_every_layout_is_found_and_reads_the_same(tmp_path: Path, name: str) -> None:
    layout, lay_out = LAID_OUT[name]
    dataset = open_dataset(lay_out(tmp_path / "spine", CONTENT))
    assert (dataset.layout, dataset.name) == (layout, "spine")
    assert dataset.labels == (Label("L5", 1), Label("L4", 4))
    assert [case.name for case in dataset.cases] == list(CONTENT.cases)
    assert [case.subject for case in dataset.cases] == list(CONTENT.cases)
    assert len(dataset.channels) == 1
    if layout in ("nnunet", "decathlon", "bids", "cases", "manifest"):
        assert dataset.channels == ("T2w",)
    for case, (wanted, labels) in zip(dataset.cases, CONTENT.cases.values(), strict=True):
        loaded = load_case(dataset, case)
        np.testing.assert_array_equal(loaded.image.array, wanted.array)
        assert loaded.label is not None
        np.testing.assert_array_equal(loaded.label, np.where(labels.array[0] == 4, 2, labels.array[0]))


def test_layouts_that_both_fit_have_to_be_chosen(tmp_path: Path) -> None:
    folders(tmp_path, CONTENT)
    bids(tmp_path, CONTENT)
    with pytest.raises(DataError, match=r"2 readings fit: bids \(sub-01/anat/\) and folders \(images/ and labels/\)"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path, Reading(layout="bids")).layout == "bids"
    assert open_dataset(tmp_path, Reading(layout="folders")).layout == "folders"
    with pytest.raises(DataError, match="no such layout"):
        open_dataset(tmp_path, Reading(layout="nifti"))
    with pytest.raises(DataError, match="nothing here speaks for the layout dicom"):
        open_dataset(tmp_path, Reading(layout="dicom"))


def test_a_folder_that_describes_itself_is_taken_at_its_word(tmp_path: Path) -> None:
    folders(tmp_path, CONTENT)
    nnunet(tmp_path, CONTENT)
    assert open_dataset(tmp_path).layout == "nnunet"
    (tmp_path / "manifest.tsv").write_text("case\tT2w\tlabel\none\timages/sub-01.nii.gz\tlabels/sub-01.nii.gz\n")
    with pytest.raises(DataError, match=r"manifest \(manifest\.tsv\) and nnunet \(dataset\.json and imagesTr/\)"):
        open_dataset(tmp_path)


SIDED = {"left_x": 1, "right_x": 4}


@pytest.mark.parametrize("name", LAID_OUT)
def test_labels_may_be_paired_by_the_dataset(tmp_path: Path, name: str) -> None:
    if name == "bids":
        pytest.skip("BIDS has no place for it but labels.json, which names classes already")
    root = LAID_OUT[name][1](tmp_path / "spine", replace(CONTENT, labels=SIDED))
    description = root / ("dataset.json" if name.startswith(("nnunet", "decathlon")) else "labels.json")
    assert open_dataset(root).sides == ()
    edit_json(description, sides={"left_x": "right_x"})
    assert open_dataset(root).sides == (("left_x", "right_x"),)
    for wrong in ({"left_x": "right_y"}, {"left_x": "left_x"}, ["left_x", "right_x"]):
        edit_json(description, sides=wrong)
        with pytest.raises(DataError, match=r'"sides" is'):
            open_dataset(root)


def test_dicom_beside_what_was_made_of_it_is_no_second_reading(tmp_path: Path) -> None:
    folders(tmp_path, CONTENT)
    write_series(tmp_path / "sourcedata" / "p1", image(1).array[0], GRID)
    assert open_dataset(tmp_path).layout == "folders"


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("a.mnc", "a_seg.mnc"), r"a\.mnc, a_seg\.mnc"),
        (("images/a.MNC", "labels/a.mnc"), r"images/a\.MNC, labels/a\.mnc"),
        (("p1/T2.npz", "p1/seg.npz"), r"p1/T2\.npz, p1/seg\.npz"),
        (("a.par", "a.rec", "b.jpg"), r"a\.par, a\.rec, b\.jpg"),
        (("sub-01/anat/sub-01_T2w.mnc",), r"sub-01/anat/sub-01_T2w\.mnc"),
        (("sub-01/anat/sub-01_T2w.nii.gz", "derivatives/x/sub-01/anat/sub-01_dseg.mnc"), r"sub-01_dseg\.mnc"),
    ],
)
def test_formats_that_are_not_read_are_named_first(tmp_path: Path, names: tuple[str, ...], found: str) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=found):
        open_dataset(tmp_path)


def test_dicom_among_images_and_masks_is_asked_about(tmp_path: Path) -> None:
    write_series(tmp_path, image(1).array[0], GRID)
    put(tmp_path, "a.nii.gz", "a_seg.nii.gz", volume=mask(0, 1))
    with pytest.raises(DataError, match=r"2 readings fit: beside \(1 images[^)]*\) and dicom \(DICOM files\)"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path, Reading(layout="beside")).layout == "beside"


def test_dicom_below_images_and_masks_is_told(tmp_path: Path) -> None:
    write_series(tmp_path / "sourcedata" / "p1", image(1).array[0], GRID)
    put(tmp_path, "a.nii.gz", "a_seg.nii.gz", volume=mask(0, 1))
    dataset = open_dataset(tmp_path)
    assert dataset.layout == "beside"
    assert dataset.notes == ("DICOM files in sourcedata/p1/, left aside (--layout dicom reads them)",)


def test_dicom_among_the_files_of_a_described_set_is_told(tmp_path: Path) -> None:
    put(tmp_path / "imagesTr", "a_0000.nii.gz", "b_0000.nii.gz")
    put(tmp_path / "labelsTr", "a.nii.gz", "b.nii.gz", volume=mask(0, 1))
    described = {"channel_names": {"0": "T2"}, "labels": {"background": 0, "x": 1}, "file_ending": ".nii.gz"}
    (tmp_path / "dataset.json").write_text(json.dumps({**described, "numTraining": 2}))
    assert open_dataset(tmp_path).notes == ()
    for path in write_series(tmp_path / "imagesTr" / "c", image(1).array[0], GRID):
        path.rename(path.with_suffix(""))  # without a suffix
    assert open_dataset(tmp_path).notes == ("DICOM files in imagesTr/c/, left aside",)


def test_a_folder_of_neither_layout(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder[\s\S]*imagesTr/[\s\S]*images/ and labels/"):
        open_dataset(tmp_path / "none")
    with pytest.raises(DataError, match=r"it holds nothing[\s\S]*imagesTr/"):
        open_dataset(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match="labels: no such folder"):
        open_dataset(tmp_path)
    (tmp_path / "labels").mkdir()
    with pytest.raises(DataError, match="no images"):
        open_dataset(tmp_path)
    raw(tmp_path, names=("a",))
    (tmp_path / "dataset.json").write_text("[]")
    with pytest.raises(DataError, match="not a JSON object"):
        open_dataset(tmp_path)
