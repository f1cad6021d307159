"""Are levels right, or said to be unknown, where a view is short, or a spine has one vertebra more or fewer?

    python -m tests.benchmarks.short_views RUNS/lumbar-water 2d [--folds 0 1 2 3 4]

Each validation case is shown to the network that has not learnt from it: whole; cut to every window of 2 to 5
neighbouring levels, a few millimetres around them; and with one vertebra and the disc above it taken out, or put in
twice. Whatever is not in the image is not there for normalisation either. For each kind: vertebrae that were found, how
the plain network names them (the class of most of their voxels), the likeliest sequence, and what is named at the run's
threshold: right, wrong, unknown; and how many of the wrong and certain ones have the name that counting from the lower
end of the column gives, which is all that an image without ribs can tell. Then the share of named vertebrae that is
wrong against the share that is named.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from autospine.data.folds import read_folds
from autospine.inference.loading import load_model
from autospine.inference.predictor import Predictor
from autospine.inference.streaming import whole
from autospine.inference.vertebral_levels import Chain, find_renaming
from autospine.planning.document.trust import NOTHING_LEARNT, LevelTrust, read_trust
from autospine.preprocessing.normalise import normalise
from autospine.preprocessing.prepare import PreparedCase
from autospine.preprocessing.store import StoredCase
from tests.benchmarks.opened import open_run

MARGIN_MM = 4.0
CURVE = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
Row = tuple[int, int, float, int, bool, bool]
"""Level in the mask (-1: none), in the likeliest sequence, its probability, by the plain network; whether the view
shows an end of the column, and whether its levels are counted from the lower end of the chain."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("configuration")
    parser.add_argument("--folds", type=int, nargs="+")
    parser.add_argument("--no-odd", action="store_true", help="no vertebra taken out or put in")
    asked = parser.parse_args()
    run, store = open_run(asked.run, asked.configuration)
    folder = run.model(asked.configuration)
    trust = read_trust(folder) or NOTHING_LEARNT
    rows, present = defaultdict[str, list[Row]](list), defaultdict[str, int](int)
    for number, fold in enumerate(read_folds(run.splits)):
        if (asked.folds is not None and number not in asked.folds) or not (folder / f"fold_{number}").is_dir():
            continue
        model = load_model(folder, torch.device("cpu"), (str(number),))
        for name in fold.validation:
            for kind, view in views(store.open(name), model, odd=not asked.no_odd):
                found, shown = judged(view, model)
                rows[kind] += found
                present[kind] += shown
    print(f"{asked.run.name} {asked.configuration}: named from {trust.ends.certain:g} and {trust.within.certain:g} on")
    for kind in sorted(rows):
        print(told(kind, rows[kind], present[kind], trust))
    for kinds, name in (((*"2345",), "short views"), (("whole",), "whole")):
        held = [row for kind in kinds for row in rows[kind]]
        print(f"{name}: named, wrong of these, from each probability on")
        for chance in CURVE:
            named = [row for row in held if row[2] >= chance]
            wrong = sum(row[0] != row[1] for row in named)
            print(f"  {chance:4.2f}  {len(named) / max(1, len(held)):6.1%}  {wrong / max(1, len(named)):6.2%}")


def views(case: StoredCase, model: Predictor, *, odd: bool) -> Iterator[tuple[str, PreparedCase]]:
    """The kind of a view, and the view."""
    card, levels = model.card, model.card.data.levels
    assert levels is not None
    axis = card.configuration.axis_order.index(levels.axis)
    image, label = np.asarray(case.image), np.asarray(case.label)
    margin = round(MARGIN_MM / case.properties.prepared_spacing_mm[axis])
    spans = {}
    for position, index in enumerate(levels.classes):
        held = np.flatnonzero((label == index).any(axis=tuple(other for other in range(3) if other != axis)))
        if len(held):
            spans[position] = (int(held[0]), int(held[-1]) + 1)

    def shown(rows: npt.NDArray[np.int64]) -> PreparedCase:
        part = normalise(np.take(image, rows, 1 + axis), card.configuration.normalisation, card.data.intensities)
        return PreparedCase(part, np.take(label, rows, axis), case.properties)

    every = np.arange(label.shape[axis])
    yield "whole", shown(every)
    order = sorted(spans)
    for size in range(2, 6):
        for first in range(len(order) - size + 1):
            low, high = spans[order[first]][0], spans[order[first + size - 1]][1]
            yield str(size), shown(every[max(0, low - margin) : high + margin])
    for lower, upper in zip(order[:-1], order[1:], strict=True) if odd else ():
        # a vertebra with the disc above it: from its lower end to that of the next
        low, high = spans[lower][0], spans[upper][0]
        if low < high:
            yield "one fewer", shown(np.concatenate((every[:low], every[high:])))
            yield "one more", shown(np.concatenate((every[:high], every[low:])))


def judged(view: PreparedCase, model: Predictor) -> tuple[list[Row], int]:
    """Each vertebra that was found, and how many levels the mask shows."""
    levels, card = model.card.data.levels, model.card
    assert levels is not None and view.label is not None
    logits = whole(model._scores(view, None, lambda done, total: None))
    plain = logits.argmax(axis=0)
    chain = Chain(levels, card.configuration.axis_order.index(levels.axis), view.properties.prepared_spacing_mm)
    sizes = np.bincount(view.label.ravel(), minlength=256)[list(levels.classes)]
    shown = int(np.count_nonzero(sizes > 0.35 * np.median(sizes[sizes > 0]))) if sizes.any() else 0
    found = find_renaming(lambda: [(0, logits)], chain)
    if found is None:
        return [], shown
    rows = []
    posterior = found.column.levels
    counted = posterior.best.tolist() == list(range(len(posterior.best)))
    for one, best, chance in zip(found.column.vertebrae, posterior.best, posterior.best_chances, strict=True):
        inside = np.isin(found.numbers, one.pieces)
        true = np.bincount(view.label[inside], minlength=256)[list(levels.classes)]
        said = np.bincount(plain[inside], minlength=256)[list(levels.classes)]
        level = int(true.argmax()) if true.sum() >= 0.25 * one.voxels else -1
        if 0 <= best < len(levels.classes):
            rows.append((level, int(best), float(chance), int(said.argmax()), found.column.seen.shows_end, counted))
    return rows, shown


def told(kind: str, rows: list[Row], present: int, trust: LevelTrust) -> str:
    """A line of one kind."""
    true, best, chance, plain, ends, counted = (np.array(column) for column in zip(*rows, strict=True))
    named, right = chance >= np.where(ends, trust.ends.certain, trust.within.certain), true == best
    beside = int((true < 0).sum())
    return (
        f"{kind:>10}: {len(rows) - beside} found of {present}, {beside} where none is; "
        f"plain network wrong {np.mean(true != plain):.1%}, likeliest sequence wrong {np.mean(~right):.1%}; "
        f"right {np.mean(named & right):.1%}, wrong and certain {np.mean(named & ~right):.1%} "
        f"({np.sum(named & ~right & counted)} of {np.sum(named & ~right)} as counted from below), "
        f"unknown {np.mean(~named):.1%}"
    )


if __name__ == "__main__":
    main()
