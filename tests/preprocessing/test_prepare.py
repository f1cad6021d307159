"""Preparation and the way back, on grids that differ along every axis, in every axis order."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import IntensityPlan
from autospine.preprocessing.prepare import CaseProperties, prepare_case
from autospine.preprocessing.resample import Regrid, resample_image
from autospine.preprocessing.resample_labels import resample_label
from autospine.preprocessing.restore import restore_labels
from tests.cards import card_of

Array = npt.NDArray[Any]
Make = Callable[..., Configuration]
CT = IntensityPlan(mean=50.0, std=10.0, percentile_00_5=0.0, percentile_99_5=100.0)
SPACING = (1.2, 0.9, 1.5)
SHAPE = (40, 52, 34)
ORDERS = list(permutations((0, 1, 2)))


def phantom(shape: tuple[int, ...] = SHAPE, spacing: tuple[float, ...] = SPACING) -> tuple[Array, Array]:
    """Image (1, Z, Y, X) and label with three ellipsoids, inside a black frame that differs on each of six sides."""
    grid = np.stack(np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, spacing, strict=True)], indexing="ij"))
    extent = np.array([n * s for n, s in zip(shape, spacing, strict=True)])
    label = np.zeros(shape, np.uint8)
    for value, centre, radius in ((1, (0.3, 0.4, 0.45), 9.0), (2, (0.68, 0.35, 0.5), 8.0), (3, (0.5, 0.72, 0.55), 8.5)):
        middle = (np.array(centre) * extent)[:, None, None, None]
        label[((grid - middle) ** 2).sum(axis=0) < radius**2] = value
    image = 100 + 40 * label + np.random.default_rng(0).normal(0, 5, shape)
    framed = np.zeros(shape)
    frame = (slice(1, -2), slice(3, -4), slice(5, -6))
    framed[frame] = image[frame]
    label[framed == 0] = 0
    return framed[None].astype(np.float32), label


def one_hot(label: Array, classes: int = 4) -> Array:
    return np.moveaxis(np.eye(classes, dtype=np.float32)[label], -1, 0)


def dice(a: Array, b: Array, value: int) -> float:
    return float(2 * ((a == value) & (b == value)).sum() / ((a == value).sum() + (b == value).sum()))


@pytest.mark.parametrize("order", ORDERS)
def test_an_unchanged_spacing_comes_back_exactly(make_configuration: Make, order: tuple[int, int, int]) -> None:
    image, label = phantom()
    configuration = make_configuration(axis_order=order, spacing_mm=tuple(SPACING[axis] for axis in order))
    case = prepare_case(image, label, SPACING, configuration, (CT,), "a")
    assert case.properties.box == ((1, 38), (3, 48), (5, 28))
    sizes = (37, 45, 23)
    assert case.image.shape == (1, *(sizes[axis] for axis in order))
    assert case.image.dtype == np.float32
    assert case.label is not None
    assert case.label.dtype == np.uint8
    cropped = label[1:38, 3:48, 5:28]
    np.testing.assert_array_equal(case.label, cropped.transpose(order))
    np.testing.assert_array_equal(restore_labels(one_hot(case.label), case.properties, card_of(configuration)), label)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("target", [(1.0, 0.8, 1.1), (1.3, 1.1, 1.0)])
def test_another_spacing_comes_back_closely(
    make_configuration: Make, order: tuple[int, int, int], target: tuple[float, float, float]
) -> None:
    image, label = phantom()
    configuration = make_configuration(axis_order=order, spacing_mm=target)
    case = prepare_case(image, label, SPACING, configuration, (CT,), "a")
    assert case.label is not None
    planned = [round((37, 45, 23)[axis] * SPACING[axis] / mm) for axis, mm in zip(order, target, strict=True)]
    assert case.label.shape == tuple(planned)
    back = restore_labels(one_hot(case.label), case.properties, card_of(configuration))
    assert back.dtype == np.uint8
    assert back.shape == label.shape
    for value in (1, 2, 3):
        assert dice(back, label, value) > 0.96
    finer = make_configuration(axis_order=order, spacing_mm=tuple(0.5 * SPACING[axis] for axis in order))
    case = prepare_case(image, label, SPACING, finer, (CT,), "a")
    assert case.label is not None
    back = restore_labels(one_hot(case.label), case.properties, card_of(finer))
    for value in (1, 2, 3):
        assert dice(back, label, value) > 0.98


@pytest.mark.parametrize("order", ORDERS)
def test_a_2d_configuration_leaves_the_slices_alone(make_configuration: Make, order: tuple[int, int, int]) -> None:
    image, label = phantom()
    configuration = make_configuration(axis_order=order, spacing_mm=(0.7, 0.8))
    case = prepare_case(image, label, SPACING, configuration, (CT,), "a")
    assert case.label is not None
    assert case.properties.prepared_spacing_mm == (SPACING[order[0]], 0.7, 0.8)
    sizes = (37, 45, 23)
    assert case.label.shape[0] == sizes[order[0]]
    assert case.label.shape[1] == round(sizes[order[1]] * SPACING[order[1]] / 0.7)
    # each slice stands for itself: resampled alone it is the same
    cropped = label[1:38, 3:48, 5:28].transpose(order)
    middle = sizes[order[0]] // 2
    way = Regrid((1, *case.label.shape[1:]), SPACING, SPACING, configuration.resampling)
    alone = resample_label(np.ascontiguousarray(cropped[middle : middle + 1]), way)
    np.testing.assert_array_equal(case.label[middle], alone[0])
    back = restore_labels(one_hot(case.label), case.properties, card_of(configuration))
    for value in (1, 2, 3):
        assert dice(back, label, value) > 0.97


def test_thick_slices_come_back_closely(make_configuration: Make) -> None:
    spacing = (0.9, 1.0, 4.4)
    image, label = phantom((44, 50, 14), spacing)
    configuration = make_configuration(axis_order=(2, 0, 1), spacing_mm=(4.0, 0.6, 0.5))
    case = prepare_case(image, label, spacing, configuration, (CT,), "a")
    assert case.label is not None
    assert case.label.shape == (3, round(41 * 0.9 / 0.6), 86)
    back = restore_labels(one_hot(case.label), case.properties, card_of(configuration))
    for value in (1, 2, 3):
        assert dice(back, label, value) > 0.98


def test_normalised_before_resampled(make_configuration: Make) -> None:
    image, _ = phantom()
    configuration = make_configuration(spacing_mm=(1.0, 1.3, 1.1))
    case = prepare_case(image, None, SPACING, configuration, (CT,), "a")
    assert case.label is None
    cropped = image[:, 1:38, 3:48, 5:28]
    scaled = (cropped - cropped.mean()) / cropped.std()
    expected = resample_image(scaled, Regrid(case.image.shape[1:], SPACING, (1.0, 1.3, 1.1), configuration.resampling))
    np.testing.assert_allclose(case.image, expected, atol=1e-4)


def test_a_mask_leaves_the_background_out(make_configuration: Make) -> None:
    image, _ = phantom()
    image[0, :20, :20, :20] = 0
    configuration = make_configuration(use_mask=True, spacing_mm=SPACING)
    case = prepare_case(image, None, SPACING, configuration, (CT,), "a")
    cropped = image[:, 1:38, 3:48, 5:28]
    assert abs(float(case.image[cropped != 0].mean())) < 1e-4
    assert not case.image[cropped == 0].any()


def test_channels_keep_their_kinds(make_configuration: Make) -> None:
    image, _ = phantom()
    image = np.concatenate([image, image])
    network = replace(make_configuration().network, in_channels=2)
    configuration = make_configuration(network=network, normalisation=("zscore", "ct"), spacing_mm=SPACING)
    case = prepare_case(image, None, SPACING, configuration, (CT, CT), "a")
    assert abs(float(case.image[0].mean())) < 1e-4
    assert float(case.image[1].max()) == 5.0


def test_a_missing_channel_is_zero_whatever_its_kind(make_configuration: Make) -> None:
    """CT of 0 is far from the mean of CT: it must not look like an image of air."""
    image, _ = phantom()
    image = np.concatenate([image, np.zeros_like(image)])
    network = replace(make_configuration().network, in_channels=2)
    configuration = make_configuration(network=network, normalisation=("zscore", "ct"), spacing_mm=SPACING)
    case = prepare_case(image, None, SPACING, configuration, (CT, CT), "a", (1,))
    assert case.image[0].any() and not case.image[1].any()
    assert CaseProperties.from_json(asdict(case.properties)).missing == (1,)


def test_a_blank_image_is_prepared_whole(make_configuration: Make) -> None:
    case = prepare_case(np.zeros((1, 4, 5, 6), np.float32), None, SPACING, make_configuration(), (CT,), "a")
    assert case.properties.box == ((0, 4), (0, 5), (0, 6))
    assert not case.image.any()


def test_the_input_stays_as_it_was(make_configuration: Make) -> None:
    image, label = phantom()
    copies = image.copy(), label.copy()
    prepare_case(image, label, SPACING, make_configuration(use_mask=True), (CT,), "a")
    np.testing.assert_array_equal(image, copies[0])
    np.testing.assert_array_equal(label, copies[1])


def test_properties_survive_json(make_configuration: Make) -> None:
    image, label = phantom()
    case = prepare_case(image, label, SPACING, make_configuration(axis_order=(2, 0, 1)), (CT,), "Ünö 1")
    assert CaseProperties.from_json(json.loads(json.dumps(asdict(case.properties)))) == case.properties
    assert case.properties.cropped_shape == (23, 37, 45)
    assert case.properties.cropped_spacing_mm == (1.5, 1.2, 0.9)
