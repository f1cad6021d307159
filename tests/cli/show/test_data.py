from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from autospine.cli import terminal
from autospine.cli.show import data
from autospine.data.findings import Finding
from autospine.data.structure import Dataset
from autospine.workflow.check import Checked


def test_errors_come_first_then_what_was_left_aside_and_the_count(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(width=200, record=True, highlight=False)
    monkeypatch.setattr(data, "console", console)
    monkeypatch.setattr(terminal, "console", console)
    findings = (Finding("warning", "a", "a.nii", "odd", "", ""), Finding("error", "b", "b.nii", "broken", "", ""))
    data.show_checked(Checked(Dataset("set", Path("set"), ("T2",), (), (), notes=("aside: c",)), findings))
    first, second, *rest = console.export_text().splitlines()
    assert first.startswith("error") and "broken" in first and second.startswith("warning")
    assert rest == ["aside: c", "0 cases: 1 error(s), 1 warning(s)"]
