"""DICOM as scanners and archives leave it: without preamble, file meta or suffix, beside what is no image."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileDataset
from pydicom.filebase import DicomBytesIO
from pydicom.uid import JPEGLSLossless, generate_uid

from autospine.data.dataset import load_case, open_dataset
from autospine.data.formats.dicom import holds_images, read_series
from autospine.data.formats.dicom_files import (
    addressed,
    dicom_files,
    is_dicom,
    series_address,
    series_files,
    series_folders,
)
from autospine.data.inputs import find_inputs
from autospine.data.volume import is_series, read_volume
from autospine.errors import DataError
from tests.data.dicom_files import write_enhanced, write_series
from tests.data.sagittal_series import ARRAY, GRID, same


def encoded(header: FileDataset, implicit: bool, little: bool = True) -> bytes:
    """The header and its voxels without preamble and file meta."""
    buffer = DicomBytesIO()
    bare = Dataset()
    bare.update({element.tag: element for element in header})
    dcmwrite(buffer, bare, implicit_vr=implicit, little_endian=little)
    return buffer.getvalue()


BARE: dict[str, Callable[[Path], bytes]] = {
    "file meta without preamble": lambda path: path.read_bytes()[132:],
    "explicit without file meta": lambda path: encoded(dcmread(path), False),
    "implicit without file meta": lambda path: encoded(dcmread(path), True),
    "preamble without file meta": lambda path: b"\0" * 128 + b"DICM" + encoded(dcmread(path), True),
}


def bare_series(folder: Path, strip: Callable[[Path], bytes]) -> list[Path]:
    """A series whose files are called as archives do, by numbers and points."""
    paths = []
    for index, path in enumerate(write_series(folder, ARRAY, GRID)):
        paths.append(folder / f"1.2.840.99.{index}")
        paths[-1].write_bytes(strip(path))
        path.unlink()
    return paths


@pytest.mark.parametrize("kind", BARE)
def test_files_without_preamble_file_meta_or_suffix(tmp_path: Path, kind: str) -> None:
    paths = bare_series(tmp_path / "p1", BARE[kind])
    (tmp_path / "p1" / "notes").write_text("nothing")
    assert dicom_files(tmp_path / "p1") == paths
    same(read_series(tmp_path / "p1"))
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, [case.name for case in dataset.cases]) == ("dicom", ["p1"])
    np.testing.assert_array_equal(
        np.sort(load_case(dataset, dataset.cases[0]).image.array.ravel()), np.sort(ARRAY.ravel())
    )
    assert find_inputs(tmp_path, ("T2",)) == [("p1", (tmp_path / "p1",))]
    # one file of them, which keeps its whole name
    assert find_inputs(paths[2], ("T2",)) == [("1.2.840.99.2", (paths[2],))]
    assert is_series(paths[2])
    np.testing.assert_array_equal(read_volume(paths[2]).array[0, 0], ARRAY[2])


def test_a_bare_file_whose_class_was_taken_out(tmp_path: Path) -> None:
    (source,) = write_series(tmp_path, ARRAY[:1], GRID)
    header = dcmread(source)
    del header.SOPClassUID
    path = tmp_path / "one"
    path.write_bytes(encoded(header, True))
    assert is_dicom(path)
    del header.SOPInstanceUID
    path.write_bytes(encoded(header, True))
    assert not is_dicom(path)


def test_an_enhanced_image_without_preamble(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "one", ARRAY, GRID, [2, 0, 1, 5, 4, 3])
    path.write_bytes(path.read_bytes()[132:])
    same(read_volume(path))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x08\x00",
        b"\x08\x00\x05\x00 and so on: a text that begins like a header",
        b"\x02\x00" + bytes(5000),
        np.full(4000, 8, np.uint16).tobytes(),
        struct.pack("<HHI", 8, 0x16, 26) + b"no class, no identification",
        b"plain text\n" * 400,
        b"\x5c\x01\x00\x00" + bytes(400),
    ],
)
def test_other_files_are_no_dicom(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "IM0001"
    path.write_bytes(content)
    assert not is_dicom(path) and not is_series(path)


def test_voxels_that_only_the_missing_file_meta_explains(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, ARRAY[:1], GRID)
    big = dcmread(path)
    path.write_bytes(encoded(big, False, little=False))
    with pytest.raises(DataError, match="no TransferSyntaxUID, and voxels that need one"):
        read_volume(path)
    (path,) = write_series(tmp_path, ARRAY[:1], GRID)
    packed = dcmread(path)
    packed.compress(JPEGLSLossless)
    packed.save_as(path)
    content = path.read_bytes()
    path.write_bytes(content[content.index(struct.pack("<HH2s", 8, 0x16, b"UI")) :])
    with pytest.raises(DataError, match="no TransferSyntaxUID, and voxels that need one"):
        read_volume(path)


def test_what_a_bare_file_lacks_is_still_named(tmp_path: Path) -> None:
    paths = bare_series(tmp_path, BARE["implicit without file meta"])
    paths[2].write_bytes(paths[2].read_bytes()[:-40])
    with pytest.raises(DataError, match=r"1\.2\.840\.99\.2: damaged or cut off: it holds 120 bytes"):
        read_volume(tmp_path)


def test_an_empty_file_may_have_been_the_last_slice(tmp_path: Path) -> None:
    write_series(tmp_path, ARRAY, GRID, names="IM{}".format)[-1].write_bytes(b"")
    with pytest.raises(DataError, match="IM5: an empty file among the slices"):
        read_volume(tmp_path)
    (tmp_path / "IM5").rename(tmp_path / "done.txt")
    assert read_volume(tmp_path).array.shape == (1, 5, 8, 10)


# Mosaics


# What lies beside images


def report(path: Path, source: Path, **changes: object) -> None:
    """A copy of a slice as another object without voxels."""
    held = dcmread(source)
    held.SeriesInstanceUID = generate_uid()
    for key in ("PixelData", "Rows", "Columns", "ImagePositionPatient"):
        delattr(held, key)
    for key, value in changes.items():
        setattr(held, key, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    held.save_as(path)


OBJECTS = {
    "SR": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.11", "Modality": "SR"},
    "KO": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.59", "Modality": "KO"},
    "raw": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66", "Modality": "MR"},
    "CSA": {"SOPClassUID": "1.3.12.2.1107.5.9.1", "Modality": "MR"},
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_objects_that_are_no_images_in_folders_of_their_own(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "data"
    for name in ("p1", "p2"):
        source = write_series(root / name / "T2", ARRAY, GRID, study=f"1.2.{name[1]}", patient=name)[0]
        report(root / name / kind / "object", source, **OBJECTS[kind])
    report(root / "p1" / "T2" / "object", root / "p1" / "T2" / "IM0000.dcm", **OBJECTS[kind])
    assert holds_images(root / "p1" / "T2") and not holds_images(root / "p1" / kind)
    dataset = open_dataset(root)
    assert [(case.name, case.images) for case in dataset.cases] == [
        ("p1", (root / "p1" / "T2",)),
        ("p2", (root / "p2" / "T2",)),
    ]
    assert f"DICOM objects that are no images, left aside: p1/{kind}/, p2/{kind}/" in dataset.notes
    same(read_volume(root / "p1" / "T2"))
    said: list[str] = []
    assert [name for name, _ in find_inputs(root, ("T2",), tell=said.append)] == ["p1_T2", "p2_T2"]
    assert said == [f"DICOM objects that are no images, left aside: p1/{kind}/, p2/{kind}/"]


def test_only_objects_that_are_no_images(tmp_path: Path) -> None:
    source = write_series(tmp_path / "p1", ARRAY, GRID)[0]
    report(tmp_path / "reports" / "one", source, **OBJECTS["SR"])
    for read in (open_dataset, lambda path: find_inputs(path, ("T2",))):
        with pytest.raises(DataError, match="no DICOM image|DICOM objects that are no images"):
            read(tmp_path / "reports")


def test_a_series_among_others_has_an_address(tmp_path: Path) -> None:
    first, second = (
        write_series(tmp_path, ARRAY, GRID, names=f"{name}{{}}".format, uid=f"1.2.{name}") for name in "34"
    )
    (tmp_path / "below").mkdir()
    further = first.pop().rename(tmp_path / "below" / "further")
    (tmp_path / "30.txt").write_text("no image")
    address = series_address(tmp_path, "1.2.3")
    assert address is not None and not address.exists() and is_series(address)
    assert addressed(address) == (tmp_path, "1.2.3")
    assert series_files(address) == [*first, further]
    assert series_files(tmp_path) == dicom_files(tmp_path) and series_files(second[0]) == [second[0]]
    # what is there is what it is, and what is no UID has no address
    address.mkdir()
    assert addressed(address) is None and series_files(address) == []
    assert addressed(tmp_path / "none" / address.name) is None and not is_series(tmp_path / "none" / address.name)
    assert series_address(tmp_path, "../x") is None and series_address(tmp_path, "") is None


def test_a_file_that_changes_is_asked_again(tmp_path: Path) -> None:
    one, other = (write_series(tmp_path, ARRAY[:1], GRID, names=lambda _, n=n: n, uid=f"1.2.{n}") for n in "34")
    address = series_address(tmp_path, "1.2.3")
    assert address is not None and series_files(address) == one
    one[0].write_bytes(b"")
    assert series_files(address) == []
    one[0].write_bytes(other[0].read_bytes() + b"  ")
    assert series_files(address) == [] and series_files(series_address(tmp_path, "1.2.4") or address) == [*one, *other]


def test_a_link_to_itself_hides_no_series_beside_it(tmp_path: Path) -> None:
    write_series(tmp_path / "patient" / "t2", ARRAY, GRID)
    (tmp_path / "patient" / "mask.nii.gz").symlink_to(tmp_path / "patient" / "mask.nii.gz")
    assert list(series_folders(tmp_path)) == [tmp_path / "patient" / "t2"]
