"""Voxels of each class, drawn evenly; connected components of a label, and the store that has them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from autospine.data.dataset import open_dataset
from autospine.data.geometry import Geometry, Volume
from autospine.data.structure import IGNORED, Dataset
from autospine.data.volume import write_volume
from autospine.errors import PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.plan import Plan
from autospine.preprocessing import locations
from autospine.preprocessing.cases import prepare_dataset
from autospine.preprocessing.keys import store_name, stored_key
from autospine.preprocessing.locations import Components, class_locations, measure_components
from autospine.preprocessing.store import find_store


def drawn() -> np.ndarray:
    """Class 1: a bar of 2 x 3 x 1 joined by a corner to a voxel, and a voxel apart; class 3 beside them: 2 voxels."""
    label = np.zeros((5, 6, 7), np.uint8)
    label[1:3, 1:4, 2] = 1
    label[3, 4, 3] = 1
    label[0, 0, 6] = 1
    label[1, 1:3, 3] = 3
    label[4, 5, 0] = IGNORED
    return label


def test_sizes_by_hand() -> None:
    found = measure_components(drawn(), (1, 2, 3), slices_apart=False, seed=0)
    expected = np.zeros((5, 6, 7), np.float32)
    expected[1:3, 1:4, 2] = expected[3, 4, 3] = 7
    expected[0, 0, 6] = 1
    expected[1, 1:3, 3] = 2
    np.testing.assert_array_equal(found.sizes, expected)
    assert found.sizes.dtype == np.float32
    assert sorted(found.locations) == sorted(found.offsets) == [1, 3]
    assert found.offsets[1].tolist() == [0, 1, 8] and found.offsets[3].tolist() == [0, 2]
    assert found.locations[1][0].tolist() == [0, 0, 6]
    assert found.locations[3].tolist() == [[1, 1, 3], [1, 2, 3]]


def test_in_slices_a_component_is_as_large_as_its_mean_area() -> None:
    found = measure_components(drawn(), (1, 2, 3), slices_apart=True, seed=0)
    # seven pixels over slices 1, 2 and 3; those of one slice keep theirs
    assert found.sizes[1, 1, 2] == found.sizes[3, 4, 3] == np.float32(7 / 3)
    assert found.sizes[0, 0, 6] == 1 and found.sizes[1, 1, 3] == 2


def test_two_limbs_in_a_slice_touch_it_once() -> None:
    """Ten pixels over slices 1 and 2, where there are two limbs, and 3, where a bar joins them."""
    label = np.zeros((5, 4, 6), np.uint8)
    label[3, 1, :] = label[1:4, 1, 0] = label[1:4, 1, 5] = 1
    found = measure_components(label, (1,), slices_apart=True, seed=0)
    assert set(np.unique(found.sizes).tolist()) == {0.0, np.float32(10 / 3)}


def random_components(kept: int, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, Components]:
    monkeypatch.setattr(locations, "VOXELS_ENOUGH", kept)
    smooth = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(20, 30, 25)), 1.2)
    label = np.where(smooth > 0.12, 2, 0).astype(np.uint8)
    return label, measure_components(label, (1, 2), slices_apart=False, seed=1)


@pytest.mark.parametrize("kept", [7, 10_000])
def test_voxels_lie_in_their_components_and_none_is_left_out(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    label, found = random_components(kept, monkeypatch)
    pieces, count = ndimage.label(label == 2, np.ones((3, 3, 3)))
    ends = found.offsets[2]
    assert count > 20 and len(ends) == count + 1 and ends[-1] == len(found.locations[2])
    seen = set()
    for low, high in zip(ends[:-1], ends[1:], strict=True):
        voxels = found.locations[2][low:high]
        (piece,) = set(pieces[tuple(voxels.T)].tolist())
        size = int((pieces == piece).sum())
        assert len(voxels) == len(np.unique(voxels, axis=0)) == min(size, kept)
        assert (found.sizes[pieces == piece] == size).all()
        seen.add(piece)
    assert seen == set(range(1, count + 1))
    # all of a class is all of its components
    if kept > label.size:
        np.testing.assert_array_equal(np.unique(found.locations[2], axis=0), class_locations(label, (2,), 0)[2])


def test_what_is_kept_is_drawn_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    label, found = random_components(7, monkeypatch)
    again, other = (measure_components(label, (2,), slices_apart=False, seed=seed) for seed in (1, 2))
    np.testing.assert_array_equal(found.locations[2], again.locations[2])
    assert not np.array_equal(found.locations[2], other.locations[2])


def test_an_empty_label_has_no_components() -> None:
    found = measure_components(np.zeros((2, 3, 4), np.uint8), (1, 2), slices_apart=True, seed=0)
    assert not found.sizes.any() and found.locations == found.offsets == {}


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Two cases with a large and a small lesion of class 1."""
    root = tmp_path / "demo"
    for name, shape in (("a", (6, 9, 8)), ("b", (7, 8, 10))):
        label = np.zeros(shape, np.uint8)
        label[1:4, 1:5, 1:3] = 1
        label[5, 6, 6] = 1
        geometry = Geometry(shape, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), 3)
        image = np.random.default_rng(0).normal(100, 10, shape).astype(np.float32)
        write_volume(root / "imagesTr" / f"{name}_0000.nii.gz", Volume(image[None], geometry, ()))
        write_volume(root / "labelsTr" / f"{name}.nii.gz", Volume(label[None], geometry, ()))
    labels = {"background": 0, "L1": 1, "L2": 2, "L3": 3}
    content = {"channel_names": {"0": "T2"}, "labels": labels, "numTraining": 2, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(content))
    return open_dataset(root)


