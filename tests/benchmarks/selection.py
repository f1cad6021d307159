"""What `autospine select` chooses of a run, and what that is worth on cases that did not choose.

    python -m tests.benchmarks.selection DATASET RUNS [--device cpu]

RUNS holds the run of DATASET, such as two configurations with three folds each. It prints every candidate with its Dice
and its difference to the best single model, every step that adds Dice anywhere with its gain on cases that did not
choose, every temperature with ECE and likelihood before and
after; and how long it all took, the first time and again.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.runs.selection import WORK, Range, Selection
from autospine.workflow.select import SelectRequest, select_models


class Printing:
    """A progress that prints notes and nothing else."""

    def note(self, text: str) -> None:
        print(text)

    def task(self, title: str):  # type: ignore[no-untyped-def]
        from autospine.workflow.progress import Silent

        print(title)
        return Silent().task(title)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--afresh", action="store_true", help="measure all cases anew")
    asked = parser.parse_args()
    run, request = RunFolder.of(asked.runs, asked.dataset), SelectRequest(device=asked.device)
    if asked.afresh:
        shutil.rmtree(run.root / WORK, ignore_errors=True)
    start = time.monotonic()
    selection = select_models(asked.dataset, run, request, progress=Printing())
    first = time.monotonic() - start
    start = time.monotonic()
    assert select_models(asked.dataset, run, request) == selection
    report(selection)
    kept = sum(path.stat().st_size for path in (run.root / WORK).rglob("*") if path.is_file())
    print(f"\n{first:.1f} s, {time.monotonic() - start:.1f} s again; {kept / 1e6:.2f} MB are kept")


def report(selection: Selection) -> None:
    """All figures of a selection, as rows of tables."""
    print(f"\nchosen: {selection.name}; {selection.cases} cases of {selection.unseen.subjects} subjects")
    print(f"Dice on cases that did not choose: {shown(selection.unseen, '.4f')}\n")
    print("| candidate | Dice | to the best alone | beyond noise |\n|---|---|---|---|")
    for one in selection.candidates:
        difference = "" if one.difference is None else shown(one.difference)
        print(f"| {' + '.join(one.members)} | {shown(one.dice, '.4f')} | {difference} | {one.beyond_noise} |")
    print("\n| step | gain on cases that did not choose | used |\n|---|---|---|")
    for step in selection.steps:
        print(f"| {step.described} | {shown(step.gain, '+.5f')} | {step.used} |")
    print("\n| model | temperature | ECE | ECE after | NLL | NLL after | used |\n|---|---|---|---|---|---|---|")
    for model in selection.calibrations:
        figures = (model.ece_before, model.ece_after, model.nll_before, model.nll_after)
        cells = " | ".join("-" if value is None else f"{value:.4f}" for value in figures)
        print(f"| {model.member} | {model.temperature:.3g} | {cells} | {model.used} |")


def shown(found: Range, form: str = "+.4f") -> str:
    """`+0.0123 [+0.0040, +0.0190]`."""
    mean, low, high = ("-" if one is None else format(one, form) for one in (found.mean, found.low, found.high))
    return f"{mean} [{low}, {high}]"


if __name__ == "__main__":
    main()
