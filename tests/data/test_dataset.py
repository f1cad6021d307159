from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from autospine.data.check import check_dataset
from autospine.data.dataset import load_case, open_dataset
from autospine.data.geometry import Geometry, Orientation, Volume, same_grid, to_canonical
from autospine.data.inputs import find_inputs
from autospine.data.structure import IGNORED, Dataset, Label, Reading, Region
from autospine.data.volume import write_volume
from autospine.errors import DataError
from autospine.planning.measured.fingerprint import extract_fingerprint

SHAPE = (3, 4, 5)
CHANNELS = ("T1", "T2", "PD")
OBLIQUE = (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0)
GRID = Geometry(SHAPE, (4.0, 1.5, 0.7), (-12.5, 30.0, 7.25), OBLIQUE)


def write(path: Path, array: npt.NDArray[Any], geometry: Geometry = GRID) -> None:
    """Write an array (Z, Y, X)."""
    write_volume(path, Volume(array[None], replace(geometry, shape=array.shape)))


def image(seed: int) -> npt.NDArray[np.int16]:
    return np.random.default_rng(seed).integers(1, 900, SHAPE).astype(np.int16)


def mask(*values: int) -> npt.NDArray[np.uint8]:
    array = np.zeros(SHAPE, np.uint8)
    array.ravel()[: len(values)] = values
    return array


def raw(
    root: Path,
    names: tuple[str, ...] = ("a", "b"),
    channels: int = 1,
    ending: str = ".nii.gz",
    **description: Any,
) -> Path:
    """A folder in nnU-Net's raw layout, classes L5 = 1 and L4 = 4; `description` replaces keys of dataset.json."""
    for seed, name in enumerate(names):
        for channel in range(channels):
            write(root / "imagesTr" / f"{name}_{channel:04d}{ending}", image(10 * seed + channel))
        write(root / "labelsTr" / f"{name}{ending}", mask(0, 1, 4, 1))
    content = {
        "channel_names": {str(channel): f"T{channel + 1}" for channel in range(channels)},
        "labels": {"background": 0, "L5": 1, "L4": 4},
        "file_ending": ending,
    }
    content = {key: value for key, value in (content | description).items() if value is not None}
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def plain(root: Path, files: Mapping[str, npt.NDArray[Any]]) -> Path:
    for name, array in files.items():
        write(root / name, array)
    return root


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


def test_a_loaded_case_is_canonical_with_class_indices(tmp_path: Path) -> None:
    dataset = open_dataset(raw(tmp_path, channels=2))
    loaded = load_case(dataset, dataset.cases[0])
    assert loaded.image.array.dtype == np.float32
    assert loaded.image.array.shape == (2, *SHAPE)
    np.testing.assert_array_equal(loaded.image.array[1], image(1))
    assert loaded.label is not None and loaded.label.dtype == np.uint8
    np.testing.assert_array_equal(loaded.label.ravel()[:5], [0, 1, 2, 1, 0])


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "L4": 4, "L5": 1},
        {"0": "background", "1": "L5", "4": "L4"},
        {"L5": "1", "L4": "4"},
    ],
)
def test_labels_in_either_direction(tmp_path: Path, labels: dict[str, Any]) -> None:
    dataset = open_dataset(raw(tmp_path, labels=labels, channel_names=None, modality={"0": "MRI"}, file_ending=None))
    assert dataset.labels == (Label("L5", 1), Label("L4", 4))
    assert dataset.channels == ("MRI",)


def test_regions_and_what_they_are_written_as(tmp_path: Path) -> None:
    named = {"background": 0, "whole": [1, 4], "core": [4], "ignore": 7}
    dataset = open_dataset(raw(tmp_path, labels=named, regions_class_order=[1, 4]))
    assert dataset.regions == (Region("whole", (1, 4), 1), Region("core", (4,), 4))
    assert dataset.labels == (Label("label_1", 1), Label("core", 4))
    assert dataset.ignore == 7
    # KiTS: a tumour and a cyst in the mass, the mass in the organ
    kits = {"background": 0, "all": [1, 2, 3], "mass": [2, 3], "tumour": 2}
    regions = open_dataset(raw(tmp_path / "kits", labels=kits, regions_class_order=[1, 3, 2])).regions
    assert [region.written for region in regions] == [1, 3, 2]
    paired = {"left": [1, 2], "right": [3, 4]}
    sided = open_dataset(raw(tmp_path / "sided", labels=paired, regions_class_order=[1, 3], sides={"left": "right"}))
    assert sided.sides == (("left", "right"),)


