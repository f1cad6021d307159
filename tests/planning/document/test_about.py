"""What is told of a model beside its card: as it was written, or refused in one message."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autospine.errors import PlanError
from autospine.planning.document.about import (
    ABOUT,
    About,
    Figures,
    Validated,
    WeightsOf,
    limits_of,
    read_about,
    write_about,
)
from autospine.planning.document.trained_on import TrainedOn

SEEN = TrainedOn(
    12,
    ((3.0, 0.5, 0.5), (4.0, 0.6, 0.6), (5.0, 0.7, 0.8)),
    ((15, 300, 300), (17, 320, 320), (20, 512, 512)),
    "sagittal",
)
WHOLE = About(
    replace(SEEN, descriptions=("T2 TSE sag", "t2_sag")),
    "0.1.0",
    "2.13.0",
    "2026-11-30",
    "CC-BY-4.0\nwith two lines",
    limits_of(SEEN, ("T2",)),
    (Validated("0", 3, 0.9, None, (Figures("L5", 3, 0.9, 0.8, 0.9, 0.9, 1.0, None),)),),
    (WeightsOf("0", "ab"),),
)


def test_it_comes_back(tmp_path: Path) -> None:
    assert read_about(tmp_path) is None
    for about in (WHOLE, About(), About(SEEN)):
        write_about(tmp_path, about)
        assert read_about(tmp_path) == about


def test_limits_name_what_was_seen() -> None:
    said = " ".join(limits_of(SEEN, ("T1", "T2")))
    assert "not a medical device" in said and "T1, T2, 12 cases, most of them in sagittal slices" in said
    assert "images of T1. On" in " ".join(limits_of(None, ("T1",)))


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        (lambda table: table.update(schema=2), "schema 2"),
        (lambda table: table.update(licence="x" * 10_001), "at most 10000 letters"),
        (lambda table: table.update(licence="\x1b[2J"), "control characters"),
        (lambda table: table.update(autospine="\r"), "control characters"),
        (lambda table: table.update(limits=["\x07"]), "control characters"),
        (lambda table: table.update(patient="x"), "there is no key `patient`"),
        (lambda table: table["trained_on"].update(slices="oblique"), "one of axial, coronal, sagittal"),
        (lambda table: table["trained_on"].update(shape=[[0, 1, 1]] * 3), "numbers above 0"),
        (lambda table: table["trained_on"].update(cases=-1), "at least 0"),
        (lambda table: table["trained_on"].update(descriptions=["x"] * 101), "at most 100"),
        (lambda table: table["trained_on"].update(descriptions=["x" * 201]), "at most 200 letters"),
        (lambda table: table["validation"][0].update(dice=1.5), "from 0 to 1"),
        (lambda table: table["validation"][0].update(fold="\x1b"), "control characters"),
        (lambda table: table["validation"][0]["structures"][0].update(hd95_mm=-1), "at least 0"),
        (lambda table: table["weights"][0].update(sha256="\x1b"), "control characters"),
    ],
)
def test_what_is_refused(tmp_path: Path, edit: Any, found: str) -> None:
    write_about(tmp_path, WHOLE)
    table = json.loads((tmp_path / ABOUT).read_text())
    edit(table)
    (tmp_path / ABOUT).write_text(json.dumps(table))
    with pytest.raises(PlanError, match=found) as fault:
        read_about(tmp_path)
    assert fault.value.where.startswith(str(tmp_path / ABOUT))


def test_what_is_no_table(tmp_path: Path) -> None:
    (tmp_path / ABOUT).write_text("[]")
    with pytest.raises(PlanError, match="not a table of keys"):
        read_about(tmp_path)
