"""Measures what a training step costs on a device, before anything is prepared or trained.

Batches are built from a case of noise as from a prepared one, by as many processes, and the step is the trainer's own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch

from autospine.data.geometry import triple
from autospine.machine.device import is_out_of_memory
from autospine.machine.threads import given_threads, thread_counts
from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.locations import locate
from autospine.preprocessing.prepare import CaseProperties
from autospine.preprocessing.store import StoredCase
from autospine.training.batches import PatchBatches
from autospine.training.sampler import planned_patch
from autospine.training.step import WARM_UP_STEPS, Stepper
from autospine.training.workers import batches_from, fitting_workers

T = TypeVar("T")

LEAST_STEPS, LEAST_SECONDS = 2, 2.0
"""A first look has at least so many steps; a measurement takes at least so long: a machine has its moods."""
SPANS = 3
"""Parts of a measurement, a step each at least; the quickest counts: others may take the machine for some of the time,
and nobody makes it faster than it is."""
LOOK_SECONDS = 0.3
"""So long with as many steps, or `LEAST_SECONDS` with a single one, takes a first look; its fastest step counts."""
COLD_SECONDS = 0.5
"""A processor's first step that takes longer is a first look by itself: little of it is what only a first step does."""
ROOM = 1.3
"""Edge of the case of noise over that of the patch, at most: batches crop from it as from a real one."""


@dataclass(frozen=True)
class _Noise(Generic[T]):
    """The case of noise in the place of a store, or its labels in that of a previous stage's segmentations."""

    held: T

    def open(self, name: str, shape: Sequence[int] = ()) -> T:
        return self.held


def seconds_per_step(
    card: ModelCard,
    device: torch.device,
    *,
    at_least_s: float = LEAST_SECONDS,
    bounds_s: tuple[float, float] = (0.0, math.inf),
    by_clock: bool = False,
) -> float:
    """Seconds of one training step of `card` on `device`, in the precision that is faster there.

    They are the median of the quickest of several looks, which take at least `at_least_s` seconds together, after the
    first step, on a GPU after the whole warm-up. A training that goes `by_clock` chooses its threads as it runs
    (`threads`), and so do the looks. Ends early where a first look (`LOOK_SECONDS`, `COLD_SECONDS`) finds it under or
    over `bounds_s`. Infinite where the device's memory is too small.
    """
    try:
        with given_threads() as most:
            counts = thread_counts(most) if by_clock and device.type == "cpu" else (most,)
            return _measure(card, device, at_least_s, bounds_s, counts)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        torch.cuda.empty_cache()
        return math.inf


def _measure(
    card: ModelCard, device: torch.device, at_least_s: float, bounds_s: tuple[float, float], counts: tuple[int, ...]
) -> float:
    batches = batches_from(_batches(card), 0, fitting_workers(card, device), pin=device.type == "cuda")
    stepper = Stepper.of(card, device)
    warm_up = 1 if device.type == "cpu" else WARM_UP_STEPS
    times: list[float] = []
    while len(times) < warm_up + SPANS * len(counts) or sum(times[warm_up:]) < at_least_s:
        torch.set_num_threads(counts[(len(times) - warm_up) % len(counts)])
        start = time.perf_counter()
        image, target, *sizes = (part.to(device, non_blocking=True) for part in next(batches))
        stepper.step(image, target, *sizes)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
        looked = times[warm_up:]
        enough = sum(looked) >= (LOOK_SECONDS if len(looked) >= LEAST_STEPS else LEAST_SECONDS)
        seen = enough and len(looked) >= len(counts)
        cold = device.type == "cpu" and not looked and times[0] >= COLD_SECONDS
        fastest = min(looked or times)
        if (seen or cold) and not bounds_s[0] <= fastest <= bounds_s[1]:
            return fastest
    found = (times[warm_up + place :: len(counts)] for place in range(len(counts)))
    return min(float(np.median(look)) for own in found for look in np.array_split(own, SPANS))


def _batches(card: ModelCard) -> PatchBatches:
    """Batches from one case of noise that is a little larger than the patch and holds every class."""
    configuration = card.configuration
    patch = planned_patch(configuration)
    median = (1, *configuration.median_shape) if len(configuration.patch) == 2 else configuration.median_shape
    shape = tuple(max(edge, min(size, int(edge * ROOM))) for edge, size in zip(patch, median, strict=True))
    rng = np.random.default_rng(0)
    values = card.data.classes + 1
    # stripes along the last axis: like anatomy, every class is there and has few borders
    stripes = np.minimum(np.arange(shape[-1]) * values // shape[-1], values - 1).astype(np.uint8)
    label = np.ascontiguousarray(np.broadcast_to(stripes, shape))
    image = rng.standard_normal((card.entering.images, *shape), np.float32)
    box, ones = triple((0, edge) for edge in shape), (1.0, 1.0, 1.0)
    properties = CaseProperties("noise", triple(shape), ones, box, (0, 1, 2), ones)
    located = locate(label, range(1, values), configuration, 0)
    case = StoredCase("noise", image, label, label, properties, *located)
    previous = _Noise(label) if configuration.previous is not None else None
    return PatchBatches(_Noise(case), ("noise",), card, augment=True, seed=0, previous=previous)
