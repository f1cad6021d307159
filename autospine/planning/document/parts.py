"""The parts of a configuration: network, resampling, loss, training.

Lists run from the finest stage to the bottleneck; axes are those of the plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

from autospine.planning.document import limits
from autospine.planning.document.convert import Checks

Bottleneck = Literal["plain", "msff", "control"]
Encoder = Literal["plain", "residual"]
LossKind = Literal["dice_ce", "dice_size_adaptive_ce"]
By = Literal["class", "batch", "component", "nothing"]
"""What gives a voxel its weight in a loss."""
SizeSource = Literal["fingerprint", "batch"]
Unit = Literal["class", "component"]
"""What has a size, and what a patch is forced onto: a whole class, or each of its connected components (lesions)."""
Normalisation = Literal["zscore", "ct"]
Optimiser = Literal["sgd", "adamw"]
MOST_STAGES = 64
"""Stages of a network: an edge of 8192 voxels is halved 10 times, perhaps one axis after the other (ours)."""
WIDEST_KERNEL = 15
"""Largest kernel edge in voxels: such a 3D kernel has 125 times the weights of the planner's 3, and in a deep stage of
4 to 8 voxels it sees little but padding. What is wider is a slip of the pen that would ask for all memory (ours)."""


@dataclass(frozen=True)
class NetworkPlan:
    """A U-Net in numbers."""

    dimension: Literal[2, 3]
    """2 for (Y, X) patches, 3 for (Z, Y, X) patches."""
    in_channels: limits.Channels
    """Channels that enter the network: image channels times slices, one per channel that may be missing, and one per
    class of a previous stage."""
    out_channels: limits.Channels
    """Background plus the classes, or the regions."""
    features: limits.FeatureList
    """Feature maps of each stage."""
    kernels: tuple[tuple[int, ...], ...]
    """Convolution kernel of each stage, per planned axis, in voxels."""
    strides: tuple[tuple[int, ...], ...]
    """Downsampling on entering each stage, per planned axis; the first is all ones."""
    blocks: limits.Blocks
    """Convolutions (plain) or residual blocks in each encoder stage."""
    encoder: Encoder = "plain"
    """What an encoder stage is made of: convolutions, or residual blocks of two convolutions after a stem."""
    convs_decoder: limits.Convs = 2
    """Convolutions in each decoder stage."""
    bottleneck: Bottleneck = "plain"
    """`msff` appends the multi-scale feature fusion module to the last encoder stage, `control` a convolution with as
    many weights."""

    def __post_init__(self) -> None:
        """Check that every stage has its width, kernel and stride."""
        stages = len(self.features)
        with Checks(self, "network.") as check:
            if check(stages > 0, "features", "a width per stage"):
                check(stages <= MOST_STAGES, "features", f"at most {MOST_STAGES} stages")
                self._check_stages(check, stages)

    def _check_stages(self, check: Checks, stages: int) -> None:
        """Check what there is one of for each stage."""
        for name, lists in (("kernels", self.kernels), ("strides", self.strides)):
            whole = len(lists) == stages and all(len(row) == self.dimension and min(row) > 0 for row in lists)
            check(whole, name, f"{stages} lists of {self.dimension} positive numbers, one per stage")
        odd = all(edge % 2 == 1 and edge <= WIDEST_KERNEL for kernel in self.kernels for edge in kernel)
        check(odd, "kernels", f"odd kernels of at most {WIDEST_KERNEL}")
        check(set(self.strides[:1]) == {(1,) * self.dimension}, "strides", "ones for the first stage")
        check(len(self.blocks) == stages, "blocks", f"{stages} numbers of at least 1, one per stage")


@dataclass(frozen=True)
class ResamplingPlan:
    """Interpolation orders and when the through-plane axis is treated apart."""

    order_image: limits.SplineOrder = 3
    """Spline order in plane, images."""
    order_label: limits.SplineOrder = 1
    """Spline order per label (0.5 rule)."""
    order_probability: limits.SplineOrder = 1
    """Spline order of the network's output on its way back."""
    order_through_plane: limits.SplineOrder = 0
    """Order along a coarse axis that is treated apart."""
    anisotropy_threshold: limits.AtLeast1 = 3.0
    """Max/min spacing above which a single coarse axis is treated apart."""

    def __post_init__(self) -> None:
        """Check the spline orders."""
        with Checks(self, "resampling."):
            pass


