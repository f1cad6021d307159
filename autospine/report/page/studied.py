"""A study: what was asked, what it comes to, arm by arm and class by class."""

from __future__ import annotations

import math

from autospine.report.page import plots
from autospine.report.page.blocks import Block, Cell, Column, Commands, Figure, Notes, Page, Prose, Section, Table
from autospine.report.page.material import PlainTable, StudyMaterial
from autospine.report.page.promised import as_number
from autospine.report.page.scoreboard import title_of


def study_page(study: StudyMaterial, made: str) -> Page:
    """The page of a study."""
    sections = (_result(study), _arms(study), _by_class(study))
    return Page(study.title, study.question, tuple(one for one in sections if one is not None), made)


def _result(study: StudyMaterial) -> Section:
    blocks: list[Block] = [Prose(study.summary)]
    if study.missing:
        blocks += [Notes(("Not complete. Still to be trained:",), tone="bad"), Commands(study.missing)]
    verdicts = study.verdicts or ("One arm: nothing to compare.",)
    blocks.append(Notes(verdicts, "Result"))
    if any(one.differences for one in study.comparisons):
        label = "Paired differences of the mean Dice, a point for each subject, with mean and interval of each arm"
        svg = plots.differences(study.comparisons, "plot-differences", label)
        text = (
            "Each arm against the first, subject by subject. What lies right of the line is better than the first arm."
        )
        blocks.append(Figure(svg, text, points=True))
    blocks.append(
        Prose(
            "Intervals and tests are over subjects. What another seed would change is in none of them: a difference of "
            "a few thousandths needs more than one seed to be believed."
        )
    )
    blocks += [Notes(study.notes)] if study.notes else []
    return Section("summary", "In short", tuple(blocks))


def _arms(study: StudyMaterial) -> Section:
    lead = "One split for all arms, as many steps with masks, about as many voxels in each."
    tables = (
        _table("What each arm is, and takes", study.arms),
        _table("Mean over classes, 95 % interval", study.means),
    )
    return Section("arms", "The arms", tables, lead)


def _by_class(study: StudyMaterial) -> Section:
    blocks: list[Block] = []
    if len({one.label for one in study.gains}) > 1 and any(one.mean is not None for one in study.gains):
        reference = study.comparisons[0].reference if study.comparisons else ""
        label = "Dice gained in each class over the size of the class"
        svg = plots.sizes(study.gains, reference, "plot-sizes", label)
        blocks.append(Figure(svg, "Dice gained against the size of the class, with 95 % intervals."))
    blocks.append(_table("Classes", _filled(study.classes)))
    if study.lesions.rows:
        blocks.append(_table("Lesions", study.lesions))
    return Section("classes", "By class", tuple(blocks))


def _filled(table: PlainTable) -> PlainTable:
    """The table with class and size in every row, not in the first of each class alone: it can be sorted."""
    rows: list[tuple[str, ...]] = []
    for row in table.rows:
        rows.append(row if row[0] or not rows else (*rows[-1][:2], *row[2:]))
    return PlainTable(table.columns, tuple(rows))


def _table(caption: str, table: PlainTable) -> Table:
    """The table; columns of numbers are sorted as these."""
    numeric = [all(_is_number(row[place]) for row in table.rows) for place in range(len(table.columns))]
    named = (title_of(name) for name in table.columns)
    columns = tuple(Column(name, held, said) for (name, said), held in zip(named, numeric, strict=True))
    rows = tuple(
        tuple(Cell(text, _sort(text) if held else None) for text, held in zip(row, numeric, strict=True))
        for row in table.rows
    )
    return Table(caption, columns, rows)


def _is_number(text: str) -> bool:
    return text in ("", "-", "–") or _sort(text) is not None


def _sort(text: str) -> float | None:
    value = as_number(text.removeprefix("under ").split(" ", 1)[0])
    return None if math.isnan(value) else value
