from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from autospine.data.check import check_dataset, image_digest, inspect_case
from autospine.data.dataset import open_dataset
from autospine.data.findings import Finding
from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import write_volume

GRID = Geometry((3, 4, 5), (4.0, 1.5, 0.7), (-12.5, 30.0, 7.25), (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0))


def write(path: Path, array: npt.NDArray[Any], geometry: Geometry = GRID) -> None:
    write_volume(path, Volume(array[None], geometry))


def image(seed: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(100, 20, GRID.shape).astype(np.float32)


def mask(*values: int) -> npt.NDArray[np.uint8]:
    array = np.zeros(GRID.shape, np.uint8)
    array.ravel()[: len(values)] = values
    return array


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six cases of two channels, classes 1 and 2, nothing wrong."""
    for seed, name in enumerate("abcdef"):
        write(tmp_path / f"imagesTr/{name}_0000.nii.gz", image(2 * seed))
        write(tmp_path / f"imagesTr/{name}_0001.nii.gz", image(2 * seed + 1))
        write(tmp_path / f"labelsTr/{name}.nii.gz", mask(0, 1, 2))
    content = {"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "disc": 1, "canal": 2}}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    return tmp_path


def summary(findings: tuple[Finding, ...]) -> list[tuple[str, str, str]]:
    return [(finding.severity, finding.case, Path(finding.file).name) for finding in findings]


def test_nothing_wrong(root: Path) -> None:
    assert check_dataset(open_dataset(root)) == ()


def test_everything_wrong_is_said_at_once(root: Path) -> None:
    bad = image(0)
    bad[0, 1, 2] = np.nan
    write(root / "imagesTr/a_0000.nii.gz", bad)
    write(root / "labelsTr/a.nii.gz", mask(1, 5), replace(GRID, origin_mm=(-12.5, 30.0, 9.25)))
    (root / "imagesTr/b_0001.nii.gz").unlink()
    write(root / "labelsTr/b.nii.gz", mask(1, 5))
    whole = (root / "imagesTr/c_0000.nii.gz").read_bytes()
    (root / "imagesTr/c_0000.nii.gz").write_bytes(whole[:-20])
    (root / "labelsTr/d.nii.gz").unlink()
    write(root / "labelsTr/e.nii.gz", mask())
    write(root / "imagesTr/f_0001.nii.gz", np.full(GRID.shape, 7.0, np.float32))
    findings = check_dataset(open_dataset(root))
    assert summary(findings) == [
        ("error", "a", "a_0000.nii.gz"),
        ("error", "a", "a.nii.gz"),
        ("error", "b", "b_0001.nii.gz"),
        ("error", "b", "b.nii.gz"),
        ("error", "c", "c_0000.nii.gz"),
        ("error", "d", "d.nii.gz"),
        ("warning", "e", "e.nii.gz"),
        ("warning", "f", "f_0001.nii.gz"),
    ]
    said = [str(finding) for finding in findings]
    for text, parts in zip(
        said,
        [
            ("error: a: ", "1 voxels are NaN", "a_0000.nii.gz"),
            ("not on the grid of a_0000.nii.gz", "2 mm apart"),
            ("no such file", "b_0001.nii.gz"),
            ("5 (1 voxels)", "expected 0 and 1 (disc), 2 (canal)"),
            ("cut off", "export the file again"),
            ("no such file", "labelsTr/d.nii.gz"),
            ("warning: e: an empty mask",),
            ("every voxel of channel 'T2' has the value 7",),
        ],
        strict=True,
    ):
        assert all(part in text for part in parts), text


def test_identical_images_under_two_names(root: Path) -> None:
    for channel in ("0000", "0001"):
        (root / f"imagesTr/e_{channel}.nii.gz").write_bytes((root / f"imagesTr/b_{channel}.nii.gz").read_bytes())
    (finding,) = check_dataset(open_dataset(root))
    assert (finding.severity, finding.case) == ("warning", "e")
    assert "the same image as case b" in finding.found
    assert "e_0000.nii.gz" in finding.file and "e_0001.nii.gz" in finding.file


def test_a_class_that_no_mask_holds(root: Path) -> None:
    for name in "abcdef":
        write(root / f"labelsTr/{name}.nii.gz", mask(0, 1))
    (finding,) = check_dataset(open_dataset(root))
    assert (finding.severity, finding.case, finding.found) == ("warning", "", "no mask holds 'canal' (2)")


def test_an_inspected_case_comes_back_loaded(root: Path) -> None:
    dataset = open_dataset(root)
    loaded, findings = inspect_case(dataset, dataset.cases[2])
    assert loaded is not None and findings == ()
    np.testing.assert_array_equal(loaded.image.array[1], image(5))
    without = replace(dataset.cases[2], label=None)
    loaded, findings = inspect_case(dataset, without)
    assert loaded is not None and loaded.label is None
    assert [(finding.severity, finding.found) for finding in findings] == [("warning", "no mask")]


def test_the_digest_knows_voxels_shape_and_type() -> None:
    array = np.arange(12, dtype=np.float32)
    digest = image_digest(array.reshape(1, 1, 3, 4))
    assert len(digest) == 64
    assert digest == image_digest(np.asfortranarray(array.reshape(1, 1, 3, 4)))
    others = [array.reshape(1, 1, 4, 3), array.reshape(1, 1, 3, 4) + 1, array.reshape(1, 1, 3, 4).astype(np.int32)]
    assert digest not in {image_digest(other) for other in others}


@pytest.mark.parametrize("name", ["cord-axial", "muscle-axial"])
def test_real_folders_are_in_order(real_data: Callable[[str], Path], name: str) -> None:
    assert [finding for finding in check_dataset(open_dataset(real_data(name))) if finding.severity == "error"] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lumbar-water", "hippocampus", "lumbar-t2"])
def test_larger_real_folders_are_in_order(real_data: Callable[[str], Path], name: str) -> None:
    assert [finding for finding in check_dataset(open_dataset(real_data(name))) if finding.severity == "error"] == []
