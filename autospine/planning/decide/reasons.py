"""One sentence per decision of a configuration, for the plan's comments and its table.

A radiologist should follow them: millimetres, counts of cases and the names of the labels rather than formulas. Where a
rule is not ours it names whose it is; `RULE` is the planner that most numbers come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autospine.data.slices import CLEARLY
from autospine.machine.arithmetic import Machine
from autospine.planning.decide import rules
from autospine.planning.decide.anatomy_reasons import (
    mirror_reason,
    output_reason,
    shift_reason,
)
from autospine.planning.decide.grid import Grid
from autospine.planning.decide.loss import target_sizes
from autospine.planning.decide.rules import ANISOTROPY, MASK_FRACTION, MINIMUM_BATCH, size_ratio
from autospine.planning.decide.sizing import LowResolution, Size
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import DataPlan
from autospine.planning.document.recipe import Recipe
from autospine.planning.estimate.tiers import memory_tier
from autospine.planning.measured.anatomy import AXIS_NAMES, AxisAnatomy, View

RULE = "nnU-Net v2.8"
MADE_FOR = "a hash of network, patch, batch, optimiser and budget: an edit of these shows, and is estimated anew"

PLAIN = "plain cross entropy weighs all alike"
BY_COMPONENT = "each connected component of a label weighs by its own size, see largest_size"
BY_BATCH = "the sizes in each batch weigh the classes, see usual_sizes"
"""Why classes have these weights."""


@dataclass(frozen=True)
class Facts:
    """What the planner saw when it decided, beside the configuration itself."""

    recipe: Recipe
    data: DataPlan
    cases: int
    """Labelled cases."""
    axes: tuple[AxisAnatomy, ...]
    """Anatomy of each patch axis."""
    view: View
    """What the images show beside a column of levels."""
    grid: Grid
    """The data set on its planned axes."""
    sizes: tuple[float, ...]
    """Usual size of each class, voxels (3D) or pixels per slice (2D)."""
    kept: float
    """Median share of a case inside its nonzero box."""
    asked_gb: float
    """Memory asked for, 10^9 bytes."""
    machine: Machine
    """For which the peak of a step was estimated."""
    fraction: float
    """Largest share of the data set's voxels in a batch."""
    max_batch: int | None
    """Largest batch that a time budget allows."""
    size: Size
    """Patch and batch as the memory allows them."""
    low: LowResolution | None
    """3D: the low resolution, planned or not."""
    seen: float
    """Share of the median case that the patch sees by which the kind of Dice was chosen."""


def explain(configuration: Configuration, facts: Facts) -> dict[str, str]:
    """A reason for each key of `configuration`, by dotted key without the configuration's name."""
    reasons = {
        **_grid(configuration, facts),
        **_size(configuration, facts),
        **_intensities(configuration, facts),
        **_network(configuration, facts),
        **_loss(configuration, facts),
        **_training(configuration, facts),
    }
    if configuration.previous is not None:
        reasons["previous"] = (
            "its segmentation tells the whole anatomy where the patch sees a part, and is refined at full resolution"
        )
    return reasons


def numbers(value: float | Sequence[float]) -> str:
    """`1.41 x 1.41`, or one number, with four digits."""
    return " x ".join(f"{item:.4g}" for item in (value if isinstance(value, Sequence) else (value,)))


def _grid(configuration: Configuration, facts: Facts) -> dict[str, str]:
    two = configuration.network.dimension == 2
    low = facts.low
    if configuration.name == "3d_lowres" and low is not None:
        spacing = (
            f"a patch of full resolution sees {low.seen:.0%} of the median case: coarser, finer axes first, until one "
            f"sees {rules.LOW_RESOLUTION_SHARE:.0%}; {low.gain:.2g} times fewer voxels ({RULE})"
        )
    else:
        spacing = "slices keep their own spacing; in plane the median" if two else "the median"
        spacing += f" of {facts.cases} cases"
        if facts.grid.moved and not two:
            spacing += "; the slices are far thicker than the pixels, so their 10th percentile stands for them"
        spacing += f" ({RULE})"
    if configuration.neighbours:
        count = 2 * configuration.neighbours + 1
        neighbours = f"the recipe {facts.recipe.name}: {count} slices enter together and the middle one is segmented"
    else:
        neighbours = "each slice enters alone" if two else "the patch holds its neighbours itself"
    overlap = f"neighbouring prediction tiles share {configuration.overlap:.0%}: no voxel is seen at an edge only"
    return {
        "axis_order": slice_reason(facts.grid) + "; 0, 1, 2 are the canonical axes Z, Y, X",
        "spacing_mm": spacing,
        "median_shape": f"median of the {facts.cases} cases, cropped and resampled to this spacing",
        "overlap": f"{overlap} ({RULE})" if configuration.overlap == Recipe.overlap else overlap,
        "neighbours": neighbours,
    }


