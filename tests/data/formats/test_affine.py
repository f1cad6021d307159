"""From a header's axes to a grid, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autospine.data.formats.affine import farthest_mm, from_affine, nearest_orthogonal, split_shape, to_affine
from autospine.data.volume import header_remarks, read_volume
from autospine.errors import DataError
from tests.data.formats.scene import by_itk

PATH = Path("a.nii")


def test_an_affine_becomes_a_grid_and_comes_back() -> None:
    affine = np.array([[-2.0, 0, 0, 5], [0, 0, 4.0, 6], [0, 3.0, 0, 7], [0, 0, 0, 1]])
    grid = from_affine(PATH, affine, (10, 20, 30), "sform", np.array([2, 3, 4]))
    assert (grid.shape, grid.spacing_mm, grid.origin_mm) == ((30, 20, 10), (4.0, 3.0, 2.0), (-5.0, -6.0, 7.0))
    # columns are x, y, z of the file: to the left, superior, anterior
    assert grid.direction == (1.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 1.0, 0.0)
    np.testing.assert_array_equal(to_affine(grid), affine)


def test_axes_that_lack_a_degree_at_most_are_straightened() -> None:
    axes = np.eye(3)
    axes[:2, 1] = np.sin(np.radians(0.6)), np.cos(np.radians(0.6))
    straight, skew = nearest_orthogonal(axes)
    assert skew == pytest.approx(0.6)
    np.testing.assert_allclose(straight.T @ straight, np.eye(3), atol=1e-12)
    # both axes give way by half of it
    assert np.degrees(np.arccos(straight[1, 1])) == pytest.approx(0.3)


def test_the_farthest_corner() -> None:
    moved = np.diag([1.1, 1.0, 1.0, 1.0])
    assert farthest_mm(np.eye(4), moved, (11, 5, 5)) == pytest.approx(1.0)


def test_axes_in_space_and_channels() -> None:
    assert split_shape(PATH, (5, 6)) == ((5, 6), 1)
    assert split_shape(PATH, (5, 6, 7, 1, 1)) == ((5, 6, 7), 1)
    assert split_shape(PATH, (5, 6, 7, 3)) == ((5, 6, 7), 3)
    with pytest.raises(DataError, match=r"an image of 5 dimensions \(5 x 6 x 7 x 3 x 2\)"):
        split_shape(PATH, (5, 6, 7, 3, 2))


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_skewed_axes_of_other_formats(tmp_path: Path, suffix: str) -> None:
    path = by_itk(tmp_path / f"a{suffix}")
    line = next(line for line in path.read_bytes().split(b"\n") if line.startswith((b"TransformMatrix", b"space dir")))
    upright = (
        b"TransformMatrix = 1 0 0 {lean} 1 0 0 0 1"
        if suffix == ".mha"
        else b"space directions: (0.7,0,0) ({lean},1.5,0) (0,0,4)"
    )
    whole = path.read_bytes()
    for lean, found in ((0.005, "degrees from right angles: the nearest"), (0.2, "")):
        path.write_bytes(whole.replace(line, upright.replace(b"{lean}", str(lean).encode())))
        if found:
            assert found in header_remarks(path)[0]
        else:
            with pytest.raises(DataError, match="degrees from right angles"):
                read_volume(path)
