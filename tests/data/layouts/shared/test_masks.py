"""Masks and their images, by their names."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from autospine.data.dataset import open_dataset
from autospine.data.layouts.shared.masks import Images, is_mask_name, masks_beside, pair_masks
from autospine.data.structure import Reading
from autospine.errors import DataError
from tests.data.laid_out import folders
from tests.data.small import CONTENT, mask, put


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


def test_a_mask_that_may_be_of_two_images(tmp_path: Path) -> None:
    put(tmp_path, "images/p1_T1.nii.gz", "images/p1_T2.nii.gz")
    put(tmp_path, "labels/p1_seg.nii.gz", volume=mask(0, 1))
    with pytest.raises(DataError, match=r"p1_seg may be the mask of p1_T1 or p1_T2[\s\S]*manifest"):
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


@pytest.mark.parametrize(
    ("names", "masks"),
    [
        ("a a_seg b b-label c.seg c", "a_seg b-label c.seg"),
        ("a_T2 a_seg", "a_seg"),
        ("a_T2 a_lesion", "a_lesion"),
        ("T2 seg", "seg"),
        ("7 seg_7 img_8 mask_8", "seg_7 mask_8"),
        ("a_0000 a_0001 a_seg", "a_seg"),
        ("a_0000 a_0000_gt", "a_0000_gt"),
        ("a b_seg", "b_seg"),
        ("lesion_0 lesion_0_seg", "lesion_0_seg"),
        ("gt_0 gt_0_label roi_1 roi_1_gt", "gt_0_label roi_1_gt"),
        ("spine_lesion_1 spine_healthy_1", ""),
        ("spine_lesion spine_lesion_seg", "spine_lesion_seg"),
        ("a_seg b_seg", ""),
        ("lesion", ""),
        ("sub-01_T2w sub-01_T2w_label-SC_seg sub-02_dseg", "sub-01_T2w_label-SC_seg sub-02_dseg"),
    ],
)
def test_masks_beside_images(names: str, masks: str) -> None:
    assert masks_beside(set(names.split())) == set(masks.split())
