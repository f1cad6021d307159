"""What is true of a data set, and so of every configuration of its plan: regions, sides, levels, missing channels."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from autospine.data.structure import Region
from autospine.planning.decide.decided import Decided, settle
from autospine.planning.decide.presence import planned_presence
from autospine.planning.document.data import DataPlan, IntensityPlan, LevelsPlan, PresencePlan
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.anatomy import ACROSS, AXIS_NAMES, Anatomy
from autospine.planning.measured.fingerprint import CaseFingerprint, Fingerprint

SUREST = 0.98
"""Largest share of cases said to show an end of a column: however many did, the next view may be another one."""


def planned_data(
    fingerprint: Fingerprint, anatomy: Anatomy, recipe: Recipe, taken: PresencePlan | None = None
) -> Decided[DataPlan]:
    """What a plan keeps of the data; a plan that is moved to other data brings what may be missing there, `taken`.

    Raises `PlanError` where the recipe names a channel that there is not.
    """
    names = tuple(name for name, _ in fingerprint.labels)
    intensities = tuple(
        IntensityPlan(channel.mean, channel.std, channel.percentile_00_5, channel.percentile_99_5)
        for channel in fingerprint.intensities
    )
    return settle(
        DataPlan,
        dataset=Decided(fingerprint.dataset),
        channels=Decided(fingerprint.channels),
        intensities=Decided(intensities),
        labels=Decided(fingerprint.labels),
        regions=planned_regions(fingerprint),
        sides=planned_sides(anatomy, names),
        presence=planned_presence(fingerprint, recipe, taken),
        levels=planned_levels(fingerprint, anatomy, names),
    )


def planned_annotation(recipe: Recipe) -> Decided[bool]:
    """Whether slices without any label count as not annotated."""
    return Decided(recipe.ignore_unlabelled_slices, f"{recipe.said}: are slices without any label not annotated?")


def planned_regions(fingerprint: Fingerprint) -> Decided[tuple[Region, ...]]:
    """The regions that the data set declares."""
    regions, names = fingerprint.regions, {value: name for name, value in fingerprint.labels}
    if not regions:
        return Decided(())
    made = [f"{one.name}: {' + '.join(names[value] for value in one.values)}" for one in regions]
    written = ", ".join(f"{one.name} as {names[one.written]}" for one in regions)
    return Decided(
        regions,
        {
            "name": "the data set declares them: they overlap, so each has an output of its own, yes or no",
            "values": "; ".join(made),
            "written": f"{written}; later ones are written over earlier ones, as the data set says",
        },
    )


def planned_sides(anatomy: Anatomy, names: Sequence[str]) -> Decided[tuple[tuple[int, int], ...]]:
    """Classes that swap wherever a patch is mirrored from right to left."""
    swaps = anatomy.axes[ACROSS].swaps
    if not swaps:
        return Decided(())
    pairs = ", ".join(f"{names[left - 1]} / {names[right - 1]}" for left, right in swaps)
    why = "mirrored, a left one is a right one, so they swap in training and prediction (ours)"
    return Decided(swaps, f"{pairs}: {why}")


def planned_levels(fingerprint: Fingerprint, anatomy: Anatomy, names: Sequence[str]) -> Decided[LevelsPlan | None]:
    """What a prediction may know of the levels of a column; None where the labels are none."""
    column, cases = anatomy.column, fingerprint.cases
    if column is None:
        return Decided(None)
    chain, known = column.chain, [one for one in column.cases if one is not None and one.steps]
    ratios = [median(one.steps) / median(one.extents) for one in known]
    ends = f"shares of the cases that show {names[chain[0]]} and {names[chain[-1]]}, half a case added either way, "
    ends += f"at most {SUREST:g}: how surely a column of as many pieces as levels begins and ends with them (ours)"
    order = f"{' < '.join(names[index] for index in chain)} {AXIS_NAMES[column.axis]}, evenly and apart"
    return settle(
        LevelsPlan,
        classes=Decided(
            tuple(index + 1 for index in chain), f"{order}: each predicted piece is one of them, in order (ours)"
        ),
        axis=Decided(column.axis, "the canonical axis along which they follow each other"),
        step=Decided(round(median(ratios), 3), "median distance from level to level over the extent of one"),
        ends_seen=Decided((_share_that_shows(cases, chain[0]), _share_that_shows(cases, chain[-1])), ends),
    )


def _share_that_shows(cases: Sequence[CaseFingerprint], index: int) -> float:
    """Share of the cases that have a class; half a case for either answer, and never surer than `SUREST`."""
    share = (sum(case.class_centroids_mm[index] is not None for case in cases) + 0.5) / (len(cases) + 1)
    return round(min(max(share, 1 - SUREST), SUREST), 4)
