"""What a `dataset.json` or `labels.json` says: channels, classes and file ending, checked.

Both spellings in use are read: nnU-Net's version 2 (`channel_names`, `{"L5": 1}`) and the Medical Segmentation
Decathlon's, which version 1 shared (`modality`, `{"1": "L5"}`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autospine.data.structure import MOST_CLASSES, Region
from autospine.data.volume import IMAGE_SUFFIXES
from autospine.errors import DataError

DATASET_FILE = "dataset.json"
LABELS_FILE = "labels.json"
"""Names the classes where the layout has no place for them: {"L5": 1}, `SIDES` and regions as in `DATASET_FILE`."""
SIDES = "sides"
"""Key of a description: labels of the left side with their partners of the right, {"left_ES": "right_ES"}."""
IGNORE = "ignore"
"""Name of the label of what is not annotated."""
ORDER = "regions_class_order"
"""Key of a description: the value that each region is written as; later regions are written over earlier ones."""
_EXAMPLE = '{"background": 0, "L5": 1, "L4": 2}'


def channel_names(content: Mapping[str, Any], where: Path) -> tuple[str, ...]:
    """Channel names of a dataset.json, `channel_names` (version 2) or `modality` (version 1), by their number."""
    named = content.get("channel_names", content.get("modality"))
    if not isinstance(named, dict) or sorted(named) != sorted(str(index) for index in range(len(named))) or not named:
        raise DataError(str(where), f'"channel_names" is {named!r}', 'a name per channel, {"0": "T2", "1": "T1"}')
    return tuple(str(named[str(index)]) for index in range(len(named)))


def file_ending(content: Mapping[str, Any], where: Path) -> str | None:
    """The suffix that `file_ending` asks for, with or without its point, in any case; None where it is not given."""
    ending = content.get("file_ending")
    if ending is None:
        return None
    plain = f".{str(ending).strip().lower().removeprefix('.')}"
    if not isinstance(ending, str) or plain not in IMAGE_SUFFIXES:
        raise DataError(str(where), f'"file_ending" is {ending!r}', ", ".join(IMAGE_SUFFIXES), "convert the images")
    return plain


@dataclass(frozen=True)
class Declared:
    """What a description says of the labels."""

    classes: tuple[tuple[str, int], ...]
    """(name, value in the masks) by value, without the background."""
    ignore: int | None = None
    """Value of voxels that are not annotated."""
    sides: tuple[tuple[str, str], ...] = ()
    """(left, right) names of classes that are paired."""
    regions: tuple[Region, ...] = ()
    """What is segmented, where that are overlapping unions of classes."""


def declared(named: Any, where: Path, beside: Mapping[str, Any]) -> Declared:
    """The labels of a description at `where`.

    Args:
        named: {"L5": 1} or {"1": "L5"}, and regions of several values, {"tumour": [1, 2, 3]}.
        where: for messages.
        beside: what stands beside the labels, of which `SIDES` and `ORDER` are read.
    """
    values = _values(named, where)
    ignored = next((held for name, held in values.items() if name.lower() == IGNORE), None)
    others = [value for name, held in values.items() if name.lower() != IGNORE for value in held]
    if ignored is not None and (len(ignored) > 1 or ignored[0] in (0, *others)):
        said = " or ".join(map(str, ignored))
        raise DataError(str(where), f'"ignore" is {said}', "a value that no other label has")
    regional = any(len(held) > 1 for held in values.values())
    known = {name: held for name, held in values.items() if name.lower() != IGNORE and held != (0,)}
    held_twice = [name for name, held in known.items() if len(set(held)) < len(held) or (regional and 0 in held)]
    alone = {held[0]: name for name, held in known.items() if len(held) == 1}
    repeated = len(alone) < sum(len(held) == 1 for held in known.values())
    background = any(name.lower() == "background" and held != (0,) for name, held in values.items())
    if held_twice or repeated or background or sum(held == (0,) for held in values.values()) > 1:
        raise DataError(str(where), f'"labels" is {named!r}', f"a name and a value each, background 0: {_EXAMPLE}")
    every = sorted({value for held in known.values() for value in held})
    classes = counted(tuple((alone.get(value, f"label_{value}"), value) for value in every), where)
    if len(dict(classes)) < len(classes):
        raise DataError(str(where), f'"labels" is {named!r}', "no label called `label_<value>` after another value")
    regions = _regions(known, beside.get(ORDER), where) if regional else ()
    # regions may be paired as labels are
    names = dict.fromkeys([*(name for name, _ in classes), *(region.name for region in regions)])
    return Declared(classes, None if ignored is None else ignored[0], _sides(beside.get(SIDES), names, where), regions)


def _values(named: Any, where: Path) -> dict[str, tuple[int, ...]]:
    """Name -> values, as they are declared."""
    if not isinstance(named, dict) or not named:
        raise DataError(str(where), f'"labels" is {named!r}', _EXAMPLE)
    found: dict[str, tuple[int, ...]] = {}
    for key, content in named.items():
        name, value = (content, key) if isinstance(content, str) and str(key).isdigit() else (key, content)
        held = value if isinstance(value, list | tuple) else [value]
        if not held or any(isinstance(one, bool) or not re.fullmatch(r"\d{1,9}", str(one)) for one in held):
            raise DataError(str(where), f"label {name!r} has the value {value!r}", f"whole numbers from 0, {_EXAMPLE}")
        if str(name) in found:
            raise DataError(str(where), f"two labels called {name!r}", f"a name and a value each: {_EXAMPLE}")
        found[str(name)] = tuple(map(int, held))
    return found


def _regions(values: Mapping[str, tuple[int, ...]], order: Any, where: Path) -> tuple[Region, ...]:
    """The regions with the value that each is written as."""
    form = f"a list of {len(values)} values, one for each of {', '.join(values)}, that lies in it"
    remedy = "name the large regions first: later ones are written over them"
    whole = isinstance(order, list) and all(type(value) is int for value in order)
    if not whole or len(order) != len(values):
        found = f'"labels" holds regions of several values, and "{ORDER}" is {order!r}'
        raise DataError(str(where), found[:300], form, remedy)
    regions = tuple(
        Region(name, tuple(sorted(held)), value) for (name, held), value in zip(values.items(), order, strict=True)
    )
    outside = [region for region in regions if region.written not in region.values]
    if outside:
        found = "; ".join(f"{one.name} = {list(one.values)} is written as {one.written}" for one in outside)
        raise DataError(str(where), f'"{ORDER}": {found}', form, remedy)
    # what a segmentation that is right in every voxel holds where a mask holds a value
    became = {value: region.written for region in regions for value in region.values}
    lost = [
        region.name
        for region in regions
        if {value for value, held in became.items() if held in region.values} != set(region.values)
    ]
    if lost:
        found = f'"{ORDER}" is {order}: {", ".join(lost)} would not come back from a segmentation'
        expected = "an order in which each region is written over those that it lies in, as a value that no other has"
        raise DataError(str(where), found, expected, remedy)
    return regions


def _sides(named: Any, known: Collection[str], where: Path) -> tuple[tuple[str, str], ...]:
    """(left, right) pairs of `known` labels from {"left_ES": "right_ES"}; none where nothing is said."""
    pairs = tuple(named.items()) if isinstance(named, dict) else ()
    members = [name for pair in pairs for name in pair]
    wrong = [name for name in members if not isinstance(name, str) or name not in known or members.count(name) > 1]
    if (named is not None and not isinstance(named, dict)) or wrong:
        raise DataError(str(where), f'"{SIDES}" is {named!r}'[:200], f"pairs of distinct labels of {', '.join(known)}")
    return pairs


def counted(classes: tuple[tuple[str, int], ...], where: Path) -> tuple[tuple[str, int], ...]:
    """The classes as they are, where there are neither none nor too many for an index in uint8."""
    if not 1 <= len(classes) <= MOST_CLASSES:
        raise DataError(str(where), f"{len(classes)} classes beside the background", f"1 to {MOST_CLASSES} classes")
    return classes