def slice_reason(grid: Grid) -> str:
    """Why the first planned axis is the slices'."""
    runs, count = f"the slices', which runs {AXIS_NAMES[grid.across.axis]}, goes first", f"{grid.slices:g} voxels"
    match grid.across.why:
        case "flat":
            return f"the axis of a single voxel, {runs}"
        case "thick":
            return f"the clearly coarsest axis, {runs} ({RULE})"
        case "header":
            return f"no axis is {CLEARLY:g} times coarser than the others; the one that the headers name, {runs} (ours)"
        case "few":
            why = f"no axis is {CLEARLY:g} times coarser than the others; one has {count}, under half of the others"
            return f"{why}: {runs} (ours)"
        case "coarsest":
            return f"the coarsest axis, or the first of equal ones, {runs} ({RULE})"


def _size(configuration: Configuration, facts: Facts) -> dict[str, str]:
    """Patch, batch and what they take."""
    size, tier = facts.size, memory_tier(facts.asked_gb)
    limit = f"{size.memory_gb:g} GB"
    if size.fit.too_large or size.over:
        patch = f"the smallest patch there is; even that exceeds the estimate for {limit}"
    elif size.fit.shrunk:
        patch = f"the median case, shrunk {size.fit.shrunk} time(s) along its relatively longest axis to fit {limit}"
    elif any(edge < whole for edge, whole in zip(configuration.patch, configuration.median_shape, strict=True)):
        start = "2048 x 2048" if configuration.network.dimension == 2 else "256 x 256 x 256"
        patch = f"the volume of {start} voxels, which the rule begins with, cut to the median case, fits {limit}"
    else:
        patch = f"the median case fits {limit} whole"
    patch += f"; each edge is padded to what its poolings divide by ({RULE})"
    share = f"{facts.fraction:.0%} of the data set's voxels allow {size.by_dataset}"
    batch = f"{limit} allow {size.by_memory}, {share}; at least {MINIMUM_BATCH} ({RULE})"
    if facts.max_batch is not None and configuration.batch == facts.max_batch:
        batch += f"; held at {facts.max_batch} for the time budget (ours)"
    if size.by_estimate is not None:
        batch += f"; lowered until the estimated peak stays within {tier:g} GB (ours)"
    if size.displaced is not None:
        fault = "would show fewer voxels a step" if size.displaced == "smaller" else "would not fit by our estimate"
        kept = f"the rule for {tier:g} GB {fault}, that for {limit} is kept (ours): "
        patch, batch = kept + patch, kept + batch
    step = f"a training step in {facts.machine.precision} precision"
    step += f" on {facts.machine.threads} threads" if facts.machine.threads > 1 else ""
    planned = f"estimated peak of {step}; planned for {tier:g} GB"
    if tier < facts.asked_gb:
        planned += f", the largest planned size within {facts.asked_gb:g} GB"
    elif tier > facts.asked_gb:
        planned += f", the smallest planned size: {facts.asked_gb:g} GB may be too little"
    return {"patch": patch, "batch": batch, "expected.memory_gb": planned, "expected.made_for": MADE_FOR}


def _intensities(configuration: Configuration, facts: Facts) -> dict[str, str]:
    """Normalisation and resampling."""
    mask = f"the box that is not black holds {facts.kept:.0%} of the median case"
    mask += (
        f", under {MASK_FRACTION:.0%}: mask used" if configuration.use_mask else f"; masked under {MASK_FRACTION:.0%}"
    )
    if "ct" in configuration.normalisation:
        scale = "a channel called CT is clipped and scaled by the data set's intensities, others by each case's own"
    else:
        scale = (
            "no channel is called CT: MR intensities have no unit, so each case is scaled by its own mean and spread"
        )
    through = "nearest along a coarse axis: between thick slices there is nothing to interpolate"
    apart = f"an axis over {ANISOTROPY:g} times coarser than the finest stands apart"
    return {
        "normalisation": f"{scale} ({RULE})",
        "use_mask": f"{mask} ({RULE})",
        "ignore_unlabelled_slices": f"the recipe {facts.recipe.name}: are slices without any label not annotated?",
        "resampling.order_image": f"cubic splines keep edges sharp in images ({RULE})",
        "resampling.order_label": f"linear per label, cut at one half: no ringing and no labels in between ({RULE})",
        "resampling.order_probability": f"linear: probabilities stay between those of their neighbours ({RULE})",
        "resampling.order_through_plane": f"{through} ({RULE})",
        "resampling.anisotropy_threshold": f"{apart} ({RULE})",
    }


