from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from autospine.data.dataset import load_case, open_dataset
from autospine.data.geometry import Geometry, Volume
from autospine.data.layouts.shared.masks import Images, is_mask_name, pair_masks
from autospine.data.layouts.shared.naming import subjects_of
from autospine.data.structure import Dataset, Label, Reading
from autospine.data.volume import read_volume, write_volume
from autospine.errors import DataError
from tests.data.dicom_files import write_series
from tests.data.formats.test_dicom import write_segmentation
from tests.data.laid_out import LAID_OUT, Content, bids, dicom, folders, nnunet

GRID = Geometry((3, 4, 5), (4.0, 1.5, 0.75), (-12.5, 30.0, 7.25), (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0))
LABELS = {"L5": 1, "L4": 4}


def image(seed: int) -> Volume:
    return Volume(np.random.default_rng(seed).integers(1, 900, (1, *GRID.shape)).astype(np.uint16), GRID)


def mask(*values: int) -> Volume:
    array = np.zeros(GRID.shape, np.uint8)
    array.ravel()[: len(values)] = values
    return Volume(array[None], GRID)


CONTENT = Content({f"sub-{seed:02d}": (image(seed), mask(0, 1, 4, 1, seed % 2)) for seed in range(1, 7)}, LABELS)


def put(root: Path, *names: str, volume: Volume | None = None) -> None:
    for seed, name in enumerate(names):
        write_volume(root / name, volume or image(seed))


@pytest.mark.parametrize("name", LAID_OUT)
def test_every_layout_is_found_and_reads_the_same(tmp_path: Path, name: str) -> None:
    layout, lay_out = LAID_OUT[name]
    dataset = open_dataset(lay_out(tmp_path / "spine", CONTENT))
    assert (dataset.layout, dataset.name) == (layout, "spine")
    assert dataset.labels == (Label("L5", 1), Label("L4", 4))
    assert [case.name for case in dataset.cases] == list(CONTENT.cases)
    assert [case.subject for case in dataset.cases] == list(CONTENT.cases)
    assert len(dataset.channels) == 1
    if layout in ("nnunet", "decathlon", "bids", "cases", "manifest"):
        assert dataset.channels == ("T2w",)
    for case, (wanted, labels) in zip(dataset.cases, CONTENT.cases.values(), strict=True):
        loaded = load_case(dataset, case)
        np.testing.assert_array_equal(loaded.image.array, wanted.array)
        assert loaded.label is not None
        np.testing.assert_array_equal(loaded.label, np.where(labels.array[0] == 4, 2, labels.array[0]))


def test_layouts_that_both_fit_have_to_be_chosen(tmp_path: Path) -> None:
    folders(tmp_path, CONTENT)
    bids(tmp_path, CONTENT)
    with pytest.raises(DataError, match=r"2 readings fit: bids \(sub-01/anat/\) and folders \(images/ and labels/\)"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path, Reading(layout="bids")).layout == "bids"
    assert open_dataset(tmp_path, Reading(layout="folders")).layout == "folders"
    with pytest.raises(DataError, match="no such layout"):
        open_dataset(tmp_path, Reading(layout="nifti"))
    with pytest.raises(DataError, match="nothing here speaks for the layout dicom"):
        open_dataset(tmp_path, Reading(layout="dicom"))


def test_a_folder_that_describes_itself_is_taken_at_its_word(tmp_path: Path) -> None:
    folders(tmp_path, CONTENT)
    nnunet(tmp_path, CONTENT)
    assert open_dataset(tmp_path).layout == "nnunet"
    (tmp_path / "manifest.tsv").write_text("case\tT2w\tlabel\none\timages/sub-01.nii.gz\tlabels/sub-01.nii.gz\n")
    with pytest.raises(DataError, match=r"manifest \(manifest\.tsv\) and nnunet \(dataset\.json and imagesTr/\)"):
        open_dataset(tmp_path)


def test_nnunet_folders_without_a_description_are_two_folders(tmp_path: Path) -> None:
    nnunet(tmp_path, CONTENT)
    (tmp_path / "dataset.json").unlink()
    dataset = open_dataset(tmp_path)
    assert dataset.layout == "folders" and [label.value for label in dataset.labels] == [1, 4]
    assert [case.name for case in dataset.cases] == list(CONTENT.cases)


