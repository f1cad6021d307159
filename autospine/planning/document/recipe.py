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

from autospine.data.disk.files import read_text
from autospine.errors import PlanError
from autospine.planning.document import limits
from autospine.planning.document.configuration import ConfigurationName
from autospine.planning.document.convert import MOST_DOCUMENT_BYTES, Checks, Reader, to_table
from autospine.planning.document.parts import Bottleneck, Encoder, Optimiser, SizeSource, Unit


@dataclass(frozen=True)
class Recipe:
    """Choices of a planning; what each means, its unit and what `auto` comes to stands beside it in `default.toml`.

    Numbers are the reference planner's (nnU-Net v2.8); `alpha`, `weight_cap`, `unit`, `size_source`, `size_ratio`,
    `neighbours`, `foreground_jitter`, `shift` and `channel_dropout` are ours.
    """

    name: str = "default"
    """What the plan calls the recipe: the file's name without suffix."""
    configurations: tuple[ConfigurationName, ...] = ("2d", "2.5d", "3d_fullres", "3d_lowres", "3d_cascade_fullres")
    default: Literal["auto", "2d", "2.5d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"] = "auto"
    neighbours: limits.SomeNeighbours = 1
    memory_gb: Literal["auto"] | limits.AtLeast1 = "auto"
    encoder: Encoder = "plain"
    encoder_blocks: Literal["auto"] | limits.Blocks = "auto"
    decoder_convs: Literal["auto"] | limits.Convs = "auto"
    base_features: limits.Features = 32
    max_features_2d: limits.Features = 512
    max_features_3d: limits.Features = 320
    bottleneck: Literal["auto"] | Bottleneck = "auto"
    dataset_fraction: Literal["auto"] | limits.PartAbove0 = "auto"
    loss: Literal["auto", "dice_ce", "dice_size_adaptive_ce"] = "auto"
    alpha: limits.Part = 0.5
    weight_cap: limits.AtLeast1 = 5.0
    unit: Unit = "class"
    size_source: SizeSource = "fingerprint"
    size_ratio: limits.AtLeast1 = 50.0
    optimiser: Literal["auto"] | Optimiser = "auto"
    learning_rate: limits.Above0 = 0.01
    weight_decay: limits.AtLeast0 = 3e-5
    momentum: limits.PartBelow1 = 0.99
    warmup: limits.PartBelow1 = 0.0
    poly_power: limits.AtLeast0 = 0.9
    clip_norm: limits.Above0 = 12.0
    epochs: Literal["auto"] | limits.Epochs = "auto"
    steps_per_epoch: limits.Steps = 250
    validation_steps: limits.ValidationSteps = 50
    oversample_foreground: limits.Part = 0.33
    foreground_jitter: limits.Part = 0.0
    shift: Literal["auto"] | limits.Shift = "auto"
    narrow_view: Literal["auto"] | limits.Part = "auto"
    random_contrast: Literal["auto"] | limits.Part = "auto"
    ignore_unlabelled_slices: bool = False
    optional_channels: Literal["all"] | tuple[str, ...] = ()
    channel_dropout: limits.PartBelow1 = 0.25
    mirror: Literal["auto", "none", "all"] = "auto"
    scale_range: limits.Zooms = (0.7, 1.4)
    overlap: limits.PartBelow1 = 0.5
    seed: limits.Seed = 12345

    def __post_init__(self) -> None:
        """Check the choices: those that a plan takes over by its ranges, here those that planning alone uses."""
        names = self.configurations
        with Checks(self) as check:
            check(len(self.encoder_blocks) > 0, "encoder_blocks", "a number per stage, the finest first")
            check(0 < len(names) == len(set(names)), "configurations", "distinct names, at least one")
            measured = self.unit == "class" or self.size_source == "fingerprint"
            expected = 'fingerprint beside unit = "component": each component is measured once, not in a batch'
            check(measured, "size_source", expected)
            check(self.default in ("auto", *names), "default", f"auto or one of the configurations {', '.join(names)}")

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
        table: dict[str, Any] = tomllib.loads(read_text(path, PlanError, MOST_DOCUMENT_BYTES))
    except (ValueError, RecursionError) as error:
        raise PlanError(str(path), f"not readable as TOML: {error}", "a recipe like plans/default.toml") from None
    reader = Reader(str(path))
    reader.unknown(table.keys() & {"name"}, [item.name for item in fields(Recipe) if item.name != "name"])
    # a recipe is called as its file
    return reader.sound(reader.table(Recipe, {**to_table(Recipe()), **table, "name": path.stem}))
