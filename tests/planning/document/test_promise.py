"""A promise comes back from its file; one of a stranger's is checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autospine.errors import PlanError
from autospine.evaluation.promise import _MOST_ALONG, _MOST_REMEMBERED
from autospine.planning.document.promise import (
    FEATURES,
    MOST_GAUGED,
    PROMISE,
    Bound,
    Gauge,
    Promise,
    read_promise,
    write_promise,
)

SLOPES = (0.0,) * len(FEATURES)
BOUND = Bound("L5", 2, 0.95, (1.5, 1.4), (6.9, 7.0), (0, 1), (0.1, -0.2), (1.0, 1.0))
TURNED = {"directions": ((0.6, 0.8),), "along": (0.5,), "across": 1.0, "axes": (0, 2)}
GAUGE = Gauge("layout", ("part 1", "part 2"), (0.0, 1.0), (1.0, 2.0), (-1.0, 0.0), (1.0, 2.0), 0.3, 0.2, **TURNED)  # type: ignore[arg-type]
WHOLE = Promise("0.1.0", 0.9, 1.0, ("0", "1"), 2, 2, FEATURES, (SLOPES, SLOPES), (BOUND,), (GAUGE,), 1.5, 0.05)


def test_it_comes_back(tmp_path: Path) -> None:
    assert read_promise(tmp_path) is None
    for promise in (WHOLE, Promise("0.1.0", 0.9, 1.4, ("0",), 3, 3, FEATURES, ())):
        write_promise(tmp_path, promise)
        assert read_promise(tmp_path) == promise
    assert WHOLE.bound("L5") is BOUND and WHOLE.bound("L4") is None and BOUND.cases == 2


Edit = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda table: table.update(schema=2), "schema 2"),
        (lambda table: table.update(confidence=0.2), "from 0.5 to below 1"),
        (lambda table: table.update(temperature=0), "from 0.01 to 100"),
        (lambda table: table.update(features=["luck"]), "expected Dice, entropy"),
        (lambda table: table["slopes"][0].pop(), "a number for each feature"),
        (lambda table: table["bounds"][0].update(intercepts=[1.0]), "one for each part"),
        (lambda table: table.update(slopes=[]), "an intercept for each of 0 parts"),
        (lambda table: table["bounds"].append(table["bounds"][0]), "each once"),
        (lambda table: table["bounds"][0].update(left_out=[0, 2]), "parts below 2"),
        (lambda table: table["bounds"][0].update(left_out=[0, -1]), "at least 0|parts"),
        (lambda table: table["bounds"][0].update(weights=[1.0, 0.0]), "numbers above 0"),
        (lambda table: table["bounds"][0].update(residuals=[1.0]), "one for each case"),
        (lambda table: table["bounds"][0].update(subjects=3), "at most 2"),
        (lambda table: table["bounds"][0].update(subjects=10**400), "at most 2"),
        (lambda table: table["bounds"][0].update(weights=[1.0, 0.5]), "1 for each of 2 subjects"),
        (lambda table: table["bounds"][0].update(residuals=[1e60, 0.0]), r"numbers up to 1e\+50"),
        (lambda table: table["bounds"][0].update(structure="\x1b[2J"), "without control characters"),
        (lambda table: table["bounds"][0].update(intercepts=[float("inf"), 1.0]), "finite|cannot be read"),
        (lambda table: table["gauges"][0].update(names=["\x07", "b"]), "without control characters"),
        (lambda table: table["gauges"][0].update(scales=[1.0, 0.0]), "numbers above 0"),
        (lambda table: table["gauges"][0].update(directions=[[1.0]]), "a number for each name"),
        (lambda table: table["gauges"][0].update(along=[]), "one for each direction"),
        (lambda table: table["gauges"][0].update(axes=[3]), "0, 1 or 2"),
        (lambda table: table["gauges"][0].update(spread=0.0), "above 0"),
        (lambda table: table["gauges"][0].update(usual=-1.0), "at least 0"),
        (lambda table: table.update(threshold=-1.0), "at least 0"),
        (lambda table: table["gauges"][0].update(kind="orientation", directions=[], along=[]), "all parts of an image"),
        (lambda table: table["gauges"][0].update(kind="weather"), "anatomy"),
        (lambda table: table["gauges"].append(table["gauges"][0]), "each once"),
        (lambda table: table.update(folds=["\u202e"]), "without control characters"),
        (lambda table: table.update(code="import os"), "no key `code`"),
    ],
)
def test_what_a_stranger_may_not_say_is_refused(tmp_path: Path, edit: Edit, said: str) -> None:
    write_promise(tmp_path, WHOLE)
    table = json.loads((tmp_path / PROMISE).read_text())
    edit(table)
    (tmp_path / PROMISE).write_text(json.dumps(table))
    with pytest.raises(PlanError, match=f"(?s){said}") as fault:
        read_promise(tmp_path)
    assert PROMISE in str(fault.value)


def test_the_longest_that_is_learnt_can_be_read(tmp_path: Path) -> None:
    """Of 50 structures and 40 channels, each number as long as it may be."""
    number, each = -1.234567e-05, _MOST_REMEMBERED // 50
    where, off = (4,) * each, (number,) * each
    bound = Bound("structure", each, 0.9, (number,) * 5, (number,) * 5, where, off, (0.9999999,) * each)
    names = tuple(f"part {place % 125 + 1} of channel {place // 125 + 1}" for place in range(MOST_GAUGED))
    rows = ((number,) * MOST_GAUGED,) * (_MOST_ALONG // MOST_GAUGED)
    lists = ((number,) * MOST_GAUGED, (1.234567e-05,) * MOST_GAUGED, rows[0], rows[0])
    gauge = Gauge("layout", names, *lists, 0.3, 0.2, rows, rows[0][: len(rows)])
    gauges = (gauge, replace(gauge, kind="orientation"))
    bounds = tuple(replace(bound, structure=f"structure {place}") for place in range(50))
    whole = Promise("0.1.0", 0.9, 1.0, tuple("01234"), each, each, FEATURES, (SLOPES,) * 5, bounds, gauges, 1.5, 0.05)
    write_promise(tmp_path, whole)
    assert read_promise(tmp_path) == whole


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / PROMISE).write_text("[]")
    with pytest.raises(PlanError, match="not a table of keys"):
        read_promise(tmp_path)