@pytest.mark.parametrize(
    ("description", "found"),
    [
        ({"labels": {"background": 0, "L5": 1, "body": [1, 2]}}, '"regions_class_order" is None'),
        ({"labels": {"body": [1, 2], "L5": 1}, "regions_class_order": [1]}, "2 values, one for each of body, L5"),
        ({"labels": {"body": [1, 2], "L5": 1}, "regions_class_order": [1, 2]}, r"L5 = \[1\] is written as 2"),
        ({"labels": {"in": 2, "all": [1, 2]}, "regions_class_order": [2, 1]}, "in would not come back"),
        ({"labels": {"all": [1, 2], "in": 2}, "regions_class_order": [2, 2]}, "in would not come back"),
        ({"labels": {"a": [1, 2], "b": [2, 3]}, "regions_class_order": [1, 3]}, "a would not come back"),
        ({"labels": {"body": [1, 2], "L5": 1}, "regions_class_order": [1, True]}, "regions_class_order"),
        ({"labels": {"body": [1, 1], "L5": 2}, "regions_class_order": [1, 2]}, "labels"),
        ({"labels": {"body": [0, 1], "L5": 2}, "regions_class_order": [1, 2]}, "labels"),
        ({"labels": {"body": [], "L5": 2}}, r"'body' has the value \[\]"),
        ({"labels": {"body": [1, 2], "ignore": [2, 3]}, "regions_class_order": [1]}, '"ignore" is 2 or 3'),
        ({"labels": {"all": [1, 2], "label_2": 1}, "regions_class_order": [1, 1]}, "label_<value>"),
        ({"labels": {"background": 0, "L5": 1, "ignore": 1}}, '"ignore" is 1'),
        ({"labels": {"background": 0, "L5": 1, "ignore": 0}}, '"ignore" is 0'),
        ({"labels": {"background": 0, "L5": 1.5}}, "1.5"),
        ({"labels": {"background": 0, "L5": True}}, "True"),
        ({"labels": {"background": 0, "L5": -1}}, "-1"),
        ({"labels": {"L5": 1, "L4": 1}}, "labels"),
        ({"labels": {"background": 1, "L4": 2}}, "background 0"),
        ({"labels": {"background": 0}}, "0 classes"),
        ({"labels": {"background": 0} | {f"c{value}": value for value in range(1, 256)}}, "255 classes"),
        ({"labels": None}, "labels"),
        ({"channel_names": {"1": "T2"}}, "channel_names"),
        ({"channel_names": ["T2"]}, "channel_names"),
        ({"file_ending": ".npy"}, "file_ending"),
        ({"file_ending": 3}, "file_ending"),
        ({"file_ending": ".mha"}, "no images that end in .mha"),
    ],
)
def test_a_description_that_is_refused(tmp_path: Path, description: dict[str, Any], found: str) -> None:
    with pytest.raises(DataError, match=found):
        open_dataset(raw(tmp_path, names=("a",), **description))


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


def test_plain_folder_finds_its_labels(tmp_path: Path) -> None:
    files: dict[str, npt.NDArray[Any]] = {
        "images/b.nrrd": image(0),
        "images/a.nii.gz": image(1),
        "labels/a.nii": mask(7),
        "labels/b.mha": mask(3, 9),
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
        f"images/{name}_000{channel}.nii": image(0) for name in "ab" for channel in (0, 1)
    }
    files |= {"labels/a.nii": mask(1), "labels/b.nii": mask(1)}
    dataset = open_dataset(plain(tmp_path, files))
    assert dataset.channels == ("channel_0", "channel_1")
    assert [len(case.images) for case in dataset.cases] == [2, 2]


def test_plain_folder_with_numbered_cases(tmp_path: Path) -> None:
    """Image and mask of one name are a case, whatever the digits look like."""
    files = {f"{part}/scan_000{number}.nii": mask(number) for part in ("images", "labels") for number in (0, 1, 2)}
    dataset = open_dataset(plain(tmp_path, files))
    assert [case.name for case in dataset.cases] == ["scan_0000", "scan_0001", "scan_0002"]
    assert dataset.channels == ("channel_0",)


