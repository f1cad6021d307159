"""What a model of the phantom's spines says of spines unlike those it has seen: a table of docs/benchmarks/levels.md.

    python -m tests.benchmarks.odd_spines OUT [--budget 3m] [--seeds 0 1 2] [--cases 24]

Trains fold 0 of a phantom, predicts each kind of `tests/odd_spines.py`, and says of each case what `levels.csv` does:
levels right, wrong, and without a name, Dice of the vertebrae as one class, and in words why. Pictures stand in
OUT/pictures.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from pathlib import Path

import numpy as np

import autospine
from autospine.cli.quantities import parse_duration
from autospine.data.volume import read_volume, write_volume
from autospine.phantom.dataset import write_phantom
from tests.odd_spines import KINDS, draw_odd

LEVELS = {"L5": 1, "L4": 2, "L3": 3, "L2": 4, "L1": 5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--budget", default="3m")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cases", type=int, default=24)
    asked = parser.parse_args()
    data, runs = asked.out / "data" / "phantom", asked.out / "runs"
    if not data.is_dir():
        write_phantom(data, cases=asked.cases, test_cases=0)
    budget_s = parse_duration(asked.budget)
    autospine.plan(data, budget_s=budget_s, runs=runs)
    autospine.train(data, 0, budget_s=budget_s, runs=runs)
    images, masks, predicted = (asked.out / name for name in ("images", "masks", "predicted"))
    named = {}
    for kind in KINDS:
        for seed in asked.seeds:
            name = f"{kind.replace(' ', '-')}_{seed}"
            named[name], case = kind, draw_odd(kind, seed)
            write_volume(images / f"{name}_0000.nii.gz", case.stored(case.image[0]))
            write_volume(masks / f"{name}.nii.gz", case.stored(case.label))
    model = next(path.parent for path in sorted((runs / "phantom").glob("*/fold_0")))
    autospine.predict(images, predicted, model=model, preview=True)
    rows = list(csv.DictReader((predicted / "levels.csv").open(encoding="utf-8")))
    flags = list(csv.DictReader((predicted / "promise.csv").open(encoding="utf-8")))
    for name, kind in named.items():
        print(told(kind, name, [row for row in rows if row["case"] == name], masks, predicted))
        for words in {row.get("flags", "") for row in flags if row.get("case") == name} - {""}:
            print(f"      flagged: {words}")


def told(kind: str, name: str, rows: list[dict[str, str]], masks: Path, predicted: Path) -> str:
    """A line on a case, and one for each different reason."""
    mask = read_volume(masks / f"{name}.nii.gz").array[0]
    said = read_volume(predicted / f"{name}.nii.gz").array[0]
    bodies = [np.isin(array, list(LEVELS.values())) for array in (mask, said)]
    dice = 2 * (bodies[0] & bodies[1]).sum() / max(1, bodies[0].sum() + bodies[1].sum())
    kinds, reasons = Counter[str](), list[str]()
    for row in rows:
        if row["named"] != "yes":
            kinds["unknown"] += 1
            reasons.append(f"      vertebra {row['vertebra']} ({row['level'] or 'none'}): {row['why']}")
            continue
        own = np.bincount(mask[said == LEVELS[row["level"]]].ravel(), minlength=6)[1:6]
        kinds["right" if own.any() and int(own.argmax()) + 1 == LEVELS[row["level"]] else "wrong"] += 1
    there = sum(bool((mask == value).sum() > 50) for value in LEVELS.values())
    counts = ", ".join(f"{kinds[one]} {one}" for one in ("right", "wrong", "unknown"))
    return "\n".join((f"{kind} ({name}): {there} drawn; {counts}; bodies {dice:.3f}", *reasons))


if __name__ == "__main__":
    main()