@pytest.mark.parametrize(
    "reader", ["SimpleITKIO", "SimpleITKIOWithReorient", "NibabelIOWithReorient", "Tiff3DIO", "None", None]
)
def test_nnunet_readers_are_understood(tmp_path: Path, reader: str) -> None:
    nnunet(tmp_path, CONTENT)
    edit_json(tmp_path / "dataset.json", overwrite_image_reader_writer=reader)
    assert len(open_dataset(tmp_path).cases) == 6
    edit_json(tmp_path / "dataset.json", overwrite_image_reader_writer="MyIO")
    with pytest.raises(DataError, match="MyIO"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ({}, '"dataset" is {}'),
        ({"a": {"label": "x.nii.gz"}}, "case 'a'"),
        ({"a": {"images": ["x.nii.gz", "y.nii.gz"], "label": "z.nii.gz"}}, "2 images"),
        ({"a": {"images": ["x.nii.gz"], "label": 3}}, "label 3"),
        ({"a": {"images": [4]}}, "case 'a'"),
    ],
)
def test_nnunet_lists_that_are_wrong(tmp_path: Path, listed: Any, found: str) -> None:
    nnunet(tmp_path, CONTENT)
    edit_json(tmp_path / "dataset.json", dataset=listed)
    with pytest.raises(DataError, match=found):
        open_dataset(tmp_path)


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_decathlon_images_hold_all_channels(tmp_path: Path) -> None:
    both = np.concatenate([image(1).array, image(2).array])
    write_four(tmp_path / "imagesTr" / "BRATS_001.nii.gz", both)
    write_volume(tmp_path / "labelsTr" / "BRATS_001.nii.gz", mask(0, 1, 4))
    described = {
        "modality": {"0": "FLAIR", "1": "T1w"},
        "labels": {"0": "background", "1": "L5", "4": "L4"},
        "training": [{"image": "./imagesTr/BRATS_001.nii.gz", "label": "./labelsTr/BRATS_001.nii.gz"}],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    dataset = open_dataset(tmp_path)
    assert dataset.layout == "decathlon" and dataset.channels == ("FLAIR", "T1w")
    np.testing.assert_array_equal(load_case(dataset, dataset.cases[0]).image.array, both)
    edit_json(tmp_path / "dataset.json", training=described["training"] * 2)
    with pytest.raises(DataError, match="listed more than once: BRATS_001"):
        open_dataset(tmp_path)
    edit_json(tmp_path / "dataset.json", training=[*described["training"], {"image": 3}])
    with pytest.raises(DataError, match='"training" is no list of files'):
        open_dataset(tmp_path)


def write_four(path: Path, array: npt.NDArray[Any]) -> None:
    """A 4D NIfTI file of channels (C, Z, Y, X) on the grid."""
    import SimpleITK

    path.parent.mkdir(parents=True)
    files = [SimpleITK.GetImageFromArray(channel) for channel in array]
    for one in files:
        one.SetSpacing(GRID.spacing_mm[::-1])
        one.SetOrigin(GRID.origin_mm)
        one.SetDirection(GRID.direction)
    SimpleITK.WriteImage(SimpleITK.JoinSeries(files), str(path))


def test_bids_with_sessions_kinds_and_other_images(tmp_path: Path) -> None:
    anat = "sub-01/ses-{}/anat/sub-01_ses-{}_"
    for session in "12":
        place = anat.format(session, session)
        put(tmp_path, f"{place}T2w.nii.gz", f"{place}acq-ax_T2star.nii.gz")
        for kind in ("label-SC_seg", "label-lesion_mask"):
            write_volume(tmp_path / "derivatives/labels" / f"{place}T2w_{kind}.nii.gz", mask(0, 1))
    put(tmp_path, "sub-02/anat/sub-02_T2w.nii.gz")
    with pytest.raises(DataError, match=r"2 kinds: T2w_label-SC_seg, T2w_label-lesion_mask[\s\S]*--masks"):
        open_dataset(tmp_path)
    with pytest.raises(DataError, match="none is 'disc'"):
        open_dataset(tmp_path, Reading(masks="disc"))
    dataset = open_dataset(tmp_path, Reading(masks="SC"))
    assert dataset.channels == ("T2w",)
    assert [(case.name, case.subject, case.label is None) for case in dataset.cases] == [
        ("sub-01_ses-1", "sub-01", False),
        ("sub-01_ses-2", "sub-01", False),
        ("sub-02", "sub-02", True),
    ]
    assert dataset.notes == ("images that no chosen mask segments, left aside: acq-ax_T2star (2)",)


def test_a_bids_mask_that_names_no_image_is_of_all_on_its_grid(tmp_path: Path) -> None:
    put(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_T2w.nii.gz")
    put(tmp_path, "sub-01/anat/sub-01_PD.nii.gz", volume=Volume(image(3).array[:, :2], replace(GRID, shape=(2, 4, 5))))
    put(tmp_path, "derivatives/x/sub-01/anat/sub-01_dseg.nii.gz", volume=mask(0, 1))
    dataset = open_dataset(tmp_path)
    assert dataset.channels == ("T1w", "T2w") and len(dataset.cases) == 1
    assert "PD (1)" in dataset.notes[0]


def test_bids_without_masks(tmp_path: Path) -> None:
    put(tmp_path, "sub-01/anat/sub-01_T2w.nii.gz")
    with pytest.raises(DataError, match="no masks of these images"):
        open_dataset(tmp_path)
    put(tmp_path, "derivatives/x/sub-02/anat/sub-02_T2w_seg.nii.gz", volume=mask(1))
    with pytest.raises(DataError, match="no masks of these images"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("of_mask", "of_image", "kind"),
    [
        ("case01_seg", "case01", "seg"),
        ("case01-label", "case01", "label"),
        ("case01.seg", "case01", "seg"),
        ("case01_seg", "case01_T2", "seg"),
        ("case01_seg", "case012", None),
        ("case01_mask_reader2", "case01", "mask_reader2"),
        ("sub-01_T2w_label-SC_seg", "sub-01_T2w", "label-SC_seg"),
        ("sub-01_T2w_seg-manual", "sub-01_T2w", "seg-manual"),
        ("sub-01_T2w_seg", "sub-01_T1w", None),
        ("sub-01_dseg", "sub-01_T2w", "dseg"),
        ("sub-01_ses-1_dseg", "sub-01_ses-2_T2w", None),
        ("sub-01_acq-sag_T2w_seg", "sub-01_acq-ax_T2w", None),
        ("sub-mri_seg-vert_label-6_msk", "sub-mri_label-6_T2w", "seg-vert_msk"),
        ("sub-mri_seg-vert_label-6_msk", "sub-mri_label-7_T2w", None),
        ("case01", "case01", "plain"),
        ("mask_01", "img_01", "mask"),
        ("seg_01", "01", "seg"),
        ("case01_T2_SPACE", "case01_T2", None),
    ],
)
def test_masks_by_their_names(of_mask: str, of_image: str, kind: str | None) -> None:
    found = Images([of_image, "another"]).of(of_mask)
    assert found == (None if kind is None else ((of_image,), kind))
    assert kind in (None, "plain") or of_mask.startswith(kind) or is_mask_name(of_mask)
    assert not is_mask_name(of_image)


def test_masks_of_two_kinds_beside_their_image(tmp_path: Path, real_data: Callable[[str], Path]) -> None:
    with pytest.raises(DataError, match=r"masks of 2 kinds: seg-subreg_msk, seg-vert_msk"):
        open_dataset(real_data("t2-crop"))
    dataset = open_dataset(real_data("t2-crop"), Reading(masks="seg-vert"))
    assert dataset.channels == ("T2w",)
    (case,) = dataset.cases
    assert case.label is not None and "seg-vert" in case.label.name
    assert load_case(dataset, case).label is not None


def test_two_masks_of_one_kind(tmp_path: Path) -> None:
    put(tmp_path, "images/a.nii.gz", "images/b.nii.gz", "labels/a_seg.nii.gz", "labels/a-seg.nii.gz")
    with pytest.raises(DataError, match="a has 2 masks: a-seg, a_seg"):
        open_dataset(tmp_path)


def test_two_folders_of_masks(tmp_path: Path) -> None:
    for folder in ("labels", "masks"):
        put(tmp_path, f"{folder}/a.nii.gz", volume=mask(0, 1 + len(folder)))
    put(tmp_path, "images/a.nii.gz")
    with pytest.raises(DataError, match="masks of 2 kinds: labels, masks"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path, Reading(masks="masks")).labels == (Label("label_6", 6),)


def test_images_without_masks_beside_others_are_unlabelled(tmp_path: Path) -> None:
    put(tmp_path, "a.nii.gz", "b.nii.gz")
    put(tmp_path, "a_seg.nii.gz", volume=mask(0, 2))
    dataset = open_dataset(tmp_path)
    assert [(case.name, case.label is None) for case in dataset.cases] == [("a", False), ("b", True)]


def test_a_folder_per_case_with_several_channels(tmp_path: Path) -> None:
    for name in ("p1", "p2"):
        put(tmp_path / name, "T2.nii.gz", "T1.nii.gz")
        put(tmp_path / name, f"{name}_seg.nii.gz", volume=mask(0, 1))
    dataset = open_dataset(tmp_path)
    assert dataset.channels == ("T1", "T2")
    assert dataset.cases[1].images == (tmp_path / "p2/T1.nii.gz", tmp_path / "p2/T2.nii.gz")
    put(tmp_path / "p2", "mask.nii.gz", volume=mask(0, 1))
    with pytest.raises(DataError, match="masks of 2 kinds: mask, seg"):
        open_dataset(tmp_path)


def test_a_folder_per_case_with_names_of_its_own(tmp_path: Path) -> None:
    for name, file in (("p1", "scan_from_monday"), ("p2", "x77")):
        put(tmp_path / name, f"{file}.nii.gz")
        put(tmp_path / name, "seg.nii.gz", volume=mask(0, 1))
    dataset = open_dataset(tmp_path)
    assert dataset.channels == ("channel_0",)
    assert [case.images[0].name for case in dataset.cases] == ["scan_from_monday.nii.gz", "x77.nii.gz"]


ROW = "a,one,x.nii.gz,y.nii.gz"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "an empty table"),
        ("case,subject,T2,label", "0 rows"),
        (f"case,subject,T2,label\n{ROW}\n{ROW}", "listed more than once: a"),
        (f"case,subject,T2\n{ROW[:14]}", "no column label"),
        (f"number,subject,T2,label\n{ROW}", "no column case"),
        (f"case,subject,T2,T2\n{ROW}", "1 rows under the columns"),
        (f"case,subject,T2,label\n{ROW},5", "row 2 has another number of cells"),
        ("case,subject,T2,label\na,one,,y.nii.gz\nb,one,x.nii.gz,y.nii.gz", "row 2 has no T2"),
        ("case,subject,T2,label\n,one,x.nii.gz,y.nii.gz", "row 2 has no case"),
        ("case,subject,T2,label\n../a,one,x.nii.gz,y.nii.gz", "names that files can bear"),
        ("case,subject,T2,label\na,one,7,y.nii.gz", "no column with images"),
        ('case,subject,T2,label\na,one,"x.nii.gz,y.nii.gz', "cannot be read as a table"),
    ],
)
def test_manifests_that_are_wrong(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "spine.csv").write_text(text)
    with pytest.raises(DataError, match=found):
        open_dataset(tmp_path / "spine.csv")


