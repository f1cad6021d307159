from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from autospine.data.structure import IGNORED, in_a_class
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import PresencePlan
from autospine.preprocessing.store import Store, StoredCase
from autospine.training import batches as batches_module
from autospine.training.batches import PatchBatches
from autospine.training.reader import PatchReader, cut_sizes
from autospine.training.spatial import SpatialTransform
from tests.cards import card_of
from tests.training.conftest import CASES
from tests.training.kinds import (
    Measured,
    Memory,
    cascaded,
    case_of,
    counted_case,
    neighbourly,
    optional,
    partial_case,
    sized,
)


def test_plain_patches_are_crops_of_the_case(small_store: Store, quick: Configuration) -> None:
    image, label = PatchBatches(small_store, ("a",), card_of(quick), augment=False, seed=1)[0]
    case = small_store.open("a")
    z, y, x = 12 - 8 + 1, 20 - 16 + 1, 18 - 16 + 1
    for patch, target in zip(image, label, strict=True):
        found = [
            (i, j, k)
            for i in range(z)
            for j in range(y)
            for k in range(x)
            if np.array_equal(case.image[0, i : i + 8, j : j + 16, k : k + 16], patch[0])
        ]
        assert len(found) == 1
        i, j, k = found[0]
        np.testing.assert_array_equal(case.label[i : i + 8, j : j + 16, k : k + 16], target)


def test_a_patch_beyond_the_case_is_ignored_there(small_store: Store, quick: Configuration) -> None:
    large = replace(quick, patch=(16, 24, 24))
    image, label = PatchBatches(small_store, CASES, card_of(large), augment=False, seed=1)[0]
    outside = label == IGNORED
    assert outside.mean() > 0.4
    assert (image[:, 0][outside] == 0).all()
    assert (label[~outside] <= 3).all()
    assert (~outside).sum() == 2 * 12 * 20 * 18


def test_a_patch_beside_its_case_is_ignored_as_a_whole(small_store: Store, quick: Configuration) -> None:
    there = np.ones(1, np.bool_)
    reader = PatchReader(card_of(quick))
    patch = reader.cut(reader.read(small_store.open("a"), None, np.array((40, 0, 0)), None, there))
    assert (patch.label == IGNORED).all() and (patch.image == 0).all() and patch.sizes is None


def test_neighbours_enter_in_order_and_the_middle_slice_is_the_target(
    make_configuration: Callable[..., Configuration],
) -> None:
    configuration = neighbourly(make_configuration, channels=2, neighbours=1)
    batches = PatchBatches(Memory(counted_case(2)), ("case",), card_of(configuration), augment=False, seed=0)
    image, label = batches[0]
    assert image.shape == (16, 6, 4, 4)
    assert label.shape == (16, 4, 4)
    # both channels of the slice before, of the slice itself and of the one after; at the ends the last one again
    expected = {
        0: [0, 1, 0, 1, 10, 11],
        1: [0, 1, 10, 11, 20, 21],
        2: [10, 11, 20, 21, 30, 31],
        3: [20, 21, 30, 31, 30, 31],
    }
    assert set(label.ravel().tolist()) == set(expected)
    for patch, target in zip(image, label, strict=True):
        assert (target == target[0, 0]).all()
        np.testing.assert_array_equal(patch[:, 0, 0], expected[int(target[0, 0])])
        assert (patch == patch[:, :1, :1]).all()


def test_a_case_thinner_than_its_neighbourhood(make_configuration: Callable[..., Configuration]) -> None:
    configuration = neighbourly(make_configuration, channels=1, neighbours=5)
    batches = PatchBatches(Memory(counted_case(1)), ("case",), card_of(configuration), augment=False, seed=0)
    image, label = batches[0]
    rows = {int(target[0, 0]): patch[:, 0, 0].tolist() for patch, target in zip(image, label, strict=True)}
    assert rows[1] == [0, 0, 0, 0, 0, 10, 20, 30, 30, 30, 30]


@pytest.mark.parametrize("patch", [(8, 16, 16), (16, 24, 24)])
def test_the_previous_stage_enters_as_one_channel_per_class(
    small_store: Store, quick: Configuration, patch: tuple[int, int, int]
) -> None:
    """The case's own label as the previous stage: its channels are then the target's classes, and 0 outside."""
    configuration = replace(cascaded(quick), patch=patch)
    batches = PatchBatches(
        small_store, ("a",), card_of(configuration), augment=False, seed=1, previous=Memory(small_store.open("a").label)
    )
    image, label = batches[0]
    assert image.shape == (2, 4, *patch)
    assert in_a_class(label).any()
    np.testing.assert_array_equal(image[:, 1:], np.stack([label == value for value in (1, 2, 3)], axis=1))
    plain = PatchBatches(small_store, ("a",), card_of(replace(quick, patch=patch)), augment=False, seed=1)[0]
    np.testing.assert_array_equal(image[:, :1], plain[0])


