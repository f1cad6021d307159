from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autospine.inference.predictor import Predictor
from autospine.inference.segmentation import Wanted
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import LevelsPlan, PresencePlan
from tests.cards import card_of
from tests.inference.predicting import predict_logits

CPU = torch.device("cpu")


class Pointwise(nn.Module):
    """Logits that depend on a voxel alone: the sliding window must change nothing."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (torch.cat([self.factor * x, x**2, 1 - x, -x], 1),)


class Positional(nn.Module):
    """Logits that grow along the last axis: mirroring must even them out."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        ramp = torch.arange(x.shape[-1], dtype=x.dtype).expand_as(x)
        return (torch.cat([ramp] * 4, 1),)


@pytest.mark.parametrize("shape", [(8, 16, 16), (11, 35, 20), (5, 9, 40)])
@pytest.mark.parametrize("mirror", [True, False])
def test_pointwise_logits_come_back_on_every_voxel(
    make_configuration: Callable[..., Configuration], shape: tuple[int, ...], mirror: bool
) -> None:
    image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    for configuration in (make_configuration(), make_configuration(spacing_mm=(1.0, 1.0))):
        logits = predict_logits([Pointwise()], image, card_of(configuration), mirror=mirror)
        assert logits.shape == (4, *shape)
        np.testing.assert_allclose(logits, np.concatenate([image, image**2, 1 - image, -image]), atol=1e-5)


def test_networks_are_averaged(make_configuration: Callable[..., Configuration]) -> None:
    image = np.random.default_rng(0).normal(size=(1, 8, 16, 16)).astype(np.float32)
    logits = predict_logits([Pointwise(1.0), Pointwise(3.0)], image, card_of(make_configuration()))
    np.testing.assert_allclose(logits[0], 2 * image[0], atol=1e-5)


def test_mirroring_averages_over_the_plans_axes_only(make_configuration: Callable[..., Configuration]) -> None:
    image = np.zeros((1, 8, 16, 16), np.float32)
    base = make_configuration()
    along = replace(base, training=replace(base.training, mirror_axes=(2,)))
    across = replace(base, training=replace(base.training, mirror_axes=(0, 1)))
    np.testing.assert_allclose(predict_logits([Positional()], image, card_of(along)), 7.5, atol=1e-5)
    kept = predict_logits([Positional()], image, card_of(across))
    np.testing.assert_allclose(kept[0, 0, 0], np.arange(16), atol=1e-4)


def test_progress_counts_the_tiles(make_configuration: Callable[..., Configuration]) -> None:
    seen: list[tuple[int, int]] = []
    image = np.zeros((1, 12, 16, 16), np.float32)
    predict_logits([Pointwise()], image, card_of(make_configuration()), progress=lambda *done: seen.append(done))
    assert seen == [(1, 2), (2, 2)]


