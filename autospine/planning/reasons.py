"""One sentence per decision of a configuration, for the plan's comments and its table.

A radiologist should follow them: millimetres, counts of cases and the names of the labels rather than formulas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autospine.planning.anatomy import AXIS_NAMES, AxisAnatomy
from autospine.planning.plan import Configuration
from autospine.planning.recipe import Recipe
from autospine.planning.rules import ANISOTROPY, MASK_FRACTION, MINIMUM_BATCH, size_ratio


@dataclass(frozen=True)
class Facts:
    """What the planner saw when it decided, beside the configuration itself."""

    recipe: Recipe
    cases: int
    """Labelled cases."""
    classes: tuple[str, ...]
    """Label names."""
    axes: tuple[AxisAnatomy, ...]
    """Anatomy of each patch axis."""
    moved: bool
    """Whether the coarse axis took its 10th percentile."""
    sizes: tuple[float, ...]
    """Usual size of each class, voxels (3D) or pixels per slice (2D)."""
    kept: float
    """Median share of a case inside its nonzero box."""
    memory_gb: float
    """Memory planned for, GB."""
    elements: int
    """Feature-map elements of one patch."""
    shrunk: int
    """How often the patch shrank to fit the memory."""
    by_memory: int
    """Batch that fills the memory."""
    by_dataset: int
    """Batch at the largest share of the data set."""
    too_large: bool
    """Whether the smallest patch still exceeds the memory."""
    low_resolution: bool
    """Whether the patch sees under a quarter of a case."""


def explain(configuration: Configuration, facts: Facts) -> dict[str, str]:
    """A reason for each key of `configuration`, by dotted key without the configuration's name."""
    return {
        **_grid(configuration, facts),
        **_network(configuration, facts),
        **_loss(configuration, facts),
        **_training(configuration, facts),
    }


def _numbers(values: Sequence[float]) -> str:
    return " x ".join(f"{value:.4g}" for value in values)


def _grid(configuration: Configuration, facts: Facts) -> dict[str, str]:
    two = configuration.network.dimension == 2
    first = AXIS_NAMES[configuration.axis_order[0]]
    spacing = "slices keep their own spacing; in plane the median" if two else "the median"
    spacing += f" of {facts.cases} cases"
    if facts.moved and not two:
        spacing += "; the slices are far thicker than the pixels, so their 10th percentile stands for them"
    limit = facts.memory_gb
    if facts.too_large:
        patch = f"the smallest patch there is; even that exceeds the estimate for {limit:g} GB"
    elif facts.shrunk:
        patch = f"the median case, shrunk {facts.shrunk} time(s) along its relatively longest axis to fit {limit:g} GB"
    else:
        patch = f"the median case fits {limit:g} GB whole"
    patch += "; each edge is padded to what its poolings divide by"
    share = f"{facts.recipe.dataset_fraction:.0%} of the data set's voxels allow {facts.by_dataset}"
    batch = f"{limit:g} GB allow {facts.by_memory}, {share}; at least {MINIMUM_BATCH}"
    if configuration.use_mask:
        mask = (
            f"the box that is not black holds {facts.kept:.0%} of the median case, under {MASK_FRACTION:.0%}: mask used"
        )
    else:
        mask = f"the box that is not black holds {facts.kept:.0%} of the median case; masked under {MASK_FRACTION:.0%}"
    if "ct" in configuration.normalisation:
        scale = "a channel called CT is clipped and scaled by the data set's intensities, others by each case's own"
    else:
        scale = (
            "no channel is called CT: MR intensities have no unit, so each case is scaled by its own mean and spread"
        )
    overlap = f"neighbouring prediction tiles share {configuration.overlap:.0%}: no voxel is seen at an edge only"
    through = "nearest along a coarse axis: between thick slices there is nothing to interpolate"
    return {
        "axis_order": f"the coarsest axis first, which runs {first}; 0, 1, 2 are the canonical axes Z, Y, X",
        "spacing_mm": spacing,
        "median_shape": f"median of the {facts.cases} cases, cropped and resampled to this spacing",
        "patch": patch,
        "batch": batch,
        "normalisation": scale,
        "use_mask": mask,
        "overlap": overlap,
        "resampling.order_image": "cubic splines keep edges sharp in images",
        "resampling.order_label": "linear per label, cut at one half: no ringing and no labels in between",
        "resampling.order_probability": "linear: probabilities stay between those of their neighbours",
        "resampling.order_through_plane": through,
        "resampling.anisotropy_threshold": f"an axis over {ANISOTROPY:g} times coarser than the finest stands apart",
    }


