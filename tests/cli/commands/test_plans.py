"""Plans from the command line: made, explained, compared, moved and edited; and the recipes they start from."""

from __future__ import annotations

import io
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from typer.testing import Result

from autospine.cli.show import plans as shown
from autospine.machine.device import describe_device, resolve_device
from autospine.planning.document.expected import EXPECTED, read_expected, write_expected
from autospine.planning.document.plan_file import plan_to_toml, read_plan_file
from autospine.planning.document.recipe import recipe_folder
from autospine.planning.document.recipes import recipe_text
from tests.cli.calling import Run, call, refused, text


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


@pytest.fixture(scope="module")
def runs(toy_dataset: Path, toy_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder in which the toy dataset has been planned; not to be changed."""
    folder = tmp_path_factory.mktemp("runs")
    planned = call("plan", toy_dataset, "--recipe", toy_recipe, "--runs", folder)
    assert planned.exit_code == 0, planned.output
    return folder


@pytest.fixture
def plan_file(runs: Path, tmp_path: Path) -> Path:
    """A copy of that plan and of what it takes, to edit."""
    shutil.copy(runs / "toy" / EXPECTED, tmp_path)
    return Path(shutil.copy(runs / "toy" / "plan.toml", tmp_path / "mine.toml"))


def edit(path: Path, old: str, new: str) -> Path:
    content = path.read_text()
    assert old in content, old
    path.write_text(content.replace(old, new, 1))
    return path


def timed_on(path: Path, device: str) -> list[str]:
    """Let the plan at `path` be as if a step of every configuration had been timed on `device`; their names."""
    place = path.with_name(EXPECTED)
    known = read_expected(place)
    write_expected(place, {name: replace(one, device=device, seconds_per_step=0.1) for name, one in known.items()})
    return list(known)


# -- plan


def test_plan_again_shows_the_standing_plan_and_refuses_another(trained: Run, toy_recipe: Path) -> None:
    path = trained.runs / "toy" / "plan.toml"
    before = path.read_bytes()
    same = call("plan", trained.dataset, "--recipe", toy_recipe, "--runs", trained.runs)
    assert same.exit_code == 0
    assert "stood there already" in text(same)
    other = call("plan", trained.dataset, "--runs", trained.runs)
    assert other.exit_code == 1
    assert "--overwrite" in text(other)
    assert path.read_bytes() == before


def test_plan_takes_epochs_and_says_how_long_a_training_is(toy_dataset: Path, toy_recipe: Path, tmp_path: Path) -> None:
    options = ("--recipe", toy_recipe, "--runs", tmp_path / "runs", "--device", "cpu")
    planned = call("plan", toy_dataset, "--epochs", 3, *options)
    assert planned.exit_code == 0, planned.output
    said = " ".join(planned.output.split())
    assert "A training of 3d_fullres: 3 epochs, 12 steps: about" in said
    assert "a step on CPU" in said and "12 steps; about" in said
    refused(call("plan", toy_dataset, *options), "--epochs")
    assert call("plan", toy_dataset, "--epochs", 3, "--budget", "1m", *options).exit_code == 2


def test_dry_run_writes_nothing(toy_dataset: Path, tmp_path: Path) -> None:
    result = call("plan", toy_dataset, "--runs", tmp_path / "runs", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "3d_fullres" in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="permissions of a folder")
def test_a_folder_that_cannot_be_written(toy_dataset: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    refused(call("plan", toy_dataset, "--runs", blocked), "file")


# -- explain


def test_explain_shows_every_decision_of_the_standing_plan(toy_dataset: Path, runs: Path) -> None:
    found = lines(call("plan", toy_dataset, "--explain", "--runs", runs))
    assert any(line.startswith("3d_fullres.patch = [") for line in found)
    assert any(line.startswith("2d.training.mirror_axes = [") for line in found)
    assert "labels = upper = 1, lower = 3" in found
    assert any(line.startswith("left_out.3d_lowres: ") for line in found)


@pytest.mark.parametrize("order", ["behind", "before"])
def test_explain_takes_a_key_behind_it(toy_dataset: Path, runs: Path, order: str) -> None:
    words = (toy_dataset, "--explain", "loss") if order == "behind" else ("--explain", toy_dataset, "loss")
    found = lines(call("plan", *words, "--runs", runs))
    assert [line.split(" = ")[0] for line in found] == [
        f"3d_fullres.loss.{key}"
        for key in (
            "kind",
            "class_weights",
            "batch_dice",
            "smooth",
            "alpha",
            "weight_cap",
            "usual_sizes",
            "largest_size",
        )
    ]


def test_explain_takes_a_plan_by_file_folder_and_name(runs: Path) -> None:
    answers = {
        call("plan", place, "--explain", "patch", "--runs", runs).output
        for place in (runs / "toy" / "plan.toml", runs / "toy", "toy", "elsewhere/toy")
    }
    (answer,) = answers
    assert answer.startswith("3d_fullres.patch = [")
    assert answer.count("\n") == 1


def test_explain_of_an_unknown_key_names_the_nearest(toy_dataset: Path, runs: Path) -> None:
    refused(call("plan", toy_dataset, "--explain", "pach", "--runs", runs), "no decision `pach`", "`patch`")


def test_explain_without_a_plan_says_to_plan_first(toy_dataset: Path, tmp_path: Path) -> None:
    refused(call("plan", toy_dataset, "--explain", "--runs", tmp_path), "run `autospine plan DATASET` first")
    assert list(tmp_path.iterdir()) == []


def test_explain_of_a_dry_run_plans_and_writes_nothing(toy_dataset: Path, toy_recipe: Path, tmp_path: Path) -> None:
    result = call(
        "plan", toy_dataset, "--dry-run", "--explain", "2d.batch", "--recipe", toy_recipe, "--memory", "11.5G",
        "--runs", tmp_path / "runs",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "2d.batch = " in result.output
    assert "12 GB" not in result.output and "8 GB" in result.output  # 11.5 GB is planned for as the 8 GB below it
    assert list(tmp_path.iterdir()) == []


def test_a_terminal_shows_a_table(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(shown, "console", Console(file=screen, force_terminal=True, width=160, color_system=None))
    assert call("plan", "toy", "--explain", "loss.kind", "--runs", runs).exit_code == 0
    head, *rows = (line.split() for line in screen.getvalue().splitlines() if line.strip() and "─" not in line)
    assert head == ["key", "value", "why"]
    assert rows[0][:2] == ["3d_fullres.loss.kind", "dice_ce"]


# -- diff


def test_a_plan_and_itself_are_the_same(runs: Path) -> None:
    assert lines(call("plan", "--diff", runs / "toy", "toy", "--runs", runs)) == ["The plans are the same"]


def test_diff_shows_both_values_and_both_reasons(runs: Path, plan_file: Path) -> None:
    edit(plan_file, "momentum = 0.99", "momentum = 0.9")
    edit(plan_file, 'dataset = "toy"', 'dataset = "doll"')
    found = lines(call("plan", "--diff", "toy", plan_file, "--runs", runs))
    assert found == [
        "dataset",
        "  toy: toy",
        f"  {plan_file}: doll",
        "2d.training.momentum",
        "  toy: 0.99 (the recipe toy)",
        f"  {plan_file}: 0.9 (the recipe toy)",
        "2 difference(s)",
    ]


def test_diff_of_what_is_not_there(runs: Path, plan_file: Path) -> None:
    refused(call("plan", "--diff", "toy", "other", "--runs", runs), "no plan", "plan.toml is not there")
    refused(call("plan", "--diff", edit(plan_file, "batch = ", "bach = "), "toy", "--runs", runs), "perhaps `batch`")


# -- edited by hand


def test_an_edited_plan_shows_the_memory_that_it_takes_now(
    toy_dataset: Path, toy_recipe: Path, runs: Path, tmp_path: Path
) -> None:
    mine = Path(shutil.copytree(runs, tmp_path / "runs"))
    batch = read_plan_file(mine / "toy" / "plan.toml").configuration("2d").batch
    edit(mine / "toy" / "plan.toml", f"batch = {batch}\n", f"batch = {batch * 10}\n")
    result = call("plan", toy_dataset, "--recipe", toy_recipe, "--runs", mine)
    assert result.exit_code == 0, result.output
    assert "2d was edited: a training is now expected to take" in text(result)
    assert "stood there already" in text(result)


def test_explain_tells_what_the_edited_numbers_take(runs: Path, plan_file: Path) -> None:
    batch = read_plan_file(plan_file).configuration("2d").batch
    before = lines(call("plan", plan_file, "--explain", "2d.expected.memory_gb", "--runs", runs))
    edit(plan_file, f"batch = {batch}\n", f"batch = {batch * 10}\n")
    after = lines(call("plan", plan_file, "--explain", "2d.expected.memory_gb", "--runs", runs))
    assert len(before) == 1 and "; planned for " in before[0]
    assert after[0].endswith(": estimated anew for the numbers as they stand")
    memory = [float(found[0].split(": ")[0].removeprefix("2d.expected.memory_gb = ")) for found in (before, after)]
    assert memory[1] > 2 * memory[0]
    assert after[1].startswith("2d was edited: ")


def test_a_copy_without_what_it_takes_is_estimated_anew_and_no_other_plan(runs: Path, plan_file: Path) -> None:
    (plan_file.with_name(EXPECTED)).unlink()
    found = lines(call("plan", plan_file, "--explain", "2d.expected", "--runs", runs))
    assert found[0].startswith("2d.expected.memory_gb = ") and found[0].endswith("for the numbers as they stand")
    assert found[1:4] == [f"2d.expected.{key} = none" for key in ("device", "seconds_per_step", "steps")]
    assert len(found) == 5  # and nobody is told of an edit
    assert lines(call("plan", "--diff", "toy", plan_file, "--runs", runs)) == ["The plans are the same"]


def test_a_plan_that_was_timed_elsewhere_says_so(
    toy_dataset: Path, toy_recipe: Path, runs: Path, tmp_path: Path
) -> None:
    mine = Path(shutil.copytree(runs, tmp_path / "runs"))
    path = mine / "toy" / "plan.toml"
    names = ", ".join(timed_on(path, "H100, bfloat16"))
    words = ("plan", toy_dataset, "--recipe", toy_recipe, "--runs", mine, "--device", "auto")
    result = call(*words)
    assert result.exit_code == 0, result.output
    assert f"{names}: timed on H100, bfloat16, this is {describe_device(resolve_device())}; --overwrite" in text(result)
    timed_on(path, describe_device(resolve_device()))
    assert "timed on" not in text(call(*words))


def test_a_training_is_not_held_against_other_numbers(
    toy_dataset: Path, toy_recipe: Path, runs: Path, tmp_path: Path
) -> None:
    mine = Path(shutil.copytree(runs, tmp_path / "runs"))
    path = mine / "toy" / "plan.toml"
    timed_on(path, describe_device(resolve_device("cpu")))
    train = ("train", toy_dataset, 0, "-c", "2d", "--runs", mine, "--device", "cpu", "--epochs", 1, "--overwrite")
    kept = call(*train)
    assert "seconds a step: 0.1 expected" in text(kept), kept.output
    assert "was edited" not in text(kept)
    plan = read_plan_file(path)
    flat = plan.configuration("2d")
    path.write_text(plan_to_toml(plan.with_configuration(replace(flat, batch=flat.batch + 1), plan.reasons)))
    edited = call(*train)
    assert edited.exit_code == 0, edited.output
    assert "seconds a step" not in text(edited)
    assert "2d was edited: a training is now expected" in text(edited)


# -- from


def test_a_plan_moves_to_another_dataset(toy_dataset: Path, runs: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(toy_dataset, tmp_path / "other"))
    description = json.loads((other / "dataset.json").read_text())
    description["labels"] = {"background": 0, "above": 1, "middle": 2, "below": 3}
    (other / "dataset.json").write_text(json.dumps(description))
    options = ("--from", runs / "toy", "--runs", tmp_path / "runs")
    result = call("plan", other, *options)
    assert result.exit_code == 0, result.output
    source = read_plan_file(runs / "toy" / "plan.toml")
    moved = read_plan_file(tmp_path / "runs" / "other" / "plan.toml")
    assert moved.configuration().network.features == source.configuration().network.features
    assert moved.configuration().patch == source.configuration().patch
    assert moved.configuration().network.out_channels == 4
    assert moved.reasons["3d_fullres.patch"].startswith("taken from the plan of toy")
    assert "stood there already" in text(call("plan", other, *options))
    refused(call("plan", other, "--runs", tmp_path / "runs"), "another --from", "--overwrite")


def test_the_device_by_its_own_name_is_the_same_request(
    toy_dataset: Path, toy_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    options = ("plan", toy_dataset, "--recipe", toy_recipe, "--runs", tmp_path)
    assert call(*options, "--device", "cpu").exit_code == 0
    assert "stood there already" in text(call(*options))
    refused(call(*options, "--memory", "4GB"), "another --memory", "--explain to see it")
    (tmp_path / "toy" / "request.json").write_text("[]")
    refused(call(*options), "not what `autospine plan` writes there", "--overwrite")


@pytest.mark.parametrize("words", [("0s",), (f"{'9' * 400}h",), ("400000h",)])
def test_a_budget_is_a_time_that_someone_has(toy_dataset: Path, tmp_path: Path, words: tuple[str]) -> None:
    result = call("plan", toy_dataset, "--runs", tmp_path, "--budget", *words)
    assert result.exit_code == 2
    assert "at most a year" in text(result)


def test_a_plan_may_begin_with_the_mark_of_an_editor(plan_file: Path) -> None:
    plan = read_plan_file(plan_file)
    plan_file.write_bytes(b"\xef\xbb\xbf" + plan_file.read_bytes().replace(b"\n", b"\r\n"))
    assert read_plan_file(plan_file) == plan


def test_a_moved_plan_brings_its_own_choices_memory_and_time(toy_dataset: Path, runs: Path, tmp_path: Path) -> None:
    options = ("--from", "toy", "--runs", runs)
    refused(call("plan", tmp_path, *options), str(tmp_path))
    refused(call("plan", toy_dataset, *options, "--memory", "8GB", "--dry-run"), "--memory", "leave --memory out")
    refused(call("plan", toy_dataset, *options, "--budget", "1m", "--dry-run"), "--budget", "leave --budget out")
    refused(call("plan", toy_dataset, *options, "--recipe", "lumbar", "--dry-run"), "--recipe", "leave --recipe out")
    refused(call("plan", toy_dataset, "--from", "nowhere", "--runs", runs, "--dry-run"), "no plan")


# -- recipes


def test_recipes_are_listed_with_what_they_change() -> None:
    found = lines(call("recipes"))
    assert "    warmup = 0.1" in found
    assert [line.split("  ")[0] for line in found if not line.startswith(" ")][:-1] == [
        "default", "any-contrast", "lumbar", "metastases", "tumour",
    ]  # fmt: skip


def test_a_recipe_is_shown_whole() -> None:
    result = call("recipes", "tumour")
    assert result.exit_code == 0
    assert result.output == recipe_text("tumour")
    default = (recipe_folder() / "default.toml").read_text(encoding="utf-8")
    assert call("recipes", "default").output == default
    refused(call("recipes", "tumor"), "default, any-contrast, lumbar, metastases, tumour")


# -- usage


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--explain",),
        ("toy", "loss"),
        ("toy", "--explain", "loss", "patch"),
        ("toy", "--explain", "--overwrite"),
        ("toy", "--explain", "--recipe", "lumbar"),
        ("toy", "--diff", "a", "b"),
        ("--diff", "a"),
        ("--diff", "a", "b", "--explain"),
        ("--diff", "a", "b", "--memory", "8GB"),
        ("toy", "--memory", "lots"),
        ("toy", "--memory", "0.5"),
    ],
)
def test_usage_errors_exit_with_2(words: tuple[str, ...]) -> None:
    result = call("plan", *words)
    assert result.exit_code == 2, result.output
