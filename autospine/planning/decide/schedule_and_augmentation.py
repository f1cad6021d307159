"""The training plan: schedule and sampling by the recipe, augmentation by the anatomy.

Patches are mirrored, turned and shifted as far as the labels stay right: upside down, L2 looks like L4, and half a turn
is a mirroring along both axes of its plane.
"""

from __future__ import annotations

from collections.abc import Sequence

from autospine.data.wording import shortened
from autospine.planning.decide.decided import RULE, Decided, settle
from autospine.planning.decide.grid import ANISOTROPY
from autospine.planning.decide.intensities import normalisation_of
from autospine.planning.document.parts import Optimiser, TrainingPlan
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.anatomy import AxisAnatomy
from autospine.planning.measured.column import View
from autospine.planning.measured.kinds import Scans

REFERENCE_EPOCHS = 1000
"""Epochs where neither a recipe nor a time says how many (nnU-Net v2.8)."""
AS_SAID = ("learning_rate", "weight_decay", "momentum", "warmup", "poly_power", "clip_norm", "seed")
"""What a plan takes over from its recipe as it stands there."""

NARROW_VIEW = 0.5
"""What a recipe's `narrow_view = "auto"` comes to where labels are levels."""
RANDOM_CONTRAST, LEAST_RANDOM_CONTRAST = 0.25, 0.1
"""What a recipe's `random_contrast = "auto"` comes to for one kind of scan, and for very many."""
SHIFT = 0.15
"""What a recipe's `shift = "auto"` comes to where views show from what levels can be counted (`column.read_view`)."""


def planned_training(
    recipe: Recipe, patch: Sequence[int], axes: Sequence[AxisAnatomy], view: View, scans: Scans
) -> Decided[TrainingPlan]:
    """Schedule and augmentation of a patch along `axes`, which has the `view`, of such `scans`."""
    said, epochs = recipe.said, planned_epochs(recipe)
    quick = "a quick look after each epoch; the full score comes at the end"
    middle = "0 puts the label into the middle of such a patch"
    pays = "pays in narrow views and does no harm in whole ones (docs/benchmarks/budget.md)"
    forced = f"{said}: share of patches forced onto a label; {RULE} has a third, which {pays}"
    unit = "a label, large or small," if recipe.unit == "class" else "of a label, each connected component (lesion)"
    return settle(
        TrainingPlan,
        **{key: Decided(getattr(recipe, key), said) for key in AS_SAID},
        optimiser=planned_optimiser(recipe),
        epochs=epochs,
        steps_per_epoch=Decided(recipe.steps_per_epoch, epochs.why),
        validation_steps=Decided(recipe.validation_steps, f"{said}: {quick}"),
        budget_s=Decided(None),
        oversample_foreground=Decided(recipe.oversample_foreground, forced),
        foreground_jitter=Decided(recipe.foreground_jitter, f"{said}: {middle}"),
        foreground_unit=Decided(recipe.unit, f"{said}: {unit} is drawn as often as any other"),
        shift=planned_shift(recipe, view),
        narrow_view=planned_narrow_view(recipe, view),
        random_contrast=planned_random_contrast(recipe, scans),
        mirror_axes=planned_mirroring(recipe, axes),
        rotation_deg=planned_rotation(recipe, patch, axes),
        rotate_in_plane=planned_plane(patch),
        scale_range=Decided(recipe.scale_range, f"{said}: patients differ in size"),
    )


def planned_optimiser(recipe: Recipe) -> Decided[Optimiser]:
    """What takes the steps."""
    if recipe.optimiser != "auto":
        return Decided(recipe.optimiser, recipe.said)
    return Decided("sgd", f"without a time budget there are steps enough for SGD with Nesterov momentum ({RULE})")


def planned_epochs(recipe: Recipe) -> Decided[int]:
    """Epochs of a training without a time budget."""
    steps = f"{recipe.steps_per_epoch} steps where no time budget is given"
    if recipe.epochs != "auto":
        return Decided(recipe.epochs, f"{recipe.said}: {recipe.epochs} x {steps}")
    return Decided(REFERENCE_EPOCHS, f"{REFERENCE_EPOCHS} x {steps} ({RULE})")


