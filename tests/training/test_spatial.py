from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from autospine.data.structure import IGNORED
from autospine.planning.document.configuration import Configuration
from autospine.training.spatial import SpatialTransform, draw_transform

PATCH = (6, 9, 8)


def cut(array: np.ndarray, box: list[list[int]]) -> Tensor:
    return torch.from_numpy(array[tuple(slice(low, high) for low, high in box)].copy())


def turned(in_plane: bool) -> SpatialTransform:
    """A turn about all axes and a zoom."""
    matrix = np.eye(3)
    for axis, angle in ((0, 0.4), *(() if in_plane else ((1, -0.3), (2, 0.2)))):
        plane, turn = [other for other in range(3) if other != axis], np.eye(3)
        turn[np.ix_(plane, plane)] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        matrix = matrix @ turn
    return SpatialTransform(matrix @ np.diag([1.0 if in_plane else 0.9, 0.9, 0.9]), in_plane)


def by_scipy(transform: SpatialTransform, array: np.ndarray, patch: tuple[int, int, int]) -> np.ndarray:
    """The same map, linear, in double precision."""
    offset = (np.array(array.shape) - 1) / 2 - transform.matrix @ ((np.array(patch) - 1) / 2)
    if transform.in_plane:
        offset[0] = 0
    return ndimage.affine_transform(array.astype(float), transform.matrix, offset, patch, order=1)


@pytest.mark.parametrize("in_plane", [False, True])
def test_images_are_interpolated_as_scipy_does(in_plane: bool) -> None:
    volume = np.random.default_rng(0).normal(size=(40, 40, 40)).astype(np.float32)
    transform, start = turned(in_plane), np.array([15, 16, 14])
    box = cut(volume, transform.source_box(start, PATCH))
    found = transform.apply_image(box[None], PATCH)[0]
    np.testing.assert_allclose(found, by_scipy(transform, box.numpy(), PATCH), atol=1e-4)


@pytest.mark.parametrize("in_plane", [False, True])
def test_labels_are_those_of_each_class_by_itself(in_plane: bool) -> None:
    """Dozens of classes that touch, none of them beside another one of its own."""
    rng, patch = np.random.default_rng(0), (9, 30, 28)
    coarse = rng.integers(0, 40, (20, 20, 20)).astype(np.uint8)
    coarse[rng.random(coarse.shape) < 0.1] = IGNORED
    volume = coarse.repeat(3, 0).repeat(3, 1).repeat(3, 2)
    transform = turned(in_plane)
    box = cut(volume, transform.source_box(np.array([20, 15, 16]), patch))
    values = np.unique(box)
    shares = np.stack([by_scipy(transform, box.numpy() == value, patch) for value in values])
    expected, (second, first) = values[shares.argmax(0)], np.sort(shares, axis=0)[-2:]
    doubtful = first - second < 1e-4
    found = transform.apply_label(box, patch).numpy()
    assert doubtful.mean() < 0.01 and (found == 0).any() and (found == IGNORED).any()
    np.testing.assert_array_equal(found[~doubtful], expected[~doubtful])


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
    np.testing.assert_array_equal(out.numpy(), label[8:12, 8:12, 8:17])


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


def test_nearest_labels_keep_to_the_quarter_turn() -> None:
    volume = np.random.default_rng(0).integers(0, 9, (30, 31, 31)).astype(np.uint8)
    patch, start = (5, 7, 7), np.array([10, 12, 12])
    for in_plane in (False, True):
        transform = SpatialTransform(np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]), in_plane)
        out = transform.apply_nearest(cut(volume, transform.source_box(start, patch)), patch)
        assert out.dtype == torch.uint8
        np.testing.assert_array_equal(out.numpy(), np.rot90(volume[10:15, 12:19, 12:19], -1, (1, 2)))
