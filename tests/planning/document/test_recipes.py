from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autospine.errors import PlanError
from autospine.planning.document.recipe import Recipe, load_recipe, recipe_folder
from autospine.planning.document.recipes import recipe_text, shipped_recipes

NAMES = ("default", "any-contrast", "lumbar", "metastases", "tumour")


def keys_of(name: str) -> list[str]:
    lines = recipe_text(name).splitlines()
    return [line.split(" = ")[0] for line in lines if line and not line.startswith("#")]


def test_the_shipped_recipes_are_listed_with_what_they_change() -> None:
    shipped = {recipe.name: recipe for recipe in shipped_recipes()}
    assert tuple(shipped) == NAMES
    assert shipped["default"].changes == ()
    assert shipped["any-contrast"].changes == (("random_contrast", 0.9), ("scale_range", (0.6, 1.5)))
    assert shipped["lumbar"].changes == (
        ("default", "2d"),
        ("bottleneck", "msff"),
        ("loss", "dice_size_adaptive_ce"),
    )
    assert shipped["metastases"].changes == (
        ("configurations", ("2d", "2.5d", "3d_fullres")),
        ("loss", "dice_size_adaptive_ce"),
        ("unit", "component"),
        ("oversample_foreground", 0.5),
        ("foreground_jitter", 0.5),
    )
    assert shipped["tumour"].changes == (
        ("configurations", ("2d", "3d_fullres")),
        ("unit", "component"),
        ("warmup", 0.1),
        ("foreground_jitter", 0.5),
    )
    assert shipped["metastases"].summary == (
        "Spinal metastases in several MR sequences, after Hille et al. 2020 (arXiv 2001.05834)."
    )


def test_the_tumour_recipe_is_the_enhanced_descent() -> None:
    recipe = load_recipe("tumour")
    changed = {"configurations": ("2d", "3d_fullres"), "warmup": 0.1, "foreground_jitter": 0.5}
    assert recipe == replace(Recipe(), name="tumour", unit="component", **changed)
    # "auto" is sgd, but where a time budget leaves few steps
    assert (recipe.optimiser, recipe.momentum, recipe.warmup, recipe.clip_norm) == ("auto", 0.99, 0.1, 12.0)
    assert (recipe.overlap, recipe.oversample_foreground) == (0.5, 0.33)


def test_the_metastases_recipe_goes_by_lesions() -> None:
    changed = {"oversample_foreground": 0.5, "foreground_jitter": 0.5, "configurations": ("2d", "2.5d", "3d_fullres")}
    loss = {"loss": "dice_size_adaptive_ce", "unit": "component"}
    assert load_recipe("metastases") == replace(Recipe(), name="metastases", **changed, **loss)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_shown_is_the_recipe_whole(name: str, tmp_path: Path) -> None:
    """A copy of it is the same recipe, and says which keys are changed, from what, and why."""
    (tmp_path / f"{name}.toml").write_text(recipe_text(name))
    assert load_recipe(tmp_path / f"{name}.toml") == load_recipe(name)
    lines, changes = recipe_text(name).splitlines(), next(one for one in shipped_recipes() if one.name == name).changes
    marked = [lines[number + 1].split(" = ")[0] for number, line in enumerate(lines) if line.startswith("# Changed")]
    assert marked == [key for key, _ in changes]
    if name == "tumour":
        place = lines.index("warmup = 0.1")
        assert lines[place - 3 : place] == [
            "# Share of the schedule spent on a linear warm-up, 0 to below 1.",
            "# Ours: the enhanced descent begins with a warm-up.",
            "# Changed from 0.0.",
        ]


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_says_what_it_is_and_has_every_key_in_the_same_order(name: str) -> None:
    lines = recipe_text(name).splitlines()
    assert lines[0].startswith("# ") and lines[0].endswith(".")
    assert keys_of(name) == keys_of("default")
    assert max(map(len, lines)) <= 120
    for number, line in enumerate(lines):
        assert not line or line.startswith("#") or lines[number - 1].startswith("# "), line


def test_no_recipe_lies_unlisted() -> None:
    assert sorted(path.stem for path in recipe_folder().iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("name", ["nothing", "../pyproject", "default.toml"])
def test_only_shipped_recipes_are_shown(name: str) -> None:
    with pytest.raises(PlanError, match="default, any-contrast, lumbar, metastases, tumour"):
        recipe_text(name)
