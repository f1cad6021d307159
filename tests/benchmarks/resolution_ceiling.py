"""How well a mask agrees with itself after it was brought to a coarser spacing and back: what resolution alone costs.

    python tests/benchmarks/resolution_ceiling.py DATASET [--subjects REGEX] [--configuration 2d]

No network is involved: the labels of the first cases are prepared as for training at 1, 1.41, 2 and 2.83 times the
plan's finest spacing, and restored as a prediction would be. Prints a table: Dice and usual size of each class.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from autospine.data.dataset import load_case, open_dataset
from autospine.data.structure import Reading
from autospine.planning.decide.loss import usual_sizes
from autospine.planning.decide.planner import make_plan
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.fingerprint import extract_fingerprint
from autospine.preprocessing.prepare import prepare_case
from autospine.preprocessing.restore import restore_labels

FACTORS = (1.0, 1.41, 2.0, 2.83)
CASES = 6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--subjects")
    parser.add_argument("--configuration", default="2d")
    asked = parser.parse_args()
    dataset = open_dataset(asked.dataset, Reading(subjects=asked.subjects))
    fingerprint = extract_fingerprint(dataset)
    plan = make_plan(fingerprint, Recipe())
    full = plan.configuration(asked.configuration)
    names = plan.data.names
    loaded = [load_case(dataset, case) for case in dataset.cases[:CASES]]
    sys.stdout.write("| spacing (mm) | " + " | ".join(f"{name}: Dice, size" for name in names) + " |\n")
    sys.stdout.write("|---" * (len(names) + 1) + "|\n")
    for factor in FACTORS:
        spacing = tuple(max(step, min(full.spacing_mm) * factor) for step in full.spacing_mm)
        configuration = replace(full, spacing_mm=spacing)
        sizes = usual_sizes(fingerprint.cases, full.axis_order, spacing)
        dice: list[list[float]] = [[] for _ in names]
        for case in loaded:
            if case.label is None:
                continue
            steps = case.image.geometry.spacing_mm
            array = case.image.array
            prepared = prepare_case(array, case.label, steps, configuration, plan.data.intensities, case.case.name)
            assert prepared.label is not None
            certain = np.eye(len(names) + 1, dtype=np.float32)[prepared.label]
            back = restore_labels(np.moveaxis(certain, -1, 0), prepared.properties, ModelCard(plan.data, configuration))
            for index in range(len(names)):
                one, other = back == index + 1, case.label == index + 1
                if other.any():
                    dice[index].append(2 * (one & other).sum() / (one.sum() + other.sum()))
        cells = [f"{np.mean(found):.3f}, {size:.0f}" for found, size in zip(dice, sizes, strict=True)]
        sys.stdout.write("| " + " x ".join(f"{step:.2f}" for step in spacing) + " | " + " | ".join(cells) + " |\n")


if __name__ == "__main__":
    main()
