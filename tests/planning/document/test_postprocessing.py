"""`postprocessing.json`: what is written is read, and what a stranger may have put there is refused in one message."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autospine.errors import PlanError
from autospine.planning.document.plan import Plan
from autospine.planning.document.postprocessing import (
    NOTHING,
    POSTPROCESSING,
    Postprocessing,
    Step,
    read_postprocessing,
    write_postprocessing,
)


@pytest.fixture
def data(make_plan: Callable[..., Plan]) -> Any:
    return make_plan().data  # L1, L2, L3


def test_what_is_written_is_read_and_nothing_leaves_no_file(tmp_path: Path, data: Any) -> None:
    assert read_postprocessing(tmp_path, data) == NOTHING and not NOTHING
    steps = Postprocessing((Step("fill", "L1"), Step("above", "L1", 30.0), Step("largest")))
    write_postprocessing(tmp_path, steps)
    assert read_postprocessing(tmp_path, data) == steps
    assert json.loads((tmp_path / POSTPROCESSING).read_text())["steps"][2] == {
        "kind": "largest",
        "structure": None,
        "volume_mm3": None,
    }
    write_postprocessing(tmp_path, NOTHING)
    assert not (tmp_path / POSTPROCESSING).exists()


def test_steps_say_what_they_do() -> None:
    assert Step("above", "L1", 30.0).described == "L1: components below 30 mm3 removed"
    assert Step("largest").described == "all structures together: largest component alone"
    assert Step("fill", "L1").described == "L1: holes filled"


SOUND = {"kind": "above", "structure": "L1", "volume_mm3": 30.0}
FAULTS: dict[str, tuple[object, str]] = {
    "no table": ([], "not a table of keys"),
    "another schema": ({"schema": 2, "steps": []}, "schema 2"),
    "a kind nobody knows": ({"schema": 1, "steps": [{**SOUND, "kind": "run"}]}, "found 'run'"),
    "a structure of another model": ({"schema": 1, "steps": [{**SOUND, "structure": "cord"}]}, "does not segment"),
    "a name that drives a terminal": ({"schema": 1, "steps": [{**SOUND, "structure": "\x1b[2J"}]}, "x1b"),
    "a volume of nothing": ({"schema": 1, "steps": [{**SOUND, "volume_mm3": 0}]}, "found 0"),
    "no volume": ({"schema": 1, "steps": [{"kind": "above", "structure": "L1"}]}, "found 'null'"),
    "a volume too much": ({"schema": 1, "steps": [{**SOUND, "kind": "largest"}]}, "found 30"),
    "a hole of nothing": ({"schema": 1, "steps": [{"kind": "fill"}]}, "found 'null'"),
    "a step twice": ({"schema": 1, "steps": [SOUND, {**SOUND, "volume_mm3": 10}]}, "found"),
    "too many": ({"schema": 1, "steps": [SOUND] * 1001}, "1001"),
    "a key nobody knows": ({"schema": 1, "steps": [{**SOUND, "command": "rm"}]}, "no key `command`"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_what_is_no_postprocessing_is_refused(tmp_path: Path, data: Any, kind: str) -> None:
    content, said = FAULTS[kind]
    (tmp_path / POSTPROCESSING).write_text(json.dumps(content))
    with pytest.raises(PlanError) as fault:
        read_postprocessing(tmp_path, data)
    assert said in str(fault.value) and str(tmp_path / POSTPROCESSING) in str(fault.value)
    assert "\x1b" not in str(fault.value)


def test_a_sound_one_is_taken(tmp_path: Path, data: Any) -> None:
    """So that each of the faults is refused for itself."""
    (tmp_path / POSTPROCESSING).write_text(json.dumps({"schema": 1, "steps": [SOUND]}))
    assert read_postprocessing(tmp_path, data).steps == (Step("above", "L1", 30.0),)
