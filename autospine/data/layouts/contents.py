"""What a layout hands back: cases and names as they were found, before defaults are filled in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from autospine.data.description import SIDES, ignored_value, labels, sides
from autospine.data.files import read_json
from autospine.data.structure import Case
from autospine.errors import DataError

LABELS = "labels.json"
"""Names the classes where the layout has no place for them: {"L5": 1, "L4": 2}, and "sides" as in dataset.json."""


@dataclass(frozen=True)
class Contents:
    """Cases of a folder, with what it says about channels and classes."""

    channels: tuple[str, ...]
    """Channel names in order."""
    classes: tuple[tuple[str, int], ...] | None
    """(name, value) by value; None where nothing says it and the masks have to be looked at."""
    cases: tuple[Case, ...]
    """By name; an empty subject where the layout knows none."""
    notes: tuple[str, ...] = ()
    """What was left aside, and why."""
    sides: tuple[tuple[str, str], ...] = ()
    """(left, right) names of classes that are paired."""
    ignore: int | None = None
    """Value of voxels that are not annotated."""


def described_beside(root: Path, contents: Contents) -> Contents:
    """`contents` with the classes and sides that `labels.json` in `root` names; as it is without that file."""
    named = root / LABELS
    if not named.is_file():
        return contents
    content = read_json(named)
    if not isinstance(content, dict):
        raise DataError(str(named), "not a JSON object", '{"L5": 1, "L4": 2}')
    values = {key: value for key, value in content.items() if key != SIDES}
    classes = labels(values, named)
    ignore = ignored_value(values, named)
    return replace(contents, classes=classes, sides=sides(content.get(SIDES), classes, named), ignore=ignore)
