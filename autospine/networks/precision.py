"""In which precision a network computes: the one in which it is faster on this device, and on a CPU that is measured.

A GPU takes its half precision. A processor with bfloat16 units may still be slower in bfloat16, for small networks or
where oneDNN is told to do without those units, so that float32 and bfloat16 take turns on the network itself:

    seconds   float32  0.45  0.21  0.20      least 0.20
              bfloat16 0.15  0.11  0.12      least 0.11    ->    bfloat16, 1.8 times as fast

The first pass of each, which compiles, is not among them. One thread computes, and what counts is its own time on the
processor, so that other processes have no say: by the clock, and with all threads, the same network was found 0.6 to
2.2 times as fast in bfloat16 beside the work of others, in this way 1.8 to 1.9 times (two cores, torch 2.13).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod

import torch

from autospine.machine.arithmetic import Machine
from autospine.machine.memory import total_bytes
from autospine.machine.precision import Choice, Precision, autocast, gpu_precision, has_bfloat16_units, pinned_precision
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.parts import NetworkPlan
from autospine.planning.estimate.cost import multiply_adds
from autospine.planning.estimate.memory import training_memory_gb

WORTH = 1.1
"""Times as fast as float32 from which bfloat16 is taken. Below, the next look may say otherwise, and several threads,
which wait for each other as long in either precision, gain less than one."""
TURNS, TURNS_S = (2, 6), 0.4
"""Looks at each precision, at least and at most; after the least no more are begun once all have taken so long."""
CLEAR = 1.3
"""Factor between what is found and `WORTH` from which the first look tells enough."""
EMULATED, EMULATED_S = 4.0, 0.3
"""A first pass that takes so many times longer than in the other precision, and so long, is enough: in bfloat16 it is
emulated, in float32 without a fast kernel (of few channels in 3D)."""
MOST_WORK = 3e8
"""Multiply-adds of a forward pass up to which a network is looked at on its own patch and batch, else on smaller ones:
some hundredths of a second for forward and backward on one core, and a tenth for the first pass."""
LEAST_EDGE = 2
"""Voxels of the coarsest stage below which no axis of a patch is made smaller: its layers would be all overhead. With
3 a pass of a reference network in 3D took half a second on a core, and all looks 12 s before the first case."""
_BOTH: tuple[Precision, Precision] = ("float32", "bfloat16")
_found: dict[tuple[NetworkPlan, bool], Choice] = {}
"""What was measured in this process, by network and whether in training."""


def choose_precision(configuration: Configuration, device: torch.device, *, training: bool) -> Choice:
    """The precision in which the network of `configuration` is faster on `device`, in training or in prediction.

    What was found is kept as long as the process lives, whatever the patch, the batch and the channels that enter: it
    is a matter of the channels between the layers. So all that a process does with a network agrees.
    """
    fixed = pinned_precision()
    if fixed is not None:
        return Choice(fixed)
    if device.type == "cuda":
        return Choice(gpu_precision(device))
    if not has_bfloat16_units():
        return Choice("float32")
    small, total = smaller(configuration), total_bytes()
    if total is not None and 2e9 * training_memory_gb(small, Machine("float32", torch.get_num_threads())) > total:
        return Choice("bfloat16", because="the smaller of two, as too large to be timed")
    network = replace(small.network, in_channels=1)
    if (network, training) not in _found:
        _found[network, training] = _measured(network, small.patch, small.batch, training)
    return _found[network, training]


def faster(seconds_in: Callable[[Precision], float]) -> Choice:
    """float32, or bfloat16 where that is faster by `WORTH`, by a function that runs a pass and gives its seconds."""
    first = {precision: seconds_in(precision) for precision in _BOTH}
    speed = first["float32"] / first["bfloat16"]
    if max(first.values()) > max(EMULATED_S, EMULATED * min(first.values())):
        return Choice("bfloat16" if speed > 1 else "float32", speed)
    looks: dict[Precision, list[float]] = {precision: [] for precision in _BOTH}
    for look in range(TURNS[1]):
        if look >= TURNS[0] and sum(map(sum, looks.values())) > TURNS_S:
            break
        for precision in _BOTH:
            looks[precision].append(seconds_in(precision))
        speed = min(looks["float32"]) / min(looks["bfloat16"])
        if not WORTH / CLEAR < speed < WORTH * CLEAR:
            break
    return Choice("bfloat16" if speed >= WORTH else "float32", speed)


def _measured(plan: NetworkPlan, patch: tuple[int, ...], batch: int, training: bool) -> Choice:
    """What `faster` finds of this network on a CPU."""
    device = torch.device("cpu")
    # neither the training's random numbers nor the gradients that somebody has switched off are touched
    with (
        one_thread(),
        torch.random.fork_rng(devices=[]),
        torch.inference_mode(False),
        torch.set_grad_enabled(training),
    ):
        network = UNet(plan, patch).train(training)
        image = torch.randn(batch, plan.in_channels, *patch)

        def seconds_in(precision: Precision) -> float:
            start = time.thread_time()
            with autocast(device, precision):
                outputs = network(image)
            if training:
                torch.stack([output.float().square().mean() for output in outputs]).sum().backward()  # type: ignore[no-untyped-call]
                network.zero_grad(set_to_none=True)
            return time.thread_time() - start

        return faster(seconds_in)


@contextmanager
def one_thread() -> Iterator[None]:
    """A block in which torch computes in the thread that asks it to, forward and back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def smaller(configuration: Configuration, most: float = MOST_WORK) -> Configuration:
    """`configuration` with a patch and batch of little work: at most so many multiply-adds forward, where it can.

    The batch goes first, then the longest axis is halved again and again, about: the network has to fit on it.
    """
    network, patch, batch = configuration.network, configuration.patch, configuration.batch
    steps = tuple(prod(strides) for strides in zip(*network.strides, strict=True))
    batch = max(1, min(batch, int(most // multiply_adds(network, patch, 1))))
    while multiply_adds(network, patch, batch) > most:
        long = [axis for axis, edge in enumerate(patch) if edge // steps[axis] > LEAST_EDGE]
        if not long:
            break
        longest = max(long, key=lambda axis: patch[axis])
        halved = max(LEAST_EDGE, patch[longest] // steps[longest] // 2) * steps[longest]
        patch = tuple(halved if axis == longest else edge for axis, edge in enumerate(patch))
    return replace(configuration, patch=patch, batch=batch)
