"""What trainings are expected to take: known beside a plan, never in it, since nothing is decided by it.

    expected.json   {"2d": {"memory_gb": 4.2, "device": "CPU, 2 cores", "seconds_per_step": 0.3, "steps": 5400, ...}}

Without the file, or where a configuration is no longer the one that it speaks of, all of it is estimated anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autospine.data.disk.files import read_json, write_json
from autospine.errors import PlanError
from autospine.planning.document.convert import MOST_DOCUMENT_BYTES, Checks, Reader, to_table
from autospine.planning.document.limits import Above0, Count, Seconds
from autospine.planning.document.plan import Plan

EXPECTED = "expected.json"
"""Beside `plan.toml`."""
MADE_FOR = "a hash of network, patch, batch, optimiser and budget: an edit of these shows, and is estimated anew"


@dataclass(frozen=True)
class Expected:
    """What a training of one configuration is expected to take; `train` reports how true it was."""

    memory_gb: Above0
    """Peak memory of a training step in 10^9 bytes, by the estimate of `planning.estimate.memory`."""
    device: str | None = None
    """Device on which a step was timed; None: none was."""
    seconds_per_step: Seconds | None = None
    """Measured seconds of a training step there."""
    steps: Count | None = None
    """Steps that fit the time budget."""
    made_for: str | None = None
    """`expectation_key` of the numbers that all this was estimated and timed for; None: nobody knows."""
    why: str = ""
    """Why that much memory."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        with Checks(self):
            pass


Expectations = Mapping[str, Expected]
"""By the name of the configuration."""


@dataclass(frozen=True)
class Estimated:
    """A plan with what its trainings are expected to take."""

    plan: Plan
    expected: Expectations = field(default_factory=dict)
    """Of the configurations of which it is known."""


def write_expected(path: Path, expected: Expectations) -> None:
    """Write `expected.json`."""
    write_json(path, to_table(expected))


def read_expected(path: Path) -> Expectations:
    """What `write_expected` wrote; nothing where there is no such file. `PlanError` where it holds something else."""
    if not path.exists():
        return {}
    remedy = "remove this file: it is estimated anew"
    reader = Reader(str(path), remedy)
    content = read_json(path, PlanError, MOST_DOCUMENT_BYTES, remedy)
    tables = content if isinstance(content, dict) else {"": content}
    found = {name: reader.table(Expected, table, name) for name, table in tables.items()}
    return reader.sound({name: one for name, one in found.items() if one is not None})
