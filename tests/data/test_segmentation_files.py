from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autospine.data.codes.structures import structures_of
from autospine.data.formats.dicom_files import series_address
from autospine.data.formats.dicom_seg import segment_names
from autospine.data.formats.slicer import read_segments
from autospine.data.geometry import Geometry, Volume, same_grid
from autospine.data.made_by import MadeBy
from autospine.data.masks.files import read_mask
from autospine.data.segmentation_files import check_segmentation, ending_for, write_segmentation
from autospine.data.volume import read_volume
from autospine.errors import OutputError
from tests.data.dicom_files import write_series
from tests.data.sagittal_series import ARRAY, GRID

STRUCTURES = structures_of([("L5", 2), ("Würfel ~|^", 7), ("left ES", 300)])
MADE_BY = MadeBy("2d", "ab" * 32)


def labels(geometry: Geometry = GRID) -> Volume:
    array = np.random.default_rng(3).choice(np.array([0, 2, 7, 300], np.uint16), geometry.shape)
    return Volume(array[None], geometry, (("Modality_of_user", "T2"), ("Segment0_Name", "of the image")))


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.seg.nrrd", "a.mha", "a.mgz"])
def test_every_format_holds_values_and_grid(name: str, tmp_path: Path) -> None:
    write_segmentation(tmp_path / name, labels(), STRUCTURES, (Path("image.nii.gz"),), MADE_BY)
    read = read_volume(tmp_path / name)
    np.testing.assert_array_equal(read.array, labels().array)
    assert same_grid(read.geometry, GRID, 1e-3) is None
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_segments_of_slicer_have_names_values_and_colours(tmp_path: Path) -> None:
    path = tmp_path / "a.seg.nrrd"
    write_segmentation(path, labels(), STRUCTURES, (None,), MADE_BY)
    held = read_segments(path)
    assert [(one.name, one.value, one.layer) for one in held] == [
        ("L5", 2, 0),
        ("Würfel ~|^", 7, 0),
        ("left ES", 300, 0),
    ]
    mask = read_mask(path)
    assert mask.segments == (("L5", 1), ("Würfel ~|^", 2), ("left ES", 3))
    np.testing.assert_array_equal(mask.values == 3, labels().array[0] == 300)
    import nrrd

    header = nrrd.read_header(str(path))
    assert header["Modality_of_user"] == "T2" and header["Segmentation_SourceRepresentation"] == "Binary labelmap"
    red, green, blue = (float(part) * 255 for part in header["Segment0_Color"].split())
    np.testing.assert_allclose((red, green, blue), STRUCTURES[0].colour, atol=0.01)
    entry = header["Segment0_Tags"].removeprefix("TerminologyEntry:").removesuffix("|").split("~")
    assert len(entry) == 7 and entry[2] == "SCT^49668003^L5 vertebra"
    assert header["Segment2_Tags"].split("~")[3] == "SCT^7771000^Left"
    assert len(header["Segment1_Tags"].removesuffix("|").split("~")) == 7 and "|" not in header["Segment1_Tags"][:-1]


def test_a_dicom_seg_refers_to_the_first_series_that_is_there(tmp_path: Path) -> None:
    write_series(tmp_path / "series", ARRAY, GRID)
    image = read_volume(tmp_path / "series")
    made = Volume(labels(image.geometry).array, image.geometry)
    write_segmentation(tmp_path / "a.dcm", made, STRUCTURES, (None, tmp_path / "series"), MADE_BY)
    assert segment_names(tmp_path / "a.dcm") == (("L5", 1), ("Würfel ~|^", 2), ("left ES", 3))
    mask = read_mask(tmp_path / "a.dcm", image.geometry)
    np.testing.assert_array_equal(mask.values == 3, made.array[0] == 300)


def test_without_a_dicom_image_there_is_nothing_to_refer_to(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"refers to a DICOM series, and image\.nii\.gz is none"):
        check_segmentation(tmp_path / "a.dcm", GRID, (Path("image.nii.gz"),))
    with pytest.raises(OutputError, match="and the image is none"):
        write_segmentation(tmp_path / "a.dcm", labels(), STRUCTURES, (), MADE_BY)
    assert not list(tmp_path.iterdir())


def test_a_segmentation_has_the_format_of_its_image_or_the_one_that_was_chosen(tmp_path: Path) -> None:
    write_series(tmp_path / "series", ARRAY[:1], GRID)
    assert ending_for(tmp_path / "series") == ending_for(next((tmp_path / "series").iterdir())) == ".dcm"
    assert [ending_for(Path(f"a{end}")) for end in (".nii", ".nrrd", ".mhd")] == [".nii", ".nrrd", ".mha"]
    assert (
        ending_for(tmp_path / "series", "nifti") == ".nii.gz" and ending_for(Path("a.nii"), "seg-nrrd") == ".seg.nrrd"
    )
    with pytest.raises(OutputError, match="not a format that segmentations are written in\nExpected: nifti, nrrd"):
        ending_for(Path("a.nii"), "jpeg")


@pytest.mark.parametrize("name", ["a.mhd", "a.txt", ".dcm"])
def test_other_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not a format that can be written"):
        check_segmentation(tmp_path / name)


def test_of_several_series_in_one_folder_the_one_that_was_segmented_is_referred_to(tmp_path: Path) -> None:
    from pydicom import dcmread

    write_series(tmp_path, ARRAY, GRID, uid="1.2.3.1", names=lambda index: f"a{index}.dcm")
    write_series(tmp_path, ARRAY + 1, GRID, uid="1.2.3.2", names=lambda index: f"b{index}.dcm")
    source = series_address(tmp_path, "1.2.3.2")
    image = read_volume(source)
    assert ending_for(source) == ".dcm"
    made = Volume(labels(image.geometry).array, image.geometry)
    write_segmentation(tmp_path / "out" / "a.dcm", made, STRUCTURES, (source,), MADE_BY)
    referred = dcmread(tmp_path / "out" / "a.dcm").ReferencedSeriesSequence[0]
    assert referred.SeriesInstanceUID == "1.2.3.2" and len(referred.ReferencedInstanceSequence) == len(ARRAY)
