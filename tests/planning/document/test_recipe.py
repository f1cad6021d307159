from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from autospine.errors import PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.recipe import Recipe, load_recipe, recipe_folder

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
    known = [item.name for item in fields(Recipe) if item.name != "name"]
    # the default one has every key, the others only what they change
    changed = [key for key in known if getattr(load_recipe(name), key) != getattr(Recipe(), key)]
    assert sorted(keys) == sorted(known if name == "default" else changed)
    for number, line in enumerate(lines):
        assert not line or line.startswith("#") or lines[number - 1].startswith("# "), line


def test_auto_gives_way_to_a_value(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("memory_gb = 24\nencoder_blocks = [1, 2]\ndecoder_convs = 1\ndataset_fraction = 0.5\n")
    recipe = load_recipe(path)
    assert (recipe.memory_gb, recipe.encoder_blocks, recipe.decoder_convs) == (24.0, (1, 2), 1)
    assert recipe.dataset_fraction == 0.5
    assert recipe.bottleneck == "auto"


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
        ('configurations = ["4d"]', "'2d', '2.5d', '3d_fullres'"),
        ('configurations = ["2d"]\ndefault = "3d_fullres"', "auto or one of the configurations 2d"),
        ("neighbours = 0", "1 to 50"),
        ('memory_gb = "aut"', "a number, or 'auto'"),
        ("memory_gb = 0.9", "memory_gb: found 0.9\nExpected: at least 1"),
        ("dataset_fraction = 1.1", "above 0, at most 1"),
        ("dataset_fraction = 0", "above 0, at most 1"),
        ("base_features = 0", "from 1 to 8192"),
        ("overlap = 1.0", "overlap: found 1.0\nExpected: from 0 to below 1"),
        ("overlap = -0.1", "from 0 to below 1"),
        ("scale_range = [1.4, 0.7]", "two zooms above 0, the smaller first"),
        ("scale_range = [0.0, 1.4]", "two zooms above 0"),
        ("weight_cap = 0.5", "at least 1"),
        ("dataset_fraction = -0.1", "above 0"),
        ('encoder = "residul"', "'residual'"),
        ("encoder_blocks = 2", "a list, or 'auto'"),
        ("encoder_blocks = []", "a number per stage"),
        ("encoder_blocks = [2, 0]", "from 1 to 64 each"),
        ("encoder_blocks = [100000000]", "from 1 to 64 each"),
        (f"learning_rate = 1{'0' * 400}", "a finite number"),
        ('encoder_blocks = [2, "auto"]', r"encoder_blocks\[1\]: found 'auto'"),
        ("decoder_convs = 0", "from 1 to 64"),
        ("decoder_convs = 1.5", "a whole number, or 'auto'"),
        ("convs_encoder = 2", "perhaps `encoder"),
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


# A value just beyond the range of each choice that a plan takes over, and what is expected instead.
BEYOND = {
    "learning_rate": (0.0, "above 0"),
    "clip_norm": (0.0, "above 0"),
    "weight_decay": (-1e-5, "at least 0"),
    "poly_power": (-0.1, "at least 0"),
    "validation_steps": (-1, "from 0 to 1000000"),
    "seed": (2**32, "from 0 to 4294967295"),
    "epochs": (0, "from 1 to 1000000"),
    "steps_per_epoch": (0, "from 1 to 1000000000"),
    "momentum": (1.0, "from 0 to below 1"),
    "warmup": (1.0, "from 0 to below 1"),
    "oversample_foreground": (1.01, "from 0 to 1"),
    "foreground_jitter": (-0.01, "from 0 to 1"),
    "shift": (0.6, "from 0 to 0.5"),
}


@pytest.mark.parametrize("key", BEYOND)
def test_recipe_and_plan_refuse_the_same(
    tmp_path: Path, make_configuration: Callable[..., Configuration], key: str
) -> None:
    value, expected = BEYOND[key]
    path = tmp_path / "mine.toml"
    path.write_text(f"{key} = {value}\n")
    with pytest.raises(PlanError) as caught:
        load_recipe(path)
    assert (caught.value.where, caught.value.expected) == (f"{path}, key {key}", expected)
    with pytest.raises(PlanError) as caught:
        replace(make_configuration().training, **{key: value})
    assert (caught.value.where, caught.value.expected) == (f"training.{key}", expected)


def test_all_faults_of_a_recipe_are_listed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('mirorr = 3\nname = "x"\nseed = -1\nbase_features = 0\nepochs = 0\nalpha = "0.5"\n')
    with pytest.raises(PlanError) as caught:
        load_recipe(path)
    said = caught.value.found
    assert said.startswith("6 faults:")
    assert "there is no key `mirorr`; expected: perhaps `mirror`" in said
    assert "there is no key `name`; expected: one of configurations" in said  # nothing is near it
    for fault in (
        "key seed: found -1; expected: from 0",
        "key base_features: found 0; expected: from 1",
        "key epochs: found 0; expected: from 1",
        "key alpha: found '0.5'; expected: a number",
    ):
        assert fault in said


@pytest.mark.parametrize("name", ["mine.toml", "mine", "mine.txt", "a.b"])
def test_a_recipe_file_is_taken_by_its_own_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine.toml").write_text("seed = 1\n")
    (tmp_path / "mine.txt").write_bytes(b"\xef\xbb\xbfseed = 2\n")  # as some editors save it
    (tmp_path / "a.b.toml").write_text("seed = 3\n")
    assert load_recipe(tmp_path / name).seed == {"mine.txt": 2, "a.b": 3}.get(name, 1)


def test_an_unknown_recipe_lists_the_shipped_ones() -> None:
    with pytest.raises(PlanError, match="default, any-contrast, lumbar"):
        load_recipe("lumber")