def planned_mirroring(recipe: Recipe, axes: Sequence[AxisAnatomy]) -> Decided[tuple[int, ...]]:
    """Patch axes that may be mirrored; `axes` says what the labels say of each."""
    every = tuple(range(len(axes)))
    match recipe.mirror:
        case "all":
            return Decided(every, f"{recipe.said} says all")
        case "none":
            return Decided((), f"{recipe.said} says none")
        case "auto":
            said = [axis.reason + ": they swap" * bool(axis.swaps) for axis in axes]
            may = ["mirrored" if axis.mirrored else "not mirrored" for axis in axes]
            why = "; ".join(f"axis {index} {may[index]} ({said[index]})" for index in every)
            return Decided(tuple(index for index in every if axes[index].mirrored), why)


def planned_plane(patch: Sequence[int]) -> Decided[bool]:
    """Whether patches turn and scale in plane only."""
    if len(patch) == 2:
        return Decided(False, "2D patches have no other plane")
    edges = max(patch) / patch[0]
    why = f"longest patch edge over the first is {edges:.2g}: in plane only above {ANISOTROPY:g}"
    return Decided(edges > ANISOTROPY, why)


def planned_rotation(recipe: Recipe, patch: Sequence[int], axes: Sequence[AxisAnatomy]) -> Decided[float]:
    """How far a patch is turned either way, degrees."""
    in_plane = planned_plane(patch).value
    # A rotation by 180 degrees is a mirroring along both axes of its plane, so it is forbidden where that is.
    if recipe.mirror == "auto" and any(axis.directed for axis in (axes[1:] if in_plane else axes)):
        return Decided(15.0, "labels are ordered or have sides along a rotated axis: a wide turn would mirror them")
    if recipe.mirror == "none":
        return Decided(15.0, f"{recipe.said} mirrors nothing, and a wide turn mirrors")
    if len(patch) == 2 and max(patch) / min(patch) > 1.5:
        return Decided(15.0, f"the patch is more than 1.5 times longer than wide: a wide turn would leave it ({RULE})")
    if len(patch) == 3 and not in_plane:
        return Decided(
            30.0, f"either way about every axis of a volume ({RULE}); further turns are left to the mirroring"
        )
    if recipe.mirror == "all":
        return Decided(180.0, f"{recipe.said} mirrors along every axis, so a full turn shows nothing else")
    return Decided(180.0, "labels have no order in plane: any turn shows possible anatomy")


def planned_shift(recipe: Recipe, view: View) -> Decided[float]:
    """How far a patch may be off its case; `view` is what it shows beyond a column of levels."""
    if recipe.shift != "auto":
        return Decided(recipe.shift, recipe.said)
    why = "nothing is to be counted from what lies beyond it"
    if view.countable:
        why = "levels are to be counted from there, not known by their place"
    return Decided(SHIFT if view.countable else 0.0, f"{view.reason}: {why} (docs/benchmarks/budget.md)")


def planned_narrow_view(recipe: Recipe, view: View) -> Decided[float]:
    """Share of the samples that show a part of the column alone."""
    if recipe.narrow_view != "auto":
        return Decided(recipe.narrow_view, recipe.said)
    if not view.along:
        return Decided(0.0, f"{view.reason}: there are no levels that a narrow view would hide")
    why = "a scan may show a few levels alone, and a network that has only seen whole columns names them by their place"
    return Decided(NARROW_VIEW, f"labels are levels of a column: {why} (docs/benchmarks/levels.md)")


def planned_random_contrast(recipe: Recipe, scans: Scans) -> Decided[float]:
    """Share of the samples that get a random contrast; the fewer kinds of scan there are, the more."""
    if recipe.random_contrast != "auto":
        return Decided(recipe.random_contrast, recipe.said)
    if "ct" in map(normalisation_of, scans.channels):
        return Decided(0.0, "a channel is called CT, whose numbers mean the same on every scanner")
    if scans.unknown:
        why = f"{shortened(scans.unknown)}: labels that are no anatomy by their names may be told by their grey alone"
        return Decided(0.0, why)
    share = max(LEAST_RANDOM_CONTRAST, round(RANDOM_CONTRAST / scans.kinds, 2))
    why = "a network learns which grey bone has there, and fails on other scanners and sequences"
    return Decided(share, f"{scans.told}: {why} (docs/benchmarks/levels.md)")