def test_the_previous_stage_is_turned_and_mirrored_with_the_image(
    small_store: Store, quick: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches_module, "disturb", lambda channels, rng: None)
    case = small_store.open("a")
    batches = PatchBatches(
        small_store, ("a",), card_of(cascaded(quick)), augment=True, seed=1, previous=Memory(case.label)
    )
    agreeing, turned = [], 0
    for step in range(12):
        image, label = batches[step]
        # whatever is drawn for the image, the channels stay 0 and 1
        assert set(np.unique(image[:, 1:])) <= {0.0, 1.0}
        assert image[:, 1:].sum(1).max() <= 1
        for value in (1, 2):
            mine, target = image[:, value] > 0, label == value
            if target.any():
                agreeing.append(2 * (mine & target).sum() / (mine.sum() + target.sum()))
                turned += not np.array_equal(mine, target)
    assert np.mean(agreeing) > 0.95  # nearest against linear interpolation
    assert turned > 0


@pytest.mark.parametrize("neighbours", [0, 1])
def test_a_flag_says_which_channels_are_there(
    make_configuration: Callable[..., Configuration], neighbours: int
) -> None:
    card, scans = optional(make_configuration, 3, 0.5, neighbours=neighbours), 3 * (2 * neighbours + 1)
    batches = PatchBatches(Memory(partial_case(3, (2,))), ("a",), card, augment=False, seed=1)
    image, _ = batches[0]
    assert image.shape[1] == scans + 2
    # nothing is left out where nothing is random
    assert (image[:, scans] == 1).all() and (image[:, scans + 1] == 0).all()
    assert not image[:, 2:scans:3].any() and image[:, 1:scans:3].any()


def test_the_previous_stage_comes_after_the_flags(small_store: Store, quick: Configuration) -> None:
    base = cascaded(quick)
    network = replace(base.network, in_channels=2 + 1 + 3)
    two = replace(base, normalisation=("zscore",) * 2, network=network)
    card = card_of(two, presence=PresencePlan((1,), 0.5))

    class Twice:
        def open(self, name: str) -> StoredCase:
            case = small_store.open(name)
            return replace(case, image=np.concatenate([case.image, case.image]))

    previous = Memory(small_store.open("a").label)
    image, label = PatchBatches(Twice(), ("a",), card, augment=False, seed=1, previous=previous)[0]
    assert (image[:, 2] == 1).all()
    np.testing.assert_array_equal(image[:, 3:], np.stack([label == value for value in (1, 2, 3)], axis=1))


def test_sizes_are_those_of_the_case(small_store: Store, quick: Configuration) -> None:
    """Larger than the cases: beyond them nothing has a size."""
    configuration = sized(replace(quick, patch=(16, 24, 24)))
    image, label, sizes = PatchBatches(Measured(small_store), ("b",), card_of(configuration), augment=False, seed=1)[0]
    assert image.shape == (2, 1, 16, 24, 24) and sizes.shape == label.shape and sizes.dtype == np.float32
    # blocks of 6 x 7 x 8 and 6 x 7 x 10 voxels
    np.testing.assert_array_equal(sizes, np.array([0, 336, 420, 0])[np.where(label == IGNORED, 0, label)])
    assert (label == IGNORED).any() and not sizes[label == IGNORED].any()


def test_a_voxel_beyond_its_component_takes_the_largest_size_beside_it() -> None:
    """A turn fills holes of a class, where its three neighbours outweigh the background that is nearest."""
    label = np.random.default_rng(0).choice(4, (3, 31, 31), p=(0.3, 0.5, 0.1, 0.1)).astype(np.uint8)
    case = case_of(label)
    assert len(np.unique(np.asarray(case.sizes))) > 5
    angle = np.deg2rad(40)
    matrix = np.eye(3)
    matrix[1:, 1:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    transform = SpatialTransform(0.8 * matrix, in_plane=False)
    read = torch.from_numpy(np.array(case.sizes))
    cut = transform.apply_label(torch.from_numpy(label), (3, 31, 31))
    turned, nearest = cut.numpy(), transform.apply_nearest(read, (3, 31, 31)).numpy()
    sizes = cut_sizes(read, cut, transform).numpy()
    beyond = in_a_class(turned) & (nearest == 0)
    assert beyond.sum() > 20
    np.testing.assert_array_equal(sizes[~beyond], nearest[~beyond])
    for z, y, x in np.argwhere(beyond):
        around = nearest[max(z - 1, 0) : z + 2, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        assert sizes[z, y, x] == around.max() > 0


def test_a_case_without_components_is_a_mistake(small_store: Store, quick: Configuration) -> None:
    with pytest.raises(ValueError, match="without its components"):
        PatchBatches(small_store, ("a",), card_of(sized(quick)), augment=False, seed=1)[0]
