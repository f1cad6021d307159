"""The recipes that come with autospine: what each is for, what it changes, and its text."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from autospine.errors import PlanError
from autospine.planning.document.recipe import Recipe, load_recipe, shipped_files


@dataclass(frozen=True)
class ShippedRecipe:
    """A recipe in `plans/`."""

    name: str
    """What `--recipe` takes."""
    summary: str
    """The first line of its file."""
    changes: tuple[tuple[str, Any], ...]
    """(key, value) of each choice that is not the default recipe's."""


def shipped_recipes() -> tuple[ShippedRecipe, ...]:
    """Every shipped recipe, the default one first, then by name."""
    return tuple(
        ShippedRecipe(name, _summary(path), _changes(load_recipe(name))) for name, path in shipped_files().items()
    )


def recipe_text(name: str) -> str:
    """A shipped recipe with every key: what its file says, and in its place what `default.toml` says of the others.

        # Share of the schedule spent on a linear warm-up, 0 to below 1.      what the key means, of default.toml
        # Ours: the enhanced descent begins with a warm-up.                   why the recipe changes it
        # Changed from 0.0.
        warmup = 0.1

    Raises PlanError where there is no recipe of that name.
    """
    files = shipped_files()
    if name not in files:
        expected = f"one of {', '.join(files)}"
        raise PlanError(name, "no such recipe", expected, "`autospine recipes` lists them with what they change")
    text = files[name].read_text(encoding="utf-8")
    if name == "default":
        return text
    head, _, changes = text.partition("\n\n")
    own: dict[str, list[str]] = {}
    block: list[str] = []
    for line in filter(None, changes.splitlines()):
        block.append(line)
        if not line.startswith("#"):
            own[line.partition(" = ")[0]], block = block, []
    lines = [head, ""]
    for line in files["default"].read_text(encoding="utf-8").partition("\n\n")[2].splitlines():
        key, _, value = line.partition(" = ")
        *why, changed = own.get(key, [line])
        lines += [*why, *([f"# Changed from {value}."] if key in own else []), changed]
    return "\n".join(lines) + "\n"


def _summary(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()


def _changes(recipe: Recipe) -> tuple[tuple[str, Any], ...]:
    standard = Recipe()
    named = [item.name for item in fields(Recipe) if item.name != "name"]
    return tuple((key, getattr(recipe, key)) for key in named if getattr(recipe, key) != getattr(standard, key))