@pytest.fixture
def lesionwise(make_configuration: Callable[..., Configuration]) -> Configuration:
    base = make_configuration()
    return replace(base, training=replace(base.training, foreground_unit="component"))


def test_a_store_has_components_where_the_plan_goes_by_them(
    dataset: Dataset, tmp_path: Path, lesionwise: Configuration, make_plan: Callable[..., Plan]
) -> None:
    plan, root = make_plan(lesionwise), tmp_path / "s"
    store = prepare_dataset(dataset, plan, lesionwise, root, workers=1)
    assert store.contents == "components"
    case = store.open("a")
    assert isinstance(case.sizes, np.memmap) and case.sizes.shape == case.label.shape
    assert case.sizes[1, 1, 1] == 24 and case.sizes[5, 6, 6] == 1 and case.sizes.sum() == 24 * 24 + 1
    assert case.offsets[1].tolist() == [0, 24, 25] and len(case.locations[1]) == 25
    # every file of a case is needed
    key = stored_key(plan, lesionwise)
    assert find_store(root, key) is not None
    (root / "b.sizes.npy").unlink()
    with pytest.raises(PlanError, match="'b' is missing or damaged"):
        store.open("b")
    assert find_store(root, key) is None
    built: list[str] = []
    prepare_dataset(dataset, plan, lesionwise, root, workers=1, progress=lambda name, *_: built.append(name))
    assert built == ["b"] and (root / "b.sizes.npy").is_file()


def test_a_store_without_components_is_what_it_was(
    dataset: Dataset, tmp_path: Path, lesionwise: Configuration, make_plan: Callable[..., Plan]
) -> None:
    plain = replace(lesionwise, training=replace(lesionwise.training, foreground_unit="class"))
    root = tmp_path / "s"
    prepare_dataset(dataset, make_plan(lesionwise), lesionwise, root, workers=1)
    store = prepare_dataset(dataset, make_plan(plain), plain, root, workers=1)
    assert store.contents == "labels" and not list(root.glob("*.sizes.npy"))
    assert "components" not in json.loads((root / "store.json").read_text())
    case = store.open("a")
    assert case.sizes is None and case.offsets == {}
    with np.load(root / "a.locations.npz") as archive:
        assert archive.files == ["1"]
    np.testing.assert_array_equal(case.locations[1], class_locations(np.asarray(case.label), (1,), 1234)[1])


def test_the_key_knows_components_and_not_what_they_are_for(
    lesionwise: Configuration, make_plan: Callable[..., Plan]
) -> None:
    plain = replace(lesionwise, training=replace(lesionwise.training, foreground_unit="class"))
    loss = replace(plain.loss, kind="dice_size_adaptive_ce", largest_size=30.0)
    weighted = replace(plain, loss=loss)
    plan = make_plan(plain)
    # the key of before there were components, for the same numbers
    assert stored_key(plan, plain) == "7f36e9caec096f4ce12f2150805684232fd21b3d7160f9b1fd604c887cc6ee68"
    assert stored_key(plan, lesionwise) == stored_key(plan, weighted) != stored_key(plan, plain)
    other = replace(weighted, loss=replace(loss, largest_size=40.0))
    assert stored_key(plan, other) == stored_key(plan, weighted)
    assert store_name(plan, lesionwise) == "3d_fullres"


def test_locations_of_small_and_large_classes() -> None:
    label = np.zeros((60, 150, 200), np.uint8)
    label[:, :, :150] = 1  # 1 350 000 voxels: 1 % is 13 500
    label[5, 6, 180:190] = 2
    label[10:20, :, 160:] = 4  # 60 000 voxels: 10 000 are kept
    found = class_locations(label, (1, 2, 3, 4), seed=0)
    assert {value: len(voxels) for value, voxels in found.items()} == {1: 13_500, 2: 10, 4: 10_000}
    for value, voxels in found.items():
        assert voxels.dtype == np.int32
        assert (label[tuple(voxels.T)] == value).all()
        assert len(np.unique(voxels, axis=0)) == len(voxels)
    again, other = class_locations(label, (1, 2, 3, 4), seed=0), class_locations(label, (1, 2, 3, 4), seed=1)
    np.testing.assert_array_equal(found[1], again[1])
    assert not np.array_equal(found[1], other[1])
    # evenly over the class, not from one end
    assert abs(float(found[1].mean(axis=0)[0]) - 29.5) < 1
