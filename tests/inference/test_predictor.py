from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autospine.inference.predictor import predict_logits
from autospine.planning.plan import Configuration

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
        logits = predict_logits([Pointwise()], image, configuration, device=CPU, mirror=mirror)
        assert logits.shape == (4, *shape)
        np.testing.assert_allclose(logits, np.concatenate([image, image**2, 1 - image, -image]), atol=1e-5)


def test_networks_are_averaged(make_configuration: Callable[..., Configuration]) -> None:
    image = np.random.default_rng(0).normal(size=(1, 8, 16, 16)).astype(np.float32)
    logits = predict_logits([Pointwise(1.0), Pointwise(3.0)], image, make_configuration(), device=CPU)
    np.testing.assert_allclose(logits[0], 2 * image[0], atol=1e-5)


def test_mirroring_averages_over_the_plans_axes_only(make_configuration: Callable[..., Configuration]) -> None:
    image = np.zeros((1, 8, 16, 16), np.float32)
    base = make_configuration()
    along = replace(base, training=replace(base.training, mirror_axes=(2,)))
    across = replace(base, training=replace(base.training, mirror_axes=(0, 1)))
    np.testing.assert_allclose(predict_logits([Positional()], image, along, device=CPU), 7.5, atol=1e-5)
    kept = predict_logits([Positional()], image, across, device=CPU)
    np.testing.assert_allclose(kept[0, 0, 0], np.arange(16), atol=1e-4)


def test_progress_counts_the_tiles(make_configuration: Callable[..., Configuration]) -> None:
    seen: list[tuple[int, int]] = []
    image = np.zeros((1, 12, 16, 16), np.float32)
    predict_logits([Pointwise()], image, make_configuration(), device=CPU, progress=lambda *done: seen.append(done))
    assert seen == [(1, 2), (2, 2)]
