"""How well predictions in float32 and in bfloat16 agree, for models that were trained in either.

    autospine plan lumbar-water --budget 5m --runs RUNS
    python tests/benchmarks/precision_agreement.py lumbar-water --runs RUNS --cases 3

Trains the plan's default configuration, fold 0, twice, with float32 and with bfloat16 pinned, in folders of their own
below `--runs` (what stands there is taken up), predicts the fold's first validation cases in both precisions, and
prints the share of all voxels, and of those that either precision labels, on which both say the same.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from autospine.data.dataset import open_dataset, read_images
from autospine.data.folds import read_folds
from autospine.inference.loading import load_model
from autospine.machine.precision import Precision, pinned
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.train import TrainRequest, train_fold

BOTH: tuple[Precision, Precision] = ("float32", "bfloat16")
CPU = torch.device("cpu")


def main() -> None:
    """Print a table."""
    asked = parse()
    run = RunFolder.of(asked.runs, asked.dataset)
    name = run.read_plan().default
    print("| trained in | Dice of its validation | case | voxels | labelled voxels |")
    print("|---|---|---|---|---|", flush=True)
    for precision in BOTH:
        home = RunFolder(asked.runs / precision / run.root.name)
        if not home.plan.is_file():
            shutil.copytree(run.root, home.root)
        with pinned(precision):
            trained = train_fold(asked.dataset, 0, home, TrainRequest(name, device="cpu"))
        assert trained.metrics is not None
        model = load_model(home.model(name), CPU, ("0",))
        cases = {case.name: case for case in open_dataset(asked.dataset, home.read_reading()).cases}
        for case in read_folds(home.splits)[0].validation[: asked.cases]:
            volume = read_images(cases[case].images, refuse)
            assert volume is not None
            one, other = (replace(model, precision=way).segment(volume, case).labels.array for way in BOTH)
            labelled = (one > 0) | (other > 0)
            same = one == other
            figures = f"{np.mean(same):.5f} | {np.mean(same[labelled]):.5f}"
            print(f"| {precision} | {trained.metrics['mean']['dice']:.3f} | {case} | {figures} |", flush=True)


def refuse(fault: Exception) -> None:
    """Raise what is wrong with an image."""
    raise fault


def parse() -> argparse.Namespace:
    """What to compare on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the dataset was planned")
    parser.add_argument("--cases", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
