"""What is true of a data set, and so of every configuration of its plan: regions, sides, levels, missing channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from statistics import median

import numpy as np
import numpy.typing as npt

from autospine.data.structure import Region
from autospine.errors import PlanError
from autospine.planning.decide.decided import Decided, settle
from autospine.planning.document.data import DataPlan, IntensityPlan, LevelSizes, LevelsPlan, PresencePlan
from autospine.planning.document.model_card import RIGHT_TO_LEFT
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.anatomy import AXIS_NAMES, Anatomy
from autospine.planning.measured.column import Column
from autospine.planning.measured.fingerprint import CaseFingerprint, Fingerprint

Floats = npt.NDArray[np.float64]

SUREST = 0.98
"""Largest share of cases said to show an end of a column: however many did, the next view may be another one."""
FEWEST_SIZED = 5
"""Cases that show each level, and each with the next one, without which nothing is said of their sizes."""
SIZED_MM = (1.0, 500.0)
"""How long levels may be and how far apart: beyond, voxel sizes are in another unit, and nothing is said of sizes."""
CUT_OFF = 0.55
"""Distance of a level's centre from where the image ends, over its extent, up to which it counts as cut off. Of one
that ends there it is a half, and no vertebra is quite symmetrical."""
LEAST_SPREAD, LEAST_PATIENT_SPREAD = 0.05, 0.1
"""Of what a level is long within a patient, and of patients. Masks of few patients agree by chance, and predictions are
less exact than masks; and adults are not all of the people there are."""


def planned_data(
    fingerprint: Fingerprint, anatomy: Anatomy, recipe: Recipe, taken: PresencePlan | None = None
) -> Decided[DataPlan]:
    """What a plan keeps of the data; `taken` and errors as for `planned_presence`."""
    names = tuple(name for name, _ in fingerprint.labels)
    kept = [item.name for item in fields(IntensityPlan)]
    intensities = tuple(IntensityPlan(*(getattr(one, key) for key in kept)) for one in fingerprint.intensities)
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
    written = ", ".join(f"{one.name} as {names[one.written]}" for one in regions)
    why = {
        "name": "the data set declares them: they overlap, so each has an output of its own, yes or no",
        "values": "; ".join(f"{one.name}: {' + '.join(names[value] for value in one.values)}" for one in regions),
        "written": f"{written}; later ones are written over earlier ones, as the data set says",
    }
    return Decided(regions, why)


def planned_sides(anatomy: Anatomy, names: Sequence[str]) -> Decided[tuple[tuple[int, int], ...]]:
    """Classes that swap wherever a patch is mirrored from right to left."""
    swaps = anatomy.axes[RIGHT_TO_LEFT].swaps
    if not swaps:
        return Decided(())
    pairs = ", ".join(f"{names[left - 1]} / {names[right - 1]}" for left, right in swaps)
    why = "mirrored, a left one is a right one, so they swap in training and prediction (ours)"
    return Decided(swaps, f"{pairs}: {why}")


def planned_presence(
    fingerprint: Fingerprint, recipe: Recipe, taken: PresencePlan | None = None
) -> Decided[PresencePlan | None]:
    """Channels that may be missing, None where none may; PlanError where the recipe names one that there is not.

    A plan that is moved to other data brings what was `taken` from it, which goes by its place.
    """
    channels = fingerprint.channels
    optional = {channels.index(name) for name in _wanted(recipe, channels)}
    optional |= {one for case in fingerprint.cases for one in case.missing}
    optional |= set() if taken is None else set(taken.channels)
    if not optional or len(channels) == 1:
        return Decided(None)
    places = tuple(sorted(optional))
    counts = [f"{name} in {count}" for name, count in zip(channels, channel_counts(fingerprint), strict=True)]
    why = f"{', '.join(channels[index] for index in places)} may be missing: "
    why += f"the {len(fingerprint.cases)} cases have {', '.join(counts)}"
    why += f", and {recipe.said} asks for it" if recipe.optional_channels else ""
    why += "; each has an input of its own that says whether it is there (ours)"
    if taken is None:
        at_random = "left out at random, so that the network knows every subset"
        dropout = Decided(recipe.channel_dropout, f"{recipe.said}: {at_random}")
    else:
        names = ", ".join(channels[index] for index in taken.channels)
        why += f"; by their place, {names} could be missing in the plan that this was taken from"
        dropout = Decided(taken.dropout, "that of the plan that this was taken from")
    return settle(PresencePlan, channels=Decided(places, why), dropout=dropout)


def _wanted(recipe: Recipe, channels: Sequence[str]) -> Sequence[str]:
    """Channels that the recipe lets be missing."""
    if recipe.optional_channels == "all":
        return channels
    where, wanted = f"recipe {recipe.name}", recipe.optional_channels
    unknown = [name for name in wanted if name not in channels]
    if unknown:
        expected = f"channels of the data: {', '.join(channels)}"
        raise PlanError(where, f"optional_channels names {', '.join(unknown)}", expected, "correct the key")
    if wanted and len(channels) == 1:
        found = f"optional_channels names {channels[0]}, the only channel there is"
        raise PlanError(where, found, "a channel beside others", "take the key out")
    return wanted


def channel_counts(fingerprint: Fingerprint) -> Sequence[int]:
    """How many cases have each channel."""
    cases = fingerprint.cases
    return [sum(index not in case.missing for case in cases) for index in range(len(fingerprint.channels))]


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
    pieces = f"{order}: each predicted piece is one of them, in order (ours)"
    return settle(
        LevelsPlan,
        classes=Decided(tuple(index + 1 for index in chain), pieces),
        axis=Decided(column.axis, "the canonical axis along which they follow each other"),
        step=Decided(round(median(ratios), 3), "median distance from level to level over the extent of one"),
        ends_seen=Decided((_share_that_shows(cases, chain[0]), _share_that_shows(cases, chain[-1])), ends),
        sizes=planned_sizes(fingerprint, column),
    )


def planned_sizes(fingerprint: Fingerprint, column: Column) -> Decided[LevelSizes | None]:
    """How long levels are and how far apart; None where too few cases tell."""
    extents, gaps = _lengths(fingerprint.cases, column)
    fewest = int(min(np.isfinite(values).sum(axis=0).min() for values in (extents, gaps)))
    long, apart = _parted(extents), _parted(gaps)
    if fewest < FEWEST_SIZED or long is None or apart is None:
        few = f"{fewest} cases show one of the levels whole, and with the next"
        return Decided(None, f"{few}: too few to know how sizes grow (ours)")
    every = np.exp([*long.levels, *apart.levels])
    if every.min() < SIZED_MM[0] or every.max() > SIZED_MM[1]:
        found_mm = f"levels of {every.min():.3g} to {every.max():.3g} mm"
        return Decided(None, f"{found_mm} are no vertebrae in millimetres: nothing is said of how sizes grow (ours)")
    why = "means of the cases: a column of which the view shows a part is told by how its vertebrae grow, too (ours)"
    found = LevelSizes(
        tuple(round(float(value), 2) for value in np.exp(long.levels)),
        tuple(round(float(value), 2) for value in np.exp(apart.levels)),
        round(max(long.spread, LEAST_SPREAD), 3),
        round(max(apart.spread, LEAST_SPREAD), 3),
        round(max(long.cases_spread, LEAST_PATIENT_SPREAD), 3),
    )
    return Decided(found, why)


def _lengths(cases: Sequence[CaseFingerprint], column: Column) -> tuple[Floats, Floats]:
    """Logarithms of extents along the column (cases, levels), and of distances to the next level (cases, levels - 1).

    NaN where one is absent, or reaches to where the image ends.
    """
    axis, chain = column.axis, column.chain
    extents = np.array([[case.class_extents_mm[index][axis] for index in chain] for case in cases], np.float64)
    nowhere = (np.nan,) * 3
    places = np.array([[case.class_centroids_mm[index] or nowhere for index in chain] for case in cases], np.float64)
    lengths = np.array([[case.shape[axis] * case.spacing_mm[axis]] for case in cases])
    reach = CUT_OFF * extents
    whole = (places[..., axis] > reach) & (places[..., axis] < lengths - reach)
    both = whole[:, :-1] & whole[:, 1:]
    gaps = np.linalg.norm(np.diff(places, axis=1), axis=2)
    return np.log(np.where(whole & (extents > 0), extents, np.nan)), np.log(np.where(both & (gaps > 0), gaps, np.nan))


@dataclass(frozen=True)
class _Parts:
    """Values of cases and levels as sums of what a level has and what a case has, 0 in the mean."""

    levels: Floats
    spread: float
    """Standard deviation of what is left."""
    cases_spread: float
    """That of what cases have."""


def _parted(values: Floats) -> _Parts | None:
    """The parts of (cases, levels), by least squares, as cases lack levels (NaN).

    None where levels cannot be compared, since no case, or chain of cases, has them together.
    """
    held = np.isfinite(values)
    values, held = np.nan_to_num(values)[held.any(axis=1)], held[held.any(axis=1)]
    # what cases have is eliminated: it is the mean of what their levels leave
    shares = held / held.sum(axis=1, keepdims=True)
    terms = np.diag(held.sum(axis=0)) - held.T @ shares
    levels, _, rank, _ = np.linalg.lstsq(terms, (values - values.sum(axis=1, keepdims=True) * shares).sum(axis=0))
    if rank < values.shape[1] - 1:
        return None
    cases = (values - held * levels).sum(axis=1) / held.sum(axis=1)
    rest = np.where(held, values - levels - cases[:, None], 0)
    free = max(1, int(held.sum()) - len(cases) - values.shape[1] + 1)
    return _Parts(levels + cases.mean(), float(np.sqrt((rest**2).sum() / free)), float(cases.std()))


def _share_that_shows(cases: Sequence[CaseFingerprint], index: int) -> float:
    """Share of the cases that have a class; half a case for either answer, and never surer than `SUREST`."""
    share = (sum(case.class_centroids_mm[index] is not None for case in cases) + 0.5) / (len(cases) + 1)
    return round(min(max(share, 1 - SUREST), SUREST), 4)
