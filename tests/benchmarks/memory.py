"""Hold the estimated memory of a training step against what torch's allocator counts.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.memory                 # every plan below, a Markdown table
    OMP_NUM_THREADS=1 python -m tests.benchmarks.memory --only residual # those with the word in their name
    OMP_NUM_THREADS=1 python -m tests.benchmarks.memory --precision bfloat16
    python -m tests.benchmarks.memory --device cuda                     # on a GPU, under autocast

Each plan is built and trained for two steps on random patches with the planned loss and optimiser, by the step that
trainings are made of; the second is measured, because only then do the optimiser's states exist.
"""

from __future__ import annotations

import argparse
import time
from typing import Literal, get_args

import torch

from autospine.machine.precision import Precision, gpu_precision
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.parts import (
    Bottleneck,
    Encoder,
    LossPlan,
    NetworkPlan,
    Optimiser,
    ResamplingPlan,
    TrainingPlan,
)
from tests.measured_steps import compare

# nnU-Net's residual blocks per stage.
RESIDUAL_BLOCKS = (1, 3, 4, 6, 6, 6, 6)
# A thick first axis: it is neither halved nor convolved along at first.
THICK = ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))


def plan(
    patch: tuple[int, ...],
    batch: int,
    features: tuple[int, ...],
    classes: int,
    *,
    encoder: Encoder = "plain",
    optimiser: Optimiser = "sgd",
    channels: int = 1,
    neighbours: int = 0,
    previous: bool = False,
    bottleneck: Bottleneck = "plain",
    strides: tuple[tuple[int, ...], ...] | None = None,
    loss: Literal["dice_ce", "dice_size_adaptive_ce"] = "dice_ce",
    largest_size: float | None = None,
) -> Configuration:
    """A configuration by the numbers that decide its memory; the rest is as the planner would have it."""
    size = len(patch)
    dimension: Literal[2, 3] = 2 if size == 2 else 3
    stages = len(features)
    strides = strides or ((1,) * size, *((2,) * size,) * (stages - 1))
    kernels = tuple((1, 3, 3) if strides is THICK and stage < 2 else (3,) * size for stage in range(stages))
    residual = encoder == "residual"
    network = NetworkPlan(
        dimension=dimension,
        in_channels=channels * (2 * neighbours + 1) + (classes if previous else 0),
        out_channels=classes + 1,
        features=features,
        kernels=kernels,
        strides=strides,
        blocks=RESIDUAL_BLOCKS[:stages] if residual else (2,) * stages,
        encoder=encoder,
        convs_decoder=1 if residual else 2,
        bottleneck=bottleneck,
    )
    weights = (1.0,) + (1.0 if loss == "dice_ce" or largest_size is not None else 2.0,) * classes
    training = TrainingPlan(
        optimiser=optimiser,
        learning_rate=1e-3,
        weight_decay=3e-5,
        momentum=0.99,
        warmup=0.0,
        poly_power=0.9,
        clip_norm=12.0,
        epochs=1,
        steps_per_epoch=1,
        validation_steps=0,
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
        name="2d" if size == 2 else "3d_fullres",
        axis_order=(0, 1, 2),
        spacing_mm=(1.0,) * size,
        median_shape=patch,
        patch=patch,
        batch=batch,
        normalisation=("zscore",) * channels,
        use_mask=False,
        network=network,
        resampling=ResamplingPlan(),
        loss=LossPlan(loss, weights, batch_dice=size == 2, largest_size=largest_size),
        training=training,
        neighbours=neighbours,
        previous="3d_lowres" if previous else None,
    )


