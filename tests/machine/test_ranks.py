"""Which of several processes this is, as launchers say it."""

from __future__ import annotations

import os

import pytest

from autospine.errors import DeviceError
from autospine.machine.ranks import Rank, Share

TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
SRUN = {"SLURM_PROCID": "4", "SLURM_STEP_NUM_TASKS": "6", "SLURM_LOCALID": "0", "SLURM_NODEID": "2"}
ARRAY = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "4"}


@pytest.mark.parametrize(
    ("environment", "rank"),
    [
        ({}, Rank()),
        (TORCHRUN, Rank(5, 8, 1, 4, launched=True)),
        ({"RANK": "0", "WORLD_SIZE": "1"}, Rank()),
        (SRUN | {"SLURM_STEP_TASKS_PER_NODE": "2(x2),3,1"}, Rank(4, 6, 0, 3, launched=True)),
        # a batch script of so many tasks is none of them
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, Rank()),
        (ARRAY | {"SLURM_ARRAY_TASK_STEP": "2"}, Rank(3, 4)),
        # tasks of a step of a job of an array: the third job of four has the ranks 12 to 17
        (SRUN | ARRAY | {"SLURM_ARRAY_TASK_ID": "3", "SLURM_STEP_TASKS_PER_NODE": "2(x3)"}, Rank(16, 24, 0, 2, True)),
    ],
)
def test_ranks_are_those_of_the_launcher(environment: dict[str, str], rank: Rank) -> None:
    assert Rank.of(environment) == rank


def test_a_rank_beyond_their_number_is_refused() -> None:
    with pytest.raises(DeviceError, match="rank 8 of 8"):
        Rank.of(TORCHRUN | {"RANK": "8"})


def test_each_begins_with_its_own_and_comes_to_all() -> None:
    items = list(range(10))
    orders = [Rank(index, 3).own_first(items) for index in range(3)]
    assert orders[1] == [1, 4, 7, 8, 5, 2, 9, 6, 3, 0]
    assert all(sorted(order) == items for order in orders)
    assert Rank().own_first(items) == items
    assert Rank(2, 5).own_first(["a"]) == ["a"]


def test_shares_are_parts_of_the_list() -> None:
    items = list(range(10))
    parts = [Share.parse(f" {part}/3 ").of(items) for part in (1, 2, 3)]
    assert parts == [[0, 3, 6, 9], [1, 4, 7], [2, 5, 8]]
    for text in ("0/3", "4/3", "1", "a/b", "1/", "-1/2", ""):
        with pytest.raises(ValueError, match="is no share: write it like 2/8"):
            Share.parse(text)


def test_local_ranks_share_the_cores() -> None:
    two = Rank(1, 4, 1, 2, launched=True)
    launched = {"LOCAL_WORLD_SIZE": "2"}
    assert two.threads(16, launched) == 8
    assert two.threads(1, launched) == 1
    assert two.threads(16, launched | {"OMP_NUM_THREADS": "1"}) == 8  # torchrun's own word
    assert two.threads(16, launched | {"OMP_NUM_THREADS": "3"}) is None
    assert Rank(launched=True).threads(16, launched) is None
    cores = os.cpu_count() or 1
    assert two.threads(cores, {}) == max(1, cores // 2)
    assert two.threads(cores + 1, {}) is None  # bound by the launcher: these are its own
    assert two.threads(cores, {"OMP_NUM_THREADS": "1"}) is None
