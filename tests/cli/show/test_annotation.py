from __future__ import annotations

import math
from pathlib import Path

import pytest
from rich.console import Console

from autospine.cli import terminal
from autospine.cli.show import annotation
from autospine.evaluation.informative import Pick
from autospine.evaluation.suspicion import RankedCase, Suspicion
from autospine.workflow.audit import Audited
from autospine.workflow.next_cases import Chosen, Scan


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    shown = Console(width=160, record=True, highlight=False)
    monkeypatch.setattr(annotation, "console", shown)
    monkeypatch.setattr(terminal, "console", shown)
    return shown


def test_ten_lines_of_a_worklist(console: Console) -> None:
    swapped = Suspicion("swapped", ("L3", "L2"), 0.9, "L3 and L2 [sic] are exchanged")
    cases = tuple(RankedCase(f"c{number}", 0.9, math.nan if number else 0.25, (swapped,)) for number in range(12))
    annotation.show_audit(Audited(Path("runs/a/audit"), cases, (("x", "broken"),), ("y", "z")))
    head, first, *rest, last = console.export_text().splitlines()
    assert first.split() == "1 c0 0.90 0.250 swapped: L3 and L2 [sic] are exchanged".split()
    assert len(rest) == 9 and rest[0].split()[3] == "-"
    assert last == "12 masks judged, 3 not. Written: runs/a/audit/worklist.csv"


def test_nothing_speaks_against_any(console: Console) -> None:
    annotation.show_audit(Audited(Path("a"), (RankedCase("c", 0.0, 0.9, ()),), (), ()))
    assert console.export_text().splitlines() == [
        "Nothing speaks against any mask",
        "1 mask judged. Written: a/worklist.csv",
    ]


def test_scans_that_were_chosen(console: Console) -> None:
    scan = Scan("scan_7", "nearest to 3 other scans", 0.5, 0.8, Pick(0, 1.0, 3, "size"))
    annotation.show_chosen(Chosen(Path("out"), (scan,), 40))
    assert [line.split() for line in console.export_text().splitlines()] == [
        ["rank", "scan", "why"],
        "1 scan_7 nearest to 3 other scans".split(),
        "1 of 40 scans chosen. Written: out/next.csv".split(),
    ]
