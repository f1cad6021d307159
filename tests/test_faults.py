"""Twenty random faults, after each of which the same command ends as if there had been none; see `tests/faults.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.faults import KINDS, Fault, Stage, can_mount, draw_faults, inject

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="small disks, groups and /proc of Linux")

SEED = 16


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("stage"))


@pytest.fixture(scope="module")
def mounts() -> bool:
    return can_mount()


@pytest.mark.parametrize("fault", draw_faults(20, SEED, KINDS), ids=str)
def test_the_same_command_ends_as_without_the_fault(fault: Fault, stage: Stage, mounts: bool, tmp_path: Path) -> None:
    if fault.kind == "disk" and not mounts:
        pytest.skip("a small disk is mounted, for which it takes root")
    wrong = inject(fault, stage, tmp_path)
    assert not wrong, "\n".join(wrong)
