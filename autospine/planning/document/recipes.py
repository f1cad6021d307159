"""The recipes that come with autospine: what each is for, what it changes, and its text."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from autospine.errors import PlanError
from autospine.planning.document.recipe import Recipe, load_recipe, recipe_folder


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
    names = sorted((path.stem for path in recipe_folder().glob("*.toml")), key=lambda name: (name != "default", name))
    return tuple(ShippedRecipe(name, _summary(recipe_text(name)), _changes(load_recipe(name))) for name in names)


def recipe_text(name: str) -> str:
    """The file of a shipped recipe.

    Raises:
        PlanError: there is no recipe of that name.
    """
    shipped = {path.stem: path for path in recipe_folder().glob("*.toml")}
    if name not in shipped:
        expected = f"one of {', '.join(sorted(shipped))}"
        raise PlanError(name, "no such recipe", expected, "`autospine recipes` lists them with what they change")
    return shipped[name].read_text(encoding="utf-8")


def _summary(text: str) -> str:
    return text.partition("\n")[0].removeprefix("#").strip()


def _changes(recipe: Recipe) -> tuple[tuple[str, Any], ...]:
    standard = Recipe()
    named = [item.name for item in fields(Recipe) if item.name != "name"]
    return tuple((key, getattr(recipe, key)) for key in named if getattr(recipe, key) != getattr(standard, key))
