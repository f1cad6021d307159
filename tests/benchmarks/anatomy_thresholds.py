"""How far the labels of data sets lie from the thresholds of ordered anatomy: a table of docs/benchmarks/thresholds.md.

    python tests/benchmarks/anatomy_thresholds.py DATASET [DATASET ...]

For every pair of classes and every canonical axis: the mean distance of their centroids over their mean extent, and the
least of it in any case, with the sign of the mean. Shown are the ordered pair that is nearest to being none, the one
without order that is nearest to being one, and the least single case of an ordered pair. Of labels that are all one
chain: longest over shortest step, and extent over step, the largest of any case.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from statistics import fmean, median

from autospine.data.dataset import open_dataset
from autospine.data.measures import pair_distances, places_along
from autospine.planning.measured.anatomy import AXIS_NAMES
from autospine.planning.measured.column import case_column
from autospine.planning.measured.fingerprint import Fingerprint, extract_fingerprint
from autospine.planning.measured.order_of_labels import longest_chain, ordered_pairs, pair_order

Pair = tuple[float, float, str]
"""Mean distance over extent, the least of any case, and which pair it is."""


def pairs(fingerprint: Fingerprint) -> Iterator[tuple[bool, Pair]]:
    """Whether a pair of classes is ordered along an axis, and its figures, from the cases that have both."""
    names, cases = [name for name, _ in fingerprint.labels], fingerprint.cases
    for axis, (first, second) in product(range(3), combinations(range(len(names)), 2)):
        centroids, edges = [case.class_centroids_mm for case in cases], [case.class_extents_mm for case in cases]
        distances, extents = pair_distances(*places_along(centroids, edges, axis), first, second)
        if distances.size:
            mean = fmean(distances.tolist()) / fmean(extents.tolist())
            sign = 1 if mean > 0 else -1
            least = float(min(sign * distances / extents))
            ordered = pair_order(distances, extents, least=min(2, len(cases))) is not None
            yield ordered, (abs(mean), least, f"{names[first]}, {names[second]} {AXIS_NAMES[axis]}")


def columns(fingerprint: Fingerprint) -> Iterator[tuple[float, float]]:
    """Of each case whose labels are all one chain: longest over shortest step, and extent over step (medians)."""
    count = len(fingerprint.labels)
    for axis in range(3):
        chain = longest_chain(ordered_pairs(fingerprint.cases, count, axis), count)[0]
        for case in fingerprint.cases if count == len(chain) > 2 else ():
            column = case_column(case, chain, axis)
            if column is not None and column.steps:
                yield max(column.steps) / min(column.steps), median(column.extents) / median(column.steps)


def main() -> None:
    """One row a data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, nargs="+")
    for path in parser.parse_args().dataset:
        fingerprint = extract_fingerprint(open_dataset(path))
        found, of_column = list(pairs(fingerprint)), list(columns(fingerprint))
        ordered = [pair for is_ordered, pair in found if is_ordered]
        others = [pair for is_ordered, pair in found if not is_ordered]
        nearest = [f"{mean:.2f} ({text})" for mean, _, text in (*sorted(ordered)[:1], *sorted(others)[-1:])]
        row = [path.name, *([] if ordered else ["-"]), *nearest, *([] if others else ["-"])]
        row.append(f"{min(least for _, least, _ in ordered):.2f}" if ordered else "-")
        row.append(", ".join(f"{max(figures):.2f}" for figures in zip(*of_column, strict=True)) or "-")
        sys.stdout.write(f"| {' | '.join(row)} |\n")


if __name__ == "__main__":
    main()
