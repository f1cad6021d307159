"""Masks of all kinds: what classes they show, and faults that all of them share."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autospine.data.check import check_dataset
from autospine.data.dataset import load_case, open_dataset
from autospine.data.structure import Label, Reading
from autospine.errors import DataError
from tests.data.masks.mask_files import GRID, image, labels, mask
from tests.data.slicer_files import write_slicer


def packed_under_another_name(path: Path) -> None:
    content = gzip.compress(path.read_bytes())
    path.write_bytes(content)


def written(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize(
    ("held", "change", "found"),
    [
        (labels(), packed_under_another_name, "packed with gzip, under a name that ends in .nii"),
        (labels(), written(POINTER), "a Git LFS pointer"),
        (labels(), written(b"/annex/objects/MD5E-s1--d41d.nii\n"), "a git-annex pointer"),
        (labels(), written(b""), r"an empty file \(0 bytes\)"),
        (labels(), written(b"\n<!DOCTYPE html><html>404</html>"), "a web page"),
        (
            labels(np.float32) * np.float32(0.75),
            None,
            r"values that are no labels: 0\.75 \(4 voxels\), 1\.5 \(1 voxels\)",
        ),
        (labels() * 0, None, "every voxel is 0"),
        (-(labels().astype(np.int16) > 0).astype(np.int16), None, r"values that are no labels: -1 \(5 voxels\)"),
        (np.stack([labels()] * 3), None, "3 values per voxel, as in a colour image or a 4D one"),
    ],
)
def test_a_fault_that_all_masks_share_is_told_mask_by_mask(
    tmp_path: Path, held: np.ndarray, change: Callable[[Path], None] | None, found: str
) -> None:
    for name in "ab":
        image(tmp_path / "images", f"{name}.nii.gz")
        path = mask(tmp_path / "labels", f"{name}.nii", held)
        if change is not None:
            change(path)
    with pytest.raises(DataError, match=rf"labels/a\.nii: {found}") as raised:
        open_dataset(tmp_path)
    assert "labels/b.nii: " in raised.value.found and "0 classes" not in str(raised.value)


def test_one_mask_with_values_that_are_no_labels_is_left_to_the_check(tmp_path: Path) -> None:
    for seed, (name, held) in enumerate({"a": labels(), "b": labels(np.float32) / 2, "c": labels(np.float32)}.items()):
        image(tmp_path / "images", f"{name}.nii.gz", seed)
        # 0.99998 and 1.99996, as scaled masks are read
        mask(tmp_path / "labels", f"{name}.nii.gz", held * np.float32(0.99998) if name == "c" else held)
    dataset = open_dataset(tmp_path)
    assert dataset.labels == (Label("label_1", 1), Label("label_2", 2))
    errors = [finding for finding in check_dataset(dataset) if finding.severity == "error"]
    assert [(error.case, error.found) for error in errors] == [("b", "values that are no labels: 0.5 (4 voxels)")]
    np.testing.assert_array_equal(load_case(dataset, dataset.cases[2]).label, labels())


def test_masks_that_name_their_structures_beside_others_that_do_not(tmp_path: Path) -> None:
    for name in "ab":
        image(tmp_path / "images", f"{name}.nii.gz")
    write_slicer(tmp_path / "labels" / "a.seg.nrrd", labels()[None], GRID, [("L5", 0, 1), ("L4", 0, 2)])
    mask(tmp_path / "labels", "b.nii.gz", labels()[::-1])
    with pytest.raises(DataError, match=r"a\.seg\.nrrd names its structures and b\.nii\.gz does not"):
        open_dataset(tmp_path)
    (tmp_path / "labels.json").write_text(json.dumps({"L4": 2, "L5": 1}))
    dataset = open_dataset(tmp_path)
    np.testing.assert_array_equal(load_case(dataset, dataset.cases[0]).label, labels())
    np.testing.assert_array_equal(load_case(dataset, dataset.cases[1]).label, labels()[::-1])


def test_nnunets_layout_takes_segmentations_of_slicer_by_name(tmp_path: Path) -> None:
    image(tmp_path / "imagesTr", "a_0000.nrrd")
    write_slicer(tmp_path / "labelsTr" / "a.seg.nrrd", labels()[None] * 2, GRID, [("L4", 0, 4), ("L5", 0, 2)])
    described = {"channel_names": {"0": "T2"}, "labels": {"background": 0, "L5": 1, "L4": 2}, "file_ending": ".nrrd"}
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    dataset = open_dataset(tmp_path)
    assert [case.name for case in dataset.cases] == ["a"]
    np.testing.assert_array_equal(load_case(dataset, dataset.cases[0]).label, labels())


@pytest.mark.parametrize("home", ["derivatives_seg", "derivatives", "derivatives_seg/manual"])
def test_bids_masks_in_any_folder_of_derivatives(tmp_path: Path, home: str) -> None:
    for name in ("sub-01", "sub-02"):
        image(tmp_path / "rawdata" / name / "anat", f"{name}_T2w.nii.gz")
        mask(tmp_path / home / name / "anat", f"{name}_T2w_seg.nii.gz", labels())
    dataset = open_dataset(tmp_path)
    assert dataset.layout == "bids" and [case.name for case in dataset.cases] == ["sub-01", "sub-02"]
    np.testing.assert_array_equal(load_case(dataset, dataset.cases[1]).label, labels())


@pytest.mark.parametrize("flat", [True, False])
def test_the_masks_of_spineps(tmp_path: Path, flat: bool) -> None:
    """Their names say which image they are of, though T1w and T2w lie on one grid."""
    for name in ("sub-01", "sub-02"):
        for shows in ("T1w", "T2w"):
            home = tmp_path if flat else tmp_path / "rawdata" / name / "anat"
            image(home, f"{name}_{shows}.nii.gz", len(shows + name))
        home = tmp_path / "derivatives_seg" if flat else tmp_path / "derivatives_seg" / name / "anat"
        for kind, held in (("spine", labels()), ("vert", labels() * 3)):
            mask(home, f"{name}_mod-T2w_seg-{kind}_msk.nii.gz", held)
    dataset = open_dataset(tmp_path, Reading(masks="seg-vert"))
    assert dataset.layout == ("beside" if flat else "bids")
    labelled = [case for case in dataset.cases if case.label is not None]
    assert [path.name for case in labelled for path in case.files] == ["sub-01_T2w.nii.gz", "sub-02_T2w.nii.gz"]
    assert dataset.labels == (Label("label_3", 3), Label("label_6", 6))


def test_masks_in_two_folders_of_derivatives_have_to_be_chosen(tmp_path: Path) -> None:
    image(tmp_path / "sub-01" / "anat", "sub-01_T2w.nii.gz")
    for home in ("derivatives", "derivatives_seg"):
        mask(tmp_path / home / "sub-01" / "anat", "sub-01_T2w_seg.nii.gz", labels())
    with pytest.raises(DataError, match="derivatives_seg/"):
        open_dataset(tmp_path)
