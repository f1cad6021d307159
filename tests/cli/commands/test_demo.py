from __future__ import annotations

from pathlib import Path

import pytest

from autospine.phantom import demo
from tests.cli.calling import call, refused, text


def test_a_demonstration_says_what_came_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[object] = []

    def run(*given: object, progress: object) -> demo.DemoResult:
        asked.extend(given)
        return demo.DemoResult(0.8, 3, 61, Path("demo.png"), Path("report.html"))

    monkeypatch.setattr(demo, "run_demo", run)
    result = call("demo", "--folder", tmp_path, "--scenario", "lumbar", "--device", "cpu")
    assert result.exit_code == 0 and asked == [tmp_path, 150.0, 0, "cpu", "lumbar"]
    said = "Mean Dice 0.800 on 3 held-out cases of a phantom (synthetic images, not patients), in 1 min 01 s."
    assert said in text(result)


def test_a_folder_of_other_runs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    refused(call("demo", "--folder", tmp_path), "holds runs, which no demonstration made")
