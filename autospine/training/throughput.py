"""Measures what a training step costs on a device, before anything is trained."""

from __future__ import annotations

import math
import time

import numpy as np
import torch
from torch import nn

from autospine.losses.build import build_loss
from autospine.networks.build import build_network
from autospine.networks.device import autocast
from autospine.planning.plan import Configuration
from autospine.training.augment import IntensityAugmentation, seeded
from autospine.training.schedule import build_optimiser

WARM_UP_STEPS = 1
"""The first step allocates memory and chooses convolution algorithms."""
MEASURED_STEPS = 3


def seconds_per_step(configuration: Configuration, device: torch.device, *, give_up_s: float = 60.0) -> float:
    """Median seconds of one whole training step of `configuration` on random patches.

    On a CPU the augmentation of a batch is timed with it: it shares the cores with the network. Stops after
    the first measured step that takes longer than `give_up_s`. Infinite where the device's memory is too small.
    """
    try:
        return _measure(configuration, device, give_up_s)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return math.inf


def _measure(configuration: Configuration, device: torch.device, give_up_s: float) -> float:
    rng = np.random.default_rng(0)
    network = build_network(configuration.network, configuration.patch).to(device)
    loss_of = build_loss(configuration.loss, outputs=len(configuration.network.strides) - 1).to(device)
    optimiser = build_optimiser(network, configuration.training)
    augmentation = IntensityAugmentation(configuration)
    shape = (configuration.batch, *configuration.patch)
    image = rng.standard_normal((shape[0], configuration.network.in_channels, *shape[1:]), np.float32)
    target = rng.integers(0, configuration.network.out_channels, shape).astype(np.int16)

    times: list[float] = []
    for index in range(WARM_UP_STEPS + MEASURED_STEPS):
        start = time.perf_counter()
        batch, labels = image, target
        if device.type == "cpu":
            with seeded(index):
                batch, labels = augmentation(image.copy(), target.copy())
        inputs = torch.from_numpy(np.ascontiguousarray(batch, np.float32)).to(device)
        truth = torch.from_numpy(np.ascontiguousarray(labels, np.int64)).to(device)
        optimiser.zero_grad(set_to_none=True)
        with autocast(device):
            outputs = network(inputs)
        loss_of(outputs, truth).backward()
        nn.utils.clip_grad_norm_(network.parameters(), configuration.training.clip_norm)
        optimiser.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
        if times[-1] > give_up_s:
            break
    return float(np.median(times[WARM_UP_STEPS:] or times))
