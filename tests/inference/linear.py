"""A model whose scores are linear in the image, so that what comes of them is known by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from skimage.transform import resize
from torch import Tensor, nn

from autospine import Predictor
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import IntensityPlan
from autospine.planning.document.parts import ResamplingPlan
from tests.cards import card_of

CPU = torch.device("cpu")
INTENSITIES = (IntensityPlan(0.0, 1.0, -9.0, 9.0),)
LABELS = (("upper", 7), ("middle", 300), ("lower", 4))
Make = Callable[..., Configuration]
AFFINE = np.array([[-1.0, 0, 0, 10], [0, 0, 1.0, -20], [0, -1.0, 0, 30], [0, 0, 0, 1]])


class Linear(nn.Module):
    """Scores that are linear in the image: interpolation of them is that of the image."""

    def __init__(self, *factors: float) -> None:
        super().__init__()
        self.factors = factors

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (torch.cat([factor * x for factor in self.factors], 1),)


def model_of(configuration: Configuration, *networks: nn.Module, **how: Any) -> Predictor:
    card = card_of(configuration, labels=LABELS, intensities=INTENSITIES)
    networks = networks or (Linear(0, 1, -1, 0.5),)
    return Predictor(card, networks, CPU, **{"mirror": False, "precision": "float32"} | how)


def smooth(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).normal(0, 3, [max(2, size // 3) for size in shape])
    return resize(coarse, shape, 1, mode="edge", anti_aliasing=False).clip(-8, 8).astype(np.float32)


def plainly(make_configuration: Make) -> Configuration:
    """Intensities enter as they are (mean 0, deviation 1), at 1 mm, no axis apart."""
    return make_configuration(normalisation=("ct",), resampling=ResamplingPlan(anisotropy_threshold=9.0))
