from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from batchgenerators.augmentations import color_augmentations
from scipy import ndimage, stats

from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import PresencePlan
from autospine.training import intensity
from autospine.training.intensity import IntensityAugmentation, blur, change_gamma, change_range, coarsen
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
        augment(torch.from_numpy(out := image.reshape(2, 6, 16, 16).copy()), np.random.default_rng(seed))
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
        augment(torch.from_numpy(images), np.random.default_rng(seed))
    np.testing.assert_array_equal(images[:, 2:], before[:, 2:])
    assert (images[:, :2] != before[:, :2]).any(axis=(2, 3, 4)).all()


SHAPES = [(33, 47), (6, 33, 47)]


def grey(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(0.3, 1.2, shape).astype(np.float32))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_blur_is_that_of_scipy(shape: tuple[int, ...]) -> None:
    image, sigmas = grey(shape), [0.55, 0.9, 0.0][-len(shape) :]
    expected = ndimage.gaussian_filter(image.double().numpy(), sigmas)
    np.testing.assert_allclose(blur(image, sigmas), expected, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_contrast_and_gamma_are_those_of_batchgenerators(shape: tuple[int, ...]) -> None:
    image = grey(shape)
    changed, expected = image.clone(), image.numpy()[None].copy()
    change_range(changed, 1.2)
    color_augmentations.augment_contrast(expected, lambda: 1.2, per_channel=True)
    np.testing.assert_allclose(changed, expected[0], atol=1e-5)
    for inverted in (False, True):
        changed = image.clone()
        change_gamma(changed, 1.4, inverted=inverted)
        drawn = np.random.get_state()
        expected = color_augmentations.augment_gamma(
            image.double().numpy()[None].copy(), (1.4, 1.4), inverted, per_channel=True, retain_stats=True
        )
        np.random.set_state(drawn)
        np.testing.assert_allclose(changed, expected[0], atol=2e-4)


def test_an_even_image_survives_all_changes() -> None:
    even = torch.full((6, 8), 2.0)
    for change in (lambda one: change_range(one, 0.8), lambda one: change_gamma(one, 1.3, inverted=True)):
        change(changed := even.clone())
        np.testing.assert_allclose(changed, even, atol=1e-5)
    np.testing.assert_allclose(coarsen(blur(even, [0.7, 0.7]), 0.5, first_kept=False), even, atol=1e-5)


def test_a_coarse_image_has_the_nearest_voxels_and_lines_between() -> None:
    ramp = torch.arange(8.0)[:, None].expand(8, 3).contiguous()
    coarse = coarsen(ramp, 0.5, first_kept=False)
    np.testing.assert_allclose(coarse[:, 0], [1, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7])
    volume = grey((5, 12, 9))
    kept = coarsen(volume, 0.6, first_kept=True)
    for found, plane in zip(kept, volume, strict=True):
        np.testing.assert_allclose(found, coarsen(plane, 0.6, first_kept=False), atol=1e-6)
    assert not torch.allclose(kept, coarsen(volume, 0.6, first_kept=False), atol=1e-2)


def test_noise_is_normal_and_repeats() -> None:
    once, again = ([torch.zeros(60, 60), torch.zeros(60, 60)] for _ in range(2))
    intensity.add_noise(once, 0.1, 3)
    intensity.add_noise(again, 0.1, 3)
    assert torch.equal(once[0], again[0]) and torch.equal(once[1], again[1]) and not torch.equal(*once)
    assert stats.kstest(once[0].numpy().ravel() / 0.1, "norm").pvalue > 0.01


def test_each_transform_comes_in_its_share(
    make_configuration: Callable[..., Configuration], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise, blur, contrast, low resolution and gamma as often as in nnU-Net 2.8.1, in ranges that are its own."""
    seen = dict[str, list[float]]()

    def note(name: str, place: int | str) -> Callable[..., object]:
        real = getattr(intensity, name)

        def noted(*given: object, **named: object) -> object:
            value = named[place] if isinstance(place, str) else given[place]
            seen.setdefault(name, []).append(float(np.ravel(value)[-1]))  # type: ignore[arg-type]
            return real(*given, **named)

        return noted

    for name, place in (("add_noise", 1), ("blur", 1), ("change_range", 1), ("coarsen", 1), ("change_gamma", 1)):
        monkeypatch.setattr(intensity, name, note(name, place))
    augment = IntensityAugmentation(card_of(make_configuration(spacing_mm=(1.0, 1.0))))
    images, rng = torch.zeros(1, 1, 6, 6), np.random.default_rng(0)
    draws = 4000
    for _ in range(draws):
        augment(images.normal_(), rng)
    expected = {
        "add_noise": (0.1, 0.0, 0.1),
        "blur": (0.2 * 0.5, 0.5, 1.0),
        "change_range": (0.15, 0.75, 1.25),
        "coarsen": (0.25 * 0.5, 0.5, 1.0),
        "change_gamma": (0.1 + 0.3, 0.7, 1.5),
    }
    for name, (share, low, high) in expected.items():
        assert len(seen[name]) / draws == pytest.approx(share, abs=0.02), name
        assert low <= min(seen[name]) < low + 0.05 and high - 0.05 < max(seen[name]) <= high, name
