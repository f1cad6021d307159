from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

from autospine.data.structure import IGNORED
from autospine.planning.document.configuration import Configuration
from autospine.training.mirror import Mirroring
from tests.cards import card_of
from tests.training.kinds import cascaded


def subsets(axes: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [chosen for count in range(len(axes) + 1) for chosen in combinations(axes, count)]


def mirrored(mirror: Mirroring, seed: int, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Copies of images, labels and what is mirrored with them."""
    copies = tuple(array.copy() for array in arrays)
    mirror(np.random.default_rng(seed), *(torch.from_numpy(array) for array in copies))
    return copies


def test_only_allowed_axes_are_mirrored(make_configuration: Callable[..., Configuration]) -> None:
    base = make_configuration()
    images = np.random.default_rng(0).normal(size=(4, 1, 8, 10, 12)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 4, (4, 8, 10, 12)).astype(np.uint8)
    still = Mirroring(card_of(replace(base, training=replace(base.training, mirror_axes=()))))
    turning = Mirroring(card_of(replace(base, training=replace(base.training, mirror_axes=(1,)))))
    flips = set()
    for seed in range(12):
        np.testing.assert_array_equal(mirrored(still, seed, images, labels)[1], labels)
        _, out = mirrored(turning, seed, images, labels)
        for before, after in zip(labels, out, strict=True):
            same, turned = np.array_equal(after, before), np.array_equal(after, before[:, ::-1])
            assert same or turned
            flips.add(same)
    assert flips == {True, False}


@pytest.mark.parametrize("flat", [False, True])
def test_all_that_is_known_of_a_voxel_stays_with_it(
    make_configuration: Callable[..., Configuration], flat: bool
) -> None:
    card = card_of(make_configuration(**({"spacing_mm": (1.0, 1.0)} if flat else {})))
    labels = np.random.default_rng(1).integers(0, 4, (4, 10, 12) if flat else (4, 8, 10, 12)).astype(np.uint8)
    images, sizes = labels[:, None].astype(np.float32) + 0.5, labels.astype(np.float32) * 10
    for seed in range(6):
        found = mirrored(Mirroring(card), seed, images, labels, sizes)
        np.testing.assert_array_equal(found[0][:, 0], found[1] + 0.5)
        np.testing.assert_array_equal(found[2], found[1] * 10.0)
        for before, after in zip(labels, found[1], strict=True):
            flips = subsets(card.configuration.training.mirror_axes)
            assert any(np.array_equal(np.flip(before, axes), after) for axes in flips)


def test_classes_of_a_previous_stage_are_mirrored_with_the_image(
    make_configuration: Callable[..., Configuration],
) -> None:
    mirror = Mirroring(card_of(cascaded(make_configuration())))
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (4, 8, 10, 12)).astype(np.uint8)
    scans = rng.normal(size=(4, 1, 8, 10, 12)).astype(np.float32)
    classes = np.stack([labels == value for value in (1, 2, 3)], axis=1).astype(np.float32)
    turned = 0
    for seed in range(12):
        images, targets = mirrored(mirror, seed, np.concatenate((scans, classes), axis=1), labels)
        expected = np.stack([targets == value for value in (1, 2, 3)], axis=1)
        np.testing.assert_array_equal(images[:, 1:], expected)
        turned += not np.array_equal(targets, labels)
    assert turned == 12  # of four samples at least one


@pytest.mark.parametrize("cascade", [False, True])
def test_sides_swap_in_samples_that_are_mirrored(
    make_configuration: Callable[..., Configuration], cascade: bool
) -> None:
    base = cascaded(make_configuration()) if cascade else make_configuration()
    training = replace(base.training, mirror_axes=(2,))
    mirror = Mirroring(card_of(replace(base, training=training), sides=((1, 3),)))
    rng = np.random.default_rng(0)
    drawn = rng.integers(-1, 4, (4, 8, 10, 12))
    labels = np.where(drawn < 0, IGNORED, drawn).astype(np.uint8)
    swapped = np.array([0, 3, 2, 1, IGNORED], np.uint8)[drawn][..., ::-1]
    scans = rng.normal(size=(4, 1, 8, 10, 12)).astype(np.float32)
    turned = 0
    for seed in range(12):
        classes = np.stack([labels == value for value in (1, 2, 3)], axis=1).astype(np.float32)
        entering = np.concatenate((scans, classes), axis=1) if cascade else scans
        images, targets = mirrored(mirror, seed, entering, labels)
        for after, before, other in zip(targets, labels, swapped, strict=True):
            same, changed = np.array_equal(after, before), np.array_equal(after, other)
            assert same != changed
            turned += changed
        if cascade:
            expected = np.stack([targets == value for value in (1, 2, 3)], axis=1)
            np.testing.assert_array_equal(images[:, 1:], expected)
    assert 12 < turned < 36  # half of 48
