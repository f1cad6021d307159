from __future__ import annotations

from pathlib import Path

from tests.cli.calling import Run, call, refused, text


def test_the_report_of_a_training(trained: Run, tmp_path: Path) -> None:
    # the training has written one
    assert [path.name for path in (trained.runs / "toy").glob("*/report.html")] == ["report.html"]
    done = call("report", trained.runs / "toy", "--output", tmp_path / "a.html", "--images", trained.dataset)
    assert done.exit_code == 0, done.output
    assert "Written:" in text(done) and "MB" in text(done)
    html = (tmp_path / "a.html").read_text("utf-8")
    assert html.startswith("<!doctype html>") and "toy_0" in html and str(trained.runs) not in html


def test_faults_are_one_message(tmp_path: Path) -> None:
    refused(call("report", tmp_path / "nowhere"), "nowhere", "no such folder")
    refused(call("report", tmp_path), "nothing to report on")
    assert call("report").exit_code == 2
    assert call("report", tmp_path, "--cases", "99").exit_code == 2
