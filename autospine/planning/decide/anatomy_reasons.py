"""Why a plan treats ordered levels, paired sides, regions, mirroring and shifts as it does."""

from __future__ import annotations

from collections.abc import Sequence

from autospine.planning.document.data import DataPlan
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.anatomy import AXIS_NAMES, SUREST, AxisAnatomy, View


def shift_reason(recipe: Recipe, view: View) -> str:
    """Why a patch may be off its case, or not."""
    if recipe.shift != "auto":
        return f"the recipe {recipe.name}"
    if view.countable:
        return (
            f"{view.reason}: levels are to be counted from there, not known by their place (docs/benchmarks/budget.md)"
        )
    return f"{view.reason}: nothing is to be counted from what lies beyond it (docs/benchmarks/budget.md)"


def level_reasons(data: DataPlan) -> dict[str, str]:
    """Why the levels are what they are; nothing where there are none."""
    levels = data.levels
    if levels is None:
        return {}
    names = [data.names[value - 1] for value in levels.classes]
    order = f"{' < '.join(names)} {AXIS_NAMES[levels.axis]}, evenly and apart"
    return {
        "levels.classes": f"{order}: each predicted piece is one of them, in order (ours)",
        "levels.axis": "the canonical axis along which they follow each other",
        "levels.step": "median distance from level to level over the extent of one",
        "levels.ends_seen": f"shares of the cases that show {names[0]} and {names[-1]}, half a case added either way, "
        f"at most {SUREST:g}: how surely a column of as many pieces as levels begins and ends with them (ours)",
    }


def side_reasons(data: DataPlan) -> dict[str, str]:
    """Why classes swap under mirroring; nothing where none do."""
    pairs = ", ".join(f"{data.names[left - 1]} / {data.names[right - 1]}" for left, right in data.sides)
    why = f"{pairs}: mirrored, a left one is a right one, so they swap in training and prediction (ours)"
    return {"sides": why} if pairs else {}


def output_reason(data: DataPlan) -> str:
    """What the network's outputs are."""
    return (
        f"{len(data.regions)} regions of {data.classes} labels"
        if data.regions
        else f"background and {data.classes} labels"
    )


def region_reasons(data: DataPlan) -> dict[str, str]:
    """What the regions are; nothing where there are none."""
    if not data.regions:
        return {}
    made = [" + ".join(data.names[value - 1] for value in held) for held in data.members]
    written = [f"{name} as {data.names[value - 1]}" for name, value in zip(data.targets, data.written, strict=True)]
    return {
        "regions.name": "the data set declares them: they overlap, so each has an output of its own, yes or no",
        "regions.values": "; ".join(f"{name}: {held}" for name, held in zip(data.targets, made, strict=True)),
        "regions.written": f"{', '.join(written)}; later ones are written over earlier ones, as the data set says",
    }


def mirror_reason(mirrored: Sequence[int], axes: Sequence[AxisAnatomy]) -> str:
    """A sentence per patch axis, why it is mirrored or not."""
    return "; ".join(
        f"axis {index} {'' if index in mirrored else 'not '}mirrored ({axis.reason}"
        + (": they swap)" if index in mirrored and axis.swaps else ")")
        for index, axis in enumerate(axes)
    )
