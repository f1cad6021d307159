"""Why a plan treats ordered levels, paired sides, regions, mirroring and shifts as it does."""

from __future__ import annotations

from collections.abc import Sequence

from autospine.planning.document.plan import Configuration
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


def level_reasons(configuration: Configuration, classes: Sequence[str]) -> dict[str, str]:
    """Why the levels are what they are; nothing where there are none. `classes` names the labels in their order."""
    levels = configuration.levels
    if levels is None:
        return {}
    names = [classes[value - 1] for value in levels.classes]
    order = f"{' < '.join(names)} {AXIS_NAMES[configuration.axis_order[levels.axis]]}, evenly and apart"
    return {
        "levels.classes": f"{order}: each predicted piece is one of them, in order (ours)",
        "levels.axis": "the planned axis along which they follow each other",
        "levels.step": "median distance from level to level over the extent of one",
        "levels.ends_seen": f"shares of the cases that show {names[0]} and {names[-1]}, half a case added either way, "
        f"at most {SUREST:g}: how surely a column of as many pieces as levels begins and ends with them (ours)",
    }


def side_reasons(configuration: Configuration, classes: Sequence[str]) -> dict[str, str]:
    """Why classes swap under mirroring; nothing where none do. `classes` names the labels in their order."""
    sides = configuration.sides
    if sides is None:
        return {}
    pairs = ", ".join(f"{classes[left - 1]} / {classes[right - 1]}" for left, right in sides.pairs)
    return {
        "sides.axis": "the patch axis from right to left",
        "sides.pairs": f"{pairs}: mirrored, a left one is a right one, so they swap in training and prediction (ours)",
    }


def output_reason(configuration: Configuration, labels: int) -> str:
    """What the network's outputs are."""
    if configuration.regions is None:
        return f"background and {labels} labels"
    return f"{len(configuration.regions.names)} regions of {labels} labels"


def region_reasons(configuration: Configuration, classes: Sequence[str]) -> dict[str, str]:
    """What the regions are; nothing where there are none. `classes` names the labels in their order."""
    regions = configuration.regions
    if regions is None:
        return {}
    made = [" + ".join(classes[value - 1] for value in held) for held in regions.classes]
    written = ", ".join(
        f"{name} as {classes[value - 1]}" for name, value in zip(regions.names, regions.written, strict=True)
    )
    listed = "; ".join(f"{name}: {held}" for name, held in zip(regions.names, made, strict=True))
    return {
        "regions.names": "the data set declares them: they overlap, so each has an output of its own, yes or no",
        "regions.classes": listed,
        "regions.written": f"{written}; later ones are written over earlier ones, as the data set says",
    }


def mirror_reason(mirrored: Sequence[int], axes: Sequence[AxisAnatomy]) -> str:
    """A sentence per patch axis, why it is mirrored or not."""
    return "; ".join(
        f"axis {index} {'' if index in mirrored else 'not '}mirrored ({axis.reason}"
        + (": they swap)" if index in mirrored and axis.swaps else ")")
        for index, axis in enumerate(axes)
    )
