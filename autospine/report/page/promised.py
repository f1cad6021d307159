"""What a model says of its own segmentations: a Dice that it keeps in most cases, and flags where something is off."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from autospine.evaluation.promise import FEWEST
from autospine.report.page import plots
from autospine.report.page.blocks import Block, Cell, Column, Facts, Figure, Notes, Prose, Section, Table
from autospine.report.page.material import FoldMaterial, Row, RunMaterial
from autospine.report.page.scoreboard import Scoreboard, number

_COLUMNS = (
    ("structure", "Structure", False),
    ("promised_dice", "Promised Dice", True),
    ("expected_dice", "Expected Dice", True),
    ("confidence", "Confidence", True),
    ("cases", "Known from cases", True),
    ("flags", "Flags", False),
)
_SAID = (
    "A promise is a bound: the Dice of a structure is to be above it in nine cases of ten that are like those it was "
    "learnt from."
)
_OUT_OF_FOLD = " Each was made of a case by all other folds, as it would be of a new one."
_NOTHING = f"No Dice is promised: that takes {FEWEST} subjects with a structure whose networks had not seen them."


def run_promise_section(run: RunMaterial) -> Section | None:
    """What was promised and expected out of fold against what was reached; None where nothing was."""
    facts, bounds = _facts(run.promise), _bounds(run.promise)
    blocks: list[Block] = []
    if bounds.rows:
        blocks += [Prose(_SAID), *_kept(run.promised_dice, run.scores, _OUT_OF_FOLD), Facts(facts), bounds]
    elif facts:
        blocks += [Prose(_NOTHING), Facts(facts)]
    points = [point for fold in run.folds for point in _expected(fold, run.scores)]
    if points:
        svg = plots.against(
            points,
            "plot-expected",
            "Dice reached against Dice that the network expected, a point for each structure of each case",
            "Dice that the network expects of itself",
            bound=False,
        )
        text = "Each point is a structure of a case that was kept out. On the line the network knows how well it does."
        blocks.append(Figure(svg, f"{text} Below it, it is too sure of itself.", points=True))
    return Section("promise", "What the model says of itself", tuple(blocks)) if blocks else None


def prediction_promise_section(rows: Sequence[Row], scores: Scoreboard | None) -> Section | None:
    """The promises of a prediction, and how they were kept where references say it; None where there are none."""
    if not rows:
        return None
    blocks: list[Block] = [Prose(_SAID)]
    flagged = flags_by_case(rows)
    if flagged:
        items = tuple(f"{case}: {'; '.join(said)}" for case, said in flagged.items())
        blocks.append(Notes(items, f"{len(flagged)} of {len(_cases(rows))} cases need a look", "bad").cut())
    else:
        blocks.append(Prose(f"None of the {len(_cases(rows))} cases was flagged."))
    if scores is not None:
        said = {(row.get("case", ""), row.get("structure", "")): row.get("promised_dice", "") for row in rows}
        blocks += _kept({key: as_number(text) for key, text in said.items()}, scores)
    blocks.append(_table(rows))
    return Section("promise", "What the model promises", tuple(blocks))


def flags_by_case(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Case -> what is off, of those that are flagged."""
    found: dict[str, list[str]] = {}
    for row in rows:
        where = f"{row['structure']}: " if row.get("structure") else ""
        said = [f"{where}{one.strip()}" for one in row.get("flags", "").split(";") if one.strip()]
        if said:
            found.setdefault(row.get("case", ""), []).extend(said)
    return found


def as_number(text: object) -> float:
    """The number in a cell; NaN where there is none."""
    try:
        return float(str(text))
    except ValueError:
        return math.nan


def _cases(rows: Sequence[Row]) -> set[str]:
    return {row.get("case", "") for row in rows}


def _table(rows: Sequence[Row]) -> Table:
    columns = (Column("Case"), *(Column(title, numeric) for _, title, numeric in _COLUMNS))
    cells = []
    for row in rows:
        cells.append(
            (Cell(row.get("case", "")), *(_cell(row.get(key, ""), key, numeric) for key, _, numeric in _COLUMNS))
        )
    return Table("Promises, case by case", columns, tuple(cells)).cut()


def _cell(text: str, key: str, numeric: bool) -> Cell:
    value = as_number(text)
    if not numeric or math.isnan(value):
        return Cell(text or ("–" if numeric else ""))
    return Cell(number(value) if key.endswith("dice") else f"{value:g}", value)


def _kept(promised: Mapping[tuple[str, str], float], scores: Scoreboard, more: str = "") -> list[Block]:
    """The figure of what was reached against what was `promised` of (case, structure); none where nothing is known."""
    reached = {(case.case, structure): case.dice(structure) for case in scores.cases for structure in case.figures}
    points = [
        (said, dice, f"{case}, {structure}: promised {number(said)}, reached {number(dice)}")
        for (case, structure), said in promised.items()
        if not math.isnan(said) and not math.isnan(dice := reached.get((case, structure), math.nan))
    ]
    if not points:
        return []
    kept = sum(dice >= said for said, dice, _ in points)
    svg = plots.against(
        points, "plot-promise", "Dice reached against Dice promised", "Dice that was promised", bound=True
    )
    text = f"{kept} of {len(points)} promises were kept: points on or above the line. Diamonds were not.{more}"
    return [Figure(svg, text, points=True)]


def _expected(fold: FoldMaterial, scores: Scoreboard) -> list[tuple[float, float, str]]:
    reached = {case.case: case for case in scores.cases}
    found = []
    for case, structures in fold.expected_dice.items():
        for structure, said in structures.items():
            dice = reached[case].dice(structure) if case in reached else math.nan
            if not math.isnan(said) and not math.isnan(dice):
                found.append((said, dice, f"{case}, {structure}: expected {number(said)}, reached {number(dice)}"))
    return found


def _facts(promise: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What of a promise's document is a plain number: confidence, cases, subjects."""
    titles = {"confidence": "Confidence", "cases": "Cases that it was learnt from", "subjects": "Subjects"}
    return tuple((titles[key], f"{promise[key]:g}") for key in titles if _is_number(promise.get(key)))


def _bounds(promise: Mapping[str, Any]) -> Table:
    """Of which structures something is promised, and from how much it was learnt."""
    held, rows = promise.get("bounds"), []
    for one in held if isinstance(held, list) else ():
        if isinstance(one, dict):
            known = (one.get("subjects"), len(one.get("left_out", ())))
            counts = (Cell(f"{value:g}", float(value)) if _is_number(value) else Cell("–") for value in known)
            best = one.get("best")
            most = Cell(number(best), float(best)) if _is_number(best) else Cell("–")
            rows.append((Cell(str(one.get("structure", "–"))), *counts, most))
    columns = (
        Column("Structure"),
        Column("Subjects", True),
        Column("Cases", True),
        Column("At most", True, "The highest Dice that was seen: no more is promised"),
    )
    return Table("Structures of which a Dice is promised", columns, tuple(rows))


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
