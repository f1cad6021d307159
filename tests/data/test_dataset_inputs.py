"""Images to predict in every layout of a data set, without opening a mask."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.data.geometry import Geometry, Volume
from autospine.data.inputs import find_inputs
from autospine.data.series_choice import Sought
from autospine.data.volume import write_volume
from autospine.errors import DataError
from tests.data.laid_out import LAID_OUT
from tests.data.small import CONTENT, edit_json, image, put
from tests.data.studies import grid

NOTHING = Sought()


def found(
    root: Path, channels: tuple[str, ...] = ("T2",), optional: tuple[int, ...] = (), sought: Sought = NOTHING
) -> tuple[dict[str, list[str | None]], list[str], list[DataError]]:
    """Case -> its files below the root, what was said, and the faults."""
    notes: list[str] = []
    faults: list[DataError] = []
    cases = find_inputs(root, channels, optional, sought=sought, tell=notes.append, report=faults.append)
    base = root if root.is_dir() else root.parent
    return (
        {name: [None if one is None else one.relative_to(base).as_posix() for one in files] for name, files in cases},
        notes,
        faults,
    )


@pytest.mark.parametrize("layout", LAID_OUT)
def test_every_layout_that_is_described_is_predicted(tmp_path: Path, layout: str) -> None:
    root = LAID_OUT[layout][1](tmp_path / "spine", CONTENT)
    for path in (
        path
        for path in root.rglob("*")
        if path.is_file() and any(word in path.name for word in ("seg", "mask", "label"))
    ):
        if path.suffix != ".json":
            path.write_bytes(b"no mask is opened")
    if layout == "nnunet with a file list":
        cases = dict(find_inputs(root, ("T2",), sought=NOTHING))
        assert [path.parent.name for (path,) in cases.values() if path is not None] == list(CONTENT.cases)
        return
    cases_found, _, faults = found(root)
    names = {"bids": "{}_T2w", "dicom": "{}_T2"}.get(layout, "{}")
    assert list(cases_found) == [names.format(name) for name in CONTENT.cases] and not faults


def test_test_images_are_those_to_predict(tmp_path: Path) -> None:
    root = LAID_OUT["nnunet"][1](tmp_path / "spine", CONTENT)
    put(root / "imagesTs", "new_0000.nii.gz")
    shutil.rmtree(root / "labelsTr")
    cases, notes, _ = found(root)
    assert cases == {"new": ["imagesTs/new_0000.nii.gz"]}
    assert notes == ["the test images are predicted; give imagesTr to predict those that it was trained on"]
    assert len(found(root / "imagesTr")[0]) == len(CONTENT.cases)
    shutil.rmtree(root / "imagesTs")
    assert list(found(root)[0]) == list(CONTENT.cases)


def test_the_decathlons_list_of_test_images(tmp_path: Path) -> None:
    root = LAID_OUT["decathlon"][1](tmp_path / "spine", CONTENT)
    put(root / "imagesTs", "x.nii.gz", "y.nii.gz")
    edit_json(root / "dataset.json", test=["./imagesTs/x.nii.gz", {"image": "imagesTs/gone.nii.gz"}])
    cases, _, faults = found(root)
    assert cases == {"x": ["imagesTs/x.nii.gz"]}
    assert [fault.where for fault in faults] == ["gone"]
    edit_json(root / "dataset.json", test=[3])
    with pytest.raises(DataError, match='"test" is no list of files'):
        found(root)


def test_channels_of_a_data_set_go_by_their_names(tmp_path: Path) -> None:
    for number in (0, 1):
        put(tmp_path / "imagesTr", *(f"{case}_000{number}.nii.gz" for case in "ab"))
    (tmp_path / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "T1", "1": "T2w"}, "labels": {"background": 0, "L5": 1}})
    )
    both = {case: [f"imagesTr/{case}_0001.nii.gz", f"imagesTr/{case}_0000.nii.gz"] for case in "ab"}
    assert found(tmp_path, ("t2", "T1"))[0] == both
    assert found(tmp_path, ("T2",))[0] == {case: files[:1] for case, files in both.items()}
    assert found(tmp_path, ("T2", "STIR"), (1,))[0] == {case: [files[0], None] for case, files in both.items()}
    cases, notes, _ = found(tmp_path, ("one", "two"))
    assert cases == {case: files[::-1] for case, files in both.items()}
    assert notes == ["T1, T2w of the data set are taken as one, two, by their numbers"]
    for channels in (("STIR",), ("T2", "STIR"), ("one",)):
        with pytest.raises(DataError, match="channels T1, T2w"):
            found(tmp_path, channels)


def test_a_file_of_all_channels_goes_to_a_model_of_all(tmp_path: Path) -> None:
    root = LAID_OUT["nnunet"][1](tmp_path, replace(CONTENT, cases={}))
    write_volume(tmp_path / "imagesTr" / "a.nii.gz", Volume(np.concatenate([image(1).array] * 2), image(1).geometry))
    (tmp_path / "labelsTr").mkdir()
    edit_json(root / "dataset.json", channel_names={"0": "T1", "1": "T2"})
    assert found(root, ("T1", "T2"))[0] == {"a": ["imagesTr/a.nii.gz"]}
    cases, _, faults = found(root, ("T2",))
    assert not cases and "save each channel as a file of its own" in faults[0].remedy


def bids(root: Path) -> Path:
    for name in ("sub-01/ses-1/anat/sub-01_ses-1_", "sub-01/ses-2/anat/sub-01_ses-2_", "sub-02/anat/sub-02_run-1_"):
        put(root, f"{name}T1w.nii.gz", f"{name}T2w.nii.gz")
    put(root, "derivatives/x/sub-01/ses-1/anat/sub-01_ses-1_T2w_seg.nii.gz", "sub-02/func/sub-02_bold.nii.gz")
    put(root, "sub-03/anat/sub-03_T1w.nii.gz")
    return root


def test_bids_sessions(tmp_path: Path) -> None:
    cases, notes, faults = found(bids(tmp_path))
    assert cases == {
        "sub-01_ses-1_T2w": ["sub-01/ses-1/anat/sub-01_ses-1_T2w.nii.gz"],
        "sub-01_ses-2_T2w": ["sub-01/ses-2/anat/sub-01_ses-2_T2w.nii.gz"],
        "sub-02_run-1_T2w": ["sub-02/anat/sub-02_run-1_T2w.nii.gz"],
    }
    assert [(fault.where, fault.found) for fault in faults] == [("sub-03", 'none of 1 image fits: "T1w": T1, not T2')]
    assert notes[0].startswith('sub-01_ses-1: "T2w" (') and notes[0].endswith("T2; chosen of 2 images")
    several, _, _ = found(tmp_path, ("T2w", "T1w"), (0,))
    assert several["sub-02_run-1"] == [f"sub-02/anat/sub-02_run-1_{one}.nii.gz" for one in ("T2w", "T1w")]
    assert several["sub-03"] == [None, "sub-03/anat/sub-03_T1w.nii.gz"]


def test_bids_images_of_one_weighting_in_several_planes(tmp_path: Path) -> None:
    for plane in ("sagittal", "axial"):
        write_volume(
            tmp_path / f"sub-01/anat/sub-01_acq-{plane[:2]}_T2w.nii.gz",
            Volume(np.ones((1, 4, 6, 5), np.uint8), grid(plane)),
        )
    sagittal = Sought("sagittal", True)
    assert list(found(tmp_path, sought=sagittal)[0]) == ["sub-01_acq-sa_T2w"]
    (fault,) = found(tmp_path)[2]
    assert "2 images fit equally" in fault.found and "axial, 4 slices of 4.4 mm" in fault.found
    assert list(found(tmp_path, sought=Sought(series=("acq-ax",)))[0]) == ["sub-01_acq-ax_T2w"]


def test_a_folder_per_case(tmp_path: Path) -> None:
    for name in ("p1", "p2"):
        put(tmp_path / name, "T1.nii.gz", "T2.nii.gz", "seg.nii.gz")
    assert found(tmp_path)[0] == {name: [f"{name}/T2.nii.gz"] for name in ("p1", "p2")}
    assert found(tmp_path, ("T2", "T1"))[0]["p2"] == ["p2/T2.nii.gz", "p2/T1.nii.gz"]


def test_a_table(tmp_path: Path) -> None:
    put(tmp_path, "x/a.nii.gz", "x/b.nii.gz")
    rows = ["case,T1,T2,age", "a,,x/a.nii.gz,3", "b,x/a.nii.gz,x/b.nii.gz,4", "c,x/none.nii.gz,,5", ".d,,x/a.nii.gz,6"]
    (tmp_path / "these.csv").write_text("\n".join(rows))
    cases, notes, faults = found(tmp_path / "these.csv", ("T2", "T1"), (1,))
    assert cases == {"a": ["x/a.nii.gz", None], "b": ["x/b.nii.gz", "x/a.nii.gz"]}
    assert notes == ["columns without images, left aside: age"]
    assert {fault.where: fault.found for fault in faults} == {
        "c": "no T2",
        ".d": "no name for a file, or that of several",
    }


def test_a_folder_with_images_in_itself_is_one_of_images(tmp_path: Path) -> None:
    root = LAID_OUT["nnunet"][1](tmp_path / "spine", CONTENT)
    put(root, "mine.nii.gz")
    assert found(root)[0] == {"mine": ["mine.nii.gz"]}


@pytest.mark.parametrize("layout", ["nnunet", "decathlon", "folders", "manifest", "beside", "a file"])
def test_where_nothing_is_chosen_nothing_can_be_named(tmp_path: Path, layout: str) -> None:
    if layout == "a file":
        put(tmp_path, "spine.nii.gz")
        root = tmp_path / "spine.nii.gz"
    else:
        root = LAID_OUT[layout][1](tmp_path / "spine", CONTENT)
    with pytest.raises(DataError, match=r"--series 3: .*spine.* is an image, or holds images that each are a case"):
        found(root, sought=Sought(series=("3",)))


def test_without_what_is_sought_a_folder_is_one_of_images(tmp_path: Path) -> None:
    root = LAID_OUT["nnunet"][1](tmp_path / "spine", CONTENT)
    with pytest.raises(DataError, match="no images in the folder itself"):
        find_inputs(root, ("T2",))


def test_series_beside_a_data_set_are_left_aside_and_told(tmp_path: Path) -> None:
    root = LAID_OUT["bids"][1](tmp_path / "spine", CONTENT)
    LAID_OUT["dicom"][1](root / "sourcedata", CONTENT)
    cases, notes, _ = found(root)
    assert list(cases) == [f"{name}_T2w" for name in CONTENT.cases]
    assert notes[-1].startswith("DICOM files in sourcedata/sub-01/T2/, left aside")


def test_an_image_that_cannot_be_read_is_none_to_choose(tmp_path: Path) -> None:
    flat = Geometry((4, 6, 5), (4.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    write_volume(tmp_path / "sub-01/anat/sub-01_acq-a_T2w.nii.gz", Volume(np.ones((1, 4, 6, 5), np.uint8), flat))
    (tmp_path / "sub-01/anat/sub-01_acq-b_T2w.nii.gz").write_bytes(b"nothing")
    assert list(found(tmp_path)[0]) == ["sub-01_acq-a_T2w"]
