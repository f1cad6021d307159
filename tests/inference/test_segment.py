"""A segmentation comes back on its image's own grid, however the image lies on disk."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autospine.data.geometry import Geometry, Volume
from autospine.data.structure import Region
from autospine.data.volume import read_volume, write_volume
from autospine.errors import DataError
from autospine.inference.predictor import Predictor, Prepared
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import IntensityPlan, PresencePlan
from autospine.planning.document.model_card import ModelCard
from tests.cards import card_of

CPU = torch.device("cpu")
INTENSITIES = (IntensityPlan(100.0, 20.0, 10.0, 200.0),)
ORIENTATIONS = [
    (order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]


class Threshold(nn.Module):
    """Class 1 where the image is bright, class 2 where it is dark."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (torch.cat([torch.zeros_like(x), x - 1, -x - 1, torch.full_like(x, -9.0)], 1),)


@pytest.fixture
def model(make_configuration: Callable[..., Configuration]) -> Predictor:
    configuration = make_configuration(spacing_mm=(1.5, 2.0, 2.5), axis_order=(2, 0, 1))
    card = card_of(configuration, labels=(("bright", 7), ("dark", 300), ("never", 4)), intensities=INTENSITIES)
    return Predictor(card, (Threshold(),), CPU)


def patient() -> np.ndarray:
    """(Z, Y, X) with no symmetry, at 2 x 2.5 x 1.5 mm: the plan's spacing on its axes."""
    image = np.random.default_rng(0).normal(0, 0.05, (13, 9, 15)).astype(np.float32)
    image[2:6, 1:4, 2:9] += 5
    image[8:12, 5:8, 9:14] -= 5
    return image


def stored(
    array: np.ndarray, order: tuple[int, ...], signs: tuple[int, ...], base: np.ndarray
) -> tuple[Volume, Callable[[np.ndarray], np.ndarray]]:
    """`array` as a file would hold it whose array axes are the canonical ones permuted and flipped."""
    spacing = np.array([2.0, 2.5, 1.5])
    columns = base[:, ::-1]  # direction of the canonical array axes Z, Y, X in LPS space
    flip = tuple(slice(None, None, sign) for sign in signs)
    out = np.ascontiguousarray(array.transpose(order)[flip])
    axes = columns[:, list(order)] * np.array(signs)
    start = np.array([size - 1 if sign < 0 else 0 for size, sign in zip(out.shape, signs, strict=True)])
    origin = np.array([3.0, -4.0, 5.0]) + columns[:, list(order)] @ (start * spacing[list(order)])
    geometry = Geometry(
        out.shape,  # type: ignore[arg-type]
        tuple(float(value) for value in spacing[list(order)]),  # type: ignore[arg-type]
        tuple(float(value) for value in origin),  # type: ignore[arg-type]
        tuple(float(value) for value in axes[:, ::-1].ravel()),  # SimpleITK's columns run X, Y, Z
    )
    return Volume(out[None], geometry, ()), lambda result: result[flip].transpose(np.argsort(order))


@pytest.mark.parametrize("oblique", [False, True])
def test_all_48_orientations_give_the_same_segmentation(model: Predictor, tmp_path: Path, oblique: bool) -> None:
    base = np.eye(3)
    if oblique:
        a, b = 0.3, 0.2
        base = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]) @ np.array(
            [[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]]
        )
    image = patient()
    expected = np.where(image > 2, 7, np.where(image < -2, 300, 0))
    for order, signs in ORIENTATIONS:
        volume, back = stored(image, order, signs, base)
        path = tmp_path / "image.nii.gz"
        write_volume(path, volume)
        read = read_volume(path)
        result = replace(model, mirror=False).segment(read, "case").labels
        write_volume(tmp_path / "result.nii.gz", result)
        written = read_volume(tmp_path / "result.nii.gz")
        # NIfTI keeps an oblique direction as a float32 quaternion
        np.testing.assert_allclose(written.geometry.direction, read.geometry.direction, atol=1e-7)
        assert replace(written.geometry, direction=read.geometry.direction) == read.geometry, (order, signs)
        np.testing.assert_array_equal(back(written.array[0]), expected, err_msg=f"{order} {signs}")


def test_a_wrong_number_of_channels_is_refused(model: Predictor) -> None:
    volume, _ = stored(patient(), (0, 1, 2), (1, 1, 1), np.eye(3))
    both = Volume(np.concatenate([volume.array] * 2), volume.geometry, ())
    with pytest.raises(DataError, match=r"2 channel\(s\)"):
        model.segment(both, "case")


class Believing(nn.Module):
    """What the previous stage says, whatever the image."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (torch.cat([torch.full_like(x[:, :1], 0.5), x[:, 1:]], 1),)


@pytest.mark.parametrize("orientation", [ORIENTATIONS[0], ORIENTATIONS[13], ORIENTATIONS[47]])
def test_a_cascade_starts_from_its_previous_stage(
    model: Predictor, orientation: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    """The previous stage works at half the resolution, on other planned axes; the cascade believes it blindly."""
    image = np.zeros((12, 8, 16), np.float32)
    image[2:6, 2:6, 4:10] += 5
    image[8:12, 4:8, 10:16] -= 5
    expected = np.where(image > 2, 7, np.where(image < -2, 300, 0))
    base = model.card.configuration
    first = replace(model.card, configuration=replace(base, axis_order=(0, 1, 2), spacing_mm=(4.0, 5.0, 3.0)))
    network = replace(base.network, in_channels=4)
    second = replace(base, name="3d_cascade_fullres", previous="3d_lowres", network=network)
    previous = Predictor(first, (Threshold(),), CPU)
    cascade = Predictor(replace(model.card, configuration=second), (Believing(),), CPU, previous=previous)
    volume, back = stored(image, *orientation, np.eye(3))
    result = cascade.segment(volume, "case").labels
    found = back(result.array[0])
    # the blocks lie on the coarse grid; interpolation may move a border by less than one coarse voxel
    for value in (7, 300):
        overlap = ((found == value) & (expected == value)).sum()
        assert 2 * overlap / ((found == value).sum() + (expected == value).sum()) > 0.75
    assert set(np.unique(found)) == {0, 7, 300}


class Flagged(nn.Module):
    """Class 1 where the flag of the second channel says that it is there, class 2 where it does not."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        flag = x[:, 2:3]
        return (torch.cat([torch.full_like(flag, -9.0), flag - 0.5, 0.5 - flag, torch.full_like(flag, -9.0)], 1),)