class Slices(nn.Module):
    """Logits: the slice before, the slice itself, the slice after, and their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, x: Tensor) -> tuple[Tensor]:
        self.batches.append(len(x))
        return (torch.cat([x, x.mean(1, keepdim=True)], 1),)


def neighbourly(make_configuration: Callable[..., Configuration], channels: int, neighbours: int) -> Configuration:
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    network = replace(flat.network, in_channels=channels * (2 * neighbours + 1))
    normalisation = ("zscore",) * channels
    return replace(flat, name="2.5d", neighbours=neighbours, normalisation=normalisation, network=network)


@pytest.mark.parametrize("plane", [(16, 16), (20, 35), (9, 40)])
def test_neighbouring_slices_enter_and_the_ends_are_repeated(
    make_configuration: Callable[..., Configuration], plane: tuple[int, int]
) -> None:
    configuration = neighbourly(make_configuration, channels=1, neighbours=1)
    image = np.random.default_rng(0).normal(size=(1, 5, *plane)).astype(np.float32)
    network = Slices()
    logits = predict_logits([network], image, card_of(configuration), mirror=False)
    before, after = image[0, [0, 0, 1, 2, 3]], image[0, [1, 2, 3, 4, 4]]
    np.testing.assert_allclose(logits[0], before, atol=1e-5)
    np.testing.assert_allclose(logits[1], image[0], atol=1e-5)
    np.testing.assert_allclose(logits[2], after, atol=1e-5)
    np.testing.assert_allclose(logits[3], (before + image[0] + after) / 3, atol=1e-5)
    assert max(network.batches) == 4  # several slices go through together


def test_the_mean_of_its_slices_is_a_number_known_beforehand(make_configuration: Callable[..., Configuration]) -> None:
    """Slices of 0, 10, 20 and 30: with two neighbours on either side the means are 6, 12, 18 and 24."""
    configuration = neighbourly(make_configuration, channels=1, neighbours=2)
    image = np.broadcast_to(np.array([0, 10, 20, 30], np.float32).reshape(1, 4, 1, 1), (1, 4, 16, 16))

    class Mean(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor]:
            return (x.mean(1, keepdim=True).expand(-1, 4, -1, -1),)

    for mirror in (True, False):
        logits = predict_logits([Mean()], image, card_of(configuration), mirror=mirror)
        np.testing.assert_allclose(logits[2, :, 3, 5], [6, 12, 18, 24], rtol=1e-6)


def test_all_channels_of_a_slice_stand_together(make_configuration: Callable[..., Configuration]) -> None:
    """Two image channels, 10 x slice and 10 x slice + 1: the order is that of the sampler."""
    configuration = neighbourly(make_configuration, channels=2, neighbours=1)
    image = np.empty((2, 3, 16, 16), np.float32)
    image[...] = np.array([0, 1]).reshape(2, 1, 1, 1) + 10 * np.arange(3).reshape(1, 3, 1, 1)
    seen: list[list[float]] = []

    class Look(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor]:
            seen.extend(x[:, :, 0, 0].tolist())
            return (x[:, :4],)

    predict_logits([Look()], image, card_of(configuration), mirror=False)
    assert seen == [[0, 1, 0, 1, 10, 11], [0, 1, 10, 11, 20, 21], [10, 11, 20, 21, 20, 21]]


class Believing(nn.Module):
    """Class logits: what the previous stage says; the background's: the image."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (x,)


@pytest.mark.parametrize("shape", [(8, 16, 16), (11, 35, 20), (5, 9, 40)])
def test_the_previous_stage_enters_one_channel_per_class(
    make_configuration: Callable[..., Configuration], shape: tuple[int, int, int]
) -> None:
    base = make_configuration()
    cascade = replace(
        base, name="3d_cascade_fullres", previous="3d_lowres", network=replace(base.network, in_channels=4)
    )
    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, *shape)).astype(np.float32)
    previous = rng.integers(0, 4, shape).astype(np.uint8)
    logits = predict_logits([Believing()], image, card_of(cascade), previous=previous)
    np.testing.assert_allclose(logits[0], image[0], atol=1e-5)
    for value in (1, 2, 3):
        np.testing.assert_allclose(logits[value], previous == value, atol=1e-5)
    with pytest.raises(ValueError, match="3d_lowres"):
        predict_logits([Believing()], image, card_of(cascade))


def test_pieces_of_a_prediction_agree_on_the_plans_levels(make_configuration: Callable[..., Configuration]) -> None:
    """Three blocks along the last axis; the network calls the middle one class 2 in most slices, class 1 in some."""

    class Named(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor]:
            return (torch.cat([6.0 * (x == value) for value in range(4)], 1),)

    image = np.zeros((1, 8, 16, 60), np.float32)
    for value, first in ((1, 4), (2, 24), (3, 44)):
        image[:, :, 4:12, first : first + 12] = value
    image[:, :3, 4:12, 24:36] = 1
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    apart = predict_logits([Named()], image, card_of(flat), mirror=False).argmax(0)
    assert set(np.unique(apart[:, 8, 30])) == {1, 2}
    levels = LevelsPlan((1, 2, 3), 2, 1.6, (0.9, 0.9))
    agreed = predict_logits([Named()], image, card_of(flat, levels=levels), mirror=False).argmax(0)
    assert [set(np.unique(agreed[:, 8, place])) for place in (10, 30, 50)] == [{1}, {2}, {3}]


