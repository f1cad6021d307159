"""Which of several processes this is that were started by one command, and what of the machine is its.

    torchrun --nproc-per-node 2 -m autospine predict in out     RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE
    srun --ntasks 8 autospine predict in out                    SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID, ...
    sbatch --array 0-7 job.sh                                   SLURM_ARRAY_TASK_ID, _MIN, _COUNT, _STEP

Nothing is sent between the processes: what they share lies in the folder that they write to.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from autospine.errors import DeviceError

T = TypeVar("T")
THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Share:
    """A part of a list that is split into equal ones, whoever does the others."""

    part: int
    """From 1."""
    parts: int

    @staticmethod
    def parse(text: str) -> Share:
        """The share that is written like `2/8`; `ValueError` for anything else."""
        part, _, parts = text.strip().partition("/")
        if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
            raise ValueError(f"{text!r} is no share: write it like 2/8, the second of eight")
        return Share(int(part), int(parts))

    def of(self, items: Sequence[T]) -> list[T]:
        """Every `parts`-th of the items."""
        return list(items[self.part - 1 :: self.parts])


@dataclass(frozen=True)
class Rank:
    """This process among those of one command."""

    index: int = 0
    """From 0, over all machines."""
    count: int = 1
    local: int = 0
    """From 0, on this machine."""
    local_count: int = 1
    launched: bool = False
    """Whether one launcher waits for all of them, and ends the others where one ends with an error."""

    @staticmethod
    def of(environment: Mapping[str, str] = os.environ) -> Rank:
        """The rank that a launcher has said in the environment; the only one of one where none has.

        Raises:
            DeviceError: a rank beyond the number of ranks.
        """
        if "RANK" in environment and "WORLD_SIZE" in environment:
            index, count = _number(environment, "RANK", 0), _number(environment, "WORLD_SIZE", 1)
            local, here = _number(environment, "LOCAL_RANK", 0), _number(environment, "LOCAL_WORLD_SIZE", 1)
            rank = Rank(index, count, local, here)
            return rank._checked("RANK", launched=rank.count > 1)
        index, count = _number(environment, "SLURM_PROCID", 0), _number(environment, "SLURM_STEP_NUM_TASKS", 1)
        if count == 1:  # a batch script has a number of tasks, and is none of them
            index = 0
        first, step = _number(environment, "SLURM_ARRAY_TASK_MIN", 0), _number(environment, "SLURM_ARRAY_TASK_STEP", 1)
        task = (_number(environment, "SLURM_ARRAY_TASK_ID", first) - first) // max(1, step)
        tasks = _number(environment, "SLURM_ARRAY_TASK_COUNT", 1)
        local_count = _tasks_here(environment) if count > 1 else 1
        local = _number(environment, "SLURM_LOCALID", 0) if count > 1 else 0
        rank = Rank(task * count + index, tasks * count, local, local_count)
        return rank._checked("SLURM_PROCID or SLURM_ARRAY_TASK_ID", launched=count > 1)

    def _checked(self, name: str, *, launched: bool) -> Rank:
        """Itself; `DeviceError` where the numbers do not fit each other."""
        if not (0 <= self.index < self.count and 0 <= self.local < self.local_count):
            found = f"rank {self.index} of {self.count}, on this machine {self.local} of {self.local_count}"
            raise DeviceError(name, found, "ranks from 0 on, less than their number", "correct or unset the variables")
        return Rank(self.index, self.count, self.local, self.local_count, launched)

    def own_first(self, items: Sequence[T]) -> list[T]:
        """The items, those of this rank first; then what others might not come to, from the ends of their parts."""
        ordered = list(items[self.index :: self.count])
        for further in range(1, self.count):
            ordered += reversed(items[(self.index + further) % self.count :: self.count])
        return ordered

    def threads(self, cores: int, environment: Mapping[str, str] = os.environ) -> int | None:
        """With how many threads to compute, of `cores` that this process may run on; None: as many as it would.

        torchrun binds no process to cores and has each compute with one thread, where the user has not said how many.
        SLURM binds a task to its own ones where it is set up so: then there are fewer than the machine has.
        """
        said = environment.get(THREADS)
        if self.local_count == 1 or said not in (None, "1"):
            return None
        if "LOCAL_WORLD_SIZE" in environment:
            return max(1, cores // self.local_count)
        return max(1, cores // self.local_count) if said is None and cores == os.cpu_count() else None


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    """A variable's whole number; the default where it has none."""
    text = environment.get(name, "").strip()
    return int(text) if text.isdecimal() else default


def _tasks_here(environment: Mapping[str, str]) -> int:
    """Tasks of the step on this node: of `2(x3),1` on four nodes, this node's."""
    counts: list[int] = []
    for part in environment.get("SLURM_STEP_TASKS_PER_NODE", "1").split(","):
        tasks, _, times = part.partition("(x")
        if tasks.isdecimal():
            counts += [int(tasks)] * (int(times.rstrip(")")) if times.rstrip(")").isdecimal() else 1)
    node = _number(environment, "SLURM_NODEID", 0)
    return counts[node] if node < len(counts) else _number(environment, "SLURM_LOCALID", 0) + 1
