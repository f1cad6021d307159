from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from autospine.data.box import nonzero_box
from autospine.data.dataset import open_dataset
from autospine.data.geometry import Geometry, Volume
from autospine.data.structure import Case, LoadedCase
from autospine.errors import DataError, PlanError
from autospine.planning.measured.fingerprint import Fingerprint, extract_fingerprint, measure_case


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three cases of 4 x 6 x 8 voxels of 3 x 2 x 1 mm, axes towards superior, posterior, left."""
    for part in ("images", "labels"):
        (tmp_path / "toy" / part).mkdir(parents=True)
    for case in range(3):
        image = np.full((4, 6, 8), 10.0 + case, np.float32)
        image[:, :, 7] = 0
        label = np.zeros((4, 6, 8), np.uint8)
        label[1:3, 2:4, 1:5] = 1
        label[3, 5, 6] = 2
        for part, array in (("images", image), ("labels", label)):
            volume = sitk.GetImageFromArray(array)
            volume.SetSpacing((1.0, 2.0, 3.0))
            sitk.WriteImage(volume, str(tmp_path / "toy" / part / f"case_{case}.nii.gz"))
    return tmp_path / "toy"


def test_a_case_by_hand() -> None:
    image = np.ones((1, 4, 6, 8), np.float32)
    image[0, :, :, 7] = 0
    label = np.zeros((4, 6, 8), np.uint8)
    label[1:3, 2:4, 1:5] = 1
    grid = Geometry((4, 6, 8), (3.0, 2.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    loaded = LoadedCase(Case("a", (Path("a.nii"),), None, "s"), Volume(image, grid), label)
    case = measure_case(loaded, label, 2)
    assert (case.shape, case.cropped_shape) == ((4, 6, 8), (4, 6, 7))
    assert case.class_voxels == (16, 0)
    assert case.class_slices == ((2, 2, 4), (0, 0, 0))
    assert case.class_centroids_mm == ((4.5, 5.0, 2.5), None)
    assert case.class_extents_mm == ((6.0, 4.0, 4.0), (0.0, 0.0, 0.0))


def test_one_pass_over_a_folder(folder: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    fingerprint = extract_fingerprint(open_dataset(folder), progress=lambda *step: seen.append(step))
    assert seen == [("case_0", 1, 3), ("case_1", 2, 3), ("case_2", 3, 3)]
    assert fingerprint.dataset == "toy"
    assert [case.cropped_shape for case in fingerprint.cases] == [(4, 6, 7)] * 3
    assert fingerprint.cases[0].spacing_mm == (3.0, 2.0, 1.0)
    assert len({case.digest for case in fingerprint.cases}) == 3
    intensity = fingerprint.intensities[0]
    assert (intensity.minimum, intensity.median, intensity.maximum) == (10.0, 11.0, 12.0)
    assert intensity.mean == pytest.approx(11.0)


def test_json_and_hash(folder: Path) -> None:
    fingerprint = extract_fingerprint(open_dataset(folder))
    back = Fingerprint.from_json(json.loads(json.dumps(fingerprint.to_json())))
    assert back == fingerprint
    assert back.hash() == fingerprint.hash() == extract_fingerprint(open_dataset(folder)).hash()
    with pytest.raises(PlanError, match="fingerprint.json"):
        Fingerprint.from_json({"dataset": 3})


def test_workers_give_the_same(folder: Path) -> None:
    assert extract_fingerprint(open_dataset(folder), workers=2) == extract_fingerprint(open_dataset(folder))


def test_all_errors_come_at_once(folder: Path) -> None:
    for case in (0, 2):
        image = sitk.ReadImage(str(folder / "images" / f"case_{case}.nii.gz"))
        array = sitk.GetArrayFromImage(image)
        array[0, 0, 0] = np.nan
        broken = sitk.GetImageFromArray(array)
        broken.CopyInformation(image)
        sitk.WriteImage(broken, str(folder / "images" / f"case_{case}.nii.gz"))
    with pytest.raises(DataError) as caught:
        extract_fingerprint(open_dataset(folder))
    assert "case_0" in str(caught.value)
    assert "case_2" in str(caught.value)
    assert "case_1" not in str(caught.value)


def test_images_without_masks_are_no_training_cases(folder: Path) -> None:
    dataset = open_dataset(folder)
    without = replace(dataset.cases[1], label=None)
    fingerprint = extract_fingerprint(replace(dataset, cases=(dataset.cases[0], without, dataset.cases[2])))
    assert [case.case for case in fingerprint.cases] == ["case_0", "case_2"]
    with pytest.raises(DataError, match="no case has a mask"):
        extract_fingerprint(replace(dataset, cases=(without,)))


def test_a_missing_mask_is_named(folder: Path) -> None:
    (folder / "labels" / "case_1.nii.gz").unlink()
    with pytest.raises(DataError, match=r"case_1\.nii\.gz"):
        extract_fingerprint(open_dataset(folder))


def test_nonzero_box() -> None:
    image = np.zeros((2, 5, 6, 7), np.float32)
    assert nonzero_box(image) == (slice(0, 5), slice(0, 6), slice(0, 7))
    image[0, 1, 2, 3] = 1
    image[1, 3, 2, 5] = -1
    assert nonzero_box(image) == (slice(1, 4), slice(2, 3), slice(3, 6))
