"""Labels that are told apart by their side, such as left and right muscles: by name, or as the data set pairs them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

SIDES = {"left": "right", "l": "r", "lt": "rt", "lh": "rh"}
_SIDE_WORDS = {*SIDES, *SIDES.values()}


def sided_pairs(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pairs of label names that differ in their side only: (left_ES, right_ES), (kidney_L, kidney_R) ..."""
    words = {name: _words(name) for name in names}
    pairs = []
    for left in names:
        for place, word in enumerate(words[left]):
            if word in SIDES:
                partner = (*words[left][:place], SIDES[word], *words[left][place + 1 :])
                pairs += [(left, right) for right in names if words[right] == partner]
    return tuple(pairs)


def lone_sides(names: Sequence[str], pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Names that say left or right in full and are in none of the `pairs`."""
    paired = {name for pair in pairs for name in pair}
    return [name for name in names if {"left", "right"} & set(_words(name)) and name not in paired]


def swapping_classes(
    names: Sequence[str], pairs: Sequence[tuple[str, str]], before: Collection[tuple[int, int]]
) -> tuple[tuple[int, int], ...]:
    """Classes (from 1) to swap where an image is mirrored from right to left, so that its labels are right again.

    `before` holds the classes (from 0) that are ordered from right to left. None where a side has no partner, or where
    the order of the labels would be another one even so.
    """
    places = {name: place for place, name in enumerate(names)}
    partner = {places[one]: places[other] for pair in pairs for one, other in (pair, pair[::-1])}
    sided = {place for place, name in enumerate(names) if _SIDE_WORDS & set(_words(name))}
    if len(partner) != 2 * len(pairs) or not sided <= partner.keys():
        return ()
    # mirrored and swapped, first < second becomes partner of second < partner of first
    if any((partner.get(first, first), partner.get(second, second)) in before for first, second in before):
        return ()
    return tuple((places[left] + 1, places[right] + 1) for left, right in pairs)


def _words(name: str) -> tuple[str, ...]:
    """Lower-case words of a label name: `leftKidney`, `left-kidney` and `Left kidney` are alike."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return tuple(word for word in re.split(r"[^a-z0-9]+", split.lower()) if word)