def _network(configuration: Configuration, facts: Facts) -> dict[str, str]:
    network, recipe = configuration.network, facts.recipe
    said = f"the recipe {recipe.name}"
    images = len(facts.data.channels)
    entering = "one input per image channel"
    if configuration.neighbours:
        entering = f"{images} image channel(s) of {2 * configuration.neighbours + 1} slices"
    if configuration.previous is not None:
        entering = f"{images} image channel(s), and one per label of {configuration.previous}"
    optional = len(facts.data.optional)
    entering += f", and {optional} that say{'s' * (optional == 1)} what is missing" if optional else ""
    if network.encoder == "plain":
        made = f"plain convolutions, the default of {RULE}"
        counted = "convolutions"
    else:
        made = "residual blocks, deeper and slower (the ResEnc presets of Isensee et al. 2024, arXiv 2404.09556)"
        counted = "residual blocks"
    blocks = f"{said} says so: {counted}" if recipe.encoder_blocks != "auto" else f"{counted} of the {RULE} presets"
    convs = f"{said} says so" if recipe.decoder_convs != "auto" else f"as in the {RULE} {network.encoder} presets"
    if recipe.bottleneck == "auto":
        bottleneck = rules.BOTTLENECK_REASON
    elif network.bottleneck == "msff":
        bottleneck = f"{said}: multi-scale feature fusion widens the view at the bottleneck"
    elif network.bottleneck == "control":
        bottleneck = f"{said}: as many weights as multi-scale feature fusion has, at one scale, to compare it with"
    else:
        bottleneck = f"{said}: no module beyond the U-Net"
    return {
        "network.dimension": f"the configuration {configuration.name} works on "
        + ("slices" if network.dimension == 2 else "volumes"),
        "network.in_channels": entering,
        "network.out_channels": output_reason(facts.data),
        "network.features": f"{network.features[0]}, doubled at each stage, none wider than {max(network.features)}",
        "network.kernels": "3 along an axis once its spacing is below twice the finest, 1 before: "
        f"thick slices do not mix with neighbours too early ({RULE})",
        "network.strides": "an axis is halved while that leaves 4 voxels and its spacing is below twice the finest: "
        f"the deepest stage sees {numbers(_bottleneck_shape(configuration))} voxels ({RULE})",
        "network.encoder": f"{said}: {made}",
        "network.blocks": blocks,
        "network.convs_decoder": convs,
        "network.bottleneck": bottleneck,
    }


