"""What a layout hands back: cases and names as they were found, before defaults are filled in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autospine.data.description import labels
from autospine.data.files import read_json
from autospine.data.structure import Case

LABELS = "labels.json"
"""In a folder whose layout has no place for the names of classes: {"L5": 1, "L4": 2}."""


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


def classes_beside(root: Path) -> tuple[tuple[str, int], ...] | None:
    """The classes that `labels.json` in `root` names; None without that file."""
    named = root / LABELS
    return labels(read_json(named), named) if named.is_file() else None