@dataclass(frozen=True)
class FoldLosses:
    """The numbers that a size-adaptive loss goes by, one entry for each fold, from the cases that it trains on."""

    made_for: str
    """`fold_loss.numbers_key` of the numbers of all cases; where these were edited they hold in every fold."""
    made_by: str
    """`fold_loss.settings_key` of what the numbers follow from."""
    cases: tuple[str, ...]
    """`fold_loss.fold_key` of the cases that a fold trains on."""
    weights: tuple[tuple[float, ...], ...] | None = None
    """In the place of the loss's `class_weights`."""
    sizes: tuple[tuple[float, ...], ...] | None = None
    """In the place of its `usual_sizes`."""
    largest: tuple[float, ...] | None = None
    """In the place of its `largest_size`."""

    def __post_init__(self) -> None:
        """Check that every fold has its numbers."""
        kinds = ("weights", "sizes", "largest")
        given = [kind for kind in kinds if getattr(self, kind) is not None]
        with Checks(self, "folds.") as check:
            found = ", ".join(given) or "none"
            if check(len(given) == 1, given[-1] if given else "weights", f"one of {', '.join(kinds)}", found):
                values, each = getattr(self, given[0]), f"{len(self.cases)}, one for each fold"
                check(len(values) == len(self.cases), given[0], each)


@dataclass(frozen=True)
class LossPlan:
    """Dice plus cross entropy, plain or weighted by the size of the anatomy."""

    kind: LossKind
    """Which cross entropy stands beside Dice."""
    class_weights: tuple[float, ...]
    """Weight per class in the cross entropy, background first, or per region. `dice_ce`: as they stand, all ones unless
    they are edited. `dice_size_adaptive_ce`: what `alpha` and `weight_cap` make of the sizes in all cases; a fold has
    its own in `folds`. All ones beside `usual_sizes` and `largest_size`."""
    batch_dice: bool
    """Dice over the batch as one volume, else per sample."""
    smooth: limits.AtLeast0 = 1e-5
    """Dice smoothing."""
    alpha: limits.Part = 0.5
    """Exponent that made the size-adaptive weights."""
    weight_cap: limits.AtLeast1 = 5.0
    """Largest size-adaptive weight."""
    usual_sizes: tuple[float, ...] | None = None
    """Size-adaptive weights by the batch: usual size of each class (or region) in voxels, in 2D pixels per slice, which
    is blended with its size in each batch; a fold has its own in `folds`. None: `class_weights` stand."""
    largest_size: float | None = None
    """Size-adaptive weights by component: usual size of the largest class in voxels, in 2D pixels per slice, from which
    a connected component weighs 1; a smaller one weighs more, by its own size. A fold has its own in `folds`.
    None: all voxels of a class weigh the same."""
    folds: FoldLosses | None = None
    """Size-adaptive: the numbers of each fold. None: those above hold in every fold."""

    def __post_init__(self) -> None:
        """Check the weights and sizes."""
        sizes, adaptive = self.usual_sizes, self.kind == "dice_size_adaptive_ce"
        with Checks(self, "loss.") as check:
            check(min(self.class_weights, default=0) > 0, "class_weights", "a weight above 0 per network output")
            if check(sizes is None or adaptive, "usual_sizes", "none beside dice_ce") and sizes is not None:
                usable = all(0 <= size < inf for size in sizes) and len(sizes) > 0
                check(usable, "usual_sizes", "finite sizes of at least 0")
            if self.largest_size is not None:
                self._check_components(check, self.largest_size)
            if self.folds is not None:
                self._check_folds(check, self.folds)

    @property
    def by(self) -> By:
        """What gives a voxel its weight: the size of its class in all cases or in each batch, or of its component."""
        if self.kind != "dice_size_adaptive_ce":
            return "nothing"
        if self.largest_size is not None:
            return "component"
        return "class" if self.usual_sizes is None else "batch"

    def _check_folds(self, check: Checks, folds: FoldLosses) -> None:
        """Check the numbers of each fold as those of all cases are."""
        count, kinds = len(self.class_weights), "finite numbers above 0"
        for weights in folds.weights or ():
            usable = len(weights) == count and all(0 < weight < inf for weight in weights)
            check(usable, "folds.weights", f"{count} {kinds}", weights)
        for sizes in folds.sizes or ():
            count = len(sizes if self.usual_sizes is None else self.usual_sizes)
            usable = len(sizes) == count and all(0 <= size < inf for size in sizes)
            check(usable, "folds.sizes", f"{count} finite sizes of at least 0", sizes)
        for size in folds.largest or ():
            check(0 <= size < inf, "folds.largest", "finite sizes of at least 0", size)

    def _check_components(self, check: Checks, largest: float) -> None:
        """Check that nothing but the size of its component gives a voxel its weight."""
        check(self.kind == "dice_size_adaptive_ce", "largest_size", "none beside dice_ce")
        check(0 <= largest < inf, "largest_size", "a finite size of at least 0")
        check(self.usual_sizes is None, "usual_sizes", "none beside largest_size")
        check(set(self.class_weights) == {1.0}, "class_weights", "all 1.0 beside largest_size: components have weights")


