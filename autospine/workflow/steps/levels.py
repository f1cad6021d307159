"""The levels of the vertebrae that a prediction has found: a table of each case, and a line of those nobody can name.

case,vertebra,level,probability,named,others,cut_off,voxels,why
scan_07,1,L5,0.99,yes,,no,9120,
scan_31,1,L4,0.61,no,L3 0.31,yes,4210,"could be L4 (61 %), L3 (31 %): the view shows neither end of the column"
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from autospine.data.disk.tables import write_table
from autospine.data.wording import plural, told_first
from autospine.evaluation.levels import unnamed_rows
from autospine.inference.column import FoundVertebra

COLUMNS = ("case", "vertebra", "level", "probability", "named", "others", "cut_off", "voxels", "why")
_SAID = {True: "yes", False: "no"}
_MOST_NAMED = 3
"""Cases that are named in a line (ours)."""


def level_rows(case: str, column: Sequence[FoundVertebra]) -> list[tuple[object, ...]]:
    """The rows of a case in `levels.csv`, from below."""
    return [
        (
            case,
            one.number,
            one.level,
            f"{one.probability:.3f}",
            _SAID[one.named],
            ", ".join(f"{name} {chance:.2f}" for name, chance in one.others),
            _SAID[one.cut_off],
            one.voxels,
            one.why,
        )
        for one in column
    ]


def write_levels(path: Path, case: str, column: Sequence[FoundVertebra]) -> None:
    """Write the table of a case; raises `OutputError` where it cannot be."""
    write_table(path, COLUMNS, level_rows(case, column))


def unnamed_cases(rows: Iterable[Mapping[str, str]]) -> dict[str, list[str]]:
    """Case -> what is said of each of its vertebrae without a certain level, of the rows of `levels.csv`."""
    found = dict[str, list[str]]()
    for row in unnamed_rows(rows):
        found.setdefault(row.get("case", ""), []).append(f"vertebra {row.get('vertebra')} {row.get('why')}")
    return found


def describe_unnamed(unnamed: Mapping[str, Sequence[str]], cases: int, table: Path) -> list[str]:
    """A line or two for the end of a prediction of so many cases; empty where every level is certain.

    `table` is where all of it is written.
    """
    if not unnamed:
        return []
    count = sum(map(len, unnamed.values()))
    told = told_first({name: said[0] for name, said in unnamed.items()}, _MOST_NAMED)
    head = f"The level of {count} vertebra{'e' * (count != 1)} in {len(unnamed)} of {plural(cases, 'case')}"
    return [f"{head} is not certain ({table.name} in {table.parent} says why):", f"  {told}"]
