"""Which series of a DICOM study is predicted, what is said of it, and what its case is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from autospine.data.dataset import read_images
from autospine.data.formats.dicom_files import addressed
from autospine.data.formats.dicom_headers import token
from autospine.data.inputs import find_inputs, images_digest
from autospine.data.layouts.shared.naming import raise_fault
from autospine.data.series_choice import Sought
from autospine.data.volume import header_remarks, is_series, read_channels, read_geometry, read_volume
from autospine.errors import DataError
from tests.data.dicom_files import PATIENT, PATIENT_ID
from tests.data.studies import SHAPE, Study, grid, moved, whole_study

SAGITTAL = Sought("sagittal", True, ((4.0, 0.6, 0.6), (5.0, 0.8, 0.8)))
FLAT: Callable[[str], str] = lambda name: "export"  # noqa: E731


class Ran:
    """Cases found, and what was said."""

    def __init__(
        self,
        root: Path,
        channels: tuple[str, ...] = ("T2",),
        optional: tuple[int, ...] = (),
        sought: Sought = SAGITTAL,
    ) -> None:
        self.notes: list[str] = []
        self.faults: list[DataError] = []
        self.cases = dict(
            find_inputs(root, channels, optional, sought=sought, tell=self.notes.append, report=self.faults.append)
        )

    def places(self, root: Path) -> dict[str, list[str | None]]:
        return {
            name: [None if path is None else path.relative_to(root).as_posix() for path in files]
            for name, files in self.cases.items()
        }


def test_the_series_that_the_model_is_for(tmp_path: Path) -> None:
    whole_study(Study.of(tmp_path), lambda name: f"p1/study/{name}")
    found = Ran(tmp_path)
    assert found.places(tmp_path) == {"p1_study_t2": ["p1/study/t2"]} and not found.faults
    assert found.notes == [
        "DICOM objects that are no images, left aside: p1/study/sr/",
        'p1_study: 3 "t2_tse_sag" (sagittal, 4 slices of 4.4 mm, 0.7 x 0.7 mm in plane): T2, sagittal; '
        "chosen of 6 images",
    ]
    for channel, wanted in (("T1", "t1"), ("STIR", "stir"), ("T2w", "t2")):
        assert Ran(tmp_path, (channel,)).places(tmp_path) == {f"p1_study_{wanted}": [f"p1/study/{wanted}"]}
    axial = Sought("axial", True)
    assert Ran(tmp_path, sought=axial).places(tmp_path) == {"p1_study_t2ax": ["p1/study/t2ax"]}


def test_a_flat_folder_of_mixed_series(tmp_path: Path) -> None:
    study, other = Study.of(tmp_path), Study.of(tmp_path)
    whole_study(study, FLAT)
    other.add("export", 7, "T2 sag", seed=9)
    found = Ran(tmp_path)
    names = [f"export_{token(study.uid)[:8]}_3", f"export_{token(other.uid)[:8]}_7"]
    assert sorted(found.cases) == sorted(names) and not found.faults
    (path,) = found.cases[names[0]]
    assert path is not None and not path.exists() and addressed(path) is not None and is_series(path)
    expected = np.random.default_rng(2).integers(0, 900, SHAPE)
    volume = read_volume(path)
    # from right to left: the slices were written from left to right
    np.testing.assert_array_equal(volume.array[0], expected)
    assert (read_geometry(path), read_channels(path), header_remarks(path)) == (volume.geometry, 1, ())
    # a folder of its own holds the same image
    whole_study(replace(study, root=tmp_path / "apart"))
    assert images_digest([path]) != images_digest(found.cases[names[1]])
    alone = Study(tmp_path / "alone", study.uid)
    alone.add("t2", 3, "t2_tse_sag", seed=2)
    np.testing.assert_array_equal(read_volume(tmp_path / "alone/t2").array, volume.array)
    # given by itself the folder has no other name
    assert len(Ran(tmp_path / "export").cases) == 2


def test_a_slice_that_is_gone_from_a_mixed_folder_is_missed(tmp_path: Path) -> None:
    study = Study.of(tmp_path)
    study.add("x", 1, "t1_tse_sag")
    paths = study.add("x", 3, "t2_tse_sag")
    paths[1].unlink()
    ((_, (path,)),) = Ran(tmp_path).cases.items()
    with pytest.raises(DataError, match="between 003_000 and 003_002"):
        read_volume(path)


@pytest.mark.parametrize("kind", ["damaged", "empty"])
def test_a_broken_file_of_a_mixed_folder_is_told(tmp_path: Path, kind: str) -> None:
    study = Study.of(tmp_path)
    study.add("x", 1, "t1_tse_sag")
    paths = study.add("x", 3, "t2_tse_sag")
    paths[-1].write_bytes(paths[-1].read_bytes()[:160] + b"\xff" * 40 if kind == "damaged" else b"")
    found = Ran(tmp_path)
    assert len(found.cases) == 1
    assert [fault.where for fault in found.faults] == [str(paths[-1])]
    # in a folder of its own reading says so
    study.add("y/t2", 3, "t2_tse_sag")
    (tmp_path / "y/t2/003_003").write_bytes(paths[-1].read_bytes())
    other = Ran(tmp_path / "y")
    assert not other.faults
    with pytest.raises(DataError, match="003_003"):
        read_volume(tmp_path / "y/t2")


def test_two_that_fit_equally_are_asked_about(tmp_path: Path) -> None:
    study = Study.of(tmp_path)
    study.add("a/1", 3, "t2_tse_sag")
    study.add("a/2", 8, "t2_tse_sag rpt", seed=1)
    whole_study(Study.of(tmp_path), lambda name: f"b/{name}")
    found = Ran(tmp_path)
    assert list(found.cases) == ["b_t2"]
    (fault,) = found.faults
    assert fault.where == "a"
    shown = "(sagittal, 4 slices of 4.4 mm, 0.7 x 0.7 mm in plane)"
    assert fault.found == f'2 images fit equally for T2: 3 "t2_tse_sag" {shown}; 8 "t2_tse_sag rpt" {shown}'
    assert "--series 3" in fault.expected
    uid = str(dcmread(tmp_path / "a/2/008_000").SeriesInstanceUID)
    for text in ("8", "rpt", "*rpt", "re:rpt$", uid, "T2=rpt", "T2_TSE_SAG RPT"):
        asked = Ran(tmp_path / "a", sought=replace(SAGITTAL, series=(text,)))
        assert asked.places(tmp_path) == {"2": ["a/2"]}, text
        assert (
            asked.notes[0].startswith('a: 8 "t2_tse_sag rpt"')
            and f"--series {text.removeprefix('T2=')}" in asked.notes[0]
        )
    (fault,) = Ran(tmp_path / "a", sought=replace(SAGITTAL, series=("flair",))).faults
    assert "no image that --series flair names" in fault.found and '"t2_tse_sag rpt"' in fault.found
    # what agrees with the training in more goes before
    told = replace(SAGITTAL, descriptions=("T2 TSE SAG rpt", "t2_tse_sag_Rpt"))
    assert Ran(tmp_path / "a", sought=told).places(tmp_path) == {"2": ["a/2"]}


def test_none_that_fits_is_a_reason(tmp_path: Path) -> None:
    study = Study.of(tmp_path)
    study.add("a/1", 1, "t1_tse_sag")
    study.add("a/2", 2, "t2_tse_tra", "axial")
    whole_study(Study.of(tmp_path), lambda name: f"b/{name}")
    found = Ran(tmp_path)
    assert list(found.cases) == ["b_t2"]
    (fault,) = found.faults
    assert fault.where == "a" and fault.found.startswith("none of 2 images fits: 1 ")
    assert "T1, not T2" in fault.found and "axial, not sagittal" in fault.found
    assert fault.expected == "T2, sagittal, as the model was trained on, or an image that --series names all the same"
    asked = Ran(tmp_path / "a", sought=replace(SAGITTAL, series=("2",)))
    assert asked.places(tmp_path) == {"2": ["a/2"]} and "axial, not sagittal" in asked.notes[0]


def test_the_only_series_is_taken_and_what_speaks_against_it_told(tmp_path: Path) -> None:
    Study.of(tmp_path).add("in", 1, "t1_tse_sag")
    for root in (tmp_path, tmp_path / "in"):
        found = Ran(root)
        assert list(found.cases) == ["in"]
        assert "is not what the model was trained on (T1, not T2)" in found.notes[0]
    assert Ran(tmp_path, ("T1",)).notes == []
    # what is named is not there, and is not taken for what is
    (fault,) = Ran(tmp_path, ("T1",), sought=replace(SAGITTAL, series=("7",))).faults
    assert "no image that --series 7 names" in fault.found


def test_channels_of_one_study(tmp_path: Path) -> None:
    for patient in ("p1", "p2"):
        whole_study(Study.of(tmp_path), lambda name, patient=patient: f"{patient}/{name}")
    found = Ran(tmp_path, ("T2", "T1"))
    assert found.places(tmp_path) == {"p1": ["p1/t2", "p1/t1"], "p2": ["p2/t2", "p2/t1"]}
    assert found.notes[1].startswith('p1: T2 is 3 "t2_tse_sag"') and "; T1 is 2 " in found.notes[1]
    volume = read_images(found.cases["p1"], raise_fault)
    assert volume is not None and volume.array.shape == (2, *SHAPE)
    # in one folder as well
    whole_study(study := Study.of(tmp_path / "flat"), FLAT)
    flat = Ran(tmp_path / "flat", ("T2", "T1"))
    (name,) = flat.cases
    assert name == f"export_{token(study.uid)[:8]}"
    held = read_images(flat.cases[name], raise_fault)
    assert held is not None
    np.testing.assert_array_equal(held.array, volume.array)


def test_channels_on_other_grids_are_no_case(tmp_path: Path) -> None:
    study = Study.of(tmp_path)
    study.add("a/1", 1, "t1_tse_sag", geometry=grid("sagittal", (4.0, 0.5, 0.5)))
    study.add("a/2", 2, "t2_tse_sag")
    (fault,) = Ran(tmp_path, ("T2", "T1")).faults
    assert fault.found.startswith("no images on one grid for T2, T1")
    # a further T1 on the grid of the T2
    study.add("a/3", 3, "t1_tse_sag KM")
    assert Ran(tmp_path, ("T2", "T1")).places(tmp_path) == {"a": ["a/2", "a/3"]}


def test_a_channel_that_may_be_missing(tmp_path: Path) -> None:
    study = Study.of(tmp_path)
    study.add("a/1", 1, "t1_tse_sag")
    study.add("a/x", 2, "t2_tse_tra", "axial")
    assert Ran(tmp_path, ("T1", "T2"), (1,)).places(tmp_path) == {"a": ["a/1", None]}
    assert Ran(tmp_path, ("T1", "T2")).faults[0].where == "a"


def test_channels_whose_names_say_nothing_have_to_be_told(tmp_path: Path) -> None:
    whole_study(Study.of(tmp_path), lambda name: f"a/{name}")
    (fault,) = Ran(tmp_path, ("one", "two")).faults
    # three images might be either
    assert "3 images fit equally for one" in fault.found and "--series one=2," in fault.expected
    asked = replace(SAGITTAL, series=("one=t2_tse_sag", "two=2"))
    assert Ran(tmp_path, ("one", "two"), sought=asked).places(tmp_path) == {"a": ["a/t2", "a/t1"]}
    with pytest.raises(DataError, match=r"three is no channel of the model[\s\S]*one, two"):
        Ran(tmp_path, ("one", "two"), sought=replace(SAGITTAL, series=("three=2",)))
    with pytest.raises(DataError, match="not a regular expression"):
        Ran(tmp_path, sought=replace(SAGITTAL, series=("re:(",)))


def test_a_model_that_does_not_say_what_it_is_for_guesses_nothing(tmp_path: Path) -> None:
    whole_study(Study.of(tmp_path), lambda name: f"a/{name}")
    (fault,) = Ran(tmp_path, ("MR",)).faults
    assert fault.found.startswith("3 images fit equally") and "localizer" not in fault.found
    # a finer spacing does not say what an image shows
    study = Study.of(tmp_path / "more")
    study.add("1", 1, "t1_tse_sag", geometry=grid("sagittal", (9.9, 3.0, 3.0)))
    study.add("2", 2, "t2_tse_sag")
    assert "2 images fit equally" in Ran(tmp_path / "more", ("MR",)).faults[0].found
    # what its series were called does
    told = replace(SAGITTAL, descriptions=("T2 FSE SAG", "SAG T2"))
    assert Ran(tmp_path, ("MR",), sought=told).places(tmp_path) == {"a_t2": ["a/t2"], "more_2": ["more/2"]}


def test_series_of_many_patients_have_names_of_their_own(tmp_path: Path) -> None:
    for patient in ("p1", "p2", "p3"):
        whole_study(Study.of(tmp_path, patient), lambda name, patient=patient: f"{patient}/{name}")
    found = Ran(tmp_path)
    assert list(found.cases) == ["p1_t2", "p2_t2", "p3_t2"]
    said = " ".join([*found.notes, *map(str, found.faults), *found.cases])
    assert not any(secret in said for secret in (PATIENT, PATIENT_ID, "19500101", "4712"))


def test_names_that_two_cases_would_have_are_told(tmp_path: Path) -> None:
    for home in ("a/b", "a_b", "c"):
        Study.of(tmp_path).add(home, 1, "t2_tse_sag")
    found = Ran(tmp_path)
    assert list(found.cases) == ["c"]
    assert [(one.where, one.remedy) for one in found.faults] == [("a_b", "rename a folder")]


def test_a_series_that_goes_on_in_the_next_folder_is_one(tmp_path: Path) -> None:
    study, uid = Study.of(tmp_path), generate_uid()
    study.add("a/0001", 3, "t2_tse_sag", uid=uid)
    study.add("a/0002", 3, "t2_tse_sag", uid=uid, geometry=moved(grid(), 4))
    ((name, (path,)),) = Ran(tmp_path).cases.items()
    assert name == f"a_{token(study.uid)[:8]}_3" and path is not None
    assert read_volume(path).array.shape == (1, 8, 6, 5)


def test_copies_are_left_aside_and_reused_uids_told_apart(tmp_path: Path) -> None:
    study, uid = Study.of(tmp_path), generate_uid()
    paths = study.add("a", 3, "t2_tse_sag", uid=uid)
    (tmp_path / "b").mkdir()
    for path in paths:
        (tmp_path / "b" / path.name).write_bytes(path.read_bytes())
    found = Ran(tmp_path)
    assert list(found.cases) == ["a"]
    assert found.notes == ["copies of series that lie elsewhere as well, left aside: b/"]
    # other images with the same UIDs, as some programs that anonymise write them
    study.add("c", 3, "t2_tse_sag", uid=uid, seed=4)
    assert Ran(tmp_path).places(tmp_path) == {"a": ["a"], "c": ["c"]}


@pytest.mark.parametrize("kind", ["echoes", "colour", "no place", "several planes", "adc", "scout"])
def test_what_nobody_means_by_itself_is_left_aside(tmp_path: Path, kind: str) -> None:
    study = Study.of(tmp_path)
    study.add("a/1", 1, "t2_tse_sag")
    match kind:
        case "echoes":
            uid = generate_uid()
            study.add("a/2", 2, "t2 sag", uid=uid)
            study.add("a/2", 3, "t2 sag", uid=uid, seed=1)
            reason = "several images at each place"
        case "colour":
            study.add("a/2", 2, "t2 sag", SamplesPerPixel=3)
            reason = "a picture of a screen or in colour"
        case "no place":
            study.add("a/2", 2, "t2 sag", change=lambda index, header: delattr(header, "PixelSpacing"))
            reason = "no place in space"
        case "several planes":
            turned = [0.0, 0.6, -0.8, 0.0, -0.8, -0.6]
            study.add(
                "a/2", 2, "t2", change=lambda index, one: index and setattr(one, "ImageOrientationPatient", turned)
            )
            reason = "slices in several planes"
        case "adc":
            study.add("a/2", 2, "t2 sag", ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "ADC"])
            reason = "computed from other images"
        case _:
            study.add("a/2", 2, "T2 scout")
            reason = "a localiser"
    assert Ran(tmp_path).places(tmp_path) == {"a_1": ["a/1"]}
    (fault,) = Ran(tmp_path, ("T1",)).faults
    assert reason in fault.found


def test_a_table_of_contents_stands_for_its_folder(tmp_path: Path) -> None:
    whole_study(Study.of(tmp_path), lambda name: f"IMAGES/{name}")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    for root in (tmp_path, tmp_path / "DICOMDIR"):
        assert Ran(root).places(tmp_path) == {"IMAGES_t2": ["IMAGES/t2"]}


def test_folders_that_are_called_as_the_channels_are_taken_at_their_word(tmp_path: Path) -> None:
    study = Study.of(tmp_path)
    for channel in ("one", "two"):
        study.add(f"p1/{channel}", None, "", seed=len(channel))
    whole_study(Study.of(tmp_path), lambda name: f"p2/{name}")
    found = Ran(tmp_path, ("one", "two"))
    assert found.places(tmp_path) == {"p1": ["p1/one", "p1/two"]}
    assert [fault.where for fault in found.faults] == ["p2"]


def test_a_folder_says_what_its_headers_do_not(tmp_path: Path) -> None:
    study = Study.of(tmp_path)
    for number, folder in enumerate(("T1", "T2", "other")):
        study.add(f"p/{folder}", number, "", seed=number)
    assert Ran(tmp_path).places(tmp_path) == {"p_T2": ["p/T2"]}


def test_reports_alone_are_no_images(tmp_path: Path) -> None:
    whole_study(Study.of(tmp_path), lambda name: name)
    with pytest.raises(DataError, match="DICOM objects that are no images"):
        Ran(tmp_path / "sr")


def test_a_real_series(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    for path in real_data("dicom-t2-lumbar").glob("*.dcm"):
        (tmp_path / path.name).symlink_to(path)
    for plane in ("sagittal", "axial"):
        found = Ran(tmp_path, sought=Sought(plane, True))
        assert list(found.cases) == [tmp_path.name] and not found.notes