def test_a_colour_photo_is_three_channels(tmp_path: Path) -> None:
    flat = Geometry((1, 4, 5), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), 2)
    colour = np.arange(60, dtype=np.uint8).reshape(3, 1, 4, 5)
    write_volume(tmp_path / "images/a.png", Volume(colour, flat))
    write_volume(tmp_path / "labels/a.png", Volume(np.ones((1, 1, 4, 5), np.uint8), flat))
    dataset = open_dataset(tmp_path)
    assert len(dataset.channels) == 3
    np.testing.assert_array_equal(load_case(dataset, dataset.cases[0]).image.array, colour)
    assert find_inputs(tmp_path / "images", CHANNELS[:3]) == [("a", (tmp_path / "images/a.png",))]
    with pytest.raises(DataError, match=r"a: 3 channels \(a\.png\)"):
        find_inputs(tmp_path / "images", CHANNELS[:1])


def test_hidden_files_are_no_cases(tmp_path: Path) -> None:
    raw(tmp_path, names=("a",))
    (tmp_path / "imagesTr/._a_0000.nii.gz").write_bytes(b"macOS")
    (tmp_path / "imagesTr/notes.txt").write_text("no image")
    assert [case.name for case in open_dataset(tmp_path).cases] == ["a"]


def test_two_files_of_one_name(tmp_path: Path) -> None:
    plain(tmp_path, {"images/a.nii": image(0), "images/a.mha": image(0), "labels/a.nii": mask(1)})
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


@pytest.mark.parametrize("storage", [Orientation((2, 0, 1), (True, False, True)), Orientation((0, 2, 1))])
def test_a_mask_stored_in_another_order_is_accepted(tmp_path: Path, storage: Orientation) -> None:
    raw(tmp_path, names=("a",), channels=2)
    label = Volume(mask(0, 1, 4, 1, 4, 4)[None], GRID)
    write_volume(tmp_path / "labelsTr/a.nii.gz", to_canonical(label, storage))
    write_volume(tmp_path / "imagesTr/a_0001.nii.gz", to_canonical(Volume(image(5)[None], GRID), storage))
    dataset = open_dataset(tmp_path)
    loaded = load_case(dataset, dataset.cases[0])
    assert loaded.label is not None
    np.testing.assert_array_equal(loaded.label.ravel()[:7], [0, 1, 2, 1, 2, 2, 0])
    np.testing.assert_array_equal(loaded.image.array[1], image(5))
    assert same_grid(loaded.image.geometry, GRID, 1e-4) is None


def test_an_axis_at_45_degrees_does_not_part_image_and_mask(tmp_path: Path) -> None:
    """A last bit of the direction decides which way is canonical: the image's way holds for the mask too."""
    raw(tmp_path, names=("a",))
    for path, angle in ((tmp_path / "imagesTr/a_0000.nii.gz", 44.99), (tmp_path / "labelsTr/a.nii.gz", 45.01)):
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        geometry = replace(GRID, direction=(c, -s, 0.0, s, c, 0.0, 0.0, 0.0, 1.0))
        write(path, mask(0, 1, 4), geometry)
    dataset = open_dataset(tmp_path)
    loaded = load_case(dataset, dataset.cases[0])
    assert loaded.label is not None
    np.testing.assert_array_equal(loaded.label > 0, loaded.image.array[0] > 0)


@pytest.mark.parametrize(
    ("name", "array", "geometry", "found"),
    [
        ("labelsTr/a", mask(1), replace(GRID, origin_mm=(-12.5, 33.0, 7.25)), "a_0000.nii.gz: corners lie 3 mm apart"),
        ("labelsTr/a", mask(1)[:2], GRID, "2 x 4 x 5 voxels against 3 x 4 x 5"),
        ("imagesTr/a_0001", image(1), replace(GRID, spacing_mm=(4.0, 1.5, 1.0)), "mm apart"),
        ("labelsTr/a", mask(1, 2, 2, 7), GRID, r"undeclared label values 2 \(2 voxels\), 7 \(1 voxels\)"),
        ("labelsTr/a", mask(1).astype(np.float32) / 2, GRID, "values that are no labels: 0.5 \\(1 voxels\\)"),
        ("labelsTr/a", mask(1).astype(np.float32) * np.nan, GRID, "60 voxels are NaN"),
        ("labelsTr/a", mask(1).astype(np.int32) * 100_000, GRID, "100000"),
        ("labelsTr/a", mask(1).astype(np.int16) * -1, GRID, "-1"),
        ("imagesTr/a_0001", np.full(SHAPE, np.nan, np.float32), GRID, "60 voxels are NaN"),
        ("imagesTr/a_0000", np.full(SHAPE, 1e300), GRID, "60 voxels are NaN or infinite"),
    ],
)
def test_a_case_that_cannot_be_used(
    tmp_path: Path, name: str, array: npt.NDArray[Any], geometry: Geometry, found: str
) -> None:
    raw(tmp_path, names=("a",), channels=2)
    write(tmp_path / f"{name}.nii.gz", array, geometry)
    dataset = open_dataset(tmp_path)
    with pytest.raises(DataError, match=found) as raised:
        load_case(dataset, dataset.cases[0])
    assert f"{name}.nii.gz" in raised.value.where


