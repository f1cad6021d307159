"""A recipe: every choice that is the user's to make, before any number is resolved on data.

Recipes are TOML files, each key with its comment, shipped in `plans/`; `load_recipe("lumbar")` reads one of them,
`load_recipe("mine.toml")` a user's own. A file gives only the keys it changes; the rest stands as in this class, of
which `default.toml` is the commented copy.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from autospine.data.files import read_text
from autospine.errors import PlanError
from autospine.planning.document.configuration import ConfigurationName
from autospine.planning.document.convert import MOST_BYTES, Checks, raise_faults, read_table, to_table, unknown_keys
from autospine.planning.document.limits import (
    Above0,
    AtLeast0,
    AtLeast1,
    Blocks,
    Convs,
    Epochs,
    Features,
    Part,
    PartAbove0,
    PartBelow1,
    Seed,
    Shift,
    SomeNeighbours,
    Steps,
    ValidationSteps,
    Zooms,
)
from autospine.planning.document.parts import Bottleneck, Encoder, Optimiser, SizeSource, Unit


@dataclass(frozen=True)
class Recipe:
    """Choices of a planning.

    Numbers are the reference planner's (nnU-Net v2.8); `alpha`, `weight_cap`, `unit`, `size_source`, `size_ratio`,
    `neighbours`, `foreground_jitter`, `shift` and `channel_dropout` are ours.
    """

    name: str = "default"
    """What the plan calls the recipe: the file's name without suffix."""
    configurations: tuple[ConfigurationName, ...] = ("2d", "2.5d", "3d_fullres", "3d_lowres", "3d_cascade_fullres")
    """Configurations to plan, where the data allow them."""
    default: Literal["auto", "2d", "2.5d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"] = "auto"
    """Configuration to train first; `auto`: 3d_fullres, or 2d for 2D data and where time leaves 3D too little."""
    neighbours: SomeNeighbours = 1
    """2.5d: slices on either side that enter beside the one that is segmented."""
    memory_gb: Literal["auto"] | AtLeast1 = "auto"
    """Memory that a training may fill, 10^9 bytes; `auto`: what the device has, 8 where nothing is known of it."""
    encoder: Encoder = "plain"
    """`plain` convolutions, or `residual` blocks."""
    encoder_blocks: Literal["auto"] | Blocks = "auto"
    """Convolutions or blocks per encoder stage, finest first, the last for all deeper; `auto`: `network.BLOCKS`."""
    decoder_convs: Literal["auto"] | Convs = "auto"
    """Convolutions in a decoder stage; `auto`: 2 for the plain, 1 for the residual encoder."""
    base_features: Features = 32
    """Feature maps of the finest stage."""
    max_features_2d: Features = 512
    """Cap of the feature maps in 2D and 2.5D."""
    max_features_3d: Features = 320
    """Cap of the feature maps in 3D."""
    bottleneck: Literal["auto"] | Bottleneck = "auto"
    """`msff` appends the multi-scale feature fusion module, `control` a convolution with as many weights; `auto`:
    `network.BOTTLENECK`."""
    dataset_fraction: Literal["auto"] | PartAbove0 = "auto"
    """Largest share of the data set's voxels in one batch, 0 to 1; `auto`: 0.05 plain, 1 residual."""
    loss: Literal["auto", "dice_ce", "dice_size_adaptive_ce"] = "auto"
    """`auto`: size-adaptive where class sizes differ by `size_ratio` or more."""
    alpha: Part = 0.5
    """Exponent of the size-adaptive weights, 0 (plain) to 1 (class mean)."""
    weight_cap: AtLeast1 = 5.0
    """Largest size-adaptive weight."""
    unit: Unit = "class"
    """What the size-adaptive weights and the forced patches go by: classes, or each connected component (lesion)."""
    size_source: SizeSource = "fingerprint"
    """Sizes that the size-adaptive weights go by: of the training cases, or these blended with each batch's own."""
    size_ratio: AtLeast1 = 50.0
    """Largest over smallest class size from which `auto` takes the size-adaptive loss (`loss.SIZE_RATIO_REASONS`)."""
    optimiser: Literal["auto"] | Optimiser = "auto"
    """`sgd` with Nesterov momentum or `adamw`; `auto`: sgd, or adamw where a time budget leaves few steps."""
    learning_rate: Above0 = 0.01
    """Peak learning rate."""
    weight_decay: AtLeast0 = 3e-5
    """Weight decay."""
    momentum: PartBelow1 = 0.99
    """Nesterov momentum of sgd."""
    warmup: PartBelow1 = 0.0
    """Share of the schedule spent on a linear warm-up."""
    poly_power: AtLeast0 = 0.9
    """Exponent of the polynomial decay."""
    clip_norm: Above0 = 12.0
    """Gradient norm at which gradients are clipped."""
    epochs: Literal["auto"] | Epochs = "auto"
    """Epochs of a training without a time budget; `auto`: `training.REFERENCE_EPOCHS`, on a CPU what fits
    `default_time.DEFAULT_S`."""
    steps_per_epoch: Steps = 250
    """Training steps in an epoch."""
    validation_steps: ValidationSteps = 50
    """Validation batches after an epoch."""
    oversample_foreground: Part = 0.33
    """Share of a batch forced onto a class."""
    foreground_jitter: Part = 0.0
    """How far from a patch's middle the class may lie, as a share of half the patch, 0 to 1."""
    shift: Literal["auto"] | Shift = "auto"
    """How far a patch that holds a whole case may be off it, as a share of its edge, 0 to 0.5; `auto`:
    `augmentation.SHIFT` where views show from what levels can be counted."""
    ignore_unlabelled_slices: bool = False
    """Whether slices without any label, in masks that have some, are not annotated instead of background."""
    optional_channels: Literal["all"] | tuple[str, ...] = ()
    """Channels that images to predict may lack, beside those that a case of the data lacks."""
    channel_dropout: PartBelow1 = 0.25
    """Share of the training patches in which a channel that may be missing is left out, 0 to below 1."""
    mirror: Literal["auto", "none", "all"] = "auto"
    """`auto`: every axis along which the labels have no order and no sides."""
    scale_range: Zooms = (0.7, 1.4)
    """Zoom of the augmentation."""
    overlap: PartBelow1 = 0.5
    """Overlap of neighbouring prediction tiles."""
    seed: Seed = 12345
    """Seed of sampling, augmentation and initialisation."""

    def __post_init__(self) -> None:
        """Check the choices: those that a plan takes over by its ranges, here those that planning alone uses."""
        names = self.configurations
        with Checks() as check:
            check.ranges(self)
            blocks = self.encoder_blocks
            check(len(blocks) > 0, "encoder_blocks", blocks, "a number per stage, the finest first")
            distinct = bool(names) and len(set(names)) == len(names)
            check(distinct, "configurations", names, "distinct names, at least one")
            measured = self.unit == "class" or self.size_source == "fingerprint"
            expected = 'fingerprint beside unit = "component": each component is measured once, not in a batch'
            check(measured, "size_source", self.size_source, expected)
            listed = self.default in ("auto", *names)
            check(listed, "default", self.default, f"auto or one of the configurations {', '.join(names)}")

    @property
    def said(self) -> str:
        """What the reasons of a plan call it."""
        return f"the recipe {self.name}"


