"""The commands that a demonstration runs, for each scenario, and what it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from autospine.cli.app import app
from autospine.errors import AutospineError
from autospine.phantom import dataset as phantom
from autospine.phantom import demo
from autospine.phantom.dataset import SCENARIOS, Scenario, channels_and_labels
from autospine.phantom.grid import Grid
from autospine.phantom.scan import PhantomCase, Scene, scan
from autospine.workflow.progress import Progress, Silent

Ran = list[tuple[str, ...]]


def tiny(seed: int, number: int, scenario: Scenario = "spine") -> PhantomCase:
    """A case of noise with every class in it, drawn at once."""
    rng = np.random.default_rng((seed, number))
    grid = Grid((12, 10, 4), (2.0, 1.5, 4.0), (1, 1, 1))
    channels, classes = channels_and_labels(scenario)
    labels = (np.arange(480).reshape(grid.shape) % (len(classes) + 1)).astype(np.uint8)
    signals = tuple(rng.random(grid.shape, np.float32) for _ in channels)
    return scan(rng, Scene(grid, signals, labels, "sagittal"))


def written(root: Path, *, cases: int, **options: Any) -> Path:
    """Two cases, whatever is asked for."""
    return phantom.write_phantom(root, cases=1, test_cases=1, **options)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Commands that were run; `predict` takes the reference for a segmentation. The phantom is two tiny cases."""
    commands: Ran = []

    def run(progress: Progress, *words: object) -> None:
        commands.append(tuple(str(word) for word in words))
        match words[0]:
            case "predict":
                images, target = Path(str(words[1])), Path(str(words[2]))
                target.mkdir(parents=True, exist_ok=True)
                for reference in (images.parent / "labelsTs").iterdir():
                    (target / reference.name).write_bytes(reference.read_bytes())
            case "evaluate":
                scores = {"mean": {"dice": 0.875}, "cases": [{}]}
                (Path(str(words[1])) / "metrics.json").write_text(json.dumps(scores))

    monkeypatch.setattr(demo, "_run", run)
    monkeypatch.setattr(phantom, "draw_case", tiny)
    monkeypatch.setattr(demo, "write_phantom", written)
    return commands


def show(folder: Path, scenario: str | None, *options: str) -> str:
    chosen = () if scenario is None else ("--scenario", scenario)
    result = CliRunner().invoke(app, ["demo", "--folder", str(folder), "--device", "cpu", *chosen, *options])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(
    ("scenario", "home", "name", "plan", "evaluate"),
    (
        (None, "", "phantom", [], []),
        ("lumbar", "lumbar", "phantom_lumbar", ["--recipe", "lumbar"], []),
        (
            "metastases",
            "metastases",
            "phantom_metastases",
            ["--recipe", "metastases", "--allow-missing"],
            ["--lesions"],
        ),
        ("tumour", "tumour", "phantom_tumour", ["--recipe", "tumour"], ["--lesions"]),
    ),
)
def test_the_commands_are_those_of_a_user(
    scenario: str | None, home: str, name: str, plan: list[str], evaluate: list[str], ran: Ran, tmp_path: Path
) -> None:
    said = show(tmp_path, scenario, "--budget", "90s")
    root = tmp_path / home
    dataset, runs, out = str(root / name), str(root / "runs"), str(root / "predictions")
    on = ["--device", "cpu", "--runs", runs]
    assert [list(command) for command in ran] == [
        ["plan", dataset, *plan, "--budget", "90s", *on],
        ["train", dataset, "0", *on],
        ["predict", f"{dataset}/imagesTs", out, *on],
        ["evaluate", out, f"{dataset}/labelsTs", *evaluate],
        ["report", out, "--ref", f"{dataset}/labelsTs", "--images", f"{dataset}/imagesTs"],
    ]
    assert (root / "demo.png").stat().st_size > 10_000
    assert json.loads((root / "demo.json").read_text())["scenario"] == (scenario or "spine")
    assert "0.875" in said and "not patients" in said


def test_scenarios_do_not_mix(ran: Ran, tmp_path: Path) -> None:
    show(tmp_path, "spine")
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}
    show(tmp_path, "tumour")
    assert all(file.stat().st_mtime_ns == stamp for file, stamp in before.items())
    names = {
        scenario: json.loads((tmp_path / home / "dataset.json").read_text())["labels"]
        for scenario, home in (("spine", "phantom"), ("tumour", "tumour/phantom_tumour"))
    }
    assert "L1" in names["spine"] and "L1" not in names["tumour"] and "tumour" in names["tumour"]


def test_the_same_demonstration_goes_on_and_another_starts_anew(ran: Ran, tmp_path: Path) -> None:
    show(tmp_path, "lumbar")
    kept = tmp_path / "lumbar" / "runs" / "kept"
    kept.mkdir(parents=True)
    show(tmp_path, "lumbar")
    assert kept.is_dir()
    show(tmp_path, "lumbar", "--seed", "1")
    assert not kept.is_dir()


def test_the_picture_shows_the_first_sequence_there_is(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phantom, "missing_channel", lambda scenario, place: 0)
    show(tmp_path, "metastases")
    images = tmp_path / "metastases" / "phantom_metastases" / "imagesTs"
    assert sorted(file.name for file in images.iterdir()) == ["phantom_002_0001.nii.gz", "phantom_002_0002.nii.gz"]
    assert (tmp_path / "metastases" / "demo.png").is_file()


def test_a_scenario_that_there_is_not_is_a_wrong_command_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["demo", "--folder", str(tmp_path), "--scenario", "hip"])
    assert result.exit_code == 2
    assert all(scenario in result.output for scenario in SCENARIOS)
    assert not list(tmp_path.iterdir())


def test_a_command_that_fails_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failed:
        def __init__(self, words: list[str], **options: object) -> None:
            self.words = words

        def wait(self) -> int:
            return 1

    monkeypatch.setattr(demo.subprocess, "Popen", Failed)
    monkeypatch.setattr(phantom, "draw_case", tiny)
    monkeypatch.setattr(demo, "write_phantom", written)
    scenario: Scenario = "tumour"
    with pytest.raises(AutospineError, match=r"autospine plan .*--recipe tumour.*exit code 1"):
        demo.run_demo(tmp_path, 60, 0, "cpu", scenario, progress=Silent())


def test_what_no_demonstration_has_made_is_left_alone(ran: Ran, tmp_path: Path) -> None:
    for name in ("runs", "predictions"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").write_text("years of work")
    result = CliRunner().invoke(app, ["demo", "--folder", str(tmp_path), "--device", "cpu"])
    assert result.exit_code == 1 and "no demonstration made" in " ".join(result.output.replace("│", " ").split())
    assert (tmp_path / "runs" / "mine").is_file() and (tmp_path / "predictions" / "mine").is_file()
    assert not ran


def test_another_device_is_another_demonstration(ran: Ran, tmp_path: Path) -> None:
    show(tmp_path, None)
    (tmp_path / "runs").mkdir(exist_ok=True)
    (tmp_path / "runs" / "made").write_text("on the first device")
    show(tmp_path, None)
    assert (tmp_path / "runs" / "made").is_file()
    show(tmp_path, None, "--device", "auto")
    assert not (tmp_path / "runs" / "made").exists()
