from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from autospine.data.structure import IGNORED
from autospine.planning.document.configuration import Configuration
from autospine.training.augment import IntensityAugmentation, SpatialTransform, draw_transform, seeded
from tests.cards import card_of

PATCH = (6, 9, 8)


def cut(array: np.ndarray, box: list[list[int]]) -> np.ndarray:
    return array[tuple(slice(low, high) for low, high in box)]


def test_identity_gives_the_plain_crop() -> None:
    volume = np.random.default_rng(0).normal(size=(30, 30, 30)).astype(np.float32)
    start = np.array([10, 11, 12])
    for in_plane in (False, True):
        transform = SpatialTransform(np.eye(3), in_plane)
        image = cut(volume, transform.source_box(start, PATCH))[None]
        plain = volume[10:16, 11:20, 12:20]
        np.testing.assert_allclose(transform.apply_image(image, PATCH)[0], plain, atol=1e-5)


@pytest.mark.parametrize("in_plane", [False, True])
def test_quarter_turn_equals_rot90(in_plane: bool) -> None:
    volume = np.random.default_rng(0).normal(size=(30, 31, 31)).astype(np.float32)
    patch, start = (5, 7, 7), np.array([10, 12, 12])
    matrix = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    transform = SpatialTransform(matrix, in_plane)
    image = cut(volume, transform.source_box(start, patch))[None]
    plain = volume[10:15, 12:19, 12:19]
    np.testing.assert_allclose(transform.apply_image(image, patch)[0], np.rot90(plain, -1, (1, 2)), atol=1e-4)


def test_label_keeps_its_values_and_marks_the_outside() -> None:
    label = np.zeros((20, 20, 20), np.uint8)
    label[5:15, 5:15, 5:15] = 2
    label[:, :, 14:] = IGNORED
    transform = SpatialTransform(np.eye(3), in_plane=False)
    start = np.array([8, 8, 8])
    out = transform.apply_label(cut(label, transform.source_box(start, (4, 4, 9))), (4, 4, 9))
    np.testing.assert_array_equal(out, label[8:12, 8:12, 8:17])


def test_draws_stay_within_the_plan(make_configuration: Callable[..., Configuration]) -> None:
    configuration = make_configuration()
    rng = np.random.default_rng(0)
    drawn = [draw_transform(rng, configuration) for _ in range(2000)]
    changed = [transform for transform in drawn if transform is not None]
    # neither rotated (0.8) nor zoomed (0.8)
    assert len(changed) / 2000 == pytest.approx(0.36, abs=0.04)
    zooms = np.array([np.cbrt(np.linalg.det(transform.matrix)) for transform in changed])
    assert zooms.min() >= 0.7
    assert zooms.max() <= 1.4


def test_in_plane_draws_leave_the_first_axis(make_configuration: Callable[..., Configuration]) -> None:
    base = make_configuration()
    configuration = replace(base, training=replace(base.training, rotate_in_plane=True))
    rng = np.random.default_rng(0)
    for transform in (draw_transform(rng, configuration) for _ in range(200)):
        if transform is not None:
            np.testing.assert_array_equal(transform.matrix[0], [1, 0, 0])
            np.testing.assert_array_equal(transform.matrix[:, 0], [1, 0, 0])


def test_intensity_keeps_labels_and_mirrors_only_allowed_axes(
    make_configuration: Callable[..., Configuration],
) -> None:
    base = make_configuration()
    images = np.random.default_rng(0).normal(size=(4, 1, 8, 10, 12)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 4, (4, 8, 10, 12)).astype(np.int16)
    still = IntensityAugmentation(card_of(replace(base, training=replace(base.training, mirror_axes=()))))
    turned = IntensityAugmentation(card_of(replace(base, training=replace(base.training, mirror_axes=(1,)))))
    flips = set()
    for seed in range(12):
        with seeded(seed):
            np.testing.assert_array_equal(still(images.copy(), labels.copy())[1], labels)
        with seeded(seed):
            _, out = turned(images.copy(), labels.copy())
        for before, after in zip(labels, out, strict=True):
            same, mirrored = np.array_equal(after, before), np.array_equal(after, before[:, ::-1])
            assert same or mirrored
            flips.add(same)
    assert flips == {True, False}


