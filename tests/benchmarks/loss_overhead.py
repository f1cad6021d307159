"""What the size-adaptive loss and the MSFF bottleneck add to a training step.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.loss_overhead runs/lumbar-water/plan.toml -c 2d      # on one core
    python -m tests.benchmarks.loss_overhead runs/lumbar-water/plan.toml --device cuda --steps 50     # under autocast

Each variant is a configuration of the plan with another loss or bottleneck, trained on the same random patches by the
step that trainings are made of; they take turns, so that the machine's moods meet all of them alike. On a CPU the
processor's time counts, not the clock's. What differs is a small part of a step and is timed by itself too, forth and
back: the loss to its logits; the bottleneck with the update of its weights. `step +` is a variant's median step against
that of dice_ce, `part +` what its part takes more than that of dice_ce, as a share of that step: on a busy machine only
the latter is sharp.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from autospine.machine.precision import autocast
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.parts import LossPlan
from autospine.planning.document.plan_file import read_plan_file
from autospine.planning.estimate.cost import stage_sizes
from autospine.training.schedule import build_optimiser
from autospine.training.step import Stepper
from tests.cards import card_of

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
        with autocast(features.device, self.stepper.precision):
            fused = module(features.detach().requires_grad_())
        fused.float().sum().backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), self.stepper.clip_norm)
        optimiser.step()


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", type=Path)
    parser.add_argument("-c", "--configuration")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=9, help="timed steps of each variant")
    parser.add_argument("--parts", type=int, default=45, help="times that each part is timed by itself")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    report(
        read_plan_file(asked.plan).configuration(asked.configuration),
        torch.device(asked.device),
        asked.steps,
        asked.parts,
    )


def losses(plan: Configuration) -> dict[str, LossPlan]:
    """The losses by name; sizes fall by half from class to class."""
    outputs = plan.network.out_channels
    ones, sizes = (1.0,) * outputs, tuple(2000.0 / 2**index for index in range(outputs - 1))
    plain = LossPlan("dice_ce", ones, plan.loss.batch_dice)
    weights = (1.0, *(min(5.0, 2.0 ** (index / 2)) for index in range(outputs - 1)))
    adaptive = replace(plain, kind="dice_size_adaptive_ce", class_weights=weights)
    return {
        "dice_ce": plain,
        "size-adaptive by class": adaptive,
        'size-adaptive, size_source = "batch"': replace(adaptive, usual_sizes=sizes),
        "size-adaptive by component": replace(adaptive, class_weights=ones, largest_size=2000.0),
    }


def report(plan: Configuration, device: torch.device, steps: int, parts: int) -> None:
    """Time every variant and print its row."""
    plain = replace(plan, network=replace(plan.network, bottleneck="plain"))
    variants = {name: variant(replace(plain, loss=loss), device) for name, loss in losses(plan).items()}
    fused = replace(plain, loss=losses(plan)["dice_ce"], network=replace(plan.network, bottleneck="msff"))
    variants[MSFF] = variant(fused, device)
    step = in_turns({name: one.step for name, one in variants.items()}, steps, device)
    part = in_turns({name: one.fuse if name == MSFF else one.loss for name, one in variants.items()}, parts, device)
    took, alone = step["dice_ce"], part["dice_ce"]
    edges, widths = " x ".join(map(str, plan.patch)), f"{plan.network.features[0]} to {plan.network.features[-1]}"
    print(f"\n{plan.name}: {plan.batch} patches of {edges}, {widths} features, {plan.network.out_channels} outputs,")
    print(f"{plan.training.optimiser}; {steps} steps and {parts} parts each on {device}\n")
    print("| variant | step ms | step + | part ms | part + |\n|---|---|---|---|---|")
    for name, seconds in step.items():
        more = part[name] - (0 if name == MSFF else alone)
        shown = (f"{1e3 * seconds:.1f}", f"{seconds / took - 1:+.1%}", f"{1e3 * part[name]:.2f}", f"{more / took:+.2%}")
        print(f"| {name} | {' | '.join(shown)} |", flush=True)


def variant(plan: Configuration, device: torch.device) -> Variant:
    """The plan's stepper with random patches: blocks of every class, as lesions of three sizes."""
    torch.manual_seed(0)
    stepper = Stepper.of(card_of(plan), device)
    image = torch.randn(plan.batch, plan.network.in_channels, *plan.patch)
    target = torch.zeros(plan.batch, *plan.patch, dtype=torch.int64)
    sizes = torch.zeros(plan.batch, *plan.patch)
    classes = plan.network.out_channels - 1
    for value in range(1, classes + 1):
        first = plan.patch[-1] * value // (classes + 2)
        block = (..., slice(4, 24), slice(first, first + 8))
        target[block], sizes[block] = value, 2500.0 / 4 ** min(value, 5)
    parts = (image, target, sizes) if plan.loss.largest_size is not None else (image, target)
    on_device = tuple(part.to(device) for part in parts)
    with torch.no_grad(), autocast(device, stepper.precision):
        outputs = stepper.network(on_device[0])
    shape = stage_sizes(plan.patch, plan.network.strides)[-1]
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


if __name__ == "__main__":
    main()
