"""Segmentations slab by slab and strip by strip: equal to what all scores of a case, held at once, give."""

from __future__ import annotations

import tracemalloc
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autospine.data.structure import Region
from autospine.errors import PlanError
from autospine.inference import predictor as predicting
from autospine.inference import rows, window
from autospine.inference.predictor import Predictor
from autospine.inference.too_large import Way
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import LevelsPlan
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.parts import ResamplingPlan
from autospine.preprocessing import resample_labels
from autospine.preprocessing.prepare import CaseProperties, PreparedCase
from autospine.preprocessing.restore import onto_next_grid, restore_labels
from tests.cards import card_of

CPU = torch.device("cpu")
Make = Callable[..., Configuration]
WAYS = [Way(1), Way(3)]
KEPT = [Way(1), Way(1, on_disk=True), Way(3, on_disk=True)]
"""Where scores have to be kept."""


class Noisy(nn.Module):
    """Scores that differ from voxel to voxel and with the place in the tile, so that every order of sums shows."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: Tensor) -> tuple[Tensor]:
        size = x[:1, :1].numel()
        place = torch.sin(torch.arange(size, dtype=x.dtype) * 0.37).view(1, 1, *x.shape[2:])
        scores = [torch.sin((3 + output) * x[:, :1] + output) * 2 + place for output in range(self.outputs)]
        return (torch.cat(scores, 1),)


def case_of(shape: tuple[int, int, int], own: tuple[int, int, int], order: tuple[int, int, int]) -> PreparedCase:
    """A case of `own` voxels of 1 mm along planned axes, prepared to `shape` of them; a border of 2 is cut off it."""
    canonical, spacing = [0, 0, 0], tuple(mine / made for mine, made in zip(own, shape, strict=True))
    for axis, size in zip(order, own, strict=True):
        canonical[axis] = size
    box = tuple((2, 2 + size) for size in canonical)
    whole = tuple(size + 3 for size in canonical)
    properties = CaseProperties("case", whole, (1.0, 1.0, 1.0), box, order, spacing)  # type: ignore[arg-type]
    assert properties.prepared_shape == shape
    image = np.random.default_rng(sum(shape)).normal(size=(1, *shape)).astype(np.float32)
    # neighbours that agree, too, and not noise alone
    for axis in (1, 2, 3):
        image = (image + np.roll(image, 1, axis) + np.roll(image, 2, axis)).astype(np.float32)
    return PreparedCase(image, None, properties)


@pytest.fixture(params=WAYS, ids=str)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Way:
    """How the case is gone through, in small slabs and pieces."""
    monkeypatch.setattr(predicting, "find_way", lambda *asked: request.param)
    monkeypatch.setattr(rows, "SLAB_BYTES", 30_000)
    monkeypatch.setattr(resample_labels, "PIECE_VOXELS", 1000)
    return request.param  # type: ignore[no-any-return]


def model_of(card: ModelCard, network: nn.Module | None = None) -> Predictor:
    network = network or Noisy(card.configuration.network.out_channels)
    return Predictor(card, (network,), CPU, mirror=False, precision="float32")


@pytest.mark.parametrize(
    ("shape", "own", "flat"),
    [
        ((9, 37, 21), (9, 37, 21), False),
        ((9, 29, 21), (13, 43, 32), False),
        ((20, 37, 21), (9, 19, 11), False),
        ((5, 8, 40), (8, 7, 37), False),
        ((7, 20, 9), (7, 31, 9), True),
        ((9, 37, 21), (9, 19, 32), True),
    ],
)
def test_labels_equal_those_of_all_scores_at_once(
    make_configuration: Make, way: Way, shape: tuple[int, int, int], own: tuple[int, int, int], flat: bool
) -> None:
    base = make_configuration(**({"spacing_mm": (1.0, 1.0)} if flat else {}))
    order = (2, 0, 1)
    case, card = case_of(shape, own, order), card_of(replace(base, axis_order=order))
    model = model_of(card)
    expected = restore_labels(model.logits(case), case.properties, card)
    assert len(np.unique(expected)) == 4
    np.testing.assert_array_equal(model.labels(case), expected)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_nearest_slices_of_a_coarse_axis(make_configuration: Make, way: Way, axis: int) -> None:
    shape, own = [9, 30, 20], [14, 40, 15]
    shape[axis], own[axis] = 6, 18
    resampling = ResamplingPlan(anisotropy_threshold=1.8)
    case = case_of(tuple(shape), tuple(own), (0, 1, 2))  # type: ignore[arg-type]
    card = card_of(make_configuration(resampling=resampling))
    model = model_of(card)
    np.testing.assert_array_equal(model.labels(case), restore_labels(model.logits(case), case.properties, card))


def test_the_nearest_voxel(make_configuration: Make, way: Way) -> None:
    card = card_of(make_configuration(resampling=ResamplingPlan(order_probability=0)))
    case, model = case_of((9, 30, 20), (14, 40, 15), (1, 0, 2)), model_of(card)
    np.testing.assert_array_equal(model.labels(case), restore_labels(model.logits(case), case.properties, card))


def test_regions(make_configuration: Make, way: Way) -> None:
    base = make_configuration()
    regions = (Region("whole", (1, 2, 3), 2), Region("core", (1, 3), 3))
    network = replace(base.network, out_channels=2)
    loss = replace(base.loss, class_weights=(1.0, 1.0))
    labels = (("L1", 1), ("L2", 2), ("L3", 3))
    card = card_of(replace(base, network=network, loss=loss), labels=labels, regions=regions)
    case, model = case_of((11, 37, 21), (17, 55, 32), (0, 1, 2)), model_of(card)
    expected = restore_labels(model.logits(case), case.properties, card)
    assert set(np.unique(expected)) == {0, 2, 3}
    np.testing.assert_array_equal(model.labels(case), expected)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_next_stage_of_a_cascade(make_configuration: Make, way: Way, order: tuple[int, int, int]) -> None:
    card = card_of(make_configuration())
    case, model = case_of((9, 30, 14), (18, 45, 20), (0, 1, 2)), model_of(card)
    spacing = tuple(0.7 + 0.2 * axis for axis in range(3))
    following = replace(case.properties, axis_order=order, prepared_spacing_mm=spacing)
    expected = onto_next_grid(model.logits(case), case.properties, following, card)
    found = model.labels_for(case, following)
    assert found.shape == following.prepared_shape
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("levels", [False, True])
def test_a_strip_is_let_go_of_before_the_next(
    make_configuration: Make, monkeypatch: pytest.MonkeyPatch, levels: bool
) -> None:
    made: list[weakref.ref[Any]] = []
    standing: list[int] = []

    def on(device: torch.device, outputs: int, rows: int, plane: tuple[int, int]) -> window._Sums:
        standing.append(sum(reference() is not None for reference in made))
        total = np.zeros((outputs, rows, *plane), np.float32)
        made.append(weakref.ref(total))  # alive as long as any tensor stands on it
        return window._Sums(torch.from_numpy(total), torch.zeros((rows, *plane)))

    monkeypatch.setattr(window._Sums, "on", on)
    monkeypatch.setattr(predicting, "find_way", lambda *asked: Way(3, on_disk=levels))
    more = {"levels": LevelsPlan((1, 2, 3), 0, 1.4, (0.5, 0.5))} if levels else {}
    model = model_of(card_of(make_configuration(), **more))
    model.labels(case_of((9, 37, 21), (9, 37, 21), (0, 1, 2)))
    assert standing == [0, 0, 0]


class Column(nn.Module):
    """The class that a voxel's value is, with doubts that differ from voxel to voxel."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        doubt = torch.sin(torch.arange(x[0, 0].numel(), dtype=x.dtype)).view(x[0, 0].shape)
        return (torch.cat([4.0 * (x.round() == value) + doubt * (1 + value) / 4 for value in range(4)], 1),)