def _bottleneck_shape(configuration: Configuration) -> tuple[int, ...]:
    shape = configuration.patch
    for stride in configuration.network.strides:
        shape = tuple(edge // step for edge, step in zip(shape, stride, strict=True))
    return shape


def _loss(configuration: Configuration, facts: Facts) -> dict[str, str]:
    recipe, loss = facts.recipe, configuration.loss
    unit = "pixels per slice" if configuration.network.dimension == 2 else "voxels"
    targets, what = facts.data.targets, "region" if facts.data.regions else "label"
    found = target_sizes(facts.sizes, facts.data)
    present = [(size, name) for size, name in zip(found, targets, strict=True) if size > 0]
    ratio = size_ratio(found)
    if len(present) >= 2:
        (large, most), (small, least) = max(present), min(present)
        sizes = f"largest {what} {most} ({large:.0f} {unit}) over smallest {least} ({small:.0f}): {ratio:.2g} times"
    else:
        sizes = f"{f'one {what}' if present else f'no {what} occurs in any case'}: nothing to balance"
    if recipe.loss != "auto":
        kind = f"the recipe {recipe.name} asks for it; {sizes}"
    elif len(present) < 2:
        kind = sizes
    else:
        side = "at least" if ratio >= recipe.size_ratio else "below"
        kind = f"{sizes}, {side} {recipe.size_ratio:g}; {rules.SIZE_RATIO_REASONS[ratio >= recipe.size_ratio]}"
    law = f"(largest size / size) ^ {recipe.alpha:g}, at most {recipe.weight_cap:g}"
    weights = f"{law}; background, which is no anatomy, 1" if loss.kind == "dice_size_adaptive_ce" else PLAIN
    weights = weights if loss.usual_sizes is None else BY_BATCH
    weights = weights if loss.largest_size is None else BY_COMPONENT
    largest = f"usual size of {max(present)[1]}" if present else f"no {what} occurs in any case"
    by_component = f"the recipe {recipe.name}: {largest}; a connected component weighs {law}, at least 1"
    by_batch = f"the recipe {recipe.name}: the weights of a step go by the geometric mean of these and its batch's own"
    return {
        "loss.kind": kind,
        "loss.class_weights": weights,
        "loss.batch_dice": _batch_dice(configuration, facts),
        "loss.alpha": f"the recipe {recipe.name}",
        "loss.weight_cap": f"the recipe {recipe.name}",
        **({} if loss.usual_sizes is None else {"loss.usual_sizes": by_batch}),
        **({} if loss.largest_size is None else {"loss.largest_size": by_component}),
        "loss.smooth": "keeps Dice defined where a label is absent",
    }


def _batch_dice(configuration: Configuration, facts: Facts) -> str:
    low, asked = facts.low, f"{rules.LOW_RESOLUTION_SHARE:.0%}"
    if low is None:
        return f"a slice may miss a label, the batch as one volume seldom does ({RULE})"
    saw = f"a patch sees {min(facts.seen, 1):.1%} of the median case"
    if configuration.loss.batch_dice:
        reason = f"{saw}, under {asked}, and may miss a label; the batch as one volume seldom does"
    elif facts.seen >= rules.LOW_RESOLUTION_SHARE:
        reason = f"{saw}, at least {asked}: Dice is taken per patch"
    elif configuration.name == "3d_lowres":
        reason = f"{saw}, the low resolution was chosen for about {asked}: Dice is taken per patch"
    else:
        reason = f"{saw}, too near {asked} for a low resolution to pay: Dice is taken per patch"
    return f"{reason} ({RULE})"


def _training(configuration: Configuration, facts: Facts) -> dict[str, str]:
    training, recipe = configuration.training, facts.recipe
    said = f"the recipe {recipe.name}"
    axes = facts.axes
    mirror = mirror_reason(training.mirror_axes, axes) if recipe.mirror == "auto" else f"{said} says {recipe.mirror}"
    turned = axes[1:] if training.rotate_in_plane else axes
    flat = configuration.network.dimension == 2
    if recipe.mirror == "auto" and any(axis.directed for axis in turned):
        rotation = "labels are ordered or have sides along a rotated axis: a wide turn would mirror them"
    elif recipe.mirror == "none":
        rotation = f"{said} mirrors nothing, and a wide turn mirrors"
    elif flat and training.rotation_deg < 180:
        rotation = f"the patch is more than 1.5 times longer than wide: a wide turn would leave it ({RULE})"
    elif not flat and not training.rotate_in_plane:
        rotation = f"either way about every axis of a volume ({RULE}); further turns are left to the mirroring"
    elif recipe.mirror == "all":
        rotation = f"{said} mirrors along every axis, so a full turn shows nothing else"
    else:
        rotation = "labels have no order in plane: any turn shows possible anatomy"
    edges = max(configuration.patch) / configuration.patch[0]
    longest = f"longest patch edge over the first is {edges:.2g}: in plane only above {ANISOTROPY:g}"
    in_plane = "2D patches have no other plane" if flat else longest
    schedule = f"{training.epochs} x {training.steps_per_epoch} steps where no time budget is given"
    schedule = f"{schedule} ({RULE})" if recipe.epochs == "auto" else f"{said}: {schedule}"
    enough = f"without a time budget there are steps enough for SGD with Nesterov momentum ({RULE})"
    optimiser = enough if recipe.optimiser == "auto" else said
    named = ("learning_rate", "weight_decay", "momentum", "warmup", "poly_power", "clip_norm", "seed")
    return {
        **{f"training.{key}": said for key in named},
        "training.optimiser": optimiser,
        "training.epochs": schedule,
        "training.steps_per_epoch": schedule,
        "training.validation_steps": f"{said}: a quick look after each epoch; the full score comes at the end",
        "training.foreground_jitter": f"{said}: 0 puts the label into the middle of such a patch",
        "training.oversample_foreground": f"{said}: share of patches forced onto a label; {RULE} has a third, which "
        "pays in narrow views and does no harm in whole ones (docs/benchmarks/budget.md)",
        "training.foreground_unit": f"{said}: "
        + (
            "a label, large or small, is drawn as often as any other"
            if training.foreground_unit == "class"
            else "of a label, each connected component (lesion) is drawn as often as any other"
        ),
        "training.shift": shift_reason(recipe, facts.view),
        "training.mirror_axes": mirror,
        "training.rotation_deg": rotation,
        "training.rotate_in_plane": in_plane,
        "training.scale_range": f"{said}: patients differ in size",
    }