def test_slices_of_an_image_channel_are_treated_alike(make_configuration: Callable[..., Configuration]) -> None:
    """Two image channels in three slices: one factor per image channel, and nothing is mixed across slices."""
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    configuration = replace(
        flat,
        name="2.5d",
        neighbours=1,
        normalisation=("zscore",) * 2,
        network=replace(flat.network, in_channels=6),
        training=replace(flat.training, mirror_axes=()),
    )
    augment = IntensityAugmentation(card_of(configuration))
    image = np.zeros((2, 3, 2, 16, 16), np.float32)
    image[:, 1, :, 5:9, 6:10] = 1  # the middle slice has a square; its neighbours are blank
    changed, apart = 0, 0
    for seed in range(60):
        with seeded(seed):
            out, _ = augment(image.reshape(2, 6, 16, 16).copy(), np.zeros((2, 16, 16), np.int16))
        for before, sample in zip(image, out.reshape(image.shape), strict=True):
            if sample[0].std() > 1e-3 and sample[2].std() > 1e-3:
                continue  # noise
            assert sample[0].std((1, 2)).max() < 1e-5
            np.testing.assert_allclose(sample[0], sample[2], atol=1e-5)
            changed += not np.allclose(sample, before, atol=1e-3)
            apart += not np.allclose(sample[:, 0], sample[:, 1], atol=1e-3)
    assert changed > 40
    assert apart > 40


def test_classes_of_a_previous_stage_are_mirrored_and_left_alone_otherwise(
    make_configuration: Callable[..., Configuration],
) -> None:
    base = make_configuration()
    configuration = replace(
        base, name="3d_cascade_fullres", previous="3d_lowres", network=replace(base.network, in_channels=4)
    )
    augment = IntensityAugmentation(card_of(configuration))
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (4, 8, 10, 12)).astype(np.int16)
    scans = rng.normal(size=(4, 1, 8, 10, 12)).astype(np.float32)
    classes = np.stack([labels == value for value in (1, 2, 3)], axis=1).astype(np.float32)
    turned = 0
    for seed in range(12):
        with seeded(seed):
            images, targets = augment(np.concatenate((scans, classes), axis=1), labels.copy())
        expected = np.stack([targets == value for value in (1, 2, 3)], axis=1)
        np.testing.assert_array_equal(images[:, 1:], expected)
        turned += not np.array_equal(targets, labels)
    assert turned == 12  # of four samples at least one


@pytest.mark.parametrize("cascade", [False, True])
def test_sides_swap_in_samples_that_are_mirrored(
    make_configuration: Callable[..., Configuration], cascade: bool
) -> None:
    base = make_configuration()
    if cascade:
        network = replace(base.network, in_channels=4)
        base = replace(base, name="3d_cascade_fullres", previous="3d_lowres", network=network)
    training = replace(base.training, mirror_axes=(2,))
    augment = IntensityAugmentation(card_of(replace(base, training=training), sides=((1, 3),)))
    rng = np.random.default_rng(0)
    drawn = rng.integers(-1, 4, (4, 8, 10, 12))
    labels = np.where(drawn < 0, IGNORED, drawn).astype(np.uint8)
    swapped = np.array([0, 3, 2, 1, IGNORED], np.uint8)[drawn][..., ::-1]
    scans = rng.normal(size=(4, 1, 8, 10, 12)).astype(np.float32)
    mirrored = 0
    for seed in range(12):
        classes = np.stack([labels == value for value in (1, 2, 3)], axis=1).astype(np.float32)
        entering = np.concatenate((scans, classes), axis=1) if cascade else scans.copy()
        with seeded(seed):
            images, targets = augment(entering, labels.copy())
        for after, before, turned in zip(targets, labels, swapped, strict=True):
            same, changed = np.array_equal(after, before), np.array_equal(after, turned)
            assert same != changed
            mirrored += changed
        if cascade:
            expected = np.stack([targets == value for value in (1, 2, 3)], axis=1)
            np.testing.assert_array_equal(images[:, 1:], expected)
    assert 12 < mirrored < 36  # half of 48


def test_nearest_labels_keep_to_the_quarter_turn() -> None:
    volume = np.random.default_rng(0).integers(0, 9, (30, 31, 31)).astype(np.uint8)
    patch, start = (5, 7, 7), np.array([10, 12, 12])
    for in_plane in (False, True):
        transform = SpatialTransform(np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]), in_plane)
        out = transform.apply_nearest(cut(volume, transform.source_box(start, patch)), patch)
        assert out.dtype == np.uint8
        np.testing.assert_array_equal(out, np.rot90(volume[10:15, 12:19, 12:19], -1, (1, 2)))


def test_seeded_repeats_and_restores_the_generators() -> None:
    np.random.seed(1)
    random.seed(1)
    expected = (np.random.random(), random.random())
    np.random.seed(1)
    random.seed(1)
    with seeded(5):
        first = (np.random.random(), random.random())
    with seeded(5):
        assert (np.random.random(), random.random()) == first
    assert (np.random.random(), random.random()) == expected