def test_vertebrae_have_the_numbers_that_the_table_says(make_configuration: Callable[..., Configuration]) -> None:
    """On another grid and in other axes; the last block lies beyond the chain, has no label, and is there."""

    class Named(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor]:
            return (torch.cat([8.0 - 8.0 * (x - value).abs() for value in range(4)], 1),)

    image = np.full((66, 20, 9), 100, np.float32)  # of 100 and 20 each class, scaled by the plan's mean and deviation
    for value, low in ((1, 4), (2, 20), (3, 36), (3, 52)):
        image[low : low + 10, 5:15, 1:8] += 20 * value
    levels = LevelsPlan((1, 2, 3), 0, 1.6, (0.9, 0.9))
    flat = make_configuration(spacing_mm=(1.3, 1.3), axis_order=(2, 0, 1), normalisation=("ct",))
    card = card_of(flat, levels=levels)
    predictor = Predictor(card, (Named(),), torch.device("cpu"), mirror=False, precision="float32")
    made = predictor.predict(image, spacing_mm=(1.0, 1.0, 3.0), wanted=Wanted(instances=True))
    assert [one.level for one in made.column] == ["L1", "L2", "L3", None]
    assert made.instances is not None
    numbers, labels = made.instances.array[0], made.array
    for number, low in enumerate((4, 20, 36, 52), 1):
        block = numbers[low + 1 : low + 9, 6:14, 2:7]
        assert (block == number).all()
        assert (labels[low + 1 : low + 9, 6:14, 2:7] > 0).all() == (number < 4)
    assert ((numbers > 0) >= (labels > 0)).all()
    black = predictor.predict(np.full_like(image, 100), spacing_mm=(1.0, 1.0, 3.0), wanted=Wanted(instances=True))
    assert black.column == () and black.instances is not None and not black.instances.array.any()


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("cascade", [False, True])
def test_a_mirrored_image_has_its_sides_swapped(
    make_configuration: Callable[..., Configuration], flat: bool, cascade: bool
) -> None:
    """Averaged over mirrorings in which sides swap, any network segments a mirrored image as the mirrored other."""
    if flat and cascade:
        pytest.skip("a cascade is of volumes")
    base = make_configuration(**({"spacing_mm": (1.0, 1.0)} if flat else {}))
    if cascade:
        network = replace(base.network, in_channels=4)
        base = replace(base, name="3d_cascade_fullres", previous="3d_lowres", network=network)
    last = len(base.patch) - 1
    training = replace(base.training, mirror_axes=(0, last))
    configuration = replace(base, training=training)
    card = card_of(configuration, sides=((1, 3),))
    torch.manual_seed(0)
    network = UNet(configuration.network, configuration.patch).eval()
    shape = (1, *base.patch) if flat else base.patch
    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, *shape)).astype(np.float32)
    earlier = rng.integers(0, 4, shape).astype(np.uint8) if cascade else None
    turned = None if earlier is None else np.array([0, 3, 2, 1], np.uint8)[earlier][..., ::-1]
    plain = predict_logits([network], image, card, previous=earlier)
    mirrored = predict_logits([network], image[..., ::-1], card, previous=turned)
    np.testing.assert_allclose(mirrored[[0, 3, 2, 1], ..., ::-1], plain, atol=1e-4)
    assert np.abs(mirrored[..., ::-1] - plain).max() > 0.01
    once = predict_logits([network], image, card, mirror=False, previous=earlier)
    assert np.abs(once - plain).max() > 0.01


@pytest.mark.parametrize("missing", [(), (1,)])
def test_flags_follow_the_image(make_configuration: Callable[..., Configuration], missing: tuple[int, ...]) -> None:
    """In a cascade of two channels: image, image, the second one's flag, three classes."""
    base = make_configuration()
    network = replace(base.network, in_channels=6)
    both = {"network": network, "normalisation": ("zscore",) * 2}
    cascade = replace(base, name="3d_cascade_fullres", previous="3d_lowres", **both)
    presence = PresencePlan((1,), 0.25)
    seen: list[Tensor] = []

    class Look(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor]:
            seen.append(x)
            return (x[:, :4],)

    image = np.ones((2, 8, 16, 16), np.float32)
    previous = np.full((8, 16, 16), 3, np.uint8)
    predict_logits([Look()], image, card_of(cascade, presence=presence), previous=previous, missing=missing)
    for x in seen:
        assert x[0, :, 0, 0, 0].tolist() == [1, 1, 0 if missing else 1, 0, 0, 1]
    flat = neighbourly(make_configuration, channels=2, neighbours=1)
    network = replace(flat.network, in_channels=7)
    seen.clear()
    predict_logits(
        [Look()],
        image,
        card_of(replace(flat, network=network), presence=presence),
        missing=missing,
    )
    assert all(x[0, :, 0, 0].tolist() == [1] * 6 + [0 if missing else 1] for x in seen)
