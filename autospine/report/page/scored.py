"""How well: every case of every structure as a point, and the figures as tables that can be sorted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from autospine.report.page import plots
from autospine.report.page.blocks import Block, Cell, Column, Figure, Folded, Prose, Section, Table
from autospine.report.page.plots import Point
from autospine.report.page.scoreboard import Scoreboard, number, title_of

_IN_FULL_ALONE = ("iou", "specificity", "accuracy")
"""Metrics of the table of all cases alone: IoU follows from Dice, the others are close to 1 for any small structure."""


def scores_section(scores: Scoreboard) -> Section | None:
    """Distributions, means and all figures; None where nothing was scored."""
    if not scores.cases:
        return None
    blocks: list[Block] = [_figure(scores, "dice", "Dice", unit=True)]
    if any(not math.isnan(value) for one in scores.structures for value in scores.values(one, "hd95_mm")):
        blocks.append(_figure(scores, "hd95_mm", "HD95, mm", unit=False))
    blocks.append(_means(scores))
    if scores.lesions:
        blocks.append(_lesions(scores.lesions))
    mistakes = _mistakes(scores.levels)
    blocks += [mistakes] if mistakes.rows else []
    blocks.append(Folded("All figures, case by case", (_cases(scores),)))
    if scores.rule:
        blocks.append(Prose(scores.rule))
    lead = "Dice says how much of a structure was found, HD95 how far its outline strays; read both together."
    return Section("scores", "How well it segments", tuple(blocks), lead)


def _figure(scores: Scoreboard, metric: str, title: str, unit: bool) -> Figure:
    rows = {
        name: [
            Point(value, f"{case.case}, {name}: {title} {number(value, metric)}")
            for case, value in zip(scores.cases, scores.values(name, metric), strict=True)
        ]
        for name in scores.structures
    }
    svg = plots.strips(rows, f"plot-{metric}", f"{title} of each structure, a point for each case", title, unit=unit)
    caption = (
        f"{title.partition(',')[0]} of each structure. A point is a case, the stroke their median, the bar holds the "
        "middle half. Point at one, or tap it, for its name."
    )
    return Figure(svg, caption, points=True)


def _means(scores: Scoreboard) -> Table:
    columns = [Column("Structure"), Column("Cases", True, "That show it, in the reference or in the prediction")]
    columns.append(Column("Dice, 95 % interval", True, "Of the mean, bootstrap over subjects"))
    shown = [name for name in scores.metrics if name not in _IN_FULL_ALONE]
    columns += [Column(title_of(name)[0], True, title_of(name)[1]) for name in shown]
    rows = []
    for structure in scores.structures:
        found = scores.structure_interval(structure)
        many = sum(not math.isnan(value) for value in scores.values(structure))
        span = "–" if math.isnan(found.low) else f"{found.low:.3f} to {found.high:.3f}"
        means = (scores.structure_mean(structure, name) for name in shown)
        figures = (_cell(value, name) for value, name in zip(means, shown, strict=True))
        low = None if math.isnan(found.low) else found.low
        rows.append((Cell(structure), Cell(str(many), float(many)), Cell(span, low), *figures))
    overall = scores.overall
    span = "–" if math.isnan(overall.low) else f"{overall.low:.3f} to {overall.high:.3f}"
    whole = (_cell(scores.mean(name), name) for name in shown)
    last = (Cell("Mean"), Cell(str(len(scores.cases))), Cell(span), *whole)
    return Table("Mean over cases, by structure", tuple(columns), tuple(rows), last=last)


def _cases(scores: Scoreboard) -> Table:
    folds = any(case.fold for case in scores.cases)
    columns = [Column("Case"), *([Column("Fold")] if folds else []), Column("Structure")]
    columns += [Column(title_of(name)[0], True, title_of(name)[1]) for name in scores.metrics]
    rows = []
    for case in scores.cases:
        for structure, figures in case.figures.items():
            cells = (_cell(figures.get(name, math.nan), name) for name in scores.metrics)
            rows.append((Cell(case.case), *([Cell(case.fold)] if folds else []), Cell(structure), *cells))
    return Table("Every structure of every case", tuple(columns), tuple(rows)).cut()


def _lesions(counts: Mapping[str, Any]) -> Table:
    rows = []
    for name, one in counts.items():
        found, missed, false = (int(one.get(key, 0)) for key in ("found", "missed", "false"))
        shares = [one.get(key) for key in ("sensitivity", "precision")]
        known = [float(value) if isinstance(value, int | float) else math.nan for value in shares]
        cells = (Cell(str(value), float(value)) for value in (found, missed, false))
        rows.append((Cell(str(name)), *cells, *(_cell(value, "dice") for value in known)))
    columns = ("Found", "Missed", "False", "Sensitivity", "Precision")
    return Table("Lesions of all cases", (Column("Structure"), *(Column(one, True) for one in columns)), tuple(rows))


def _mistakes(levels: Sequence[Mapping[str, Any]]) -> Table:
    """Vertebrae that are not called what they are, case by case."""
    rows = []
    for content in levels:
        for one in content.get("mistakes", ()):
            called = " and ".join(map(str, one.get("called", ()))) or "–"
            rows.append(tuple(Cell(str(one.get(key, "–"))) for key in ("case", "level", "kind")) + (Cell(called),))
    columns = (Column("Case"), Column("Level", help="In the reference"), Column("What"), Column("Called"))
    return Table("Vertebrae that are not called what they are", columns, tuple(rows)).cut()


def _cell(value: float, metric: str) -> Cell:
    return Cell(number(value, metric), None if math.isnan(value) else value)