def recipe_folder() -> Path:
    """The folder of shipped recipes: inside the installed package, else beside it in a source tree."""
    package = Path(__file__).resolve().parents[2]
    inside = package / "plans"
    return inside if inside.is_dir() else package.parent / "plans"


def shipped_files() -> dict[str, Path]:
    """Name -> file of every shipped recipe: the default one, which has every key, then by name."""
    files = sorted(recipe_folder().glob("*.toml"), key=lambda path: (path.stem != "default", path.stem))
    return {path.stem: path for path in files}


def load_recipe(name_or_path: str | Path) -> Recipe:
    """The shipped recipe of that name, or the one in a `.toml` file.

    Raises PlanError for an unknown recipe, a key that does not exist (with the nearest that does) and bad values.
    """
    given, shipped = Path(name_or_path), shipped_files()
    own = given if given.is_file() or given.suffix == ".toml" else given.with_name(f"{given.name}.toml")
    path = shipped.get(str(name_or_path), own)
    if not path.is_file():
        expected = f"a recipe ({', '.join(shipped)}) or the path of a .toml file"
        raise PlanError(str(name_or_path), "no such recipe", expected, "give --recipe one of these")
    try:
        table: dict[str, Any] = tomllib.loads(read_text(path, PlanError, MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise PlanError(str(path), f"not readable as TOML: {error}", "a recipe like plans/default.toml") from None
    known = [item.name for item in fields(Recipe) if item.name != "name"]
    faults = unknown_keys(table.keys() & {"name"}, known, str(path))  # a recipe is called as its file
    recipe = read_table(Recipe, {**to_table(Recipe()), **table, "name": path.stem}, str(path), "", faults)
    raise_faults(str(path), faults)
    assert recipe is not None
    return recipe