def _network(configuration: Configuration, facts: Facts) -> dict[str, str]:
    network = configuration.network
    stages = len(network.features)
    bottleneck = (
        "multi-scale feature fusion widens the view at the bottleneck"
        if network.bottleneck == "msff"
        else "no module beyond the plain U-Net"
    )
    return {
        "network.dimension": f"the configuration {configuration.name} works on "
        + ("slices" if network.dimension == 2 else "volumes"),
        "network.in_channels": "one input per image channel",
        "network.out_channels": f"background and {len(facts.classes)} labels",
        "network.features": f"{network.features[0]} doubled at each of {stages} stages, up to {max(network.features)}",
        "network.kernels": "3 along an axis once its spacing is below twice the finest, 1 before: "
        "thick slices do not mix with neighbours too early",
        "network.strides": "an axis is halved while 4 voxels remain and its spacing is below twice the finest: "
        f"the deepest stage sees {_numbers(_bottleneck_shape(configuration))} voxels",
        "network.convs_encoder": f"the recipe {facts.recipe.name}",
        "network.convs_decoder": f"the recipe {facts.recipe.name}",
        "network.bottleneck": f"the recipe {facts.recipe.name}: {bottleneck}",
    }


def _bottleneck_shape(configuration: Configuration) -> tuple[int, ...]:
    shape = configuration.patch
    for stride in configuration.network.strides:
        shape = tuple(edge // step for edge, step in zip(shape, stride, strict=True))
    return shape


def _loss(configuration: Configuration, facts: Facts) -> dict[str, str]:
    recipe, loss = facts.recipe, configuration.loss
    unit = "pixels per slice" if configuration.network.dimension == 2 else "voxels"
    present = [(size, name) for size, name in zip(facts.sizes, facts.classes, strict=True) if size > 0]
    ratio = size_ratio(facts.sizes)
    if present:
        (large, most), (small, least) = max(present), min(present)
        sizes = f"largest label {most} ({large:.0f} {unit}) over smallest {least} ({small:.0f}): {ratio:.2g} times"
    else:
        sizes = "no label occurs in any case"
    if recipe.loss != "auto":
        kind = f"the recipe {recipe.name} asks for it; {sizes}"
    else:
        side = "at least" if ratio >= recipe.size_ratio else "below"
        weight = recipe.size_ratio**recipe.alpha
        kind = f"{sizes}, {side} {recipe.size_ratio:g}, where the smallest would weigh {weight:.2g} (our first rule)"
    adaptive = loss.kind == "dice_size_adaptive_ce"
    weights = (
        f"(largest size / size) ^ {recipe.alpha:g}, at most {recipe.weight_cap:g}; background, which is no anatomy, 1"
        if adaptive
        else "plain cross entropy weighs all alike"
    )
    if configuration.network.dimension == 2:
        batch = "a slice may miss a label, the batch as one volume seldom does"
    elif loss.batch_dice:
        batch = "the patch sees under a quarter of a case and may miss a label, the batch as one volume seldom does"
    else:
        batch = "a patch sees at least a quarter of a case: Dice is taken per patch"
    return {
        "loss.kind": kind,
        "loss.class_weights": weights,
        "loss.batch_dice": batch,
        "loss.alpha": f"the recipe {recipe.name}",
        "loss.weight_cap": f"the recipe {recipe.name}",
        "loss.smooth": "keeps Dice defined where a label is absent",
    }


def _training(configuration: Configuration, facts: Facts) -> dict[str, str]:
    training, recipe = configuration.training, facts.recipe
    said = f"the recipe {recipe.name}"
    axes = facts.axes
    # A sentence per patch axis; mirrored ones say why they may be.
    each = "; ".join(
        f"axis {index} {'not ' if index not in training.mirror_axes else ''}mirrored ({axis.reason})"
        for index, axis in enumerate(axes)
    )
    mirror = each if recipe.mirror == "auto" else f"{said} says {recipe.mirror}"
    turned = axes[1:] if training.rotate_in_plane else axes
    if recipe.mirror == "auto" and any(axis.directed for axis in turned):
        rotation = "labels are ordered or have sides along a rotated axis: a wide turn would mirror them"
    elif recipe.mirror == "none":
        rotation = f"{said} mirrors nothing, and a wide turn mirrors"
    elif training.rotate_in_plane:
        rotation = "labels have no order in plane: any turn shows possible anatomy"
    elif configuration.network.dimension == 2 and training.rotation_deg < 180:
        rotation = "the patch is more than 1.5 times longer than wide: a wide turn would leave it"
    else:
        rotation = "labels have no order along the axes"
    edges = max(configuration.patch) / configuration.patch[0]
    if configuration.network.dimension == 2:
        in_plane = "2D patches have no other plane"
    else:
        in_plane = f"longest patch edge over the first is {edges:.2g}: in plane only above {ANISOTROPY:g}"
    schedule = f"{said}: {recipe.epochs} x {recipe.steps_per_epoch} steps where no time budget is given"
    named = ("optimiser", "learning_rate", "weight_decay", "momentum", "warmup", "poly_power", "clip_norm", "seed")
    return {
        **{f"training.{key}": said for key in named},
        "training.epochs": schedule,
        "training.steps_per_epoch": schedule,
        "training.validation_steps": f"{said}: a quick look after each epoch; the full score comes at the end",
        "training.oversample_foreground": "patches forced onto a label, so that small anatomy is seen in every batch",
        "training.mirror_axes": mirror,
        "training.rotation_deg": rotation,
        "training.rotate_in_plane": in_plane,
        "training.scale_range": f"{said}: patients differ in size",
    }