@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_a_manifest_anywhere(tmp_path: Path, between: str) -> None:
    put(tmp_path, "scans/x.nii.gz", "scans/w.nii.gz", "scans/v.nii.gz")
    put(tmp_path, "y.nii.gz", volume=mask(0, 3))
    rows = [
        ["Case", "patient_id", "T2", "fat", "centre", "Mask"],
        ["b", "one", "scans/x.nii.gz", "scans/w.nii.gz", "Basel", "y.nii.gz"],
        ["a", "one", "scans/v.nii.gz", "scans/w.nii.gz", "Bern", ""],
    ]
    path = tmp_path / "spine.csv"
    path.write_text("\ufeff" + "\r\n".join(between.join(row) for row in rows) + "\r\n", encoding="utf-8")
    dataset = open_dataset(path)
    assert (dataset.name, dataset.channels, dataset.layout) == ("spine", ("T2", "fat"), "manifest")
    assert [(case.name, case.subject, case.label is None) for case in dataset.cases] == [
        ("a", "one", True),
        ("b", "one", False),
    ]
    assert dataset.notes == ("columns without images, left aside: centre",)
    assert dataset.labels == (Label("label_3", 3),)


def test_dicom_cases_of_one_patient_share_a_subject_that_says_nothing(tmp_path: Path) -> None:
    dicom(tmp_path, CONTENT)
    for name, patient in (("sub-02", "X"), ("sub-05", "X"), ("sub-03", "")):
        shutil.rmtree(tmp_path / name / "T2")
        volume = CONTENT.cases[name][0]
        write_series(tmp_path / name / "T2", volume.array[0], volume.geometry, patient=patient)
    dataset = open_dataset(tmp_path)
    assert {case.name: case.subject for case in dataset.cases}["sub-05"] == "sub-02"
    assert {case.name: case.subject for case in dataset.cases}["sub-03"] == "sub-03"
    assert "DOE" not in repr(dataset) and "HOSPITAL" not in repr(dataset)


