"""`autospine study` as a user types it; what it does is tested in tests/study/test_run.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autospine.study import run as workflow_study
from autospine.study.run import Study, StudyRequest
from tests.cli.calling import call, text


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, Path, StudyRequest, dict[str, Any]]]:
    """What the commands ask for; nothing is trained."""
    calls: list[tuple[Path, Path, StudyRequest, dict[str, Any]]] = []

    def note(dataset: Path, runs: Path, request: StudyRequest, **more: Any) -> Study:
        calls.append((dataset, runs, request, more))
        report = None if request.only else Path("there/report.md")
        return Study(Path("there"), report, (("msff+sace", 0), ("base", 1)), ("msff against base: nothing",))

    monkeypatch.setattr(workflow_study, "run_study", note)
    return calls


def test_options_reach_the_study(asked: list[Any], tmp_path: Path) -> None:
    words = (
        "--arms",
        "base,msff",
        "--folds",
        "0,2",
        "--steps",
        "600",
        "-c",
        "2d",
        "--device",
        "cpu",
        "--runs",
        tmp_path,
    )
    result = call("study", "ablation", "spines", *words)
    assert result.exit_code == 0, result.output
    assert "msff against base: nothing" in result.output and "Written: there/report.md" in result.output
    dataset, runs, request, more = asked[0]
    assert (dataset, runs, more["list_only"]) == (Path("spines"), tmp_path, False)
    assert (request.kind, request.arms, request.folds, request.steps) == ("ablation", ("base", "msff"), (0, 2), 600)
    assert (request.configuration, request.train.device, request.only) == ("2d", "cpu", None)


def test_defaults_of_the_kinds(asked: list[Any]) -> None:
    for kind in ("ablation", "sequences", "dimensions", "patches"):
        assert call("study", kind, "spines").exit_code == 0
    arms = [request.arms for _, _, request, _ in asked]
    assert arms == [("base", "control", "msff", "sace", "msff+sace"), (), (), ()]
    assert all(request.folds is None and request.steps is None for _, _, request, _ in asked)


def test_one_command_for_each_training(asked: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["autospine", "study", "patches", "my spines", "--commands"])
    result = call("study", "patches", "my spines", "--commands")
    assert result.output.splitlines() == [
        "autospine study patches 'my spines' --only msff+sace:0",
        "autospine study patches 'my spines' --only base:1",
    ]
    assert asked[0][3]["list_only"]
    one = call("study", "patches", "my spines", "--only", "msff+sace:1", "--pretrain", "masked,none")
    assert asked[1][2].only == ("msff+sace", 1) and asked[1][2].pretraining == ("none", "masked")
    assert "2 training(s) are left" in one.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--folds", "first"), "--folds first"),
        (("--only", "base"), "--only base"),
        (("--only", "base:x"), "--only base:x"),
        (("--only", "base:²"), "--only base:²"),
        (("--folds", "²"), "--folds ²"),
        (("--arms", " , "), "names no arm"),
        (("--steps", "0"), "--steps"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_what_is_no_option(asked: list[Any], words: tuple[str, ...], said: str) -> None:
    result = call("study", "ablation", "spines", *words)
    assert result.exit_code == 2 and said in text(result) and not asked


def test_pretraining_that_there_is_not(asked: list[Any]) -> None:
    result = call("study", "patches", "spines", "--pretrain", "magic")
    assert result.exit_code == 2 and "none, masked" in text(result)


def test_a_data_set_that_is_not_there(tmp_path: Path) -> None:
    result = call("study", "ablation", tmp_path / "nowhere", "--runs", tmp_path / "runs")
    # the panel may break a long path anywhere
    assert result.exit_code == 1 and "nowhere" in text(result).replace(" ", "")
