"""What a layout hands back: cases and names as they were found, before defaults are filled in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from autospine.data.description import LABELS_FILE, ORDER, SIDES, Declared, declared
from autospine.data.disk.files import read_json
from autospine.data.structure import Case
from autospine.errors import DataError


@dataclass(frozen=True)
class Contents:
    """Cases of a folder, with what it says about channels and classes."""

    channels: tuple[str, ...]
    """Channel names in order."""
    labels: Declared | None
    """None where nothing names the labels and the masks have to be looked at."""
    cases: tuple[Case, ...]
    """By name; an empty subject where the layout knows none."""
    notes: tuple[str, ...] = ()
    """What was left aside, and why."""


def described_beside(root: Path, contents: Contents) -> Contents:
    """`contents` with the labels that `labels.json` in `root` names; as it is without that file."""
    named = root / LABELS_FILE
    if not named.is_file():
        return contents
    content = read_json(named)
    if not isinstance(content, dict):
        raise DataError(str(named), "not a JSON object", '{"L5": 1, "L4": 2}')
    values = {key: value for key, value in content.items() if key not in (SIDES, ORDER)}
    return replace(contents, labels=declared(values, named, content))
