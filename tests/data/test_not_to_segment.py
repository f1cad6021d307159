"""What lies beside the images to predict: masks, previews, other formats, DICOM and files at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.data.geometry import Geometry, Volume
from autospine.data.images import open_images
from autospine.data.inputs import find_inputs
from autospine.data.structure import Reading
from autospine.data.volume import write_volume
from autospine.errors import DataError
from tests.data.dicom_files import write_series
from tests.data.small import GRID, image, put

ONE, TWO = ("T2",), ("T1", "T2")


def cases(folder: Path, channels: tuple[str, ...] = ONE) -> tuple[list[str], list[str]]:
    """Names of the cases, and what was told."""
    said: list[str] = []
    return [name for name, _ in find_inputs(folder, channels, tell=said.append)], said


def test_masks_and_previews_are_left_aside_and_told(tmp_path: Path) -> None:
    put(tmp_path, "a.nii.gz", "b_0000.nii.gz", "a_seg.nii.gz", "b-label.nrrd")
    for name in ("a", "b", "b_overview"):
        (tmp_path / f"{name}.png").write_bytes(b"a picture")
    (tmp_path / "c.mnc").write_bytes(b"")
    assert cases(tmp_path) == (
        ["a", "b"],
        [
            "masks by their names, left aside: a_seg.nii.gz, b-label.nrrd",
            "previews of other images, left aside: a.png, b.png, b_overview.png",
            "files of formats that are not read, left aside: c.mnc (convert them to NIfTI)",
        ],
    )
    # one that is named is meant
    assert find_inputs(tmp_path / "a_seg.nii.gz", ONE) == [("a_seg", (tmp_path / "a_seg.nii.gz",))]


def test_pictures_alone_are_images(tmp_path: Path) -> None:
    flat = Geometry((1, 4, 5), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), 2)
    for name in ("a", "a_b"):
        write_volume(tmp_path / f"{name}.png", Volume(np.ones((1, 1, 4, 5), np.uint8), flat))
    assert cases(tmp_path) == (["a", "a_b"], [])


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("vol_0000", "vol_0001", "vol_0002", "vol_0003"), ["vol_0000", "vol_0001", "vol_0002", "vol_0003"]),
        (("vol_0001", "vol_0002"), ["vol_0001", "vol_0002"]),
        (("a_0000", "b_0000"), ["a", "b"]),
        (("a_0000", "a_0001", "b_0000"), ["a_0000", "a_0001", "b_0000"]),
        (("a_0000", "a_0002", "b_0000", "b_0002"), ["a_0000", "a_0002", "b_0000", "b_0002"]),
        (("visit_2023", "visit_2024", "a_0000"), ["a", "visit_2023", "visit_2024"]),
        (("lesion_0000", "lesion_0001"), ["lesion_0000", "lesion_0001"]),
    ],
)
def test_numbers_of_cases_of_one_channel(tmp_path: Path, names: tuple[str, ...], found: list[str]) -> None:
    put(tmp_path, *(f"{name}.nii.gz" for name in names))
    assert cases(tmp_path)[0] == found


def test_numbers_that_look_like_channels_are_asked_about(tmp_path: Path) -> None:
    put(tmp_path, *(f"{name}_000{number}.nii.gz" for name in "ab" for number in (0, 1)))
    with pytest.raises(DataError, match=r"a: 2 channels[\s\S]*where each number is a case, rename the files"):
        find_inputs(tmp_path, ONE)
    assert cases(tmp_path, TWO)[0] == ["a", "b"]


def test_numbered_files_that_hold_all_channels_are_cases(tmp_path: Path) -> None:
    both = Volume(np.concatenate([image(1).array, image(2).array]), GRID)
    for number in range(3):
        write_volume(tmp_path / f"vol_{number:04d}.nii.gz", both)
    assert cases(tmp_path, TWO)[0] == ["vol_0000", "vol_0001", "vol_0002"]


def test_a_real_mixture_is_asked_about(real_data: Callable[[str], Path]) -> None:
    with pytest.raises(DataError, match=r"38 DICOM files and 1 NIfTI file \(reference\.nii\.gz\): which are meant\?"):
        find_inputs(real_data("dicom-t2-lumbar"), ONE)


@pytest.mark.parametrize(
    ("file", "series"),
    [
        ("a.nii.gz", ""),
        ("a.nii.gz", "below"),
        ("picture.png", ""),
        ("p1/a.nrrd", "p1"),
        ("p2/T2.nii.gz", "p1"),
        ("spine_lesion_1.nii.gz", ""),
    ],
)
def test_a_mixture_is_asked_about(tmp_path: Path, file: str, series: str) -> None:
    write_series(tmp_path / series, image(1).array[0], GRID)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_bytes(b"whatever")
    with pytest.raises(DataError, match=r"3 DICOM files and 1 (NIfTI|PNG|NRRD) file"):
        find_inputs(tmp_path, ONE)


@pytest.mark.parametrize(
    "file", ["seg.nii.gz", "a_mask.nii.gz", "IM0001.png", "labels/p1.nii.gz", "p1/T2.nii.gz", "p1/T2/seg.nrrd"]
)
def test_what_is_no_second_image_is_left_aside_and_told(tmp_path: Path, file: str) -> None:
    root = tmp_path / "p1" / "T2"
    place = root if "/" not in file else tmp_path
    write_series(root, image(1).array[0], GRID)
    (place / file).parent.mkdir(exist_ok=True)
    (place / file).write_bytes(b"whatever")
    names, said = cases(place)
    assert names == ["T2" if place == root else "p1_T2"]
    assert said == [f"neither DICOM nor an image by their names and places, left aside: {file}"]


@pytest.mark.parametrize("ours", ["prediction.json", "plan.toml", "model.json"])
def test_what_was_made_before_is_no_image(tmp_path: Path, ours: str) -> None:
    write_series(tmp_path, image(1).array[0], GRID)
    put(tmp_path, "out/a.nii.gz")
    with pytest.raises(DataError, match=r"1 NIfTI file \(out/a\.nii\.gz\)"):
        find_inputs(tmp_path, ONE)
    (tmp_path / "out" / ours).write_text("")
    assert cases(tmp_path) == ([tmp_path.name], [])


def test_images_in_other_folders_are_told(tmp_path: Path) -> None:
    put(tmp_path, "below/x.nii.gz")
    with pytest.raises(DataError, match=r"no images in the folder itself, 1 in folders below it \(below/x\.nii\.gz\)"):
        find_inputs(tmp_path, ONE)
    put(tmp_path, "a.nii.gz")
    assert cases(tmp_path) == (["a"], ["images in folders below, left aside: below/x.nii.gz"])


def test_formats_that_are_not_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("a.npz", "deep/B.JPG"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=r"formats that are not read: a\.npz, deep/B\.JPG[\s\S]*convert them to NIfTI"):
        find_inputs(tmp_path, ONE)


def test_images_to_learn_from_are_told_apart_as_well(tmp_path: Path) -> None:
    put(tmp_path, "vol_0000.nii.gz", "vol_0001.nii.gz")
    (tmp_path / "c.mnc").write_bytes(b"")
    dataset = open_images(tmp_path, ONE, (), Reading()).dataset
    assert [case.name for case in dataset.cases] == ["vol_0000", "vol_0001"]
    assert dataset.notes[0] == "files of formats that are not read, left aside: c.mnc (convert them to NIfTI)"


@pytest.mark.parametrize("kind", ["series", "files"])
def test_what_lies_too_deep_is_told(tmp_path: Path, kind: str) -> None:
    put(tmp_path, "a.nii.gz")
    deep = tmp_path / "1" / "2" / "3" / "4" / "5" / "6" / "7"
    if kind == "series":
        write_series(deep, image(1).array[0], GRID)
    else:
        put(deep, "b.nii.gz")
    assert cases(tmp_path) == (["a"], ["folders more than 6 levels down, not looked into: 1/2/3/4/5/6/7"])


def test_one_slice_of_a_series_is_told(tmp_path: Path) -> None:
    array = np.ones(GRID.shape, np.uint8)
    write_series(tmp_path, array, GRID)
    write_series(tmp_path, array[:1], replace(GRID, shape=(1, *GRID.shape[1:])), names=lambda index: "alone")
    said: list[str] = []
    assert find_inputs(tmp_path / "IM0000.dcm", ONE, tell=said.append)[0][0] == "IM0000"
    assert said == [
        f"IM0000.dcm is one slice of a series of {len(array)} in its folder: give the folder for all of them"
    ]
    said.clear()
    assert find_inputs(tmp_path / "alone", ONE, tell=said.append) and not said


@pytest.mark.parametrize("channels", [ONE, TWO])
def test_folders_whose_cases_would_have_one_name_are_told(tmp_path: Path, channels: tuple[str, ...]) -> None:
    array = np.ones(GRID.shape, np.uint8)
    for home in ("a/b", "a_b", "c"):
        for name in channels if len(channels) > 1 else ("",):
            write_series(tmp_path / home / name, array, GRID)
    faults: list[DataError] = []
    assert [name for name, _ in find_inputs(tmp_path, channels, report=faults.append)] == ["c"]
    assert [(one.where, one.found) for one in faults] == [("a_b", "the name of 2 folders' cases (a/b, a_b)")]


def test_a_single_segmentation_beside_a_series_is_no_rival(tmp_path: Path) -> None:
    write_series(tmp_path / "a", np.ones(GRID.shape, np.uint8), GRID)
    put(tmp_path / "a", "result.nii.gz")
    with pytest.raises(DataError, match="which are meant"):
        find_inputs(tmp_path, ONE)
    (tmp_path / "a" / ".result.nii.gz.prediction.json").write_text("{}")
    assert [name for name, _ in find_inputs(tmp_path, ONE)] == ["a"]
