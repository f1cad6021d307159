"""What levels cost in a prediction: processor time from a prepared case to labels, with levels and without.

    python -m tests.benchmarks.level_time RUNS/lumbar-water 2.5d [--cases 8] [--rounds 3]

One thread. The validation cases of fold 0 by its own network, both ways in turn; the median of the rounds of each case,
summed over the cases. Without levels the most likely class of each voxel is taken, as for labels that are no column.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from dataclasses import replace
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from autospine.data.folds import read_folds
from autospine.inference.loading import load_model
from autospine.inference.predictor import Predictor
from autospine.preprocessing.store import StoredCase
from tests.benchmarks.opened import open_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("configuration")
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    run, store = open_run(asked.run, asked.configuration)
    model = load_model(run.model(asked.configuration), torch.device("cpu"), ("0",))
    plain = replace(model, card=replace(model.card, data=replace(model.card.data, levels=None)))
    totals = {"with levels": 0.0, "without": 0.0}
    cases = [store.open(name) for name in read_folds(run.splits)[0].validation[: asked.cases]]
    for case in cases:
        found = {name: list[float]() for name in totals}
        for _ in range(asked.rounds):
            for name, predictor in zip(totals, (model, plain), strict=True):
                found[name].append(seconds(predictor, case))
        for name, times in found.items():
            totals[name] += statistics.median(times)
    told = ", ".join(f"{name} {total / len(cases):.3f} s" for name, total in totals.items())
    print(f"{len(cases)} cases, a case: {told}, {totals['with levels'] / totals['without'] - 1:+.1%}")


def seconds(model: Predictor, case: StoredCase) -> float:
    """Processor time of one prediction."""
    start = time.process_time()
    model.labels(case)
    return time.process_time() - start


if __name__ == "__main__":
    main()
