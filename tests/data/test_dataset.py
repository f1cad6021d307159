from __future__ import annotations

from collections.abc import Callable
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
from autospine.data.structure import IGNORED, Dataset, Label
from autospine.data.volume import write_volume
from autospine.errors import DataError
from autospine.planning.measured.fingerprint import extract_fingerprint
from tests.data.raw import CHANNELS, GRID, SHAPE, labelled, raw, voxels, write


def test_a_loaded_case_is_canonical_with_class_indices(tmp_path: Path) -> None:
    dataset = open_dataset(raw(tmp_path, channels=2))
    loaded = load_case(dataset, dataset.cases[0])
    assert loaded.image.array.dtype == np.float32
    assert loaded.image.array.shape == (2, *SHAPE)
    np.testing.assert_array_equal(loaded.image.array[1], voxels(1))
    assert loaded.label is not None and loaded.label.dtype == np.uint8
    np.testing.assert_array_equal(loaded.label.ravel()[:5], [0, 1, 2, 1, 0])


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


@pytest.mark.parametrize("storage", [Orientation((2, 0, 1), (True, False, True)), Orientation((0, 2, 1))])
def test_a_mask_stored_in_another_order_is_accepted(tmp_path: Path, storage: Orientation) -> None:
    raw(tmp_path, names=("a",), channels=2)
    label = Volume(labelled(0, 1, 4, 1, 4, 4)[None], GRID)
    write_volume(tmp_path / "labelsTr/a.nii.gz", to_canonical(label, storage))
    write_volume(tmp_path / "imagesTr/a_0001.nii.gz", to_canonical(Volume(voxels(5)[None], GRID), storage))
    dataset = open_dataset(tmp_path)
    loaded = load_case(dataset, dataset.cases[0])
    assert loaded.label is not None
    np.testing.assert_array_equal(loaded.label.ravel()[:7], [0, 1, 2, 1, 2, 2, 0])
    np.testing.assert_array_equal(loaded.image.array[1], voxels(5))
    assert same_grid(loaded.image.geometry, GRID, 1e-4) is None


def test_an_axis_at_45_degrees_does_not_part_image_and_mask(tmp_path: Path) -> None:
    """A last bit of the direction decides which way is canonical: the image's way holds for the mask too."""
    raw(tmp_path, names=("a",))
    for path, angle in ((tmp_path / "imagesTr/a_0000.nii.gz", 44.99), (tmp_path / "labelsTr/a.nii.gz", 45.01)):
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        geometry = replace(GRID, direction=(c, -s, 0.0, s, c, 0.0, 0.0, 0.0, 1.0))
        write(path, labelled(0, 1, 4), geometry)
    dataset = open_dataset(tmp_path)
    loaded = load_case(dataset, dataset.cases[0])
    assert loaded.label is not None
    np.testing.assert_array_equal(loaded.label > 0, loaded.image.array[0] > 0)


@pytest.mark.parametrize(
    ("name", "array", "geometry", "found"),
    [
        (
            "labelsTr/a",
            labelled(1),
            replace(GRID, origin_mm=(-12.5, 33.0, 7.25)),
            "a_0000.nii.gz: corners lie 3 mm apart",
        ),
        ("labelsTr/a", labelled(1)[:2], GRID, "2 x 4 x 5 voxels against 3 x 4 x 5"),
        ("imagesTr/a_0001", voxels(1), replace(GRID, spacing_mm=(4.0, 1.5, 1.0)), "mm apart"),
        ("labelsTr/a", labelled(1, 2, 2, 7), GRID, r"undeclared label values 2 \(2 voxels\), 7 \(1 voxels\)"),
        ("labelsTr/a", labelled(1).astype(np.float32) / 2, GRID, "values that are no labels: 0.5 \\(1 voxels\\)"),
        ("labelsTr/a", labelled(1).astype(np.float32) * np.nan, GRID, "60 voxels are NaN"),
        ("labelsTr/a", labelled(1).astype(np.int32) * 100_000, GRID, "100000"),
        ("labelsTr/a", labelled(1).astype(np.int16) * -1, GRID, "-1"),
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
    write(tmp_path / "imagesTr/a_0001.nii.gz", voxels(3))
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
    write(tmp_path / "labelsTr" / "a.nii.gz", labelled(0, 1, 9, 4, 9))
    dataset = open_dataset(tmp_path)
    assert dataset.labels == (Label("L5", 1), Label("L4", 4)) and dataset.ignore == 9
    loaded = load_case(dataset, dataset.cases[0])
    assert loaded.label is not None
    np.testing.assert_array_equal(loaded.label.ravel()[:6], [0, 1, IGNORED, 2, IGNORED, 0])
    fingerprint = extract_fingerprint(dataset)
    assert fingerprint.cases[0].class_voxels == (1, 1)
    assert fingerprint.cases[0].is_of(loaded.image.array, loaded.label, ())
    assert [finding for finding in check_dataset(dataset) if finding.severity == "error"] == []
    write(tmp_path / "labelsTr" / "a.nii.gz", labelled(9, 9))
    said = [finding.found for finding in check_dataset(open_dataset(tmp_path)) if finding.case == "a"]
    assert said == ["an empty mask"]
