"""A comparison on the terminal: a row for each class, the verdicts, and what else is to be known."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from autospine.cli.show import comparison as module
from autospine.cli.show.comparison import show_comparison
from tests.evaluation.test_comparison import case, compared


def test_a_comparison_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), width=140, highlight=False)
    monkeypatch.setattr(module, "console", console)
    monkeypatch.setattr("autospine.cli.terminal.console", console)
    base = [case(f"c{place}", {"[x]": 0.5, "y": 0.0 if not place else 0.5}) for place in range(8)]
    new = [case(f"c{place}", {"[x]": 0.5 + place / 100, "y": 0.5}) for place in range(8)]
    found = compared({"base": base, "new": new}, left_out=("c99",), notes=("base: odd",))
    show_comparison(found)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    rows = {line.split()[1]: line for line in text.splitlines() if line.startswith("│")}
    assert "0.500" in rows["[x]"] and "0.535" in rows["[x]"] and "+0.035" in rows["[x]"]
    assert "new against base: mean Dice" in text and "Dice of 8 cases" in text
    assert "c0: y found by new, not by base" in text
    assert "Left out, since some folder lacks them: c99" in text and "warning: base: odd" in text