class Earlier(nn.Module):
    """What the previous stage says, which enters after two channels and a flag."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (torch.cat([torch.full_like(x[:, :1], 0.5), x[:, 3:]], 1),)


def test_a_missing_channel_is_told_to_every_stage(model: Predictor) -> None:
    base = model.card.configuration
    network = replace(base.network, in_channels=3)
    both = {"normalisation": ("zscore",) * 2, "network": network}
    two = replace(model.card.data, channels=("T2", "T1"), intensities=2 * INTENSITIES)
    card = ModelCard(replace(two, presence=PresencePlan((1,), 0.25)), replace(base, **both))
    flagged = Predictor(card, (Flagged(),), CPU)
    image = np.random.default_rng(0).normal(10, 1, (2, 13, 9, 15)).astype(np.float32)
    whole = Volume(image, stored(image[0], *ORIENTATIONS[0], np.eye(3))[0].geometry)
    lacking = replace(whole, array=image * np.array([1, 0], np.float32).reshape(2, 1, 1, 1))
    assert set(np.unique(flagged.segment(whole, "a").labels.array)) == {7}
    assert set(np.unique(flagged.segment(lacking, "a", missing=(1,)).labels.array)) == {300}
    later = {"network": replace(network, in_channels=6), "name": "3d_cascade_fullres", "previous": "3d_lowres"}
    second = replace(base, **(both | later))
    cascade = Predictor(replace(card, configuration=second), (Earlier(),), CPU, previous=flagged)
    for volume, missing, value in ((whole, (), 7), (lacking, (1,), 300)):
        found = cascade.segment(volume, "a", missing=missing).labels
        assert set(np.unique(found.array)) == {value}
    # neither stage can do without the first channel, and a first stage that knows of none needs both
    with pytest.raises(DataError, match="a: no T2"):
        flagged.segment(whole, "a", missing=(0,))
    for odd in ((2,), (-1,), (0, 1)):
        with pytest.raises(DataError, match=r"a: channels that are missing: .*\nExpected: some of 0 to 1"):
            flagged.predict(whole, name="a", missing=odd)
    deaf = replace(base, **(both | {"network": replace(network, in_channels=2)}))
    first = Predictor(ModelCard(two, deaf), (Flagged(),), CPU)
    with pytest.raises(DataError, match="a: no T1"):
        replace(cascade, previous=first).segment(lacking, "a", missing=(1,))


class Bright(nn.Module):
    """Two regions: all that is bright, and what is very bright in it."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (torch.cat([x - 1, x - 2], 1),)


def test_regions_are_written_with_the_values_of_their_labels(model: Predictor) -> None:
    base = model.card.configuration
    regions = (Region("all", (7, 300, 4), 4), Region("core", (300,), 300))
    loss = replace(base.loss, class_weights=(1.0, 1.0))
    network = replace(base.network, out_channels=2)
    card = ModelCard(replace(model.card.data, regions=regions), replace(base, network=network, loss=loss))
    image = np.full((13, 9, 15), 100, np.float32)
    image[2:10, 2:7, 2:12] = 103
    image[4:8, 3:6, 4:9] = 109
    volume, back = stored(image, *ORIENTATIONS[0], np.eye(3))
    found = back(Predictor(card, (Bright(),), CPU).segment(volume, "a").labels.array[0])
    scaled = (image - image.mean()) / image.std()
    np.testing.assert_array_equal(found, np.where(scaled > 2, 300, np.where(scaled > 1, 4, 0)))
    assert set(np.unique(found)) == {0, 4, 300}


def test_the_low_resolution_image_is_let_go_of_before_the_full_one_is_predicted(
    model: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = model.card.configuration
    second = replace(
        base, name="3d_cascade_fullres", previous="3d_lowres", network=replace(base.network, in_channels=4)
    )
    coarse = replace(model.card, configuration=replace(base, spacing_mm=(3.0, 4.0, 5.0)))
    images: list[weakref.ref[np.ndarray]] = []
    alive: list[list[bool]] = []

    real = Predictor.pour

    def watch(self: Predictor, case: Prepared, *rest: Any) -> None:
        images.append(weakref.ref(case.image))
        alive.append([seen() is not None for seen in images])
        real(self, case, *rest)

    monkeypatch.setattr(Predictor, "pour", watch)
    volume, _ = stored(patient(), (0, 1, 2), (1, 1, 1), np.eye(3))
    previous = Predictor(coarse, (Threshold(),), CPU)
    Predictor(replace(model.card, configuration=second), (Believing(),), CPU, previous=previous).segment(volume, "case")
    assert alive == [[True], [False, True]]
