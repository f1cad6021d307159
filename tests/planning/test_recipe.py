from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from autospine.errors import PlanError
from autospine.planning.recipe import Recipe, load_recipe, recipe_folder

SHIPPED = sorted(path.stem for path in recipe_folder().glob("*.toml"))


def test_the_default_recipe_is_the_class() -> None:
    assert load_recipe("default") == Recipe()


def test_the_lumbar_recipe_is_the_first_paper() -> None:
    changed = {"name": "lumbar", "default": "2d", "bottleneck": "msff", "loss": "dice_size_adaptive_ce"}
    assert load_recipe("lumbar") == replace(Recipe(), **changed)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipes_load_and_comment_every_key(name: str) -> None:
    load_recipe(name)
    lines = (recipe_folder() / f"{name}.toml").read_text(encoding="utf-8").splitlines()
    keys = [line.split(" = ")[0] for line in lines if line and not line.startswith("#")]
    assert sorted(keys) == sorted(item.name for item in fields(Recipe) if item.name != "name")
    for number, line in enumerate(lines):
        assert not line or line.startswith("#") or lines[number - 1].startswith("# "), line


def test_a_recipe_of_ones_own_changes_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('alpha = 1\nmirror = "none"\n')
    assert load_recipe(path) == Recipe(name="mine", alpha=1.0, mirror="none")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat = 0.1", "perhaps `learning_rate`"),
        ("alpha = 2.0", "from 0 to 1"),
        ('alpha = "big"', "a number"),
        ('loss = "focal"', "'auto', 'dice_ce'"),
        ('configurations = ["4d"]', "'2d', '3d_fullres'"),
        ("configurations = []", "distinct names"),
        ("name = 'x'", "no key `name`"),
        ("alpha = = 1", "not readable as TOML"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(PlanError, match=message) as caught:
        load_recipe(path)
    assert str(path) in caught.value.where


def test_an_unknown_recipe_lists_the_shipped_ones() -> None:
    with pytest.raises(PlanError, match="default, lumbar"):
        load_recipe("lumber")