def test_dicom_channels_by_the_names_of_their_folders(tmp_path: Path) -> None:
    for name in ("p1", "p2"):
        for series, seed in (("T1", 1), ("T2", 2)):
            write_series(tmp_path / name / series, image(seed).array[0], GRID, study="1.2.3" + name[1])
        put(tmp_path / name, "seg.nii.gz", volume=mask(0, 1))
    dataset = open_dataset(tmp_path)
    assert dataset.channels == ("T1", "T2")
    np.testing.assert_array_equal(load_case(dataset, dataset.cases[0]).image.array[1], image(2).array[0])
    (tmp_path / "p2" / "T2").rename(tmp_path / "p2" / "T2_again")
    with pytest.raises(DataError, match=r"not called alike in every case \(p1: T1, T2; p2: T1, T2_again\)"):
        open_dataset(tmp_path)


def test_dicom_studies_of_one_folder_are_cases(tmp_path: Path) -> None:
    for study in "12":
        folder = tmp_path / "p1" / f"study{study}"
        write_series(folder / "T2", image(int(study)).array[0], GRID, study=f"1.2.{study}")
        put(folder, "seg.nii.gz", volume=mask(0, 1))
    dataset = open_dataset(tmp_path)
    assert [case.name for case in dataset.cases] == ["p1_study1", "p1_study2"]
    assert {case.subject for case in dataset.cases} == {"p1_study1"}
    assert all(case.label is not None for case in dataset.cases)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("place", ["inside", "labels"])
def test_dicom_with_a_segmentation_object(tmp_path: Path, place: str) -> None:
    root = tmp_path / "data"
    path, wanted = write_segmentation(root / "p1")
    if place == "labels":
        (root / "labels").mkdir()
        path.rename(root / "labels" / "p1.dcm")
    dataset = open_dataset(root)
    assert dataset.labels == (Label("L5", 1), Label("L4", 2))
    (case,) = dataset.cases
    loaded = load_case(dataset, case)
    assert loaded.label is not None and loaded.label.sum() == wanted.sum()


def test_a_real_series_alone(real_data: Callable[[str], Path]) -> None:
    dataset = open_dataset(real_data("dicom-t2-lumbar"))
    assert (dataset.layout, dataset.channels, dataset.labels) == ("dicom", ("MR",), ())
    (case,) = dataset.cases
    assert (case.name, case.label) == ("dicom-t2-lumbar", None)
    assert "reference.nii.gz" in dataset.notes[0]


def read_all(dataset: Dataset) -> Mapping[str, tuple[int, ...]]:
    return {case.name: read_volume(case.images[0]).array.shape for case in dataset.cases}


