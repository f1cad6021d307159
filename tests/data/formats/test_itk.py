"""The libraries that read images: loaded when they are needed, silent, and their complaints cut to what they say."""

from __future__ import annotations

import subprocess
import sys

import pytest

from autospine.data.formats.itk import nibabel, reason, sitk

ASKED = """
import sys
from autospine.data import volume
from autospine.data.formats import itk
print({"SimpleITK", "nibabel"} & set(sys.modules))
"""


def test_what_reads_no_file_loads_neither() -> None:
    said = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True)
    assert said.stdout == "set()\n"


def test_they_are_what_they_are_called_and_do_not_speak_to_the_terminal() -> None:
    assert (sitk().__name__, nibabel().__name__) == ("SimpleITK", "nibabel")
    assert not sitk().ProcessObject.GetGlobalWarningDisplay()


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (
            "Exception thrown in SimpleITK ImageFileReader_Execute: /tmp/sitkImageReaderBase.cxx:97:\n"
            'sitk::ERROR: Unable to determine ImageIO reader for "a.nii"',
            'Unable to determine ImageIO reader for "a.nii"',
        ),
        ("itk::ERROR: itk::ERROR: MetaImageIO(0x55d0c1):  File cannot\n be read", "MetaImageIO: File cannot be read"),
        ("no word of it", "no word of it"),
        ("x" * 300, "x" * 200),
    ],
)
def test_places_in_its_source_say_nothing_to_a_user(raised: str, said: str) -> None:
    assert reason(RuntimeError(raised)) == said
