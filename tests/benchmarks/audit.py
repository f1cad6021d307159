"""How many wrong masks `autospine audit` finds in the first 15 % of its list: the figures of docs/audit.md.

    python -m tests.benchmarks.audit DATASET OUT --budget 6m            a wrong copy, all folds trained on it, audited
    python -m tests.benchmarks.audit DATASET OUT --trained RUNS         the same of folds that were trained on the right
                                                                        masks: the masks alone are wrong, in seconds
    python -m tests.benchmarks.audit DATASET OUT --trained RUNS --as-is the data set as it is: no figure, the first ten

Training on the wrong copy is the honest way: networks learn from wrong masks, too. What stands in OUT is gone on with.
Prints one line of JSON for each seed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import autospine
from autospine.cli.quantities import parse_duration
from autospine.evaluation.suspicion import RankedCase
from autospine.workflow.audit import AuditRequest, audit_dataset
from tests.wrong_masks import WRONG, Wrong, read_wrong, write_wrong_copy

LOOKED_AT = 0.15
"""Share of the list that somebody looks at."""
PLANNED = ("plan.toml", "splits.json", "request.json", "fingerprint.json", "expected.json")


def main() -> None:
    asked = parse()
    name = asked.dataset.resolve().name
    for seed in [0] if asked.as_is else asked.seeds:
        place = asked.out / ("as-is" if asked.as_is else f"seed_{seed}")
        copy = asked.dataset if asked.as_is else place / "data" / name
        if not asked.as_is and not (copy / WRONG).is_file():
            write_wrong_copy(asked.dataset, copy, seed, asked.share)
        runs = place / "runs"
        if asked.trained is None:
            budget_s = parse_duration(asked.budget)
            autospine.plan(copy, budget_s=budget_s, runs=runs)
            autospine.train(copy, "all", configuration=asked.configuration, budget_s=budget_s, runs=runs)
        else:
            borrow(asked.trained / name, runs / name)
        request = AuditRequest(asked.configuration, asked.pictures)
        audited = audit_dataset(copy, runs, request)
        wrong = () if asked.as_is else read_wrong(copy)
        print(json.dumps({"dataset": name, "seed": seed, **judged(audited.cases, wrong)}))
        for rank, one in enumerate(audited.cases[:10], 1):
            what = next((f"{held.kind}: {', '.join(held.structures)}" for held in wrong if held.case == one.case), "-")
            found = one.suspicions[0] if one.suspicions else None
            said = "" if found is None else f"{found.reason}: {found.detail}"
            print(f"  {rank:3d} {one.case:24s} {one.score:.3f} {one.dice:.3f}  {what:28s} {said}")


def borrow(trained: Path, run: Path) -> None:
    """A run folder with the plan and the out-of-fold predictions of another, as links."""
    run.mkdir(parents=True, exist_ok=True)
    for name in PLANNED:
        if (trained / name).is_file() and not (run / name).exists():
            (run / name).write_bytes((trained / name).read_bytes())
    for folder in sorted(trained.glob("*/fold_*")):
        for kept in ("validation", "evidence.json", "metrics.json"):
            place = run / folder.relative_to(trained) / kept
            if (folder / kept).exists() and not os.path.lexists(place):
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to((folder / kept).resolve())


def judged(ranked: Sequence[RankedCase], wrong: Sequence[Wrong]) -> dict[str, object]:
    """What of the wrong masks stands in the first part of the list, in all and by kind, and where each stands."""
    places = {one.case: rank for rank, one in enumerate(ranked, 1)}
    known = [one for one in wrong if one.case in places]
    first = math.ceil(LOOKED_AT * len(ranked))
    found = Counter(one.kind for one in known if places[one.case] <= first)
    made = Counter(one.kind for one in known)
    reasons = {one.case: one.suspicions[0].reason for one in ranked if one.suspicions}
    return {
        "cases": len(ranked),
        "looked_at": first,
        "wrong": len(known),
        "found": sum(found.values()),
        "share": round(sum(found.values()) / len(known), 3) if known else None,
        "by_kind": {kind: f"{found[kind]}/{made[kind]}" for kind in sorted(made)},
        "right_reason": sum(reasons.get(one.case) == one.kind for one in known),
        "ranks": {one.kind + " " + one.case: places[one.case] for one in known},
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--share", type=float, default=0.1, help="of the cases, whose masks are made wrong")
    parser.add_argument("--budget", default="6m", help="of each fold's training")
    parser.add_argument("--configuration")
    parser.add_argument("--trained", type=Path, metavar="RUNS", help="folds that were trained on the right masks")
    parser.add_argument("--as-is", action="store_true")
    parser.add_argument("--pictures", type=int, default=0, help="cases to draw")
    return parser.parse_args()


if __name__ == "__main__":
    main()
