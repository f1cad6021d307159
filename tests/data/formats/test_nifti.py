"""Where a NIfTI file lies, as nibabel and the viewers have it, and that a result carries its header."""

from __future__ import annotations

import gzip
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest

from autospine.data.check import check_dataset
from autospine.data.dataset import open_dataset
from autospine.data.geometry import Orientation, Volume, orient_geometry, same_grid, to_canonical
from autospine.data.volume import header_remarks, read_geometry, read_volume, write_volume
from autospine.errors import DataError

SHAPE = (5, 4, 3)
Matrix = npt.NDArray[np.float64]


def turned(degrees: float) -> Matrix:
    """Rotation about z."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


SFORM = np.column_stack([turned(20) @ np.diag([-0.7, 1.5, 4.0]), [20.0, -30.0, -15.0]])
QUATERNION = (0.0, 0.0, np.sin(np.radians(-15)))
"""A turn by -30 degrees about z."""


def header(
    codes: tuple[int, int] = (1, 1),
    *,
    sform: npt.ArrayLike = SFORM,
    pixdim: tuple[float, ...] = (0.7, 1.5, 4.0),
    quaternion: tuple[float, ...] = QUATERNION,
    offset: tuple[float, ...] = (12.0, 8.0, -3.0),
    order: str = "<",
    version: int = 1,
) -> bytes:
    """A header of `SHAPE` int16 voxels with (qform, sform) `codes`, packed by hand from the standard's table."""
    srow = np.asarray(sform, float).ravel()
    numbers = (-1.0, *pixdim, 0.5, 0.25, 0.0, 0.0)
    if version == 2:
        content = bytearray(544)
        struct.pack_into(
            order + "i8s2h8q3d8dq",
            content,
            0,
            540,
            b"n+2\0\r\n\x1a\n",
            4,
            16,
            3,
            *SHAPE,
            1,
            1,
            1,
            1,
            0,
            0,
            0,
            *numbers,
            544,
        )
        struct.pack_into(order + "2i6d12d", content, 344, *codes, *quaternion, *offset, *srow)
        struct.pack_into(order + "i", content, 500, 2)
        return bytes(content)
    content = bytearray(352)
    struct.pack_into(order + "i", content, 0, 348)
    struct.pack_into(order + "8h", content, 40, 3, *SHAPE, 1, 1, 1, 1)
    struct.pack_into(order + "2h", content, 70, 4, 16)
    struct.pack_into(order + "8f", content, 76, *numbers)
    struct.pack_into(order + "f", content, 108, 352)
    content[123] = 2
    content[148:157] = b"scanner 7"
    struct.pack_into(order + "2h6f12f", content, 252, *codes, *quaternion, *offset, *srow)
    content[344:348] = b"n+1\0"
    return bytes(content)


def stored(path: Path, head: bytes, values: npt.NDArray[Any] | None = None) -> Path:
    """A file of that header; the voxels count up along x first."""
    array = np.arange(60, dtype=np.int16) if values is None else values
    order = ">" if head[0] == 0 else "<"
    content = head + array.astype(array.dtype.newbyteorder(order)).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    return path


def lps_corners(affine: Matrix) -> Matrix:
    """Centres of the corner voxels by an affine to Right, Anterior, Superior, in LPS; x runs fastest."""
    corners = np.array([[x, y, z, 1] for z in (0, 2) for y in (0, 3) for x in (0, 4)], float)
    return (corners @ affine.T)[:, :3] * [-1, -1, 1]


def centres(path: Path) -> Matrix:
    """The same by autospine."""
    geometry = read_geometry(path)
    step = np.asarray(geometry.direction).reshape(3, 3) * np.asarray(geometry.spacing_mm[::-1])
    corners = np.array([[x, y, z] for z in (0, 2) for y in (0, 3) for x in (0, 4)], float)
    return np.asarray(geometry.origin_mm) + corners @ step.T


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("sform_code", range(5))
@pytest.mark.parametrize("qform_code", range(5))
def test_it_lies_where_nibabel_has_it(
    tmp_path: Path, qform_code: int, sform_code: int, order: str, version: int
) -> None:
    path = stored(tmp_path / "a.nii", header((qform_code, sform_code), order=order, version=version))
    np.testing.assert_allclose(centres(path), lps_corners(nibabel.load(path).affine), atol=1e-4)
    assert read_geometry(path).spacing_mm == pytest.approx((4.0, 1.5, 0.7))
    np.testing.assert_array_equal(read_volume(path).array.ravel(), np.arange(60))


