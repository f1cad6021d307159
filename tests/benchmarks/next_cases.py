"""Dice against the number of annotated cases, chosen by `autospine next` and at random: the figures of docs/audit.md.

    python -m tests.benchmarks.next_cases hippocampus OUT --sizes 8 16 24 40 64 --budget 3m

All masks of DATASET are there; those that were not "annotated" yet are kept from the trainings. Both ways begin with
the same cases, grow by the same numbers, train fold 0 for the same time, and are judged by the same cases that neither
sees. What stands in OUT is gone on with. Prints a line of JSON for each training, and at the end how many
cases `next` needs, by interpolation, for the Dice that random picking has with each number.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import autospine
from autospine.cli.quantities import parse_duration
from autospine.data.dataset import open_dataset
from autospine.data.disk.files import read_json, write_json
from autospine.data.structure import Case, Dataset
from autospine.workflow.next_cases import NextRequest, choose_next

WAYS = ("next", "random")
Curve = dict[int, float]


def main() -> None:
    asked = parse()
    opened = open_dataset(asked.dataset)
    curves: dict[str, list[Curve]] = {way: [] for way in WAYS}
    for seed in asked.seeds:
        for way in WAYS:
            curves[way].append(grown(opened, asked, seed, way))
    mean = {
        way: {size: float(np.mean([one[size] for one in held])) for size in asked.sizes} for way, held in curves.items()
    }
    print(json.dumps({"dice": mean, "cases_needed_by_next": needed(mean["next"], mean["random"])}))


def grown(opened: Dataset, asked: argparse.Namespace, seed: int, way: str) -> Curve:
    """Dice on the test cases with each number of annotated ones."""
    rng = np.random.default_rng(seed)
    names = rng.permutation([case.name for case in opened.cases]).tolist()
    tests, pool = names[: asked.tests], names[asked.tests :]
    cases = {case.name: case for case in opened.cases}
    curve, annotated = Curve(), pool[: asked.sizes[0]]
    place = asked.out / f"seed_{seed}"
    images = folder_of(place / "test", [cases[name] for name in tests], opened)
    previous: Path | None = None
    for size in asked.sizes:
        here = place / ("both" if size == asked.sizes[0] else way) / f"{size:03d}"
        if previous is not None:
            annotated = more(opened, cases, pool, annotated, size, way, previous, here, rng)
        dataset = folder_of(here / "data" / opened.root.name, [cases[name] for name in annotated], opened)
        curve[size] = trained(dataset, here, images, asked)
        print(json.dumps({"seed": seed, "way": way, "cases": size, "dice": round(curve[size], 4)}), flush=True)
        previous = here
    return curve


def more(
    opened: Dataset,
    cases: dict[str, Case],
    pool: Sequence[str],
    annotated: Sequence[str],
    size: int,
    way: str,
    previous: Path,
    here: Path,
    rng: np.random.Generator,
) -> list[str]:
    """The annotated cases with as many more as to be `size`; kept, so that a run goes on with the same."""
    kept = here / "annotated.json"
    if kept.is_file():
        return list(read_json(kept))
    left = [name for name in pool if name not in annotated]
    count = size - len(annotated)
    if way == "random":
        chosen = rng.permutation(left)[:count].tolist()
    else:
        dataset = previous / "data" / opened.root.name
        unlabelled = here / "unlabelled"
        for name in left:
            link(cases[name].files[0], unlabelled / cases[name].files[0].name)
        found = choose_next(dataset, unlabelled, previous / "runs", here / "next", NextRequest(count=count))
        chosen = [scan.case for scan in found.scans]
    write_json(kept, [*annotated, *chosen])
    return [*annotated, *chosen]


def trained(dataset: Path, here: Path, test: Path, asked: argparse.Namespace) -> float:
    """Dice on the test cases of a model that has learnt from a dataset."""
    scores, budget_s = here / "metrics.json", parse_duration(asked.budget)
    if not scores.is_file():
        autospine.plan(dataset, budget_s=budget_s, runs=here / "runs")
        autospine.train(dataset, 0, budget_s=budget_s, runs=here / "runs")
        autospine.predict(test / "imagesTr", here / "predicted", runs=here / "runs")
        autospine.evaluate(here / "predicted", test / "labelsTr", output=scores)
    return float(read_json(scores)["mean"]["dice"])


def needed(ours: Curve, random: Curve) -> dict[int, float | None]:
    """With how many cases `ours` has the Dice that `random` has with each number; None where it never has."""
    sizes = sorted(ours)
    best = np.maximum.accumulate([ours[size] for size in sizes])  # interpolation asks for a curve that does not fall
    return {
        size: round(float(np.interp(dice, best, sizes)), 1) if dice <= best[-1] else None
        for size, dice in random.items()
        if size > sizes[0]
    }


def folder_of(root: Path, cases: Sequence[Case], opened: Dataset) -> Path:
    """A data set in nnU-Net's layout with these cases, as links."""
    for case in cases:
        assert case.label is not None
        for file in case.files:
            link(file, root / "imagesTr" / file.name)
        link(case.label, root / "labelsTr" / case.label.name)
    description = read_json(opened.root / "dataset.json") | {"numTraining": len(cases)}
    write_json(root / "dataset.json", description)
    return root


def link(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.is_symlink():
        place.symlink_to(source.resolve())


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[8, 16, 24, 40, 64])
    parser.add_argument("--tests", type=int, default=40, help="cases that are kept from every training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--budget", default="3m", help="of each training")
    return parser.parse_args()


if __name__ == "__main__":
    main()
