"""Peak memory and time of a large prediction within a limit, and of one that holds all scores at once.

    python -m tests.benchmarks.bounded_memory                              # 400 x 512 x 512 voxels, 25 classes, 4 GB
    python -m tests.benchmarks.bounded_memory --shape 100x256x256 --unbounded

Each prediction is a process of its own, whose peak is the largest resident size that Linux has seen (`ru_maxrss`), the
program and the image included. Networks with few features and random weights segment a smooth image: slices of 512 x
512 voxels, and volumes in patches of 128 x 128 x 128; both at the image's spacing, at a coarser one of 1.25 mm, and in
3D with classes that follow each other as levels. `--unbounded` adds the way that holds the scores of the whole case
(`Predictor.logits`), and compares the labels, bit for bit.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import subprocess
import sys
import time
from dataclasses import replace
from math import prod

import numpy as np
import torch
from scipy import ndimage

from autospine.data.geometry import Geometry, Volume
from autospine.inference.export import labels_volume
from autospine.inference.predictor import Predictor
from autospine.networks.unet import UNet
from autospine.planning.document.data import DataPlan, IntensityPlan, LevelsPlan
from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.prepare import prepare_case
from autospine.preprocessing.restore import restore_labels
from tests.benchmarks.memory import plan

KINDS = ("2d", "2d-coarse", "3d", "3d-coarse", "3d-levels")
COARSE_MM = 1.25
OVERLAP = 0.25
"""Of tiles: half the plan's usual one, so that volumes take minutes."""
SEED = 0


def model(kind: str, classes: int, patch: int, memory_bytes: int | None) -> Predictor:
    """A predictor with random weights for `classes` with background."""
    edges = (4 * patch, 4 * patch) if kind.startswith("2d") else (patch,) * 3
    spacing = (COARSE_MM if kind.endswith("coarse") else 1.0,) * len(edges)
    sized = plan(edges, 2, (8, 16, 32), classes - 1)
    configuration = replace(sized, spacing_mm=spacing, normalisation=("zscore",), overlap=OVERLAP)
    levels = LevelsPlan(tuple(range(1, classes)), 0, 1.4, (0.5, 0.5)) if kind.endswith("levels") else None
    labels = tuple((f"k{value}", value) for value in range(1, classes))
    data = DataPlan("smooth", ("T2",), (IntensityPlan(0.0, 1.0, 0.0, 1.0),), labels, levels=levels)
    torch.manual_seed(SEED)
    network = UNet(configuration.network, configuration.patch).eval()
    card = ModelCard(data, configuration)
    return Predictor(card, (network,), torch.device("cpu"), False, "float32", memory_bytes=memory_bytes)


def image(shape: tuple[int, int, int]) -> Volume:
    """Smooth blobs of some voxels, made slice by slice so that making them takes little memory."""
    rng = np.random.default_rng(SEED)
    coarse = rng.normal(100, 30, [size // 8 + 2 for size in shape])
    array = np.empty((1, *shape), np.float32)
    for row in range(shape[0]):
        place, part = divmod(row / 8, 1)
        plane = coarse[int(place)] * (1 - part) + coarse[int(place) + 1] * part
        array[0, row] = ndimage.zoom(plane, 8, order=1)[: shape[1], : shape[2]]
    return Volume(array, Geometry(shape, (1.0,) * 3, (0.0,) * 3, (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)))


def child(kind: str, shape: tuple[int, int, int], classes: int, patch: int, memory_gb: float) -> None:
    """Predict, and print the peak, the time and the labels' digest; a limit of 0 holds all scores at once."""
    predictor = model(kind, classes, patch, int(memory_gb * 1e9) or None)
    start = time.perf_counter()
    if memory_gb:
        labels = predictor.predict(image(shape)).labels.array
    else:
        volume, card = image(shape), predictor.card
        one = volume.geometry
        case = prepare_case(volume.array, None, one.spacing_mm, card.configuration, card.data.intensities, "case", ())
        del volume
        labels = labels_volume(restore_labels(predictor.logits(case), case.properties, card), one, card).array
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    digest = hashlib.sha256(np.ascontiguousarray(labels)).hexdigest()[:16]
    print(f"{peak:.2f} {seconds:.0f} {digest} {len(np.unique(labels))}")


def measured(kind: str, asked: argparse.Namespace, memory_gb: float) -> tuple[float, float, str, int]:
    """Peak in GB, seconds, the labels' digest and how many there are, of a process of its own."""
    words = ["--child", kind, "--shape", asked.shape, "--classes", asked.classes, "--patch", asked.patch]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.bounded_memory", *map(str, words), "--memory", str(memory_gb)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{kind}: {done.stderr[-2000:]}")
    peak, seconds, digest, found = done.stdout.split()
    return float(peak), float(seconds), digest, int(found)


def main() -> None:
    """Print a table row for each kind of model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="400x512x512")
    parser.add_argument("--classes", type=int, default=25, help="with background")
    parser.add_argument("--patch", type=int, default=128, help="edge in 3D; in 2D four times that")
    parser.add_argument("--memory", type=float, default=4.0, help="GB")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--unbounded", action="store_true", help="all scores at once as well")
    parser.add_argument("--child", choices=KINDS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    shape = tuple(map(int, asked.shape.split("x")))
    if asked.child:
        child(asked.child, shape, asked.classes, asked.patch, asked.memory)  # type: ignore[arg-type]
        return
    scores_gb = prod(shape) * asked.classes * 4e-9
    print(f"{asked.shape} voxels, {asked.classes} classes: {scores_gb:.1f} GB of scores on the image's grid")
    print(f"| model | GB within {asked.memory:g} GB | s | GB all at once | s | labels |")
    print("|---|---|---|---|---|---|", flush=True)
    for kind in asked.kinds:
        peak, seconds, digest, found = measured(kind, asked, asked.memory)
        cells = [kind, f"{peak:.2f}", f"{seconds:.0f}", "-", "-", f"{found} kinds"]
        if asked.unbounded:
            whole, took, other, _ = measured(kind, asked, 0.0)
            cells[3:] = [f"{whole:.2f}", f"{took:.0f}", "equal" if digest == other else "DIFFER"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