def test_forms_by_hand(tmp_path: Path) -> None:
    """The sform says (20, -30, -15) RAS for the first voxel, the qform (12, 8, -3), the sizes alone the centre."""
    for codes, origin in (((1, 2), (-20, 30, -15)), ((1, 0), (-12, -8, -3)), ((0, 0), (-1.4, 2.25, -4.0))):
        geometry = read_geometry(stored(tmp_path / "a.nii", header(codes)))
        assert geometry.origin_mm == pytest.approx(origin), codes
    # qform: x runs along (cos 30, -sin 30) to Right and Anterior, which is (-cos, +sin) in LPS; pixdim[0] = -1 flips z
    directions = np.asarray(read_geometry(stored(tmp_path / "a.nii", header((1, 0)))).direction).reshape(3, 3)
    np.testing.assert_allclose(directions[:, 0], [-np.sqrt(3) / 2, 0.5, 0], atol=1e-6)
    np.testing.assert_allclose(directions[:, 2], [0, 0, -1], atol=1e-6)


@pytest.mark.parametrize("pixdim", [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (float("nan"), 1.5, 4.0)])
def test_spacing_is_that_of_the_matrix(tmp_path: Path, pixdim: tuple[float, ...]) -> None:
    path = stored(tmp_path / "a.nii.gz", header((0, 1), pixdim=pixdim))
    assert read_geometry(path).spacing_mm == pytest.approx((4.0, 1.5, 0.7))
    (said,) = header_remarks(path)
    assert "sform says voxels of 4 x 1.5 x 0.7 mm, pixdim" in said and "the sform counts" in said


def test_a_size_that_rounding_alone_tells_apart_is_the_stated_one(tmp_path: Path) -> None:
    """The columns of an oblique matrix in single precision have a length of 0.7 but for the last digits."""
    path = stored(tmp_path / "a.nii", header())
    assert read_geometry(path).spacing_mm == (4.0, 1.5, float(np.float32(0.7)))
    assert header_remarks(path)[0].startswith("sform (code 1, scanner) and qform (code 1, scanner)")


