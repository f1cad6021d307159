"""What a value of a mask is: rounding, scaled storage, and values that are no labels."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autospine.data.masks.values import counted_values, whole_layers, whole_values
from autospine.errors import DataError

PATH = Path(__file__)
"""A file that is no NIfTI: nothing in it says that values were scaled."""


def values(*held: float, dtype: Any = np.float32) -> np.ndarray:
    return np.array(held, dtype).reshape(1, 1, 1, -1)


def nifti(path: Path, kind: int, slope: float, *, order: str = "<", second: bool = False) -> Path:
    """The header of a NIfTI file, whose voxels are not asked for here."""
    head = bytearray(540)
    if second:
        struct.pack_into(order + "i", head, 0, 540)
        head[4:8] = b"n+2\0"
        struct.pack_into(order + "h", head, 12, kind)
        struct.pack_into(order + "d", head, 176, slope)
    else:
        struct.pack_into(order + "i", head, 0, 348)
        head[344:348] = b"n+1\0"
        struct.pack_into(order + "h", head, 70, kind)
        struct.pack_into(order + "f", head, 112, slope)
    path.write_bytes(gzip.compress(bytes(head)) if path.suffix == ".gz" else bytes(head))
    return path


def test_values_within_rounding_are_the_whole_number() -> None:
    held, moved = whole_values(values(0.00002, 0.99998, 2.0004, 7, -0.0003), PATH)
    assert held.tolist() == [[[0, 1, 2, 7, 0]]]
    assert moved == pytest.approx(0.0004, rel=1e-3)
    assert np.issubdtype(held.dtype, np.integer)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float64, bool])
def test_whole_numbers_are_themselves(dtype: Any) -> None:
    held, moved = whole_values(values(0, 1, 0, 1, dtype=dtype), PATH)
    assert held.tolist() == [[[0, 1, 0, 1]]] and moved == 0


@pytest.mark.parametrize(
    ("held", "found"),
    [
        (values(0, 0.75, 0.75, 1), r"values that are no labels: 0\.75 \(2 voxels\)"),
        (values(0, 1.002), r"values that are no labels: 1\.002 \(1 voxels\)"),
        (values(0, -1, 1, dtype=np.int16), r"values that are no labels: -1 \(1 voxels\)"),
        (values(0, -1, 1.5), r"values that are no labels: -1 \(1 voxels\), 1\.5 \(1 voxels\)"),
        (values(0, 1e30), r"values that are no labels: 1e\+30 \(1 voxels\)"),
        (values(0, 1 << 40, dtype=np.int64), r"values that are no labels: 1\.09951e\+12 \(1 voxels\)"),
        (values(*np.arange(20) + 0.5), r"0\.5, 1\.5, .*7\.5, \.\.\. \(20 different values in 20 voxels\)"),
        (np.zeros((3, 1, 2, 2), np.uint8), "3 values per voxel, as in a colour image or a 4D one"),
    ],
)
def test_other_values_are_refused_with_what_was_found(held: np.ndarray, found: str) -> None:
    with pytest.raises(DataError, match=found) as raised:
        whole_values(held, PATH)
    assert raised.value.where == str(PATH)


@pytest.mark.parametrize(
    ("order", "second", "name"), [("<", False, "a.nii"), (">", False, "a.nii.gz"), ("<", True, "a.nii")]
)
def test_a_scaled_file_may_hold_labels_up_to_half_a_step_away(
    tmp_path: Path, order: str, second: bool, name: str
) -> None:
    """Labels 0 to 7 in 8 bits: steps of 7 / 255 = 0.0275, of which half is 0.0137."""
    slope = 7 / 255
    path = nifti(tmp_path / name, 2, slope, order=order, second=second)
    stored = np.rint(np.arange(8) / slope)
    held, moved = whole_values(values(*(stored * slope)), path)
    assert held.ravel().tolist() == list(range(8))
    assert 0.001 < moved < 0.0138
    with pytest.raises(DataError, match=r"no labels: 2\.02 "):
        whole_values(values(2.02), path)


def test_a_map_of_probabilities_in_8_bits_is_no_mask(tmp_path: Path) -> None:
    """0.00392 is one step above 0, and half a step is 0.00196."""
    path = nifti(tmp_path / "a.nii", 2, 1 / 255)
    with pytest.raises(DataError, match=r"no labels: 0\.00392157 \(1 voxels\)"):
        whole_values(values(0, 1 / 255, 1), path)


@pytest.mark.parametrize(("kind", "slope"), [(16, 0.02), (2, 0.5), (2, float("nan")), (4, 1.0)])
def test_a_slope_that_explains_nothing_allows_nothing(tmp_path: Path, kind: int, slope: float) -> None:
    """Stored floating-point numbers are not rounded by a slope, and steps of a half say nothing about labels."""
    with pytest.raises(DataError, match=r"no labels: 1\.01 \(1 voxels\)") as raised:
        whole_values(values(0, 1.01), nifti(tmp_path / "a.nii", kind, slope))
    assert raised.value.expected == "whole numbers from 0 (within 0.001)"


def test_layers_are_rounded_together() -> None:
    assert whole_layers(np.array([0.9999, 2.0001]).reshape(2, 1, 1, 1), PATH).ravel().tolist() == [1, 2]


def test_values_are_counted() -> None:
    assert counted_values(values(0, 3, 3, 9, dtype=np.int32)) == {0: 1, 3: 2, 9: 1}
    assert counted_values(values(0, 70000, 70000, dtype=np.int32)) == {0: 1, 70000: 2}
