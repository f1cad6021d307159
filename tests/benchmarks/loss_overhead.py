"""What the size-adaptive loss and the MSFF bottleneck add to a training step.

    OMP_NUM_THREADS=1 python tests/benchmarks/loss_overhead.py                # on one core
    python tests/benchmarks/loss_overhead.py --device cuda --steps 50         # under autocast

Each variant is a plan of its own, trained on the same random patches by the step that trainings are made of; the
variants take turns, so that the machine's moods meet all of them alike. On a CPU the processor's time counts, not the
clock's. What differs is a small part of a step and is timed by itself too, forth and back: the loss to its logits; the
bottleneck with the update of its weights. `step +` is a variant's median step against that of dice_ce, `part +` what
its part takes more than that of dice_ce, as a share of that step: on a busy machine only the latter is sharp.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import torch
from torch import Tensor

from autospine.networks.device import autocast
from autospine.planning.parts import LossPlan, NetworkPlan, ResamplingPlan, TrainingPlan
from autospine.planning.plan import Configuration
from autospine.training.schedule import build_optimiser
from autospine.training.step import Stepper

CLASSES = 5
PATCHES = {2: ((192, 160), 8), 3: ((32, 96, 96), 2)}
"""Patch and batch by dimension."""
ADAPTIVE = LossPlan("dice_size_adaptive_ce", (1.0, 1.0, 1.5, 2.0, 3.0, 5.0), True)
ONES = (1.0,) * (CLASSES + 1)
LOSSES = {
    "dice_ce": LossPlan("dice_ce", ONES, True),
    "size-adaptive by class": ADAPTIVE,
    'size-adaptive, size_source = "batch"': replace(ADAPTIVE, usual_sizes=(2000.0, 900.0, 500.0, 200.0, 80.0)),
    "size-adaptive by component": replace(ADAPTIVE, class_weights=ONES, largest_size=2000.0),
}
MSFF = "dice_ce, MSFF bottleneck"


@dataclass(frozen=True)
class Variant:
    """A plan with what it is trained on."""

    stepper: Stepper
    batch: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    """Logits to time the loss alone with."""
    features: Tensor
    """What enters the bottleneck."""
    fusing: torch.optim.Optimizer
    """Of the bottleneck's weights, or of all where it has none of its own."""

    def step(self) -> None:
        self.stepper.step(*self.batch)

    def loss(self) -> None:
        logits = tuple(output.detach().requires_grad_() for output in self.outputs)
        self.stepper.loss_of(logits, *self.batch[1:]).backward()

    def fuse(self) -> None:
        module, optimiser, features = self.stepper.network.msff, self.fusing, self.features
        optimiser.zero_grad(set_to_none=True)
        with autocast(features.device):
            fused = module(features.detach().requires_grad_())
        fused.float().sum().backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), self.stepper.clip_norm)
        optimiser.step()