@pytest.mark.parametrize("way", KEPT, indirect=True, ids=str)
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("finer", [1, 2])
def test_pieces_agree_on_levels(make_configuration: Make, way: Way, axis: int, finer: int) -> None:
    """Three blocks in a row; the network calls the middle one class 2 in most slices, class 1 in some."""
    shape = [14, 14, 14]
    shape[axis] = 60
    image = np.zeros((1, *shape), np.float32)
    lying = np.moveaxis(image[0], axis, 2)
    for value, first in ((1, 4), (2, 24), (3, 44)):
        lying[:, 4:12, first : first + 12] = value
    lying[:5, 4:12, 24:36] = 1
    own = tuple(finer * size for size in shape)
    properties = replace(case_of(tuple(shape), own, (0, 1, 2)).properties)  # type: ignore[arg-type]
    case = PreparedCase(image, None, properties)
    card = card_of(make_configuration(), levels=LevelsPlan((1, 2, 3), axis, 1.6, (0.9, 0.9)))
    model = model_of(card, Column())
    agreed = model.logits(case)
    apart = restore_labels(model_of(card_of(card.configuration), Column()).logits(case), properties, card)
    expected = restore_labels(agreed, properties, card)
    assert (expected != apart).any()  # the levels were renamed
    np.testing.assert_array_equal(model.labels(case), expected)


