"""What is true of a data set, and so of every configuration of its plan: its names, and what is known of them.

Class indices run from 1 in the order of the labels, 0 is the background; image channels run from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from autospine.data.masks.values import LARGEST_LABEL
from autospine.data.structure import MOST_CLASSES, Region
from autospine.planning.document.convert import Checks
from autospine.planning.document.limits import (
    AtLeast0,
    Axis,
    Ends,
    Intensity,
    LevelLengths,
    LevelSpread,
    LevelStep,
    PartBelow1,
)

LONGEST_NAME = 1000
"""Letters in the name of a channel, label or region (ours)."""


@dataclass(frozen=True)
class IntensityPlan:
    """Foreground intensities of a channel over the training set; only `ct` normalisation uses them."""

    mean: Intensity
    std: AtLeast0
    percentile_00_5: Intensity
    percentile_99_5: Intensity

    def __post_init__(self) -> None:
        """Check that they can belong to one channel."""
        high = self.percentile_99_5
        with Checks(self) as check:
            check(self.percentile_00_5 <= high, "percentile_00_5", f"at most percentile_99_5, which is {high:g}")


@dataclass(frozen=True)
class PresencePlan:
    """Image channels that a case may lack: 0 where it does, and each with a further one, 1 where it is there."""

    channels: tuple[int, ...]
    """Image channels, from 0, that may be missing."""
    dropout: PartBelow1
    """Share of the training patches in which such a channel is left out although the case has it, 0 to below 1; one
    channel always stays."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        with Checks(self, "presence.") as check:
            distinct = 0 < len(self.channels) == len(set(self.channels)) and min(self.channels) >= 0
            check(distinct, "channels", "distinct channels from 0, at least one")


@dataclass(frozen=True)
class LevelSizes:
    """How long levels are along their axis, and how far apart, as the training cases have them.

    From the neck to the sacrum vertebrae grow. Spreads are standard deviations of logarithms.
    """

    extents_mm: LevelLengths
    """Of each level, in a patient of the usual size."""
    gaps_mm: LevelLengths
    """From the centre of each level to that of the next, in space."""
    extent_spread: LevelSpread
    """Within a patient."""
    gap_spread: LevelSpread
    """Likewise."""
    patient_spread: LevelSpread
    """From patient to patient, of all levels together."""


