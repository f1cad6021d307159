"""What the data are: their grids, how large each structure is, how unequal they are, and what they look like."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np

from autospine.data.geometry import times
from autospine.data.wording import plural
from autospine.planning.measured.fingerprint import Fingerprint
from autospine.report.page import colours, plots
from autospine.report.page.blocks import Block, Cell, Column, Facts, Figure, Pictures, Prose, Section, Table
from autospine.report.page.material import RunMaterial
from autospine.report.page.plots import Point

_AXES = ("inferior to superior", "anterior to posterior", "right to left")
"""Canonical axes Z, Y, X."""


def data_section(run: RunMaterial) -> Section | None:
    """What the fingerprint says; None without one."""
    fingerprint = run.fingerprint
    if fingerprint is None or not fingerprint.cases:
        return None
    blocks: list[Block] = [Facts(tuple(_facts(fingerprint)))]
    if run.sheet:
        names = run.estimated.plan.data.names
        legend = tuple((name, colours.css(colours.structure_colour(place))) for place, name in enumerate(names))
        blocks.append(Pictures(run.sheet, legend))
    blocks += [*_grids(fingerprint), *_volumes(fingerprint), _table(fingerprint)]
    lead = "What was measured in the images and masks before anything was decided."
    return Section("data", "The data", tuple(blocks), lead)


def _facts(fingerprint: Fingerprint) -> Iterator[tuple[str, str]]:
    cases = fingerprint.cases
    yield "Cases with masks", f"{len(cases)} of {plural(len({case.subject for case in cases}), 'subject')}"
    yield "Channels", ", ".join(_channels(fingerprint))
    yield "Structures", ", ".join(name for name, _ in fingerprint.labels)
    grids = Counter((times(case.shape), times(case.spacing_mm)) for case in cases)
    (shape, spacing), count = grids.most_common(1)[0]
    said = f"{shape} voxels of {spacing} mm (Z x Y x X)"
    yield "Grid", said if count == len(cases) else f"{said} in {count} cases, {plural(len(grids) - 1, 'other grid')}"


def _channels(fingerprint: Fingerprint) -> Iterator[str]:
    for place, name in enumerate(fingerprint.channels):
        missing = sum(place in case.missing for case in fingerprint.cases)
        yield f"{name} (missing in {missing} cases)" if missing else name


def _grids(fingerprint: Fingerprint) -> Iterator[Block]:
    """Spacing and extent, where cases differ in them."""
    cases = fingerprint.cases
    spacing = {
        name: [Point(case.spacing_mm[axis], f"{case.case}: {case.spacing_mm[axis]:.3g} mm") for case in cases]
        for axis, name in enumerate(_AXES)
    }
    extents = {}
    for axis, name in enumerate(_AXES):
        values = [(case.case, case.shape[axis] * case.spacing_mm[axis]) for case in cases]
        extents[name] = [Point(value, f"{case}: {value:.0f} mm") for case, value in values]
    for key, rows, title in (("spacing", spacing, "voxel size, mm"), ("extent", extents, "field of view, mm")):
        if any(len({point.value for point in points}) > 1 for points in rows.values()):
            label = f"{title} along each axis, a point for each case"
            svg = plots.strips(rows, f"plot-{key}", label, title, log=key == "spacing")
            yield Figure(svg, f"{title.capitalize()} along each axis. A point is a case.", points=True)
    if len({(case.shape, case.spacing_mm) for case in cases}) == 1:
        yield Prose("All cases have the same grid.")


def _volumes(fingerprint: Fingerprint) -> Iterator[Block]:
    rows: dict[str, list[Point]] = {}
    for place, (name, _) in enumerate(fingerprint.labels):
        rows[name] = []
        for case in fingerprint.cases:
            volume = case.class_voxels[place] * math.prod(case.spacing_mm) / 1000
            rows[name].append(Point(volume, f"{case.case}, {name}: {volume:.3g} ml"))
    if any(point.value > 0 for points in rows.values() for point in points):
        label = "Volume of each structure in each case, in millilitres"
        svg = plots.strips(rows, "plot-volumes", label, "volume in the masks, ml", log=True)
        text = "Volume of each structure in the masks. A point is a case, the bar holds the middle half of them."
        yield Figure(svg, text, points=True)


def _table(fingerprint: Fingerprint) -> Table:
    """Structures by size: what is far smaller than the rest is harder to learn."""
    voxels = np.array([case.class_voxels for case in fingerprint.cases], float)
    medians = [float(np.median(column[column > 0])) if (column > 0).any() else math.nan for column in voxels.T]
    largest = max((one for one in medians if not math.isnan(one)), default=math.nan)
    rows = []
    for (name, value), column, median in zip(fingerprint.labels, voxels.T, medians, strict=True):
        shows = int((column > 0).sum())
        known = not math.isnan(median)
        rows.append(
            (
                Cell(name),
                Cell(str(value), float(value)),
                Cell(f"{shows} of {len(column)}", float(shows)),
                Cell(f"{median:.0f}" if known else "–", median if known else None),
                Cell(f"{largest / median:.1f}" if known else "–", largest / median if known else None),
            )
        )
    columns = (
        Column("Structure"),
        Column("Value", True, "In the masks"),
        Column("Cases", True, "That show it"),
        Column("Voxels", True, "Median of the cases that show it"),
        Column("Times smaller", True, "Than the largest structure: far smaller ones are harder to learn"),
    )
    return Table("Structures and their sizes", columns, tuple(rows))