@pytest.mark.parametrize("flat", [False, True])
def test_a_network_says_the_same_in_strips(make_configuration: Make, way: Way, flat: bool) -> None:
    """In 3D tiles go alone, in 2D in other groups: a real network must not mind."""
    configuration = make_configuration(**({"spacing_mm": (1.0, 1.0)} if flat else {}))
    card, case = card_of(configuration), case_of((9, 40, 20), (9, 40, 20), (0, 1, 2))
    torch.manual_seed(0)
    model = model_of(card, UNet(configuration.network, configuration.patch).eval())
    np.testing.assert_array_equal(model.labels(case), restore_labels(model.logits(case), case.properties, card))


@pytest.mark.parametrize("levels", [False, True])
def test_scores_of_a_whole_case_are_nowhere(
    make_configuration: Make, monkeypatch: pytest.MonkeyPatch, levels: bool
) -> None:
    """25 scores of 36 000 voxels are 3.6 MB; all that is held at once is less than half of that."""
    base = make_configuration()
    network = replace(base.network, out_channels=25)
    loss = replace(base.loss, class_weights=(1.0,) * 25)
    plan = LevelsPlan(tuple(range(1, 25)), 0, 1.0, (0.5, 0.5)) if levels else None
    card = card_of(replace(base, network=network, loss=loss), levels=plan)
    case = case_of((40, 30, 30), (40, 30, 30), (0, 1, 2))
    largest, real = [0], torch.zeros

    def zeros(*shape: Any, **more: Any) -> Tensor:
        made = real(*shape, **more)
        largest.append(made.numel() * made.element_size())
        return made

    monkeypatch.setattr(torch, "zeros", zeros)
    monkeypatch.setattr(predicting, "find_way", lambda *asked: Way(2, on_disk=levels))
    monkeypatch.setattr(rows, "SLAB_BYTES", 200_000)
    monkeypatch.setattr(resample_labels, "PIECE_VOXELS", 10_000)
    model = model_of(card)
    scores = 4 * 25 * 36_000
    tracemalloc.start()
    try:
        model.labels(case)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert max(largest) == 4 * 25 * 8 * (15 if levels else 16) * 30
    assert peak < scores / 2, peak


def test_noise_that_is_no_number_is_found_in_any_slab(make_configuration: Make, way: Way) -> None:
    class Hollow(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor]:
            return (torch.cat([torch.where(x > 5, torch.nan, x)] * 4, 1),)

    case = case_of((9, 40, 20), (9, 40, 20), (0, 1, 2))
    case.image[0, 8, 39, 19] = 9
    with pytest.raises(PlanError, match="NaN or infinite numbers"):
        model_of(card_of(make_configuration()), Hollow()).labels(case)