def test_a_link_that_goes_round_is_walked_once(tmp_path: Path) -> None:
    dicom(tmp_path, CONTENT)
    (tmp_path / "sub-01" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert len(read_all(open_dataset(tmp_path))) == 6


@pytest.mark.parametrize(
    ("names", "subjects"),
    [
        (("sub-1_ses-1", "sub-1_ses-2", "sub-2_acq-sag"), ("sub-1", "sub-1", "sub-2")),
        (("sub-10Ses1", "sub-10Ses2", "sub-11"), ("sub-10", "sub-10", "sub-11")),
        (("p7_visit_1", "p7_visit_2", "p8_TP1"), ("p7", "p7", "p8")),
        (("cases1", "cases2", "courses3"), ("cases1", "cases2", "courses3")),
        (("visit_2023", "visit_2024"), ("visit_2023", "visit_2024")),
        (("spine_ses1", "spine_ses2"), ("spine_ses1", "spine_ses2")),
        (("sub-01", "sub-02"), ("sub-01", "sub-02")),
        (("sub-01_pre", "sub-01_post", "sub-02_pre"), ("sub-01", "sub-01", "sub-02")),
        (("1_t1", "1_t2", "1_t2_SPACE", "2_t2"), ("1", "1", "1", "2")),
        (("spine_T2", "spine_T1"), ("spine_T2", "spine_T1")),
    ],
)
def test_subjects_by_the_names_of_their_sessions(names: tuple[str, ...], subjects: tuple[str, ...]) -> None:
    assert tuple(subjects_of(names, None).values()) == subjects


def test_the_sessions_of_the_cord_data_are_of_six_people(real_data: Callable[[str], Path]) -> None:
    assert len({case.subject for case in open_dataset(real_data("cord-axial")).cases}) == 6


SIDED = {"left_x": 1, "right_x": 4}


@pytest.mark.parametrize("name", LAID_OUT)
def test_labels_may_be_paired_by_the_dataset(tmp_path: Path, name: str) -> None:
    if name == "bids":
        pytest.skip("BIDS has no place for it but labels.json, which names classes already")
    root = LAID_OUT[name][1](tmp_path / "spine", replace(CONTENT, labels=SIDED))
    description = root / ("dataset.json" if name.startswith(("nnunet", "decathlon")) else "labels.json")
    assert open_dataset(root).sides == ()
    edit_json(description, sides={"left_x": "right_x"})
    assert open_dataset(root).sides == (("left_x", "right_x"),)
    for wrong in ({"left_x": "right_y"}, {"left_x": "left_x"}, ["left_x", "right_x"]):
        edit_json(description, sides=wrong)
        with pytest.raises(DataError, match=r'"sides" is'):
            open_dataset(root)


def seen(root: Path, masks: str | None = None) -> dict[str, tuple[tuple[str, ...], str | None]]:
    """Case -> names of its images and of its mask."""
    dataset = open_dataset(root, Reading(masks=masks))
    return {
        case.name: (tuple(path.name for path in case.images), None if case.label is None else case.label.name)
        for case in dataset.cases
    }


@pytest.mark.parametrize("second", ["seg_canal", "seg_manual", "mask_L1", "label-disc"])
def test_a_second_mask_of_a_case_is_no_channel(tmp_path: Path, second: str) -> None:
    for name in ("p1", "p2"):
        put(tmp_path / name, f"{name}_T2.nii.gz")
        put(tmp_path / name, f"{name}_seg.nii.gz", f"{name}_{second}.nii.gz", volume=mask(0, 1))
    with pytest.raises(DataError, match="masks of 2 kinds"):
        open_dataset(tmp_path)
    dataset = open_dataset(tmp_path, Reading(masks=second))
    assert dataset.channels == ("T2",)
    assert dataset.cases[0].label == tmp_path / "p1" / f"p1_{second}.nii.gz"


def test_a_second_mask_of_a_manifest_is_no_channel(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("case,T2,label,seg\na,x.nii.gz,y.nii.gz,z.nii.gz\n")
    put(tmp_path, "y.nii.gz", "z.nii.gz", volume=mask(0, 1))
    with pytest.raises(DataError, match="masks of 2 kinds: label, seg"):
        open_dataset(tmp_path / "m.csv")
    assert seen(tmp_path / "m.csv", "seg") == {"a": (("x.nii.gz",), "z.nii.gz")}
    (tmp_path / "m.csv").write_text("case,T2,Label,label\na,x.nii.gz,y.nii.gz,z.nii.gz\n")
    with pytest.raises(DataError, match="1 rows under the columns"):
        open_dataset(tmp_path / "m.csv")


def test_a_mask_goes_to_the_image_whose_name_it_bears(tmp_path: Path) -> None:
    put(tmp_path, "p1.nii.gz", "p1_T1.nii.gz", "p2.nii.gz")
    put(tmp_path, "p1_seg.nii.gz", "p1_T1_seg.nii.gz", "seg_p2.nii.gz", volume=mask(0, 1))
    found = {name: label for name, (_, label) in seen(tmp_path).items()}
    assert found == {"p1": "p1_seg.nii.gz", "p1_T1": "p1_T1_seg.nii.gz", "p2": "seg_p2.nii.gz"}


def test_a_mask_that_may_be_of_two_images(tmp_path: Path) -> None:
    put(tmp_path, "images/p1_T1.nii.gz", "images/p1_T2.nii.gz")
    put(tmp_path, "labels/p1_seg.nii.gz", volume=mask(0, 1))
    with pytest.raises(DataError, match=r"p1_seg may be the mask of p1_T1 or p1_T2[\s\S]*manifest"):
        open_dataset(tmp_path)


def test_another_image_of_the_same_name_is_no_mask(tmp_path: Path) -> None:
    put(tmp_path, "images/1_t2.nii.gz")
    put(tmp_path, "labels/1_t2_SPACE.nii.gz", volume=mask(0, 1))
    assert open_dataset(tmp_path).cases[0].label == tmp_path / "labels" / "1_t2.nii.gz"  # which the check misses


@pytest.mark.parametrize("folders", [("", ""), ("images/", "labels/")])
def test_numbers_that_are_names_of_cases(tmp_path: Path, folders: tuple[str, str]) -> None:
    for index in range(3):
        put(tmp_path, f"{folders[0]}case_{index:04d}.nii.gz")
        put(tmp_path, f"{folders[1]}case_{index:04d}_seg.nii.gz", volume=mask(0, 1))
    assert list(seen(tmp_path)) == ["case_0000", "case_0001", "case_0002"]


def test_dicom_that_all_names_one_patient(tmp_path: Path) -> None:
    for name, (image_of_case, of_case) in CONTENT.cases.items():
        write_series(tmp_path / name, image_of_case.array[0], GRID, patient="ANONYMOUS")
        write_volume(tmp_path / name / "seg.nii.gz", of_case)
    dataset = open_dataset(tmp_path)
    assert len({case.subject for case in dataset.cases}) == len(CONTENT.cases)
    assert "as anonymised ones do" in dataset.notes[0]


@pytest.mark.parametrize(
    "place", ["{0}/seg.nii.gz", "{0}/mask/mask.nii.gz", "labels/{0}.nii.gz", "masks/{0}_seg.nii.gz", "{0}/a/seg.nii.gz"]
)
@pytest.mark.parametrize("series", ["{0}/a", "{0}/a/b", "images/{0}"])
def test_masks_of_dicom_cases_are_found(tmp_path: Path, place: str, series: str) -> None:
    if series.startswith("images") and not place.startswith(("labels", "masks")):
        pytest.skip("the case has no folder of its own")
    for name, (image_of_case, of_case) in CONTENT.cases.items():
        write_series(tmp_path / series.format(name), image_of_case.array[0], GRID, patient=name)
        write_volume(tmp_path / place.format(name), of_case)
    dataset = open_dataset(tmp_path)
    assert [case.name for case in dataset.cases] == list(CONTENT.cases) and not dataset.notes
    assert [case.label for case in dataset.cases] == [tmp_path / place.format(name) for name in CONTENT.cases]


def test_masks_of_two_kinds_of_dicom_cases(tmp_path: Path) -> None:
    write_series(tmp_path / "p1", image(1).array[0], GRID)
    put(tmp_path, "labels/p1_seg-vert.nii.gz", "labels/p1_seg-disc.nii.gz", volume=mask(0, 1))
    with pytest.raises(DataError, match="masks of 2 kinds: seg-disc, seg-vert"):
        open_dataset(tmp_path)
    assert seen(tmp_path, "vert")["p1"][1] == "p1_seg-vert.nii.gz"


def test_what_is_left_aside_is_said(tmp_path: Path) -> None:
    for name in ("p1", "p2"):
        put(tmp_path / name, "T2.nii.gz")
        put(tmp_path / name, "seg.nii.gz", volume=mask(0, 1))
    put(tmp_path, "p3/scan/T2.nii.gz")
    (tmp_path / "p1" / "other.mnc").write_bytes(b"")
    notes = open_dataset(tmp_path).notes
    assert notes[0] == "folders without images in them, left aside: p3"
    assert "other.mnc" in notes[1]


def test_bids_whose_derivatives_have_no_name(tmp_path: Path) -> None:
    for subject in ("sub-01", "sub-02", "sub-03"):
        put(tmp_path, f"{subject}/anat/{subject}_T2w.nii.gz")
        put(tmp_path, f"derivatives/{subject}/anat/{subject}_T2w_seg.nii.gz", volume=mask(0, 1))
        put(tmp_path, f"derivatives/preprocessed/{subject}/anat/{subject}_T2w.nii.gz")  # no mask
    put(tmp_path, "sub-04/anat/sub-04_T1w.nii.gz")
    (tmp_path / "derivatives" / "dseg.tsv").write_text("index\tname\n1\tcord\n7\tignore\n")
    dataset = open_dataset(tmp_path)
    assert [case.name for case in dataset.cases] == ["sub-01", "sub-02", "sub-03"]
    assert (dataset.labels, dataset.ignore) == ((Label("cord", 1),), 7)
    assert "cases without all of T2w, left aside: sub-04" in dataset.notes


def test_verse(tmp_path: Path) -> None:
    for subject in ("sub-verse004", "sub-verse005"):
        put(tmp_path, f"rawdata/{subject}/{subject}_ct.nii.gz")
        put(tmp_path, f"derivatives/{subject}/{subject}_seg-vert_msk.nii.gz", volume=mask(0, 1))
    dataset = open_dataset(tmp_path)
    assert (dataset.layout, dataset.channels) == ("bids", ("ct",))
    assert [case.label is None for case in dataset.cases] == [False, False]


def test_dicom_beside_what_was_made_of_it_is_no_second_reading(tmp_path: Path) -> None:
    folders(tmp_path, CONTENT)
    write_series(tmp_path / "sourcedata" / "p1", image(1).array[0], GRID)
    assert open_dataset(tmp_path).layout == "folders"


def test_names_stay_in_their_folder(tmp_path: Path) -> None:
    nnunet(tmp_path, CONTENT)
    for name in ("../x", "", ".", "a/b"):
        edit_json(tmp_path / "dataset.json", dataset={name: {"images": ["imagesTr/sub-01_0000.nii.gz"]}})
        with pytest.raises(DataError, match="names that files can bear"):
            open_dataset(tmp_path)


def test_a_kind_of_mask_that_is_not_there(tmp_path: Path) -> None:
    folders(tmp_path, CONTENT)
    with pytest.raises(DataError, match="masks of the kind plain; none is 'disc'"):
        open_dataset(tmp_path, Reading(masks="disc"))


def test_a_thousand_masks_are_paired_in_no_time(tmp_path: Path) -> None:
    names = [f"patient{index:05d}_visit{index % 3}_T2" for index in range(5000)]
    masks = {f"{name}_seg": Path(f"{name}_seg.nii.gz") for name in names}
    start = time.perf_counter()
    assert pair_masks(names, masks, None, tmp_path) == dict(zip(names, masks.values(), strict=True))
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("ending", ["nii.gz", ".nii.gz", ".NII.GZ", " nii.gz"])
def test_the_point_of_a_file_ending_may_be_missing(tmp_path: Path, ending: str) -> None:
    nnunet(tmp_path, CONTENT)
    edit_json(tmp_path / "dataset.json", file_ending=ending)
    assert len(open_dataset(tmp_path).cases) == 6
    for wrong in (".npz", "gz", 7, ""):
        edit_json(tmp_path / "dataset.json", file_ending=wrong)
        with pytest.raises(DataError, match='"file_ending" is'):
            open_dataset(tmp_path)


def test_suffixes_in_upper_case(tmp_path: Path) -> None:
    folders(tmp_path, CONTENT)
    for path in (*tmp_path.glob("*/*.nii*"), *tmp_path.glob("*/*.nrrd"), *tmp_path.glob("*/*.mha")):
        path.rename(path.with_name(path.name.replace(".nii.gz", ".NII.GZ").replace(".mha", ".MHA")))
    dataset = open_dataset(tmp_path)
    assert [case.name for case in dataset.cases] == list(CONTENT.cases)
    for case, (wanted, _) in zip(dataset.cases, CONTENT.cases.values(), strict=True):
        np.testing.assert_array_equal(load_case(dataset, case).image.array, wanted.array)


@pytest.mark.parametrize("name", ["spine_lesion_{}", "lesion_{}", "roi_{}", "spine_gt_{}", "label_{}", "x_roi_{:04d}"])
@pytest.mark.parametrize("kind", ["seg", "roi", "label", "gt"])
@pytest.mark.parametrize("place", ["", "{0}/", "c{1}/"])
def test_images_that_are_called_as_masks_are(tmp_path: Path, name: str, kind: str, place: str) -> None:
    """Another name extends theirs by a word of masks."""
    for number in range(3):
        case = name.format(number)
        folder = tmp_path / place.format(case, number)
        put(folder, f"{case}.nii.gz")
        put(folder, f"{case}_{kind}.nii.gz", volume=mask(0, 1))
    dataset = open_dataset(tmp_path)
    assert dataset.channels == ("channel_0",) or place == "{0}/"
    assert len(dataset.channels) == 1
    for number, case in enumerate(dataset.cases):
        called = name.format(number)
        assert case.label is not None
        found = (case.name, [path.name for path in case.files], case.label.name)
        assert found == (
            f"c{number}" if place == "c{1}/" else called,
            [f"{called}.nii.gz"],
            f"{called}_{kind}.nii.gz",
        )


def test_a_mask_of_a_mask_is_no_image(tmp_path: Path) -> None:
    put(tmp_path, "p1_T2.nii.gz")
    put(tmp_path, "p1_seg.nii.gz", "p1_seg_label.nii.gz", volume=mask(0, 1))
    with pytest.raises(DataError, match="masks of 2 kinds: seg, seg_label"):
        open_dataset(tmp_path)
    put(tmp_path / "more" / "p1", "p1_T2.nii.gz")
    put(tmp_path / "more" / "p1", "p1_lesion.nii.gz", "p1_lesion_mask.nii.gz", volume=mask(0, 1))
    with pytest.raises(DataError, match="masks of 2 kinds: lesion, lesion_mask"):
        open_dataset(tmp_path / "more")


def test_numbers_stay_names_where_one_of_them_has_a_mask(tmp_path: Path) -> None:
    put(tmp_path, *(f"images/vol_{number:04d}.nii.gz" for number in range(4)))
    for number in (1, 2):
        put(tmp_path, f"labels/vol_{number:04d}.nii.gz", volume=mask(0, 1))
    assert list(seen(tmp_path)) == ["vol_0000", "vol_0001", "vol_0002", "vol_0003"]
    assert open_dataset(tmp_path).channels == ("channel_0",)


def test_numbered_cases_in_nnunets_folders(tmp_path: Path) -> None:
    """One channel, and a label with the very name of its image."""
    for number in range(4):
        put(tmp_path, f"imagesTr/vol_{number:04d}.nii.gz")
        put(tmp_path, f"labelsTr/vol_{number:04d}.nii.gz", volume=mask(0, 1))
    described = {"channel_names": {"0": "T2"}, "labels": {"background": 0, "L5": 1}, "file_ending": ".nii.gz"}
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    assert [(name, files) for name, (files, _) in seen(tmp_path).items()] == [
        (f"vol_{number:04d}", (f"vol_{number:04d}.nii.gz",)) for number in range(4)
    ]


def test_masks_of_no_image_in_bids_are_named(tmp_path: Path) -> None:
    put(tmp_path, "sub-01/anat/sub-01_T2w.nii.gz")
    orphan = "derivatives/x/sub-07/anat/sub-07_T2w_seg.nii.gz"
    put(tmp_path, orphan, volume=mask(0, 1))
    with pytest.raises(DataError, match=f"no masks of these images, but masks of others: {orphan}"):
        open_dataset(tmp_path)
    put(tmp_path, "derivatives/x/sub-01/anat/sub-01_T2w_seg.nii.gz", volume=mask(0, 1))
    dataset = open_dataset(tmp_path)
    assert dataset.notes == (f"masks that belong to no image here, left aside: {orphan}",)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("a.mnc", "a_seg.mnc"), r"a\.mnc, a_seg\.mnc"),
        (("images/a.MNC", "labels/a.mnc"), r"images/a\.MNC, labels/a\.mnc"),
        (("p1/T2.npz", "p1/seg.npz"), r"p1/T2\.npz, p1/seg\.npz"),
        (("a.par", "a.rec", "b.jpg"), r"a\.par, a\.rec, b\.jpg"),
        (("sub-01/anat/sub-01_T2w.mnc",), r"sub-01/anat/sub-01_T2w\.mnc"),
        (("sub-01/anat/sub-01_T2w.nii.gz", "derivatives/x/sub-01/anat/sub-01_dseg.mnc"), r"sub-01_dseg\.mnc"),
    ],
)
def test_formats_that_are_not_read_are_named_first(tmp_path: Path, names: tuple[str, ...], found: str) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match=found):
        open_dataset(tmp_path)


