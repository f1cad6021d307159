"""The memory that a real training step takes, by torch's own account: what estimates are held against.

On a CPU torch's profiler reports every allocation and every release: their running sum, from before the network is
built, is exactly what is alive. On CUDA the allocator keeps the peak itself.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from autospine.data.structure import IGNORED
from autospine.machine.device import step_machine
from autospine.machine.precision import Precision
from autospine.planning.document.configuration import Configuration
from autospine.planning.estimate.memory import training_memory_gb
from autospine.training.step import Stepper
from tests.cards import card_of

MEASURED = "measured step"


def repeated_step(
    configuration: Configuration, device: torch.device, precision: Precision = "float32"
) -> Callable[[], None]:
    """A function that makes one training step on a random batch; network, loss and optimiser live in it."""
    stepper = Stepper.of(card_of(configuration), device, precision)

    def step() -> None:
        size = (configuration.batch, *configuration.patch)
        image = torch.randn(size[0], configuration.network.in_channels, *size[1:], device=device)
        target = torch.randint(0, configuration.network.out_channels, size, device=device)
        target[:, 0] = IGNORED  # an edge outside the case, as patches often have
        by_component = configuration.loss.largest_size is not None
        stepper.step(image, target, *([torch.rand(size, device=device)] if by_component else []))

    return step


def peak_bytes(prepare: Callable[[], Callable[[], None]], device: torch.device) -> int:
    """Most bytes alive at once during the second call of what `prepare` returns, with what both have left behind."""
    gc.collect()
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        step = prepare()
        step()
        torch.cuda.reset_peak_memory_stats(device)
        step()
        return int(torch.cuda.max_memory_allocated(device)) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step = prepare()
        step()
        with record_function(MEASURED):
            step()
    recorded: Any = profiler.profiler
    events = recorded.kineto_results.events()
    start = next(event.start_ns() for event in events if event.name() == MEASURED)
    end = next(event.start_ns() + event.duration_ns() for event in events if event.name() == MEASURED)
    alive = peak = 0
    for event in sorted((event for event in events if event.name() == "[memory]"), key=lambda event: event.start_ns()):
        if event.start_ns() > end:
            break
        if event.start_ns() >= start:
            peak = max(peak, alive)
        alive += event.nbytes()
    return int(max(peak, alive))


def compare(
    configuration: Configuration, device: torch.device, threads: int = 1, precision: Precision = "float32"
) -> tuple[float, float]:
    """Estimated and measured peak of a training step in GB (10^9 bytes)."""
    torch.manual_seed(0)
    measured = peak_bytes(lambda: repeated_step(configuration, device, precision), device) / 1e9
    machine = replace(step_machine(device, precision), threads=threads)
    return training_memory_gb(configuration, machine), measured