# (name, threads, plan)
PLANS: tuple[tuple[str, int, Configuration], ...] = (
    ("2d plain, small", 1, plan((96, 96), 8, (8, 16, 32, 64), 3)),
    ("2d plain, 8 classes", 1, plan((128, 96), 8, (16, 32, 64, 128), 8, loss="dice_size_adaptive_ce")),
    ("2d plain, CPU plan", 1, plan((160, 160), 8, (16, 32, 64, 128, 256), 5, optimiser="adamw")),
    ("2d plain, full width", 1, plan((224, 224), 6, (32, 64, 128, 256, 512, 512), 5)),
    ("2d plain, one patch", 1, plan((320, 256), 1, (32, 64, 128, 256, 512), 1, optimiser="adamw")),
    ("2d plain, all weights", 1, plan((64, 64), 2, (32, 64, 128, 256, 512), 2, optimiser="adamw")),
    (
        "2d plain, by component",
        1,
        plan((160, 160), 8, (8, 16, 32, 64), 1, loss="dice_size_adaptive_ce", largest_size=2.0),
    ),
    ("2d msff", 1, plan((128, 128), 4, (32, 64, 128, 256, 512), 3, bottleneck="msff")),
    ("2d control", 1, plan((128, 128), 4, (32, 64, 128, 256, 512), 3, bottleneck="control")),
    ("2.5d plain, 5 slices", 1, plan((160, 160), 4, (16, 32, 64, 128, 256), 5, neighbours=2)),
    ("2d residual, small", 1, plan((96, 96), 4, (16, 32, 64, 128), 3, encoder="residual")),
    ("2d residual, full width", 1, plan((192, 192), 2, (32, 64, 128, 256, 512), 1, encoder="residual")),
    ("3d plain, small", 1, plan((32, 48, 32), 2, (8, 16, 32), 1, optimiser="adamw")),
    ("3d plain, full width", 1, plan((40, 56, 40), 4, (32, 64, 128, 256), 2)),
    ("3d plain, cube", 1, plan((64, 64, 64), 2, (16, 32, 64, 128, 256), 3, optimiser="adamw")),
    ("3d plain, thick slices", 1, plan((20, 160, 160), 2, (16, 32, 64, 128, 256), 5, strides=THICK)),
    ("3d plain, one patch", 1, plan((48, 64, 48), 1, (32, 64, 128), 8)),
    ("3d msff", 1, plan((32, 64, 64), 2, (16, 32, 64, 128), 2, bottleneck="msff")),
    ("3d cascade", 1, plan((48, 48, 48), 2, (16, 32, 64, 128), 5, previous=True)),
    ("3d residual, small", 1, plan((32, 32, 32), 2, (16, 32, 64), 2, encoder="residual")),
    ("3d residual, cube", 1, plan((48, 48, 48), 2, (32, 64, 128, 256), 2, encoder="residual", optimiser="adamw")),
    (
        "3d residual, thick slices",
        1,
        plan((16, 96, 96), 2, (16, 32, 64, 128), 3, encoder="residual", strides=THICK[:4]),
    ),
    ("3d plain, cube, 4 threads", 4, plan((64, 64, 64), 2, (16, 32, 64, 128, 256), 3, optimiser="adamw")),
    ("3d residual, cube, 4 threads", 4, plan((48, 48, 48), 2, (32, 64, 128, 256), 2, encoder="residual")),
)


def main() -> None:
    """Print the table row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32", choices=get_args(Precision), help="on a CPU")
    parser.add_argument("--only", default="", help="measure only plans with this in their name")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    precision = arguments.precision if device.type == "cpu" else gpu_precision(device)
    print("| plan | patch | batch | features | classes | optimiser | estimate GB | measured GB | error | seconds |")
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    errors: list[float] = []
    for name, threads, configuration in PLANS:
        if arguments.only not in name:
            continue
        torch.set_num_threads(threads)
        started = time.perf_counter()
        expected, measured = compare(configuration, device, threads, precision)
        seconds = time.perf_counter() - started
        errors.append(expected / measured - 1)
        features = configuration.network.features
        cells = (
            name,
            " x ".join(map(str, configuration.patch)),
            configuration.batch,
            f"{features[0]} to {max(features)}",
            configuration.network.out_channels - 1,
            configuration.training.optimiser,
            f"{expected:.3f}",
            f"{measured:.3f}",
            f"{100 * errors[-1]:+.1f} %",
            f"{seconds:.0f}",
        )
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    print(f"\nLargest error {100 * max(map(abs, errors)):.1f} % of {len(errors)} plans; torch {torch.__version__}")


if __name__ == "__main__":
    main()
