"""Masks to look at again, from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from autospine.planning.document.plan import Plan
from tests.cli.calling import call, refused, text
from tests.columns import NAMES, VALUES, column, predicted, write_dataset, write_run


def test_audit(tmp_path: Path, make_plan: Callable[..., Plan]) -> None:
    names = [f"c{number:02}" for number in range(6)]
    masks = {name: column(number) for number, name in enumerate(names)}
    masks["c03"] = np.array([0, 2, 1, 3], np.uint8)[masks["c03"]]
    dataset, runs = write_dataset(tmp_path / "data" / "spines", masks), tmp_path / "runs"
    plan = make_plan(dataset="spines", labels=tuple(zip(NAMES, VALUES, strict=True)))
    refused(call("audit", dataset, "--runs", runs), "autospine plan")
    write_run(runs, dataset, plan, {name: predicted(column(number), number) for number, name in enumerate(names)})
    done = call("audit", dataset, "--runs", runs, "--count", 0, "--workers", 0)
    assert done.exit_code == 0, done.output
    assert "1 c03" in text(done) and "swapped: L3 and L2 are exchanged" in text(done)
    assert "6 masks judged. Written:" in text(done) and "audit/worklist.csv" in text(done).replace(" ", "")
    refused(call("audit", dataset, "--runs", runs, "--configuration", "2d"), "2d")
    assert call("audit", dataset, "--runs", runs, "--count", "-1").exit_code == 2


def test_next_asks_for_a_model(tmp_path: Path, make_plan: Callable[..., Plan]) -> None:
    dataset = write_dataset(tmp_path / "data" / "spines", {"a": column(0)})
    refused(call("next", dataset, dataset, "--runs", tmp_path / "runs"), "autospine plan")
    assert call("next", dataset).exit_code == 2
