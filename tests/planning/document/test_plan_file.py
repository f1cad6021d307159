"""A plan.toml edited by hand: each fault names the file, the key, what was found, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from autospine.errors import PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import LevelsPlan
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import plan_from_toml, plan_to_toml
from tests.planning.document.edited import FILE, HERE, REMEDY, edit, flat

FAULTS = [
    ("patch = [8, 16, 16]", "patch = 16", f"{HERE}.patch", "found 16", "a list"),
    ("patch = [8, 16, 16]", "patch = [8, 16, 16.0]", f"{HERE}.patch[2]", "found 16.0", "a whole number"),
    ("batch = 2", 'batch = "2"', f"{HERE}.batch", "found '2'", "a whole number"),
    ("spacing_mm = [1.0, 1.0, 1.0]", "spacing_mm = [1.0, nan, 1.0]", f"{HERE}.spacing_mm[1]", "found nan",
     "a finite number"),
    ("use_mask = false", "use_mask = 0", f"{HERE}.use_mask", "found 0", "true or false"),
    ("learning_rate = 0.01", f"learning_rate = 1{'0' * 400}", f"{HERE}.training.learning_rate", f"found 1{'0' * 400}",
     "a finite number"),
    ("std = 20.0", "std = -1.0", "intensities[0].std", "found -1.0", "at least 0"),
    ("percentile_00_5 = 10.0", "percentile_00_5 = 300.0", "intensities[0].percentile_00_5", "found 300.0",
     "at most percentile_99_5, which is 200"),
    ("L2 = 2", "L2 = 0", "labels", "found [['L1', 1], ['L2', 0], ['L3', 3]]",
     "values of at least 1; 0 is the background"),
    ("L2 = 2", "L2 = 1", "labels", "found [['L1', 1], ['L2', 1], ['L3', 3]]",
     "distinct names and values, at least one"),
    ("in_channels = 1", "in_channels = 3", f"{HERE}.network.in_channels", "found 3",
     "1: 1 image channel(s), each normalised, x 1 slice(s)"),
    ("L2 = 2", 'L2 = "two"', "labels.L2", "found 'two'", "the label's value on disk, a whole number"),
    ('default = "3d_fullres"', 'default = "2d"', "default", "found '2d'", "one of 3d_fullres"),
]  # fmt: skip
UNKNOWN = [
    ("batch = 2\n", "bach = 2\n", HERE, "there is no key `bach`", "perhaps `batch`"),
    ("learning_rate", "learnig_rate", f"{HERE}.training", "there is no key `learnig_rate`", "perhaps `learning_rate`"),
    ('dataset = "demo"', 'datset = "demo"', "", "there is no key `datset`", "perhaps `dataset`"),
    ("batch = 2\n", "batch = 2\nname = 'x'\n", HERE, "there is no key `name`", "the name in the table's own header"),
]


@pytest.mark.parametrize(("old", "new", "key", "found", "expected"), FAULTS)
def test_a_fault_is_told_in_full(text: str, old: str, new: str, key: str, found: str, expected: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan_from_toml(edit(text, (old, new)), FILE)
    error = caught.value
    assert (error.where, error.found, error.expected, error.remedy) == (f"{FILE}, key {key}", found, expected, REMEDY)


@pytest.mark.parametrize(
    ("old", "new", "key", "found", "expected"),
    [
        ("classes = [1, 2]", "classes = [1, 1]", "classes", "found [1, 1]", "two or more distinct classes from 1"),
        ("classes = [1, 2]", "classes = [1, 4]", "classes", "found [1, 4]", "classes from 1 to 3"),
        ("axis = 1", "axis = 3", "axis", "found 3", "0, 1 or 2"),
        ("step = 1.1", "step = 0.0", "step", "found 0.0", "above 0, at most 100"),
        (
            "ends_seen = [0.9, 0.8]",
            "ends_seen = [0.9, 1.0]",
            "ends_seen",
            "found [0.9, 1.0]",
            "two shares above 0 and below 1",
        ),
    ],
)
def test_a_fault_of_the_levels_is_told(
    make_plan: Callable[..., Plan], old: str, new: str, key: str, found: str, expected: str
) -> None:
    plan = make_plan(levels=LevelsPlan((1, 2), 1, 1.1, (0.9, 0.8)))
    text = plan_to_toml(plan)
    assert plan_from_toml(text) == plan
    with pytest.raises(PlanError) as caught:
        plan_from_toml(edit(text, (old, new)), FILE)
    error = caught.value
    assert (error.where, error.found, error.expected) == (f"{FILE}, key levels.{key}", found, expected)


@pytest.mark.parametrize(("old", "new", "key", "found", "expected"), UNKNOWN)
def test_a_misspelt_key_is_one_fault(text: str, old: str, new: str, key: str, found: str, expected: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan_from_toml(edit(text, (old, new)), FILE)
    error = caught.value
    assert (error.where, error.found, error.expected) == (f"{FILE}, key {key}" if key else FILE, found, expected)
    assert error.remedy in ("rename or remove the key", "remove the key")


def test_a_missing_key_is_named_with_its_table(text: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan_from_toml(edit(text, ("batch = 2\n", "")), FILE)
    assert caught.value.where == f"{FILE}, key {HERE}"
    assert caught.value.found == "the key `batch` is missing"


def test_all_faults_of_a_file_are_listed_at_once(text: str) -> None:
    changes = (
        ('recipe = "default"', "recipe = 1"),
        ("L1 = 1", "L1 = true"),
        ("batch = 2\n", "bach = 2\n"),
        ('kind = "dice_ce"', 'kind = "dice"'),
        ("overlap = 0.5", "overlap = 2.0"),
        ("learning_rate = 0.01", "learning_rate = -1"),
        ("strides = [[1, 1, 1]", "strides = [[1, 1]"),
        ("epochs = 10\n", 'epochs = "10"\n'),
    )
    with pytest.raises(PlanError) as caught:
        plan_from_toml(edit(text, *changes), FILE)
    assert caught.value.where == FILE
    assert caught.value.found.splitlines() == [
        "8 faults:",
        "key labels.L1: found True; expected: the label's value on disk, a whole number",
        "key recipe: found 1; expected: text",
        f"key {HERE}: there is no key `bach`; expected: perhaps `batch`",
        f"key {HERE}.network.strides: found [[1, 1], [2, 2, 2]]; "
        "expected: 2 lists of 3 positive numbers, one per stage",
        f"key {HERE}.loss.kind: found 'dice'; expected: one of 'dice_ce', 'dice_size_adaptive_ce'; perhaps 'dice_ce'",
        f"key {HERE}.training.epochs: found '10'; expected: a whole number",
        f"key {HERE}.training.learning_rate: found -1.0; expected: above 0",
        f"key {HERE}.overlap: found 2.0; expected: from 0 to below 1",
    ]
    assert caught.value.remedy == REMEDY.replace("this key", "these keys")


def test_edited_neighbours_are_a_fault_of_what_enters(
    make_plan: Callable[..., Plan], make_configuration: Callable[..., Configuration]
) -> None:
    network = replace(flat(make_configuration).network, in_channels=3)
    thick = flat(make_configuration, name="2.5d", neighbours=1, network=network)
    with pytest.raises(PlanError) as caught:
        plan_from_toml(edit(plan_to_toml(make_plan(thick)), ("neighbours = 1", "neighbours = 2")), FILE)
    assert caught.value.where == f"{FILE}, key configurations.2.5d.network.in_channels"
    assert (caught.value.found, caught.value.expected) == (
        "found 3",
        "5: 1 image channel(s), each normalised, x 5 slice(s)",
    )


def test_channels_that_are_not_the_plans_are_told(make_plan: Callable[..., Plan], text: str) -> None:
    changes = (
        ('normalisation = ["zscore"]', 'normalisation = ["zscore", "ct"]'),
        ("in_channels = 1", "in_channels = 2"),
    )
    with pytest.raises(PlanError) as caught:
        plan_from_toml(edit(text, *changes), FILE)
    assert caught.value.where == f"{FILE}, key {HERE}.normalisation"
    assert (caught.value.found, caught.value.expected) == ("found ['zscore', 'ct']", "1, one per channel")


def test_a_plan_of_another_format_says_to_plan_again(text: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan_from_toml(edit(text, ("schema = 7", "schema = 3")), FILE)
    assert caught.value.where == f"{FILE}, key schema"
    assert caught.value.remedy == "plan the dataset again with `autospine plan DATASET --overwrite`"


def test_a_sound_edit_is_taken(text: str) -> None:
    changes = (("batch = 2\n", "batch = 3\n"), ("patch = [8, 16, 16]", "patch = [8, 16, 18]"))
    configuration = plan_from_toml(edit(text, *changes), FILE).configuration()
    assert (configuration.batch, configuration.patch) == (3, (8, 16, 18))