@dataclass(frozen=True)
class TrainingPlan:
    """Schedule, optimiser, sampling and augmentation."""

    optimiser: Optimiser
    """`sgd` with Nesterov momentum, or `adamw`."""
    learning_rate: limits.Above0
    """Peak learning rate."""
    weight_decay: limits.AtLeast0
    """L2 (sgd) or decoupled (adamw) decay."""
    momentum: limits.PartBelow1
    """Nesterov momentum of sgd."""
    warmup: limits.PartBelow1
    """Share of the schedule spent on a linear warm-up, 0 to 1."""
    poly_power: limits.AtLeast0
    """Exponent of the polynomial decay."""
    clip_norm: limits.Above0
    """Gradient norm at which gradients are clipped."""
    epochs: limits.Epochs
    """Epochs of a training without a time budget."""
    steps_per_epoch: limits.Steps
    """Training steps in an epoch."""
    validation_steps: limits.ValidationSteps
    """Validation batches after an epoch."""
    budget_s: limits.Seconds | None
    """Wall-clock seconds that training may take; None: `epochs` decides."""
    oversample_foreground: limits.Part
    """Share of a batch whose patches are forced onto a class, 0 to 1."""
    foreground_jitter: limits.Part
    """How far from a patch's middle the voxel it is forced onto may lie, as a share of half the patch, 0 to 1."""
    shift: limits.Shift
    """How far a patch that holds a whole case may be off it, either way, as a share of its edge, 0 to 0.5."""
    mirror_axes: tuple[int, ...]
    """Patch axes that may be mirrored, in training and in prediction."""
    rotation_deg: limits.AtLeast0
    """Largest rotation either way."""
    rotate_in_plane: bool
    """3D: rotate about the first axis only and scale in plane (anisotropic patches)."""
    scale_range: limits.Zooms
    """Zoom drawn from this range."""
    seed: limits.Seed = 12345
    """Seed of sampling, augmentation and initialisation."""
    foreground_unit: Unit = "class"
    """What a forced patch is drawn from: the voxels of a class, or first one of its connected components."""
    narrow_view: limits.Part = 0.0
    """Share of the samples of which only a part along the column of levels is shown (`training.narrow`)."""
    random_contrast: limits.Part = 0.0
    """Share of the samples that get a random contrast (`training.contrast`)."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        with Checks(self, "training."):
            pass

    @property
    def steps(self) -> int:
        """Training steps without a time budget."""
        return self.epochs * self.steps_per_epoch
