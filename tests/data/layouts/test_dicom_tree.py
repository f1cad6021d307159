"""DICOM series in folders: cases, patients, channels and masks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from autospine.data.dataset import load_case, open_dataset
from autospine.data.structure import Dataset, Label
from autospine.data.volume import read_volume, write_volume
from autospine.errors import DataError
from tests.data.dicom_files import write_series
from tests.data.laid_out import dicom
from tests.data.sagittal_series import write_segmentation
from tests.data.small import CONTENT, GRID, image, mask, put, seen


def test_dicom_cases_of_one_patient_share_a_subject_that_says_nothing(tmp_path: Path) -> None:
    dicom(tmp_path, CONTENT)
    for name, patient in (("sub-02", "X"), ("sub-05", "X"), ("sub-03", "")):
        shutil.rmtree(tmp_path / name / "T2")
        volume = CONTENT.cases[name][0]
        write_series(tmp_path / name / "T2", volume.array[0], volume.geometry, patient=patient)
    dataset = open_dataset(tmp_path)
    assert {case.name: case.subject for case in dataset.cases}["sub-05"] == "sub-02"
    assert {case.name: case.subject for case in dataset.cases}["sub-03"] == "sub-03"
    assert "DOE" not in repr(dataset) and "HOSPITAL" not in repr(dataset)


def test_dicom_channels_by_the_names_of_their_folders(tmp_path: Path) -> None:
    for name in ("p1", "p2"):
        for series, seed in (("T1", 1), ("T2", 2)):
            write_series(tmp_path / name / series, image(seed).array[0], GRID, study="1.2.3" + name[1])
        put(tmp_path / name, "seg.nii.gz", volume=mask(0, 1))
    dataset = open_dataset(tmp_path)
    assert dataset.channels == ("T1", "T2")
    np.testing.assert_array_equal(load_case(dataset, dataset.cases[0]).image.array[1], image(2).array[0])
    (tmp_path / "p2" / "T2").rename(tmp_path / "p2" / "T2_again")
    with pytest.raises(DataError, match=r"not called alike in every case \(p1: T1, T2; p2: T1, T2_again\)"):
        open_dataset(tmp_path)


def test_dicom_studies_of_one_folder_are_cases(tmp_path: Path) -> None:
    for study in "12":
        folder = tmp_path / "p1" / f"study{study}"
        write_series(folder / "T2", image(int(study)).array[0], GRID, study=f"1.2.{study}")
        put(folder, "seg.nii.gz", volume=mask(0, 1))
    dataset = open_dataset(tmp_path)
    assert [case.name for case in dataset.cases] == ["p1_study1", "p1_study2"]
    assert {case.subject for case in dataset.cases} == {"p1_study1"}
    assert all(case.label is not None for case in dataset.cases)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("place", ["inside", "labels"])
def test_dicom_with_a_segmentation_object(tmp_path: Path, place: str) -> None:
    root = tmp_path / "data"
    path, wanted = write_segmentation(root / "p1")
    if place == "labels":
        (root / "labels").mkdir()
        path.rename(root / "labels" / "p1.dcm")
    dataset = open_dataset(root)
    assert dataset.labels == (Label("L5", 1), Label("L4", 2))
    (case,) = dataset.cases
    loaded = load_case(dataset, case)
    assert loaded.label is not None and loaded.label.sum() == wanted.sum()


def test_a_real_series_alone(real_data: Callable[[str], Path]) -> None:
    dataset = open_dataset(real_data("dicom-t2-lumbar"))
    assert (dataset.layout, dataset.channels, dataset.labels) == ("dicom", ("MR",), ())
    (case,) = dataset.cases
    assert (case.name, case.label) == ("dicom-t2-lumbar", None)
    assert "reference.nii.gz" in dataset.notes[0]


def read_all(dataset: Dataset) -> Mapping[str, tuple[int, ...]]:
    return {case.name: read_volume(case.images[0]).array.shape for case in dataset.cases}


def test_a_link_that_goes_round_is_walked_once(tmp_path: Path) -> None:
    dicom(tmp_path, CONTENT)
    (tmp_path / "sub-01" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert len(read_all(open_dataset(tmp_path))) == 6


def test_dicom_that_all_names_one_patient(tmp_path: Path) -> None:
    for name, (image_of_case, of_case) in CONTENT.cases.items():
        write_series(tmp_path / name, image_of_case.array[0], GRID, patient="ANONYMOUS")
        write_volume(tmp_path / name / "seg.nii.gz", of_case)
    dataset = open_dataset(tmp_path)
    assert len({case.subject for case in dataset.cases}) == len(CONTENT.cases)
    assert "as anonymised ones do" in dataset.notes[0]


@pytest.mark.parametrize(
    "place", ["{0}/seg.nii.gz", "{0}/mask/mask.nii.gz", "labels/{0}.nii.gz", "masks/{0}_seg.nii.gz", "{0}/a/seg.nii.gz"]
)
@pytest.mark.parametrize("series", ["{0}/a", "{0}/a/b", "images/{0}"])
def test_masks_of_dicom_cases_are_found(tmp_path: Path, place: str, series: str) -> None:
    if series.startswith("images") and not place.startswith(("labels", "masks")):
        pytest.skip("the case has no folder of its own")
    for name, (image_of_case, of_case) in CONTENT.cases.items():
        write_series(tmp_path / series.format(name), image_of_case.array[0], GRID, patient=name)
        write_volume(tmp_path / place.format(name), of_case)
    dataset = open_dataset(tmp_path)
    assert [case.name for case in dataset.cases] == list(CONTENT.cases) and not dataset.notes
    assert [case.label for case in dataset.cases] == [tmp_path / place.format(name) for name in CONTENT.cases]


def test_masks_of_two_kinds_of_dicom_cases(tmp_path: Path) -> None:
    write_series(tmp_path / "p1", image(1).array[0], GRID)
    put(tmp_path, "labels/p1_seg-vert.nii.gz", "labels/p1_seg-disc.nii.gz", volume=mask(0, 1))
    with pytest.raises(DataError, match="masks of 2 kinds: seg-disc, seg-vert"):
        open_dataset(tmp_path)
    assert seen(tmp_path, "vert")["p1"][1] == "p1_seg-vert.nii.gz"
