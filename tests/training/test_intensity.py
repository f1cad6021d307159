from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import PresencePlan
from autospine.training.intensity import IntensityAugmentation, seeded
from tests.cards import card_of
from tests.training.kinds import cascaded


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
            augment(out := image.reshape(2, 6, 16, 16).copy())
        for before, sample in zip(image, out.reshape(image.shape), strict=True):
            if sample[0].std() > 1e-3 and sample[2].std() > 1e-3:
                continue  # noise
            assert sample[0].std((1, 2)).max() < 1e-5
            np.testing.assert_allclose(sample[0], sample[2], atol=1e-5)
            changed += not np.allclose(sample, before, atol=1e-3)
            apart += not np.allclose(sample[:, 0], sample[:, 1], atol=1e-3)
    assert changed > 40
    assert apart > 40


def test_what_is_no_scan_is_left_alone(make_configuration: Callable[..., Configuration]) -> None:
    """Presence and the classes of a previous stage are no intensities."""
    base = cascaded(make_configuration())
    both = replace(base, normalisation=("zscore",) * 2, network=replace(base.network, in_channels=2 + 1 + 3))
    augment = IntensityAugmentation(card_of(both, presence=PresencePlan((1,), 0.5)))
    before = np.random.default_rng(0).normal(size=(4, 6, 8, 10, 12)).astype(np.float32)
    images = before.copy()
    for seed in range(6):
        with seeded(seed):
            augment(images)
    np.testing.assert_array_equal(images[:, 2:], before[:, 2:])
    assert (images[:, :2] != before[:, :2]).any(axis=(2, 3, 4)).all()


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
