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
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from statistics import fmean, median

from autospine.data.dataset import open_dataset
from autospine.planning.anatomy import AXIS_NAMES, longest_chain
from autospine.planning.fingerprint import CaseFingerprint, Fingerprint, extract_fingerprint

Pair = tuple[float, float, str]
"""Mean distance over extent, the least of any case, and which pair it is."""


def pairs(fingerprint: Fingerprint) -> Iterator[tuple[bool, Pair]]:
    """Whether a pair of classes is ordered along an axis, and its figures, from the cases that have both."""
    names = [name for name, _ in fingerprint.labels]
    for axis, classes in ((axis, pair) for axis in range(3) for pair in combinations(range(len(names)), 2)):
        cases = [of_classes(case, classes) for case in fingerprint.cases]
        places = [[centroid[axis] for centroid in case.class_centroids_mm if centroid is not None] for case in cases]
        both = [(case, place) for case, place in zip(cases, places, strict=True) if len(place) == 2]
        if both:
            figures = [(there - here, fmean(extents(case, axis))) for case, (here, there) in both]
            mean = fmean(distance for distance, _ in figures) / fmean(extent for _, extent in figures)
            sign = 1 if mean > 0 else -1
            least = min(sign * distance / extent for distance, extent in figures)
            text = f"{names[classes[0]]}, {names[classes[1]]} {AXIS_NAMES[axis]}"
            yield bool(longest_chain(cases, 2, axis)[0]), (abs(mean), least, text)


def of_classes(case: CaseFingerprint, classes: tuple[int, ...]) -> CaseFingerprint:
    """The case with these classes alone, in this order."""
    centroids = tuple(case.class_centroids_mm[index] for index in classes)
    sizes = tuple(case.class_extents_mm[index] for index in classes)
    return replace(case, class_centroids_mm=centroids, class_extents_mm=sizes)


def extents(case: CaseFingerprint, axis: int) -> list[float]:
    """Extents of the classes along an axis, mm."""
    return [extent[axis] for extent in case.class_extents_mm]


def columns(fingerprint: Fingerprint) -> Iterator[tuple[float, float]]:
    """Of each case whose labels are all one chain: longest over shortest step, and extent over step (medians)."""
    count = len(fingerprint.labels)
    for axis in range(3):
        chain = longest_chain(fingerprint.cases, count, axis)[0]
        for case in fingerprint.cases if count == len(chain) > 2 else ():
            sorted_case = of_classes(case, chain)
            places = [centroid[axis] for centroid in sorted_case.class_centroids_mm if centroid is not None]
            steps = [there - here for here, there in pairwise(places)]
            yield max(steps) / min(steps), median(extents(sorted_case, axis)) / median(steps)


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
