"""Random contrast: every relation of greys may change, shapes and what is not shown stay."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from autospine.data.structure import IGNORED
from autospine.training import contrast


def change_contrast(image: np.ndarray, label: np.ndarray, rng: np.random.Generator, slices: int = 1) -> None:
    contrast.change_contrast(torch.from_numpy(image), torch.from_numpy(label), rng, slices)


def sample(shape: tuple[int, ...] = (1, 60, 40)) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    label = np.zeros(shape, np.uint8)
    label[..., 10:25, 10:30], label[..., 35:50, 10:30] = 1, 2
    image = rng.normal(0, 0.1, (1, *shape)).astype(np.float32) + (label > 0)
    image[..., :5, :] = 0
    label[..., :5, :] = IGNORED
    return image, label


@pytest.mark.parametrize("shape", [(1, 60, 40), (6, 60, 40)])
def test_each_sample_is_another_one_of_the_same_mean_and_spread(shape: tuple[int, ...]) -> None:
    image, label = sample(shape)
    shown = image[0] != 0
    brighter = 0
    for seed in range(24):
        changed = image.copy()
        change_contrast(changed, label, np.random.default_rng(seed))
        assert np.isfinite(changed).all() and not changed[0, :, :5].any()
        assert changed[0][shown].mean() == pytest.approx(image[0][shown].mean(), abs=1e-3)
        assert changed[0][shown].std() == pytest.approx(image[0][shown].std(), rel=1e-3)
        around = shown & (label == 0)
        brighter += changed[0][label == 1].mean() > changed[0][around].mean()
        again = image.copy()
        change_contrast(again, label, np.random.default_rng(seed))
        np.testing.assert_array_equal(again, changed)
    assert 4 < brighter < 24  # bone is darker than what lies around it in some


def test_the_edges_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("P_LABELS", "P_FILTERS", "P_BIAS"):
        monkeypatch.setattr(contrast, name, 0.0)
    monkeypatch.setattr(contrast, "P_CURVE", 1.0)
    image, label = sample()
    flat = np.where(image != 0, (label > 0) + 1.0, 0).astype(np.float32)
    change_contrast(flat, label, np.random.default_rng(3))
    assert len(np.unique(flat[0, label == 1])) == 1 and len(np.unique(flat[0][(label == 0) & (image[0] != 0)])) == 1


def test_a_curve_goes_by_the_greys_of_the_whole_patch() -> None:
    """Not by those at one of its edges, whatever the number of voxels."""
    image = torch.linspace(0, 1, 64).expand(32, 64, 64).clone()
    image[..., 0] = -1
    for seed in range(8):
        changed = contrast._curve(image, torch.ones(image.shape, dtype=torch.bool), np.random.default_rng(seed))
        assert len(changed[0, 0].unique()) > 40


def test_a_black_or_even_image_stays() -> None:
    label = np.zeros((1, 20, 20), np.uint8)
    for value in (0.0, 3.0):
        image = np.full((1, 1, 20, 20), value, np.float32)
        change_contrast(image, label, np.random.default_rng(0))
        assert (image == value).all()


def test_neighbouring_slices_change_alike() -> None:
    """They are one acquisition: what is the same in all of them stays the same."""
    image, label = sample()
    for seed in range(12):
        alike = np.concatenate((image, image, image))
        change_contrast(alike, label, np.random.default_rng(seed), slices=3)
        assert not np.array_equal(alike[1], image[0]) or seed
        np.testing.assert_allclose(alike[0], alike[1], atol=1e-5)
        np.testing.assert_allclose(alike[2], alike[1], atol=1e-5)


def test_filters_are_convolutions_that_leave_an_even_image_even() -> None:
    even, shown = torch.ones(4, 12, 10), torch.ones(4, 12, 10, dtype=torch.bool)
    for seed in range(6):
        assert np.ptp(contrast._filters(even, shown, np.random.default_rng(seed)).numpy()) < 1e-4
    rng = np.random.default_rng(0)
    image, kernels = torch.from_numpy(rng.normal(size=(2, 3, 9, 8)).astype(np.float32)), rng.normal(size=(2, 3, 3))
    found = contrast._filtered([functional.pad(one, [1] * 4, "replicate") for one in image], kernels, 0.5, image[0])
    padded = functional.pad(image.transpose(0, 1), [1] * 4, "replicate")
    expected = functional.conv2d(padded, torch.from_numpy(kernels).float()[None], torch.tensor([0.5]))[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_field_is_smooth_and_changes_the_image_within_its_range() -> None:
    image = torch.ones(1, 65, 48)
    image[:, 0] = 0
    field = contrast._bias(image, np.random.default_rng(1)).numpy()
    steps = np.abs(np.diff(np.log(field[0, 1:]), axis=0)).max()
    assert 0 < steps < 0.15 and np.ptp(field[0, 1:]) > 0.2
