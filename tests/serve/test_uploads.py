"""Zips and packed images of strangers: what is unpacked of them, and what is refused, and that nothing gets out."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from autospine.data.volume import read_volume
from autospine.serve.limits import Limits
from autospine.serve.refusals import RequestError
from autospine.serve.uploads import Room, Upload, unpacked
from tests.data.dicom_files import write_series
from tests.data.sagittal_series import ARRAY, GRID
from tests.serve.serving import bomb, file_bytes, image, zip_bytes, zipped

SMALL = Limits(upload_bytes=1_000_000, members=50, harmless_bytes=200_000, ratio=20)


def unpack(folder: Path, content: bytes, limits: Limits = SMALL) -> Upload:
    own = folder / "own"
    own.mkdir()
    (own / "part_1").write_bytes(content)
    return unpacked(own / "part_1", "", 1, Room(limits))


def refused(folder: Path, content: bytes, limits: Limits = SMALL) -> tuple[int, str]:
    with pytest.raises(RequestError) as fault:
        unpack(folder, content, limits)
    assert {path.name for path in folder.iterdir()} == {"own"}  # nothing outside
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < limits.expanded_bytes + 300_000
    return fault.value.status, fault.value.parts["found"]


@pytest.fixture
def series(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    write_series(folder, ARRAY, GRID)
    return folder


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    folder = tmp_path / "inside"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("name", "kind", "path"),
    [
        ("a.nii.gz", "nifti", "upload_1.nii"),
        ("a.nii", "nifti", "upload_1.nii"),
        ("a.nrrd", "nrrd", "upload_1.nrrd"),
        ("a.mha", "mha", "upload_1.mha"),
    ],
)
def test_images_are_told_by_their_first_bytes(tmp_path: Path, inside: Path, name: str, kind: str, path: str) -> None:
    found = unpack(inside, file_bytes(tmp_path, name, image()))
    assert (found.kind, found.path.name) == (kind, path)
    np.testing.assert_array_equal(read_volume(found.path).array, image().array)
    assert [file.name for file in found.path.parent.iterdir()] == [path]


def test_one_dicom_file_with_and_without_its_preamble(series: Path, inside: Path, tmp_path: Path) -> None:
    content = next(series.iterdir()).read_bytes()
    assert unpack(inside, content).path.name == "upload_1.dcm"
    bare = tmp_path / "bare"
    bare.mkdir()
    assert unpack(bare, content[132:]).kind == "dicom"


def test_a_zip_of_a_study_gives_a_folder_for_each_series(tmp_path: Path, inside: Path) -> None:
    for name in ("a", "b"):
        write_series(tmp_path / "study" / name, ARRAY, GRID)
    members = {"README.txt": b"viewer", "viewer.jar": zip_bytes({"x": b"y"})}
    files = sorted((tmp_path / "study").rglob("*.dcm"))
    members |= {f"{index:03d}": file.read_bytes() for index, file in enumerate(files)}  # as a CD has them: mixed
    found = unpack(inside, zip_bytes(members))
    assert (found.kind, found.path.name) == ("dicom", "upload_1")
    folders = sorted(found.path.iterdir())
    assert [(folder.name, len(list(folder.iterdir()))) for folder in folders] == [("series_001", 6), ("series_002", 6)]
    for folder in folders:
        np.testing.assert_array_equal(read_volume(folder).array.sum(), ARRAY.sum())
    assert {path.name for path in inside.rglob("*") if path.is_file()} == {f"{n:05d}.dcm" for n in range(3, 15)}


@pytest.mark.parametrize(
    "name", ["../evil.dcm", "a/../../evil.dcm", "/evil.dcm", "\\evil.dcm", "..\\evil.dcm", "C:\\e"]
)
def test_names_that_lead_out(series: Path, inside: Path, name: str) -> None:
    content = next(series.iterdir()).read_bytes()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        member = zipfile.ZipInfo("x")
        member.filename = name
        archive.writestr(member, content)
    assert refused(inside, made.getvalue()) == (400, "a zip with names that lead out of its folder")


def test_names_in_any_script_are_only_names(series: Path, inside: Path) -> None:
    content = next(series.iterdir()).read_bytes()
    found = unpack(inside, zip_bytes({"Wirbelsäule/椎骨 \u202e.dcm": content, "a" * 400: content}))
    assert len(list(found.path.rglob("*.dcm"))) == 2


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices(inside: Path, kind: int) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        member = zipfile.ZipInfo("image.dcm")
        member.create_system, member.external_attr = 3, (kind | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    assert refused(inside, made.getvalue()) == (400, "a zip with a link or a device in it")


def test_encrypted_files(series: Path, inside: Path) -> None:
    content = bytearray(zip_bytes({"a.dcm": next(series.iterdir()).read_bytes()}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert refused(inside, bytes(content)) == (400, "a zip with encrypted files")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_ways_to_pack(inside: Path, method: int) -> None:
    assert refused(inside, zip_bytes({"a.dcm": bytes(100)}, method))[0] == 400


def test_a_zip_bomb_by_what_it_says(inside: Path) -> None:
    status, found = refused(inside, zip_bytes({"a.dcm": bytes(3_000_000)}))
    assert (status, found) == (413, "it becomes too large when it is unpacked")


def test_a_zip_bomb_that_lies(inside: Path) -> None:
    content = zip_bytes({"a.dcm": bytes(3_000_000)})
    for mark, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = content.index(mark) + offset
        content = content[:at] + (1000).to_bytes(4, "little") + content[at + 4 :]
    assert refused(inside, content)[0] in (400, 413)


def test_a_zip_bomb_of_many_files_that_share_their_bytes(inside: Path) -> None:
    single = zip_bytes({"a.dcm": bytes(100_000)})
    entry = single[single.index(b"PK\x01\x02") : single.index(b"PK\x05\x06")]
    count = 40
    end = bytearray(single[single.index(b"PK\x05\x06") :])
    end[8:10] = end[10:12] = count.to_bytes(2, "little")
    end[12:16] = (len(entry) * count).to_bytes(4, "little")
    content = single[: single.index(b"PK\x01\x02")] + entry * count + bytes(end)
    assert refused(inside, content)[0] in (400, 413)


def test_a_zip_in_a_zip_is_not_opened(inside: Path) -> None:
    nested = zip_bytes({"b.zip": zip_bytes({"c.zip": zip_bytes({"a.dcm": bytes(3_000_000)})})})
    assert refused(inside, nested) == (415, "a zip without DICOM files")


def test_more_files_than_there_may_be(inside: Path) -> None:
    assert refused(inside, zip_bytes({str(index): b"" for index in range(51)})) == (413, "51 files")


def test_a_list_of_files_that_memory_would_be_needed_for(inside: Path) -> None:
    content = bytearray(zip_bytes({"a": b""}))
    at = content.index(b"PK\x05\x06")
    entry = bytes(content[content.index(b"PK\x01\x02") : at])
    listed = entry * (6_000_000 // len(entry))
    content[at + 12 : at + 16] = len(listed).to_bytes(4, "little")
    large = Limits(upload_bytes=10**9)
    status, found = refused(
        inside, bytes(content[: content.index(b"PK\x01\x02")]) + listed + bytes(content[at:]), large
    )
    assert status == 400 and "too long" in found


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_a_zip_that_is_cut_off(series: Path, inside: Path, share: float) -> None:
    content = zipped(series)
    assert refused(inside, content[: int(share * len(content))])[0] == 400


def test_a_zip_that_is_damaged(series: Path, inside: Path) -> None:
    content = bytearray(zipped(series))
    content[200:220] = bytes(20)
    assert refused(inside, bytes(content))[0] == 400


def test_a_directory_of_dicom_is_no_image(series: Path, inside: Path) -> None:
    header = dcmread(next(series.iterdir()))
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    header.save_as(series / "DICOMDIR", enforce_file_format=True)
    content = zip_bytes({path.name: path.read_bytes() for path in series.iterdir()})
    assert len(list(unpack(inside, content).path.rglob("*.dcm"))) == len(ARRAY)


def test_dicom_that_is_packed_as_a_whole(series: Path, inside: Path, tmp_path: Path) -> None:
    """Pydicom unpacks it without a limit."""
    path = next(series.iterdir())
    header = dcmread(path)
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    header.PixelData = bytes(50_000_000)
    header.save_as(path, enforce_file_format=True)
    assert path.stat().st_size < 200_000
    assert refused(inside, path.read_bytes())[0] == 415
    bare, zipped_too = tmp_path / "bare", tmp_path / "zipped"
    bare.mkdir()
    zipped_too.mkdir()
    assert refused(bare, path.read_bytes()[132:])[0] == 415
    assert refused(zipped_too, zip_bytes({"a": path.read_bytes()}))[0] == 415


def test_a_gzip_bomb(inside: Path) -> None:
    status, found = refused(inside, bomb(5_000_000))
    assert (status, found) == (413, "it becomes too large when it is unpacked")


def test_a_gzip_of_gzips_is_unpacked_once(inside: Path) -> None:
    assert refused(inside, gzip.compress(gzip.compress(bytes(100))))[0] == 415


def test_a_zip_named_or_packed_as_an_image(inside: Path) -> None:
    assert refused(inside, gzip.compress(zip_bytes({"a": b"b"})))[0] == 415


@pytest.mark.parametrize("share", [0.1, 0.6, 0.99])
def test_a_packed_image_that_is_cut_off(tmp_path: Path, inside: Path, share: float) -> None:
    content = file_bytes(tmp_path, "a.nii.gz", image())
    assert refused(inside, content[: int(share * len(content))])[0] == 400


@pytest.mark.parametrize(
    "content", [b"x", b"\x89PNG\r\n\x1a\n" + bytes(100), b"PK", b"%PDF-1.7", bytes(5000), b"{}", b"\x1f\x8b"]
)
def test_what_is_no_image(inside: Path, content: bytes) -> None:
    assert refused(inside, content)[0] in (400, 415)


def test_the_room_is_that_of_all_files_of_a_request(tmp_path: Path) -> None:
    room = Room(Limits(upload_bytes=10_000, harmless_bytes=30_000))
    content = gzip.compress(file_bytes(tmp_path, "a.nii", image()).ljust(25_000, b"\0"))
    for number in (1, 2):
        (tmp_path / f"part_{number}").write_bytes(content)
    assert unpacked(tmp_path / "part_1", "", 1, room).path.stat().st_size == 25_000
    with pytest.raises(RequestError) as fault:
        unpacked(tmp_path / "part_2", "", 2, room)
    assert fault.value.status == 413


@pytest.mark.parametrize("packed", ["as it is", "gzip", "zip"])
def test_a_file_that_memory_has_no_room_for_is_not_opened(tmp_path: Path, packed: str) -> None:
    """A header may be as long as its file, and is read before it is known what it says."""
    content = file_bytes(tmp_path, "a.nii", image()).ljust(200_000, b"\0")
    if packed != "as it is":
        content = gzip.compress(content) if packed == "gzip" else zip_bytes({"a.dcm": content})
    (tmp_path / "part_1").write_bytes(content)
    with pytest.raises(RequestError) as fault:
        unpacked(tmp_path / "part_1", "", 1, Room(Limits(), 100_000))
    assert fault.value.status == 413 and "too little memory" in fault.value.parts["found"]
    assert fault.value.parts["expected"] == "at most 0.1 MB"
    assert sum(path.stat().st_size for path in tmp_path.rglob("upload_1*") if path.is_file()) <= 100_000


@pytest.mark.parametrize("change", [-1000, 1 << 40, (1 << 63) + 5])
def test_a_zip_whose_list_points_out_of_it(inside: Path, series: Path, change: int) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.dcm", next(series.glob("*.dcm")).read_bytes())
        archive.filelist[0].header_offset += change if change > 0 else 0
    content = made.getvalue()
    if change < 0:  # a list that says to lie further behind than it does has its files lie before the beginning
        end = content.rindex(b"PK\x05\x06")
        (start,) = struct.unpack_from("<I", content, end + 16)
        content = content[: end + 16] + struct.pack("<I", start - change) + content[end + 20 :]
    assert refused(inside, content)[0] == 400


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize(
    ("tag", "kind", "value"),
    [
        ("ImagePositionPatient", "DS", b"1\\" * 20_000),
        ("ImageOrientationPatient", "UN", b"1\\" * 20_000),
        ("SeriesInstanceUID", "UT", b"1" * 50_000),
        ("ImageType", "CS", b"A\\" * 20_000),
    ],
)
def test_a_header_that_becomes_large_in_memory(
    inside: Path, series: Path, tag: str, kind: str, value: bytes, implicit: bool
) -> None:
    """Numbers in text take a hundred times what they take in the file."""
    header = dcmread(next(series.glob("*.dcm")))
    number = tag_for_keyword(tag)
    assert number is not None
    header[number] = RawDataElement(BaseTag(number), None if implicit else kind, len(value), value, 0, implicit, True)
    made = io.BytesIO()
    write_file(made, header, implicit)
    for content in (made.getvalue(), zip_bytes({"a": made.getvalue()})):
        with pytest.raises(RequestError) as fault:
            own = inside / str(len(content))
            own.mkdir()
            (own / "part_1").write_bytes(content)
            unpacked(own / "part_1", "", 1, Room(SMALL))
        assert fault.value.status == 400 and "bytes of text" in fault.value.parts["found"]


def write_file(made: io.BytesIO, header: FileDataset, implicit: bool) -> None:
    from pydicom.filebase import DicomFileLike
    from pydicom.filewriter import write_dataset, write_file_meta_info

    header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    made.write(bytes(128) + b"DICM")
    file = DicomFileLike(made)
    file.is_little_endian, file.is_implicit_VR = True, implicit
    write_file_meta_info(file, header.file_meta, enforce_standard=False)
    write_dataset(file, header)


@pytest.mark.parametrize("head", [b"NRRD0004\ntype: uchar\n", b"ObjectType = Image\nNDims = 3\n"])
def test_a_header_in_lines_without_an_end(inside: Path, head: bytes) -> None:
    """It would be gone through line by line, for minutes."""
    content = head + b"Comment = x\n" * 400_000
    assert refused(inside, content, Limits()) == (400, "a header of more than 4 MiB")