@pytest.mark.parametrize("missing", ["imagesTr/a_0000", "imagesTr/a_0001", "labelsTr/a"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    raw(tmp_path, channels=2)
    (tmp_path / f"{missing}.nii.gz").unlink()
    dataset = open_dataset(tmp_path)
    with pytest.raises(DataError, match=rf"{missing}\.nii\.gz: no such file"):
        load_case(dataset, dataset.cases[0])


def test_a_mask_without_an_image_is_a_case_too(tmp_path: Path) -> None:
    raw(tmp_path)
    (tmp_path / "imagesTr/a_0000.nii.gz").unlink()
    dataset = open_dataset(tmp_path)
    with pytest.raises(DataError, match=r"imagesTr/a_0000\.nii\.gz: no such file"):
        load_case(dataset, dataset.cases[0])


def test_a_channel_too_many(tmp_path: Path) -> None:
    raw(tmp_path)
    write(tmp_path / "imagesTr/a_0001.nii.gz", image(3))
    dataset = open_dataset(tmp_path)
    with pytest.raises(DataError, match=r"2 channels\nExpected: 1 \(T1\)"):
        load_case(dataset, dataset.cases[0])


@pytest.mark.parametrize(
    ("name", "cases", "channels", "classes"),
    [("lumbar-water", 37, 1, 5), ("cord-axial", 8, 1, 2), ("muscle-axial", 2, 2, 4), ("hippocampus", 156, 1, 2)],
)
def test_real_folders(
    real_data: Callable[[str], Path], tmp_path: Path, name: str, cases: int, channels: int, classes: int
) -> None:
    dataset: Dataset = open_dataset(real_data(name))
    assert (len(dataset.cases), len(dataset.channels), len(dataset.labels)) == (cases, channels, classes)
    loaded = load_case(dataset, dataset.cases[0])
    assert loaded.label is not None and loaded.label.shape == loaded.image.array.shape[1:]
    assert set(np.unique(loaded.label)) == set(range(classes + 1))
    assert min(np.diag(loaded.image.geometry.axes()[::-1])) > 0.5


@pytest.mark.parametrize(
    "labels",
    [{"background": 0, "L5": 1, "L4": 4, "ignore": 9}, {"0": "background", "1": "L5", "4": "L4", "9": "ignore"}],
)
def test_voxels_that_are_not_annotated(tmp_path: Path, labels: dict[str, Any]) -> None:
    raw(tmp_path, labels=labels)
    write(tmp_path / "labelsTr" / "a.nii.gz", mask(0, 1, 9, 4, 9))
    dataset = open_dataset(tmp_path)
    assert dataset.labels == (Label("L5", 1), Label("L4", 4)) and dataset.ignore == 9
    loaded = load_case(dataset, dataset.cases[0])
    assert loaded.label is not None
    np.testing.assert_array_equal(loaded.label.ravel()[:6], [0, 1, IGNORED, 2, IGNORED, 0])
    fingerprint = extract_fingerprint(dataset)
    assert fingerprint.cases[0].class_voxels == (1, 1)
    assert fingerprint.cases[0].is_of(loaded.image.array, loaded.label, ())
    assert [finding for finding in check_dataset(dataset) if finding.severity == "error"] == []
    write(tmp_path / "labelsTr" / "a.nii.gz", mask(9, 9))
    said = [finding.found for finding in check_dataset(open_dataset(tmp_path)) if finding.case == "a"]
    assert said == ["an empty mask"]
