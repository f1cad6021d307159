from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from autospine.planning.plan import Configuration
from autospine.preprocessing.store import Store
from autospine.training.sampler import IGNORE, PatchBatches, batches_from

CASES = ("a", "b", "c")


def test_a_batch_is_a_function_of_seed_and_step(small_store: Store, quick: Configuration) -> None:
    first = PatchBatches(small_store, CASES, quick, augment=True, seed=1)
    again = PatchBatches(small_store, CASES, quick, augment=True, seed=1)
    image, label = first[7]
    first[8]
    for repeated in (first[7], again[7]):
        np.testing.assert_array_equal(repeated[0], image)
        np.testing.assert_array_equal(repeated[1], label)
    assert not np.array_equal(PatchBatches(small_store, CASES, quick, augment=True, seed=2)[7][0], image)
    assert not np.array_equal(first[8][0], image)


def test_shapes_and_types(
    small_store: Store, quick: Configuration, make_configuration: Callable[..., Configuration]
) -> None:
    image, label = PatchBatches(small_store, CASES, quick, augment=True, seed=1)[0]
    assert image.shape == (2, 1, 8, 16, 16)
    assert image.dtype == np.float32
    assert label.shape == (2, 8, 16, 16)
    assert label.dtype == np.int64
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    image, label = PatchBatches(small_store, CASES, flat, augment=True, seed=1)[0]
    assert image.shape == (2, 1, 16, 16)
    assert label.shape == (2, 16, 16)


def test_plain_patches_are_crops_of_the_case(small_store: Store, quick: Configuration) -> None:
    image, label = PatchBatches(small_store, ("a",), quick, augment=False, seed=1)[0]
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


def test_forced_samples_hold_a_class_and_rare_classes_come_as_often(small_store: Store, quick: Configuration) -> None:
    tiny = replace(quick, patch=(2, 2, 2), network=replace(quick.network, strides=((1, 1, 1), (1, 1, 1))))
    forced = replace(tiny, batch=4, training=replace(tiny.training, oversample_foreground=1.0))
    batches = PatchBatches(small_store, CASES, forced, augment=False, seed=3)
    labels = np.concatenate([batches[step][1] for step in range(25)])
    with_one, with_two = ((labels == value).any((1, 2, 3)).mean() for value in (1, 2))
    assert with_one + with_two == 1.0
    assert 0.3 < with_one < 0.7


def test_a_patch_beyond_the_case_is_ignored_there(small_store: Store, quick: Configuration) -> None:
    large = replace(quick, patch=(16, 24, 24))
    image, label = PatchBatches(small_store, CASES, large, augment=False, seed=1)[0]
    outside = label == IGNORE
    assert outside.mean() > 0.4
    assert (image[:, 0][outside] == 0).all()
    assert (label[~outside] >= 0).all()
    assert (~outside).sum() == 2 * 12 * 20 * 18


def test_workers_change_nothing(small_store: Store, quick: Configuration) -> None:
    batches = PatchBatches(small_store, CASES, quick, augment=True, seed=1)
    here, there = (iter(batches_from(batches, 5, workers, pin=False)) for workers in (0, 2))
    for step in range(5, 9):
        one, other = next(here), next(there)
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[0], batches[step][0])
