"""What was chosen out of fold, and which training masks are to be looked at: the tables of `select` and of `audit`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

from autospine.data.wording import plural
from autospine.report.page.blocks import Block, Cell, Column, Folded, Pictures, Prose, Section, Table
from autospine.report.page.material import Row, RunMaterial
from autospine.report.page.promised import as_number
from autospine.report.page.scoreboard import number

_MOST_ROWS = 100
_LOOK = "Training masks to look at"
_WORKLIST = (
    ("rank", "Rank", True),
    ("case", "Case", False),
    ("structure", "Structure", False),
    ("reason", "What looks wrong", False),
    ("score", "Score", True),
    ("dice", "Dice", True),
    ("promised_dice", "Promised Dice", True),
    ("detail", "Detail", False),
)


def choice_section(run: RunMaterial) -> Section | None:
    """The configuration or ensemble that predicts, and what is done with its answers; None where nothing says it."""
    selection, blocks = run.selection, list[Block]()
    members = selection.get("members")
    if isinstance(members, list) and members:
        averaged = ", averaged" if len(members) > 1 else ""
        blocks.append(Prose(f"Predicts: {' and '.join(map(str, members))}{averaged}.{_unseen(selection)}"))
    for table in (_candidates(selection), _steps(selection), _calibrations(selection)):
        blocks += [table] if table is not None and table.rows else []
    if run.others and not blocks:
        blocks.append(_others(run))
    if not blocks:
        return None
    lead = "Chosen on cases that the networks had not seen; gains are of cases that did not choose."
    return Section("choice", "What was chosen", tuple(blocks), lead if selection else "")


def worklist_section(run: RunMaterial) -> Section | None:
    """The masks that disagree most with what networks say that have not seen them; None without a worklist."""
    rows = suspected(run)
    if not run.worklist:
        return None
    if not rows:
        judged = plural(len(run.worklist), "mask")
        return Section("worklist", _LOOK, (Prose(f"Of {judged} none disagrees more than usual."),))
    shown = [(key, title, numeric) for key, title, numeric in _WORKLIST if any(row.get(key) for row in rows)]
    columns = tuple(Column(title, numeric) for _, title, numeric in shown)
    cells = tuple(tuple(_cell(row.get(key, ""), numeric) for key, _, numeric in shown) for row in rows[:_MOST_ROWS])
    caption = (
        "Masks to look at" if len(rows) <= _MOST_ROWS else f"The first {_MOST_ROWS} of {len(rows)} masks to look at"
    )
    lead = (
        "Masks that disagree with networks which had not seen them by more than the structure's usual error: an error "
        f"in the mask, or a case that is hard. {plural(len(run.worklist), 'mask')} were compared; the score is 0 to 1."
    )
    blocks: list[Block] = [Table(caption, columns, cells)]
    if run.worklist_pictures:
        blocks.append(Folded("Pictures of the first", (Pictures(run.worklist_pictures, wide=True),)))
    return Section("worklist", _LOOK, tuple(blocks), lead)


def suspected(run: RunMaterial) -> tuple[Row, ...]:
    """The rows of the worklist, which has all cases, with something that speaks against the mask; the first first."""
    return tuple(row for row in run.worklist if row.get("reason"))


def _unseen(selection: Mapping[str, Any]) -> str:
    found = selection.get("unseen")
    shown = _range(found if isinstance(found, dict) else {"mean": selection.get("dice")})
    return "" if shown.sort is None else f" Mean Dice on cases that did not choose: {shown.text}."


def _candidates(selection: Mapping[str, Any]) -> Table:
    columns = (
        Column("Candidate"),
        Column("Mean Dice", True, "With the 95 % interval over subjects"),
        Column("Against the best single one", True),
        Column("Beyond noise"),
        Column("Chosen"),
    )
    rows = []
    for one in tables_of(selection, "candidates"):
        members = one.get("members")
        name = " + ".join(map(str, members)) if isinstance(members, list) else str(one.get("name", "–"))
        figures = (_range(one.get(key)) for key in ("dice", "difference"))
        rows.append((Cell(name), *figures, *(_yes(one.get(key)) for key in ("beyond_noise", "chosen"))))
    return Table("What was compared", columns, tuple(rows))


def _steps(selection: Mapping[str, Any]) -> Table:
    rows = []
    for one in tables_of(selection, "steps"):
        held = "; ".join(map(step_in_words, tables_of(one, "steps"))) or step_in_words(one)
        rows.append((Cell(held), _range(one.get("gain")), _yes(one.get("used"))))
    columns = (Column("Step"), Column("Gain in Dice", True, "With its 95 % interval"), Column("Used"))
    return Table("What is done with the answer", columns, tuple(rows))


def _calibrations(selection: Mapping[str, Any]) -> Table:
    keys = ("temperature", "ece_before", "ece_after")
    rows = []
    for one in tables_of(selection, "calibrations"):
        figures = (_number(one.get(key)) for key in keys)
        rows.append((Cell(str(one.get("member", "–"))), *figures, _yes(one.get("used"))))
    columns = (
        Column("Model"),
        Column("Temperature", True, "Above 1 the network was too sure of itself"),
        Column("Error before", True, "Expected calibration error of its probabilities"),
        Column("Error after", True),
        Column("Used"),
    )
    return Table("How sure it may be taken to be", columns, tuple(rows))


def _others(run: RunMaterial) -> Table:
    columns = (Column("Configuration"), Column("Folds", True), Column("Cases", True), Column("Mean Dice", True))
    rows = tuple(
        (Cell(one.name), Cell(str(one.folds), one.folds), Cell(str(one.cases), one.cases), _number(one.dice))
        for one in run.others
    )
    return Table("All trained configurations", columns, rows)


def tables_of(of: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The tables in a list; none where there is no such list."""
    held = of.get(key)
    return [one for one in held if isinstance(one, dict)] if isinstance(held, list) else []


def step_in_words(one: Mapping[str, Any]) -> str:
    """`L5: components below 300 mm³ removed`."""
    done = {
        "largest": "the largest component alone",
        "above": f"components below {_number(one.get('volume_mm3')).text} mm³ removed",
        "fill": "holes filled",
    }
    kind = str(one.get("kind", "–"))
    return f"{one.get('structure') or 'all structures together'}: {done.get(kind, kind)}"


def _range(value: Any) -> Cell:
    """A mean with its interval."""
    held = value if isinstance(value, dict) else {"mean": value}
    mean, low, high = (held.get(key) for key in ("mean", "low", "high"))
    if not _is_number(mean):
        return Cell("–")
    span = f" ({low:.3f} to {high:.3f})" if _is_number(low) and _is_number(high) else ""
    return Cell(f"{number(mean)}{span}", float(mean))


def _number(value: Any) -> Cell:
    return Cell(f"{value:.4g}", float(value)) if _is_number(value) and not math.isnan(value) else Cell("–")


def _yes(value: object) -> Cell:
    return Cell("yes" if value is True else "no" if value is False else "–")


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(text: str, numeric: bool) -> Cell:
    value = as_number(text)
    return _number(value) if numeric and not math.isnan(value) else Cell(text or ("–" if numeric else ""))