def test_a_manifest_names_formats_that_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("case,T2,T1,label\na,x.nii.gz,x.mnc,y.npy\n")
    with pytest.raises(DataError, match=r"files of formats that are not read: x\.mnc, y\.npy"):
        open_dataset(tmp_path / "m.csv")


def test_dicom_among_images_and_masks_is_asked_about(tmp_path: Path) -> None:
    write_series(tmp_path, image(1).array[0], GRID)
    put(tmp_path, "a.nii.gz", "a_seg.nii.gz", volume=mask(0, 1))
    with pytest.raises(DataError, match=r"2 readings fit: beside \(1 images[^)]*\) and dicom \(DICOM files\)"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path, Reading(layout="beside")).layout == "beside"


def test_dicom_below_images_and_masks_is_told(tmp_path: Path) -> None:
    write_series(tmp_path / "sourcedata" / "p1", image(1).array[0], GRID)
    put(tmp_path, "a.nii.gz", "a_seg.nii.gz", volume=mask(0, 1))
    dataset = open_dataset(tmp_path)
    assert dataset.layout == "beside"
    assert dataset.notes == ("DICOM files in sourcedata/p1/, left aside (--layout dicom reads them)",)


def test_a_manifest_names_dicom_files_of_any_name(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path / "p1", image(1).array[0][:1], GRID, names=lambda index: "IM1")
    path.write_bytes(path.read_bytes()[132:])
    (tmp_path / "m.csv").write_text("case,T2,label\na,p1/IM1,\n")
    dataset = open_dataset(tmp_path / "m.csv")
    np.testing.assert_array_equal(
        load_case(dataset, dataset.cases[0]).image.array[0, 0].max(), image(1).array[0, 0].max()
    )


def test_dicom_among_the_files_of_a_described_set_is_told(tmp_path: Path) -> None:
    put(tmp_path / "imagesTr", "a_0000.nii.gz", "b_0000.nii.gz")
    put(tmp_path / "labelsTr", "a.nii.gz", "b.nii.gz", volume=mask(0, 1))
    described = {"channel_names": {"0": "T2"}, "labels": {"background": 0, "x": 1}, "file_ending": ".nii.gz"}
    (tmp_path / "dataset.json").write_text(json.dumps({**described, "numTraining": 2}))
    assert open_dataset(tmp_path).notes == ()
    for path in write_series(tmp_path / "imagesTr" / "c", image(1).array[0], GRID):
        path.rename(path.with_suffix(""))  # without a suffix
    assert open_dataset(tmp_path).notes == ("DICOM files in imagesTr/c/, left aside",)
