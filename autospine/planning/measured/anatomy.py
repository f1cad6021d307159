"""What the labels say of the axes: which have an order or sides, and whether they are levels of a column.

An image may not be mirrored along an axis with an order or sides, or sides have to swap. Upside down, L2 looks like L4:
a network that is shown mirrored spines cannot learn levels (measured on lumbar MR: Dice 0.39 with mirroring along every
axis, 0.81 without; docs/benchmarks/cpu.md). The rules are ours. Canonical axes: Z, Y, X increase towards superior,
posterior, left.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from autospine.planning.document.model_card import RIGHT_TO_LEFT
from autospine.planning.measured.column import Column, View, find_column, read_view
from autospine.planning.measured.fingerprint import Fingerprint
from autospine.planning.measured.order_of_labels import longest_chain, ordered_pairs

AXIS_NAMES = ("from inferior to superior", "from anterior to posterior", "from right to left")


@dataclass(frozen=True)
class AxisAnatomy:
    """What the labels say about one canonical axis."""

    directed: bool
    """Whether a mirrored image would carry wrong labels."""
    reason: str
    """Why, with the counts."""
    swaps: tuple[tuple[int, int], ...] = ()
    """Classes (from 1) that change places in a mirrored image, after which its labels are right; none where they cannot
    be."""

    @property
    def mirrored(self) -> bool:
        """Whether images may be mirrored along it."""
        return not self.directed or bool(self.swaps)


@dataclass(frozen=True)
class Anatomy:
    """What the labels of a data set say, read once."""

    axes: tuple[AxisAnatomy, ...]
    """Of the canonical axes Z, Y, X."""
    column: Column | None
    """The labels as levels of one column; None where they are none."""
    view: View
    """What the images show beyond its ends."""

    @classmethod
    def of(cls, fingerprint: Fingerprint) -> Anatomy:
        """Order, sides and levels of all labels."""
        cases, names = fingerprint.cases, tuple(name for name, _ in fingerprint.labels)
        before = [ordered_pairs(cases, len(names), axis) for axis in range(3)]
        chains = [longest_chain(pairs, len(names)) for pairs in before]
        # regions may be paired too: they cannot swap, but mirrored they would be wrong
        every = tuple(dict.fromkeys((*names, *(region.name for region in fingerprint.regions))))
        pairs = fingerprint.sides or sided_pairs(every)
        sides = [" / ".join(pair) for pair in pairs] + lone_sides(every, pairs)
        axes = []
        for axis, (chain, agree, having) in enumerate(chains):
            reasons = []
            if chain:
                order = " < ".join(names[index] for index in chain)
                reasons.append(f"{AXIS_NAMES[axis]} {order} in {agree} of {having} cases")
            if axis == RIGHT_TO_LEFT and sides:
                reasons.append(f"sides are told apart by name ({', '.join(sides)})")
            text = " and ".join(reasons) if reasons else f"no order of the labels {AXIS_NAMES[axis]}"
            # what is learnt of regions is no class that could swap with another
            swaps = (
                swapping_classes(names, pairs, before[axis])
                if axis == RIGHT_TO_LEFT and not fingerprint.regions
                else ()
            )
            axes.append(AxisAnatomy(bool(reasons), text, swaps))
        # regions overlap: no voxel is one level alone
        column = None if fingerprint.regions else find_column(cases, [chain for chain, *_ in chains], names)
        return cls(tuple(axes), column, read_view(cases, column))

    def of_patch(self, patch_axes: Sequence[int]) -> tuple[AxisAnatomy, ...]:
        """Of each axis of a patch that lies along the canonical axes `patch_axes`."""
        return tuple(self.axes[axis] for axis in patch_axes)

    def view_of(self, patch_axes: Sequence[int]) -> View:
        """`view` as such a patch has it."""
        if self.column is not None and self.column.axis not in patch_axes:
            return View(False, "a patch lies across the column")
        return self.view


OTHER_SIDE = {"left": "right", "l": "r", "lt": "rt", "lh": "rh"}
_SIDE_WORDS = {*OTHER_SIDE, *OTHER_SIDE.values()}


def sided_pairs(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pairs of label names that differ in their side only: (left_ES, right_ES), (kidney_L, kidney_R) ..."""
    words = {name: _words(name) for name in names}
    pairs = []
    for left in names:
        for place, word in enumerate(words[left]):
            if word in OTHER_SIDE:
                partner = (*words[left][:place], OTHER_SIDE[word], *words[left][place + 1 :])
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