@dataclass(frozen=True)
class LevelsPlan:
    """Classes in a row along an axis, one piece each, such as vertebrae (`inference.vertebral_levels`)."""

    classes: tuple[int, ...]
    """In their order along `axis`; the first label is 1."""
    axis: Axis
    """Canonical axis, 0 to 2."""
    step: LevelStep
    """Distance from level to level over the extent of a level along `axis`, above 0."""
    ends_seen: Ends
    """Shares of the cases that show the first and the last of `classes`, above 0 and below 1."""
    sizes: LevelSizes | None = None
    """None where too few cases tell."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        with Checks(self, "levels.") as check:
            distinct = len(set(self.classes)) == len(self.classes) > 1
            check(distinct and min(self.classes) > 0, "classes", "two or more distinct classes from 1")
            if self.sizes is not None:
                counts = (len(self.sizes.extents_mm), len(self.sizes.gaps_mm) + 1)
                check(counts == (len(self.classes),) * 2, "sizes", "an extent per class, and a gap between two")


@dataclass(frozen=True)
class DataPlan:
    """What is learnt from, and what of it."""

    dataset: str
    """Name of the data set's folder."""
    channels: tuple[str, ...]
    """Channel names in order."""
    intensities: tuple[IntensityPlan, ...]
    """One per channel."""
    labels: tuple[tuple[str, int], ...]
    """(name, value on disk) of each class; inside, class i is i + 1 and 0 is background."""
    regions: tuple[Region, ...] = ()
    """Overlapping unions of classes that are segmented in their place, each an output of its own, yes or no in every
    voxel. In a segmentation each is written as one of its classes, a later region over an earlier one."""
    sides: tuple[tuple[int, int], ...] = ()
    """(left, right) classes, which swap wherever a patch is mirrored from right to left."""
    presence: PresencePlan | None = None
    """Image channels that a case may lack; None: every case has all."""
    levels: LevelsPlan | None = None
    """What a prediction knows of the levels of a column; None: every voxel by itself."""

    def __post_init__(self) -> None:
        """Check that names and values are distinct, and that all else speaks of them."""
        with Checks(self) as check:
            check(bool(self.dataset), "dataset", "the name of the dataset's folder")
            check(len(self.dataset) <= LONGEST_NAME, "dataset", f"at most {LONGEST_NAME} letters")
            check(len(self.channels) > 0, "channels", "at least one channel")
            check(len(self.intensities) == len(self.channels), "intensities", "one per channel", len(self.intensities))
            for key, names in (("channels", self.channels), ("labels", self.names), ("regions", self.targets)):
                longest = max(map(len, names), default=0)
                check(longest <= LONGEST_NAME, key, f"names of at most {LONGEST_NAME} letters", names)
            if self._check_labels(check):
                self._check_regions(check)
                self._check_classes(check)
            if self.presence is not None:
                last = len(self.channels) - 1
                known = 0 < last >= max(self.presence.channels)
                check(known, "presence.channels", f"some of 0 to {last}, of two or more")

    def _check_labels(self, check: Checks) -> bool:
        """Check names and values of the classes; whether all else can speak of them."""
        values, count = dict(self.labels), len(self.labels)
        distinct = 0 < len(values) == count == len(set(values.values()))
        check(distinct, "labels", "distinct names and values, at least one")
        check(min(values.values(), default=1) >= 1, "labels", "values of at least 1; 0 is the background")
        held = max(values.values(), default=1) <= LARGEST_LABEL
        check(held, "labels", f"values of at most {LARGEST_LABEL}, what a mask can hold")
        return check(count <= MOST_CLASSES, "labels", f"at most {MOST_CLASSES} labels", count)

    def _check_regions(self, check: Checks) -> None:
        """Check that regions are unions of classes, and that nothing stands beside them that asks for one class."""
        if not self.regions:
            return
        known = {value for _, value in self.labels}
        check(len(set(self.targets)) == len(self.regions), "regions.name", "distinct names", self.targets)
        for region in self.regions:
            held = region.values
            made = len(set(held)) == len(held) > 0 and known.issuperset(held)
            if check(made, "regions.values", "distinct values of labels, at least one", held):
                check(region.written in held, "regions.written", "one of the values of its labels", region.written)
        check(self.levels is None, "levels", "none: outputs that overlap are no levels", "a table")
        check(not self.sides, "sides", "none: regions do not swap")

    def _check_classes(self, check: Checks) -> None:
        """Check that sides and levels are classes that there are."""
        paired = [value for pair in self.sides for value in pair]
        distinct = len(set(paired)) == len(paired) and min(paired, default=1) > 0
        check(distinct, "sides", "pairs of distinct classes from 1")
        check(max(paired, default=1) <= self.classes, "sides", f"classes from 1 to {self.classes}")
        if self.levels is not None:
            check(max(self.levels.classes) <= self.classes, "levels.classes", f"classes from 1 to {self.classes}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(name for name, _ in self.labels)

    @property
    def classes(self) -> int:
        """Classes beside the background; with regions those that they are made of."""
        return len(self.labels)

    @property
    def targets(self) -> tuple[str, ...]:
        """What is segmented, by name: the regions, or the classes."""
        return tuple(region.name for region in self.regions) or self.names

    @property
    def members(self) -> tuple[tuple[int, ...], ...]:
        """Classes that each of the targets is made of."""
        if not self.regions:
            return tuple((value,) for value in range(1, self.classes + 1))
        return tuple(self._indices(region.values) for region in self.regions)

    @property
    def scored(self) -> tuple[tuple[str, int | tuple[int, ...]], ...]:
        """(name, class, or those of a region) of what is segmented: one value is looked for sooner than several."""
        values = [held if self.regions else held[0] for held in self.members]
        return tuple(zip(self.targets, values, strict=True))

    @property
    def written(self) -> tuple[int, ...]:
        """Class that each region is written as."""
        return self._indices([region.written for region in self.regions])

    @property
    def outputs(self) -> int:
        """Outputs of a network: background and a class each, of which one holds in a voxel, or the regions."""
        return len(self.regions) or self.classes + 1

    @property
    def optional(self) -> tuple[int, ...]:
        """Image channels that a case may lack."""
        return () if self.presence is None else self.presence.channels

    @property
    def swapped(self) -> tuple[int, ...]:
        """The class that each of 0 to `classes` becomes where a patch is mirrored from right to left."""
        partner = {one: other for pair in self.sides for one, other in (pair, pair[::-1])}
        return tuple(partner.get(value, value) for value in range(self.classes + 1))

    def taking(self, channels: Sequence[str]) -> DataPlan:
        """The same with these of its channels alone, in its own order; a channel alone cannot be missing."""
        taken = [index for index, name in enumerate(self.channels) if name in channels]
        optional = tuple(place for place, index in enumerate(taken) if index in self.optional)
        kept = self.presence and optional and len(taken) > 1
        return replace(
            self,
            channels=tuple(self.channels[index] for index in taken),
            intensities=tuple(self.intensities[index] for index in taken),
            presence=replace(self.presence, channels=optional) if self.presence and kept else None,
        )

    def _indices(self, values: Sequence[int]) -> tuple[int, ...]:
        """Class indices of values on disk."""
        places = {value: place for place, (_, value) in enumerate(self.labels, start=1)}
        return tuple(places[value] for value in values)
