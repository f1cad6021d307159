"""The phantom: the same for the same seed, another for each case, oblique, labelled in anatomical order."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autospine.data.geometry import to_canonical
from autospine.data.phantom import draw_case, write_phantom
from autospine.data.phantom_anatomy import LABELS
from autospine.data.volume import read_volume
from autospine.errors import OutputError

VALUE = dict(LABELS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("phantom"), cases=2, test_cases=1, seed=7)


def centre(label: np.ndarray, name: str) -> np.ndarray:
    """Mean (Z, Y, X) index of a class."""
    return np.argwhere(label == VALUE[name]).mean(axis=0)


def test_the_layout_is_nnunet_raw(folder: Path) -> None:
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    assert files == [
        "dataset.json",
        "imagesTr/phantom_001_0000.nii.gz",
        "imagesTr/phantom_002_0000.nii.gz",
        "imagesTs/phantom_003_0000.nii.gz",
        "labelsTr/phantom_001.nii.gz",
        "labelsTr/phantom_002.nii.gz",
        "labelsTs/phantom_003.nii.gz",
    ]
    content = json.loads((folder / "dataset.json").read_text())
    assert content["labels"] == {"background": 0, "L5": 1, "L4": 2, "L3": 3, "L2": 4, "L1": 5, "disc": 6, "canal": 7}
    assert content["numTraining"] == 2
    assert content["file_ending"] == ".nii.gz"
    assert "synthetic" in content["description"]


def test_files_hold_the_drawn_case_in_oblique_sagittal_order(folder: Path) -> None:
    case = draw_case(7, 0)
    image = read_volume(folder / "imagesTr" / "phantom_001_0000.nii.gz")
    label = read_volume(folder / "labelsTr" / "phantom_001.nii.gz")
    z, y, x = case.image.shape
    assert image.array.shape == (1, x, z, y)
    np.testing.assert_array_equal(to_canonical(image).array[0], case.image)
    np.testing.assert_array_equal(to_canonical(label).array[0], case.label)
    assert to_canonical(image).geometry.spacing_mm == pytest.approx(case.spacing_mm, rel=1e-5)
    direction = np.reshape(image.geometry.direction, (3, 3))
    np.testing.assert_allclose(direction @ direction.T, np.eye(3), atol=1e-6)
    # Oblique about two axes: no column of the direction lies along an axis.
    assert (np.abs(direction).max(axis=0) < 0.9999).all()
    assert (np.abs(direction).max(axis=0) > 0.98).all()


def test_the_same_seed_gives_the_same_voxels() -> None:
    first, again, other = draw_case(3, 1), draw_case(3, 1), draw_case(4, 1)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.label.tobytes() == again.label.tobytes()
    assert first.geometry == again.geometry
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)


def test_cases_differ_in_size_and_spacing_and_no_two_axes_agree() -> None:
    cases = [draw_case(0, number) for number in range(5)]
    assert len({case.image.shape for case in cases}) > 1
    assert len({case.spacing_mm for case in cases}) == 5
    for case in cases:
        assert len(set(case.image.shape)) == 3
        assert len({round(spacing, 3) for spacing in case.spacing_mm}) == 3
        assert case.spacing_mm[2] > 3.8


@pytest.mark.parametrize("number", range(8))
def test_anatomy_is_in_order(number: int) -> None:
    case = draw_case(0, number)
    assert set(np.unique(case.label)) == set(range(8))
    heights = [centre(case.label, name)[0] for name in ("L5", "L4", "L3", "L2", "L1")]
    assert heights == sorted(heights)
    # Bodies stand about 28 to 36 mm apart, the canal lies behind them, L5 is larger than L1.
    assert all(25 < gap * case.spacing_mm[0] < 40 for gap in np.diff(heights))
    assert centre(case.label, "canal")[1] > max(centre(case.label, name)[1] for name in ("L2", "L3", "L4")) + 5
    assert (case.label == VALUE["L5"]).sum() > (case.label == VALUE["L1"]).sum()
    # Lordosis: L3 is further forward than both ends of the column.
    assert centre(case.label, "L3")[1] < min(centre(case.label, "L1")[1], centre(case.label, "L5")[1])
    # Every body is inside the volume, so that no level is cut at the top or bottom.
    assert not np.isin(case.label[[0, -1]], (1, 2, 3, 4, 5)).any()


def test_no_threshold_separates_the_vertebrae() -> None:
    case = draw_case(0, 0)
    bodies = (case.label >= 1) & (case.label <= 5)
    levels = np.percentile(case.image, np.arange(0, 101, 4))
    best = max(
        2 * (bodies & window).sum() / (bodies.sum() + window.sum())
        for low in levels
        for high in levels[levels > low]
        if (window := (case.image >= low) & (case.image <= high)).any()
    )
    assert best < 0.6


def test_a_phantom_replaces_a_larger_one_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    write_phantom(tmp_path, cases=2, test_cases=0)
    write_phantom(tmp_path, cases=1, test_cases=0, progress=lambda *step: seen.append(step))
    assert [file.name for file in (tmp_path / "imagesTr").iterdir()] == ["phantom_001_0000.nii.gz"]
    assert seen == [("phantom_001", 1, 1)]
    (tmp_path / "dataset.json").write_text('{"name": "patients"}')
    with pytest.raises(OutputError, match="not a phantom"):
        write_phantom(tmp_path)
