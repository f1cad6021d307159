"""Which memory a plan is made for: what the user says, else the recipe, else the device."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autospine.machine import device
from autospine.machine.arithmetic import Machine
from autospine.planning.document.plan import Plan
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.fingerprint import Fingerprint
from autospine.workflow import plan as workflow
from autospine.workflow.plan import PlanRequest, plan_dataset


@pytest.fixture
def planned_gb(monkeypatch: pytest.MonkeyPatch, toy_dataset: Path, tmp_path: Path, steady: None):  # type: ignore[no-untyped-def]
    """A function from (kind of device, its GB, request, lines of the recipe) to (GB, machine) of the planner."""
    seen: list[tuple[float | str, object]] = []
    make_plan = workflow.make_plan

    def watch(fingerprint: Fingerprint, recipe: Recipe, **options: object) -> Plan:
        seen.append((recipe.memory_gb, options["machine"]))
        return make_plan(fingerprint, recipe, **options)  # type: ignore[arg-type]

    def run(kind: str, total: float | None, memory_gb: float | None, lines: str) -> tuple[float | str, object]:
        recipe = tmp_path / "mine.toml"
        recipe.write_text(f'configurations = ["2d"]\n{lines}')
        monkeypatch.setattr(workflow, "make_plan", watch)
        monkeypatch.setattr(device, "resolve_device", lambda name: torch.device(kind))
        monkeypatch.setattr(device, "device_memory_gb", lambda asked: total)
        monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
        monkeypatch.setattr(device, "describe_device", lambda asked, precision="float32": kind)
        monkeypatch.setattr(device, "gpu_precision", lambda asked: "bfloat16")
        plan_dataset(toy_dataset, tmp_path / "runs", PlanRequest(str(recipe), memory_gb), dry_run=True)
        return seen[-1]

    return run


@pytest.mark.parametrize(
    ("kind", "total", "memory_gb", "lines", "expected"),
    [
        ("cuda", 25.4, None, "", 25.4),
        ("cpu", 64.0, None, "", 8.0),
        ("cpu", 5.9, None, "", 5.9),
        ("cpu", None, None, "", 8.0),
        ("cpu", 0.6, None, "", 1.0),
        ("cuda", 25.4, None, "memory_gb = 12.0\n", 12.0),
        ("cuda", 25.4, 40.0, "memory_gb = 12.0\n", 40.0),
        ("cpu", 5.9, 16.0, "", 16.0),
    ],
)
def test_memory_that_is_planned_for(  # type: ignore[no-untyped-def]
    planned_gb, kind: str, total: float | None, memory_gb: float | None, lines: str, expected: float
) -> None:
    assert planned_gb(kind, total, memory_gb, lines)[0] == expected


def test_a_cpu_is_planned_for_with_all_its_threads(planned_gb) -> None:  # type: ignore[no-untyped-def]
    assert planned_gb("cpu", 64.0, None, "")[1] == Machine("float32", threads=16)
    assert planned_gb("cuda", 64.0, None, "")[1] == Machine("half", threads=1)
