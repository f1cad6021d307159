"""What a `dataset.json` or `labels.json` says: channels, classes and file ending, checked.

Both spellings in use are read: nnU-Net's version 2 (`channel_names`, `{"L5": 1}`) and the Medical Segmentation
Decathlon's, which version 1 shared (`modality`, `{"1": "L5"}`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autospine.data.volume import IMAGE_SUFFIXES
from autospine.errors import DataError

SIDES = "sides"
"""Key of a description: labels of the left side with their partners of the right, {"left_ES": "right_ES"}."""
IGNORE = "ignore"
"""Name of the label of what is not annotated."""
_MOST_CLASSES = 254  # class indices are uint8, 0 is background, 255 is not annotated


def channel_names(content: Mapping[str, Any], where: Path) -> tuple[str, ...]:
    """Channel names of a dataset.json, `channel_names` (version 2) or `modality` (version 1), by their number."""
    named = content.get("channel_names", content.get("modality"))
    if not isinstance(named, dict) or sorted(named) != sorted(str(index) for index in range(len(named))) or not named:
        raise DataError(str(where), f'"channel_names" is {named!r}', 'a name per channel, {"0": "T2", "1": "T1"}')
    return tuple(str(named[str(index)]) for index in range(len(named)))


def file_ending(content: Mapping[str, Any], where: Path) -> str | None:
    """The suffix that `file_ending` asks for; None where it is not given."""
    ending = content.get("file_ending")
    if ending is not None and ending not in IMAGE_SUFFIXES:
        raise DataError(str(where), f'"file_ending" is {ending!r}', ", ".join(IMAGE_SUFFIXES), "convert the images")
    return ending


def labels(named: Any, where: Path) -> tuple[tuple[str, int], ...]:
    """Classes by value from {"L5": 1} or {"1": "L5"}, without the background and a label called `ignore`."""
    example = '{"background": 0, "L5": 1, "L4": 2}'
    if not isinstance(named, dict) or not named:
        raise DataError(str(where), f'"labels" is {named!r}', example)
    found: list[tuple[str, int]] = []
    for key, content in named.items():
        if isinstance(content, list | tuple):
            raise DataError(
                str(where),
                f"a region of several labels ({key!r})",
                "one value per class",
                "give each class a value of its own; regions are not read by this version",
            )
        name, value = (content, key) if isinstance(content, str) and str(key).isdigit() else (key, content)
        if isinstance(value, bool) or not re.fullmatch(r"\d{1,9}", str(value)):
            raise DataError(str(where), f"label {name!r} has the value {value!r}", f"whole numbers from 0, {example}")
        found.append((str(name), int(value)))
    found = [label for label in found if label[0].lower() != IGNORE]
    repeated = min(len({name for name, _ in found}), len({value for _, value in found})) < len(found)
    if repeated or any(name.lower() == "background" and value != 0 for name, value in found):
        raise DataError(str(where), f'"labels" is {named!r}', f"a name and a value each, background 0: {example}")
    return counted(tuple(sorted((label for label in found if label[1] != 0), key=lambda label: label[1])), where)


def ignored_value(named: Any, where: Path) -> int | None:
    """The value of the label called `ignore` in {"ignore": 3} or {"3": "ignore"}; None where there is none."""
    for key, content in named.items() if isinstance(named, dict) else ():
        name, value = (content, key) if isinstance(content, str) and str(key).isdigit() else (key, content)
        if str(name).lower() == IGNORE:
            others = [other for _, other in labels(named, where)]
            if int(value) == 0 or int(value) in others:
                raise DataError(str(where), f'"ignore" is {value!r}', "a value that no other label has")
            return int(value)
    return None


def sides(named: Any, classes: Sequence[tuple[str, int]], where: Path) -> tuple[tuple[str, str], ...]:
    """(left, right) pairs of classes from {"left_ES": "right_ES"}; none where nothing is said."""
    known = {name for name, _ in classes}
    pairs = tuple(named.items()) if isinstance(named, dict) else ()
    members = [name for pair in pairs for name in pair]
    wrong = [name for name in members if not isinstance(name, str) or name not in known or members.count(name) > 1]
    if (named is not None and not isinstance(named, dict)) or wrong:
        raise DataError(str(where), f'"{SIDES}" is {named!r}'[:200], f"pairs of distinct labels of {', '.join(known)}")
    return pairs


def counted(classes: tuple[tuple[str, int], ...], where: Path) -> tuple[tuple[str, int], ...]:
    """The classes as they are, where there are neither none nor too many for an index in uint8."""
    if not 1 <= len(classes) <= _MOST_CLASSES:
        raise DataError(str(where), f"{len(classes)} classes beside the background", f"1 to {_MOST_CLASSES} classes")
    return classes
