"""A segmentation comes back on its image's own grid, however the image lies on disk."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autospine.data.volume import Geometry, Volume, read_volume, write_volume
from autospine.errors import DataError
from autospine.inference.ensemble import Model
from autospine.inference.export import segment
from autospine.planning.model import ModelCard
from autospine.planning.plan import Configuration

CPU = torch.device("cpu")
ORIENTATIONS = [
    (order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]


class Threshold(nn.Module):
    """Class 1 where the image is bright, class 2 where it is dark."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (torch.cat([torch.zeros_like(x), x - 1, -x - 1, torch.full_like(x, -9.0)], 1),)


@pytest.fixture
def model(make_configuration: Callable[..., Configuration]) -> Model:
    configuration = make_configuration(spacing_mm=(1.5, 2.0, 2.5), axis_order=(2, 0, 1))
    card = ModelCard("toy", ("T2",), (("bright", 7), ("dark", 300), ("never", 4)), (), configuration)
    return Model(card, (Threshold(),), ("0",))


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
def test_all_48_orientations_give_the_same_segmentation(model: Model, tmp_path: Path, oblique: bool) -> None:
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
        result = segment(model, read, "case", device=CPU, mirror=False)
        write_volume(tmp_path / "result.nii.gz", result)
        written = read_volume(tmp_path / "result.nii.gz")
        # NIfTI keeps an oblique direction as a float32 quaternion
        np.testing.assert_allclose(written.geometry.direction, read.geometry.direction, atol=1e-7)
        assert replace(written.geometry, direction=read.geometry.direction) == read.geometry, (order, signs)
        np.testing.assert_array_equal(back(written.array[0]), expected, err_msg=f"{order} {signs}")


def test_a_wrong_number_of_channels_is_refused(model: Model) -> None:
    volume, _ = stored(patient(), (0, 1, 2), (1, 1, 1), np.eye(3))
    both = Volume(np.concatenate([volume.array] * 2), volume.geometry, ())
    with pytest.raises(DataError, match=r"2 channel\(s\)"):
        segment(model, both, "case", device=CPU)
