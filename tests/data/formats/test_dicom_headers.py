"""What is read of a header to choose by, and what is not kept of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from autospine.data.formats.dicom_headers import read_header, token
from autospine.data.weighting import Timing
from autospine.errors import DataError
from tests.data.dicom_files import PATIENT, PATIENT_ID, write_enhanced
from tests.data.sagittal_series import ARRAY, GRID
from tests.data.studies import Study


def test_a_slice(tmp_path: Path) -> None:
    path = Study.of(tmp_path).add(
        *("x", 7, "T2 sag\x1b[31m  red\n"),
        EchoTime=102.5,
        RepetitionTime=3500,
        ScanningSequence=["SE"],
        ProtocolName="lumbar",
        ContrastBolusAgent="Gd",
    )[2]
    header = read_header(path)
    assert header is not None and header.image and not header.captured
    # what a terminal would obey is no text
    assert header.texts == ("T2 sag [31m red", "lumbar", "")
    assert (header.number, header.timing, header.contrast) == (7, Timing(102.5, 3500, None, True), True)
    assert header.image_type == ("ORIGINAL", "PRIMARY", "M", "SE")
    assert header.grid is not None and header.grid.spacing_mm == (0.7, 0.7) and header.grid.thickness_mm == 4.4
    np.testing.assert_allclose(header.grid.normal, (-1, 0, 0), atol=1e-9)
    np.testing.assert_allclose(header.grid.places, [(-8.8, 0, 0)])
    assert header.patient == token(PATIENT_ID)
    assert not any(secret in repr(header) for secret in (PATIENT, PATIENT_ID, "19500101"))


@pytest.mark.parametrize("charset", ["ISO_IR 192", "ISO_IR 100", None])
def test_descriptions_in_other_letters(tmp_path: Path, charset: str | None) -> None:
    said = {"ISO_IR 192": "utf-8"}.get(charset or "", "latin-1")
    path = Study.of(tmp_path).add("x", 1, "T2 WXYZV")[0]
    if charset is not None:
        whole = dcmread(path)
        whole.SpecificCharacterSet = charset
        whole.save_as(path)
    path.write_bytes(path.read_bytes().replace(b"T2 WXYZV", "T2 süß".encode(said).ljust(8)))
    header = read_header(path)
    assert header is not None and header.texts[0] == "T2 süß"


def test_an_enhanced_image(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "all", ARRAY, GRID, [3, 0, 1, 2, 5, 4])
    whole = dcmread(path)
    echo, times = Dataset(), Dataset()
    echo.EffectiveEchoTime, times.RepetitionTime = 15.0, 600.0
    shared = whole.SharedFunctionalGroupsSequence[0]
    shared.MREchoSequence, shared.MRTimingAndRelatedParametersSequence = Sequence([echo]), Sequence([times])
    whole.EchoPulseSequence = "SPIN"
    whole.save_as(path)
    header = read_header(path)
    assert header is not None and header.timing == Timing(15.0, 600.0, None, True)
    assert header.grid is not None and len(header.grid.places) == 6 and header.grid.parallel
    assert header.grid.thickness_mm == 4.4


@pytest.mark.parametrize("lost", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_what_has_no_place(tmp_path: Path, lost: str) -> None:
    path = Study.of(tmp_path).add("x", None, "", change=lambda index, header: delattr(header, lost))[0]
    header = read_header(path)
    assert header is not None and header.grid is None and header.number is None


def test_what_is_no_dicom_and_what_is_broken(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("x" * 200)
    assert read_header(tmp_path / "notes") is None
    (tmp_path / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 40)
    with pytest.raises(DataError, match="cannot be read as DICOM"):
        read_header(tmp_path / "broken.dcm")


def test_tokens_say_nothing_but_whether_two_are_equal() -> None:
    assert token("A") == token("A ") != token("B") and "A" not in token("A").upper().strip("0123456789ABCDEF")
    assert token(None) == token("") == ""