def main() -> None:
    """Print a table for each dimension."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=9, help="timed steps of each variant")
    parser.add_argument("--parts", type=int, default=45, help="times that each part is timed by itself")
    parser.add_argument("--only", type=int, choices=(2, 3), help="one dimension")
    asked = parser.parse_args()
    device = torch.device(asked.device)
    torch.set_num_threads(1)
    for dimension, (patch, batch) in PATCHES.items():
        if asked.only in (None, dimension):
            report(dimension, patch, batch, device, asked.steps, asked.parts)


def report(dimension: int, patch: tuple[int, ...], batch: int, device: torch.device, steps: int, parts: int) -> None:
    """Time every variant and print its row."""
    base = configuration(dimension, patch, batch)
    fused = replace(base, network=replace(base.network, bottleneck="msff"))
    variants = {name: variant(replace(base, loss=loss), device) for name, loss in LOSSES.items()}
    variants[MSFF] = variant(fused, device)
    step = in_turns({name: one.step for name, one in variants.items()}, steps, device)
    part = in_turns({name: one.fuse if name == MSFF else one.loss for name, one in variants.items()}, parts, device)
    plain, alone = step["dice_ce"], part["dice_ce"]
    print(f"\n{batch} patches of {' x '.join(map(str, patch))}, {steps} steps and {parts} parts each on {device}\n")
    print("| variant | step ms | step + | part ms | part + |\n|---|---|---|---|---|")
    for name, took in step.items():
        more = part[name] - (0 if name == MSFF else alone)
        shown = (f"{1e3 * took:.1f}", f"{took / plain - 1:+.1%}", f"{1e3 * part[name]:.2f}", f"{more / plain:+.2%}")
        print(f"| {name} | {' | '.join(shown)} |", flush=True)


def variant(plan: Configuration, device: torch.device) -> Variant:
    """The plan's stepper with random patches: blocks of every class, as lesions of three sizes."""
    torch.manual_seed(0)
    stepper = Stepper.of(plan, device)
    image = torch.randn(plan.batch, 1, *plan.patch)
    target = torch.zeros(plan.batch, *plan.patch, dtype=torch.int64)
    sizes = torch.zeros(plan.batch, *plan.patch)
    for value in range(1, CLASSES + 1):
        first = plan.patch[-1] * value // (CLASSES + 2)
        block = (..., slice(4, 24), slice(first, first + 8))
        target[block], sizes[block] = value, 2500.0 / 4**value
    parts = (image, target, sizes) if plan.loss.largest_size is not None else (image, target)
    on_device = tuple(part.to(device) for part in parts)
    with torch.no_grad(), autocast(device):
        outputs = stepper.network(on_device[0])
    shape = (edge // 2 ** (len(plan.network.features) - 1) for edge in plan.patch)
    features = torch.randn(plan.batch, plan.network.features[-1], *shape, device=device)
    network = stepper.network
    fused = network.msff if plan.network.bottleneck == "msff" else network
    return Variant(stepper, on_device, outputs, features, build_optimiser(fused, plan.training))


def in_turns(actions: dict[str, Callable[[], None]], times: int, device: torch.device) -> dict[str, float]:
    """Median seconds of each action; they take turns, and a first round does not count."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    took: dict[str, list[float]] = {name: [] for name in actions}
    for round_ in range(times + 1):
        for name, act in actions.items():
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            start = clock()
            act()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if round_:
                took[name].append(clock() - start)
    return {name: median(seconds) for name, seconds in took.items()}


def configuration(dimension: int, patch: tuple[int, ...], batch: int) -> Configuration:
    """A U-Net of five stages from 16 features on."""
    flat, ones = dimension == 2, (1,) * dimension
    network = NetworkPlan(
        dimension=2 if flat else 3,
        in_channels=1,
        out_channels=CLASSES + 1,
        features=(16, 32, 64, 128, 256),
        kernels=((3,) * dimension,) * 5,
        strides=(ones, *((2,) * dimension,) * 4),
        blocks=(2,) * 5,
    )
    training = TrainingPlan(
        optimiser="sgd",
        learning_rate=1e-3,
        weight_decay=3e-5,
        momentum=0.99,
        warmup=0.0,
        poly_power=0.9,
        clip_norm=12.0,
        epochs=1,
        steps_per_epoch=1,
        validation_steps=1,
        budget_s=None,
        oversample_foreground=0.33,
        foreground_jitter=0.0,
        shift=0.0,
        mirror_axes=(),
        rotation_deg=15.0,
        rotate_in_plane=False,
        scale_range=(0.7, 1.4),
    )
    return Configuration(
        name="2d" if flat else "3d_fullres",
        axis_order=(0, 1, 2),
        spacing_mm=(1.0,) * dimension,
        median_shape=patch,
        patch=patch,
        batch=batch,
        normalisation=("zscore",),
        use_mask=False,
        network=network,
        resampling=ResamplingPlan(),
        loss=LOSSES["dice_ce"],
        training=training,
    )


if __name__ == "__main__":
    main()