def test_one_header_that_says_one_place_needs_no_remark(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    write_volume(path, read_volume(stored(tmp_path / "b.nii", header((0, 1)))))
    assert header_remarks(path) == ()
    write_volume(path, Volume(np.ones((1, 3, 4, 5), np.uint8), replace(read_geometry(path), nifti_header=b"")))
    assert header_remarks(path) == ()


def test_what_a_header_leaves_open_is_said(tmp_path: Path) -> None:
    assert "codes 0" in header_remarks(stored(tmp_path / "a.nii", header((0, 0))))[0]
    content = bytearray(header((0, 1)))
    content[123] = 1  # metres
    assert "metre" in header_remarks(stored(tmp_path / "a.nii", bytes(content)))[0]


def test_forms_that_agree_to_a_tenth_of_a_millimetre(tmp_path: Path) -> None:
    matrix = np.column_stack([np.diag([-0.7, 1.5, 4.0]), [20.0, -30.0, -15.0]])
    for far, said in ((0.09, 0), (0.11, 1)):
        quaternion = {"quaternion": (0.0, 1.0, 0.0), "offset": (20.0 + far, -30.0, -15.0)}
        head = header((1, 4), sform=matrix, **quaternion)  # type: ignore[arg-type]
        remarks = header_remarks(stored(tmp_path / "a.nii", head))
        assert len(remarks) == said, far
    assert "0.11 mm apart" in remarks[0] and "code 4, MNI" in remarks[0]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("codes", [(0, 0), (1, 0), (0, 2), (1, 2), (3, 4)])
def test_a_result_carries_the_header_to_the_bit(
    tmp_path: Path, codes: tuple[int, int], order: str, version: int
) -> None:
    head = header(codes, order=order, version=version, pixdim=(0.7, 1.5, 3.0))
    image = read_volume(stored(tmp_path / "image.nii.gz", head))
    for name in ("result.nii", "result.nii.gz"):
        write_volume(tmp_path / name, Volume(np.ones((1, 3, 4, 5), np.uint8), image.geometry))
        content = (tmp_path / name).read_bytes()
        content = gzip.decompress(content) if name.endswith(".gz") else content
        same = ((104, 168), (344, 492)) if version == 2 else ((76, 108), (148, 228), (252, 328))
        for start, end in same:
            assert content[start:end] == head[start:end]
        np.testing.assert_array_equal(
            nibabel.load(tmp_path / name).affine, nibabel.load(tmp_path / "image.nii.gz").affine
        )
        np.testing.assert_array_equal(read_volume(tmp_path / name).array, 1)


def test_what_the_voxels_of_an_image_meant_is_not_carried(tmp_path: Path) -> None:
    content = bytearray(header())
    struct.pack_into("<2f", content, 112, 2.5, 10.0)  # scaling
    struct.pack_into("<2f", content, 124, 900.0, 100.0)  # the window to show it in
    struct.pack_into("<h", content, 68, 1005)  # an intent
    image = read_volume(stored(tmp_path / "a.nii", bytes(content)))
    assert image.array.max() == 59 * 2.5 + 10
    write_volume(tmp_path / "b.nii", replace(image, array=np.ones(image.array.shape, np.uint8)))
    result = (tmp_path / "b.nii").read_bytes()
    assert struct.unpack_from("<2f", result, 112) == (1.0, 0.0)
    assert struct.unpack_from("<2f", result, 124) == (0.0, 0.0) and struct.unpack_from("<h", result, 68) == (0,)


def test_a_header_of_another_place_is_not_carried(tmp_path: Path) -> None:
    image = read_volume(stored(tmp_path / "a.nii", header((1, 2))))
    moved = replace(image.geometry, origin_mm=(1.0, 2.0, 3.0))
    write_volume(tmp_path / "b.nii", Volume(image.array, moved))
    assert same_grid(read_geometry(tmp_path / "b.nii"), moved, 1e-4) is None
    canonical = to_canonical(image)
    write_volume(tmp_path / "c.nii", canonical)
    assert same_grid(read_geometry(tmp_path / "c.nii"), canonical.geometry, 1e-4) is None
    assert orient_geometry(image.geometry, Orientation()).nifti_header == b""


def sheared(degrees: float) -> Matrix:
    """Columns of 0.7, 1.5 and 4 mm; y leans toward x by `degrees`."""
    lean = np.radians(degrees)
    axes = np.array([[1, np.sin(lean), 0], [0, np.cos(lean), 0], [0, 0, 1]]) * [0.7, 1.5, 4.0]
    return np.column_stack([axes, [20.0, -30.0, -15.0]])


@pytest.mark.parametrize("degrees", [0.06, 0.5, 0.95])
def test_axes_that_are_nearly_orthogonal(tmp_path: Path, degrees: float) -> None:
    path = stored(tmp_path / "a.nii", header((0, 2), sform=sheared(degrees)))
    geometry = read_geometry(path)
    axes = np.asarray(geometry.direction).reshape(3, 3)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    # each of the two axes turns by half of what they lack
    half = np.radians(degrees) / 2
    np.testing.assert_allclose(axes[:, 0], [-np.cos(half), np.sin(half), 0], atol=1e-6)
    assert geometry.spacing_mm == pytest.approx((4.0, 1.5, 0.7))
    assert f"{degrees:.2g} degrees" in header_remarks(path)[0]
    write_volume(tmp_path / "b.nii", read_volume(path))
    assert (tmp_path / "b.nii").read_bytes()[252:328] == path.read_bytes()[252:328]


def test_axes_that_are_not_orthogonal(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.nii", header((0, 2), sform=sheared(3.0)))
    with pytest.raises(DataError, match=r"a\.nii: its axes are 3 degrees from right angles[\s\S]*at most 1 degree"):
        read_volume(path)


def test_headers_that_place_nothing(tmp_path: Path) -> None:
    flat = np.column_stack([np.diag([0.7, 1.5, 0.0]), [0.0, 0.0, 0.0]])
    for head in (
        header((0, 1), sform=np.zeros((3, 4))),
        header((0, 1), sform=flat),
        header((1, 0), pixdim=(0.0, 0.0, 0.0)),
        header((1, 0), quaternion=(0.9, 0.9, 0.9)),
        header((0, 0), pixdim=(1.0, float("nan"), 1.0)),
    ):
        with pytest.raises(DataError, match="no usable grid"):
            read_volume(stored(tmp_path / "a.nii", head))
    with pytest.raises(DataError, match="its sform makes voxels of 0 x 1.5 x 0.7 mm"):
        read_geometry(stored(tmp_path / "a.nii", header((0, 1), sform=flat)))


@pytest.mark.parametrize("codes", [(0, 0), (1, 0), (0, 1)])
@pytest.mark.parametrize("sizes", [(-0.7, 1.5, 4.0), (0.7, -1.5, -4.0)])
def test_sizes_of_either_sign_are_lengths(tmp_path: Path, codes: tuple[int, int], sizes: tuple[float, ...]) -> None:
    path = stored(tmp_path / "a.nii", header(codes, pixdim=sizes))
    np.testing.assert_allclose(centres(path), lps_corners(nibabel.load(path).affine), atol=1e-4)
    assert centres(path) == pytest.approx(centres(stored(tmp_path / "b.nii", header(codes))), abs=1e-4)


def test_a_sign_of_zero_is_one(tmp_path: Path) -> None:
    content = bytearray(header((1, 0)))
    struct.pack_into("<f", content, 76, 0.0)
    path = stored(tmp_path / "a.nii", bytes(content))
    np.testing.assert_allclose(centres(path), lps_corners(nibabel.load(path).affine), atol=1e-4)
    write_volume(tmp_path / "b.nii", Volume(np.ones((1, 3, 4, 5), np.uint8), read_geometry(path)))
    assert (tmp_path / "b.nii").read_bytes()[76:108] == path.read_bytes()[76:108]


def test_trailing_axes_of_one_voxel(tmp_path: Path) -> None:
    content = bytearray(header())
    struct.pack_into("<8h", content, 40, 6, *SHAPE, 1, 1, 1, 1)
    read = read_volume(stored(tmp_path / "a.nii", bytes(content)))
    assert read.array.shape == (1, 3, 4, 5)


def test_an_offset_beyond_the_file(tmp_path: Path) -> None:
    content = bytearray(header())
    for offset in (1e30, 1e6, float("nan")):
        struct.pack_into("<f", content, 108, offset)
        with pytest.raises(DataError, match=r"a\.nii"):
            read_volume(stored(tmp_path / "a.nii", bytes(content)))


def test_a_slice_whose_header_says_nothing_of_its_thickness(tmp_path: Path) -> None:
    content = bytearray(header((0, 1), sform=np.column_stack([np.diag([0.7, 1.5, 0.0]), [0.0, 0.0, 0.0]])))
    struct.pack_into("<8h", content, 40, 3, 5, 4, 1, 1, 1, 1, 1)
    geometry = read_geometry(stored(tmp_path / "a.nii", bytes(content)))
    assert geometry.spacing_mm == pytest.approx((1.0, 1.5, 0.7)) and geometry.shape == (1, 4, 5)


def lay_out(root: Path, image: bytes, mask: bytes) -> None:
    values = (np.arange(60) % 7 == 0).astype(np.int16)
    for case in ("a", "b"):
        stored(root / "images" / f"{case}.nii.gz", image, np.arange(60, dtype=np.int16) + ord(case))
        stored(root / "labels" / f"{case}.nii.gz", mask, values)


def test_masks_are_where_the_sform_has_their_image(tmp_path: Path) -> None:
    """As nibabel saves a mask with the affine of its image: the sform alone."""
    lay_out(tmp_path / "right", header((1, 2)), header((0, 2)))
    findings = check_dataset(open_dataset(tmp_path / "right"))
    assert [finding for finding in findings if finding.severity == "error"] == []
    told = [finding for finding in findings if "sform" in finding.found]
    assert [(finding.case, finding.severity) for finding in told] == [("a", "warning"), ("b", "warning")]
    assert all("code 2" in finding.found and "qform" in finding.found for finding in told)
    lay_out(tmp_path / "wrong", header((1, 2)), header((1, 0)))
    errors = [finding for finding in check_dataset(open_dataset(tmp_path / "wrong")) if finding.severity == "error"]
    assert len(errors) == 2 and "corners lie" in errors[0].found


def test_a_packed_file_says_so_in_its_name(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.nii.gz", header()).rename(tmp_path / "a.nii")
    with pytest.raises(DataError, match=r"packed with gzip[\s\S]*rename it to a\.nii\.gz"):
        read_volume(path)
    stored(path, header()).rename(tmp_path / "b.nii.gz")  # the other way round it is harmless
    assert read_volume(tmp_path / "b.nii.gz").array.max() == 59


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".mgz", ".hdr"])
def test_a_pointer_to_a_file_that_was_not_fetched(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(DataError, match=r"Git LFS pointer[\s\S]*git lfs pull"):
        read_volume(path)
    path.write_text("/annex/objects/MD5E-s1--0.nii.gz\n")
    with pytest.raises(DataError, match="git annex get"):
        read_geometry(path)
