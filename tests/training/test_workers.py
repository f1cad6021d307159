"""Processes that build batches: one that is lost, shared memory that is full, a place that may not start any."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from autospine.errors import DeviceError, PlanError, Stopped
from autospine.planning.document.configuration import Configuration
from autospine.preprocessing.store import Store
from autospine.training import workers as workers_module
from autospine.training.batches import PatchBatches
from autospine.training.checkpoint import CHECKPOINT
from autospine.training.progress import FitProgress
from autospine.training.workers import WorkerBatches, batch_bytes, batches_from, fitting_workers
from tests.cards import card_of
from tests.training.trainings import CPU, train

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="signals and shared memory of Linux")


@LINUX
@pytest.mark.parametrize(("number", "said"), [(signal.SIGKILL, "memory ran out"), (signal.SIGBUS, "/dev/shm")])
def test_a_worker_that_is_killed_costs_nothing(
    small_store: Store, quick: Configuration, tmp_path: Path, number: signal.Signals, said: str
) -> None:
    whole = replace(quick, training=replace(quick.training, epochs=20))
    train(whole, small_store, tmp_path / "whole", workers=0)

    def kill(state: FitProgress) -> None:
        if state.step == 6:
            for process in multiprocessing.active_children():
                assert process.pid is not None
                os.kill(process.pid, number)

    with pytest.raises(DeviceError, match=said) as fault:
        train(whole, small_store, tmp_path / "parts", workers=1, on_step=kill)
    assert number.name in fault.value.found
    assert "the same command goes on" in fault.value.found
    for word in ("--workers", "shared memory", "--shm-size"):
        assert word in fault.value.remedy
    steps: list[int] = []
    train(whole, small_store, tmp_path / "parts", workers=0, on_step=lambda state: steps.append(state.step))
    # what had been built ahead is trained with, and nothing is lost of it
    assert f"step {steps[0] - 1} is saved" in fault.value.found
    assert 7 <= steps[0] <= 11
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(one[name], two[name]) for name in one)


@LINUX
def test_a_worker_that_is_lost_does_not_raise_in_the_middle_of_a_step(small_store: Store, quick: Configuration) -> None:
    before = signal.getsignal(signal.SIGCHLD)
    batches = batches_from(PatchBatches(small_store, ("a",), card_of(quick), augment=True, seed=1), 0, 1, pin=False)
    assert signal.getsignal(signal.SIGCHLD) is before
    next(batches)
    (worker,) = multiprocessing.active_children()
    worker.kill()
    worker.join()
    signal.raise_signal(signal.SIGCHLD)
    with pytest.raises(DeviceError, match="SIGKILL"):
        while True:
            next(batches)


def test_workers_ignore_what_stops_a_group_of_processes(small_store: Store, quick: Configuration) -> None:
    batches = batches_from(PatchBatches(small_store, ("a",), card_of(quick), augment=True, seed=1), 0, 2, pin=False)
    children = multiprocessing.active_children()
    assert len(children) == 2
    for process in children:  # at once: they may not have begun
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            os.kill(process.pid or 0, getattr(signal, name))
    for _ in range(20):
        next(batches)
    assert all(process.is_alive() for process in children)


class Failing:
    """Batches of which the third is that of a damaged case."""

    def check_cases(self) -> None:
        pass

    def __getitem__(self, step: int) -> Sequence[np.ndarray]:
        if step == 2:
            raise PlanError("runs/prepared", "the prepared case 'b' is damaged", "a whole one", "prepare it anew")
        return (np.zeros((2, 2), np.float32),)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_fault_of_the_data_arrives_as_itself(workers: int) -> None:
    batches = batches_from(Failing(), 0, workers, pin=False)
    for _ in range(2):
        next(batches)
    with pytest.raises(PlanError) as fault:
        next(batches)
    assert str(fault.value) == str(
        PlanError("runs/prepared", "the prepared case 'b' is damaged", "a whole one", "prepare it anew")
    )


class Hanging:
    """Batches that never come."""

    def check_cases(self) -> None:
        pass

    def __getitem__(self, step: int) -> Sequence[np.ndarray]:
        time.sleep(3600)
        return ()


def test_a_batch_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "LOOK_S", 0.1)
    monkeypatch.setattr(workers_module, "WAIT_LIMIT_S", 0.5)
    batches = batches_from(Hanging(), 0, 1, pin=False)
    assert isinstance(batches, WorkerBatches)
    with pytest.raises(DeviceError, match="no batch for"):
        next(batches)
    for process in multiprocessing.active_children():
        process.terminate()  # as pools and the exit of Python do, and then wait
        process.join(60)
        assert process.exitcode == -signal.SIGKILL


def test_a_fault_of_ours_keeps_its_traceback(small_store: Store, quick: Configuration) -> None:
    class Wrong(Failing):
        def __getitem__(self, step: int) -> Sequence[np.ndarray]:
            raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError, match="in __getitem__"):
        next(batches_from(Wrong(), 0, 1, pin=False))


def test_workers_are_as_many_as_shared_memory_has_room_for(
    quick: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = batch_bytes(card_of(quick))
    assert needed == 2 * 8 * 16 * 16 * 4 * (1 + 3)
    for free, found in ((None, 4), (100 * needed, 4), (13 * needed, 3), (5 * needed, 1), (4 * needed, 0), (0, 0)):
        monkeypatch.setattr(workers_module, "shared_bytes", lambda free=free: free)
        said: list[str] = []
        assert fitting_workers(card_of(quick), CPU, 4, said.append) == found
        assert ["--shm-size" in note for note in said] == [True] * (found < 4)
    assert fitting_workers(card_of(quick), CPU, 0) == 0


def test_where_no_process_may_be_started_none_is(small_store: Store, quick: Configuration) -> None:
    said: list[str] = []
    found: list[int] = []
    before = multiprocessing.active_children()  # of other tests

    def work() -> None:
        found.append(fitting_workers(card_of(quick), CPU, 2, said.append))
        batches = batches_from(PatchBatches(small_store, ("a",), card_of(quick), augment=True, seed=1), 0, 2, pin=False)
        next(batches)
        found.append(len(set(multiprocessing.active_children()) - set(before)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [0, 0]
    assert "in this process" in said[0]


SMALL = """
import sys
import numpy as np
from autospine.errors import DeviceError
from autospine.training.workers import batches_from

class Large:
    def check_cases(self): pass
    def __getitem__(self, step): return (np.ones(3_000_000, np.float32), np.ones(8, np.int64))

try:
    batches = batches_from(Large(), 0, 1, pin=False)
    held = [next(batches) for _ in range(9)]
except DeviceError as fault:
    sys.exit(str(fault))
"""


@LINUX
@pytest.mark.parametrize(("size", "full", "code"), [("8m", False, 1), ("16k", True, 0)])
def test_full_shared_memory_ends_with_a_message_or_is_done_without(
    tmp_path: Path, size: str, full: bool, code: int
) -> None:
    """Less than one batch; and less than the semaphores of a process, so that none is started."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("mounting needs root")
    script = tmp_path / "small.py"
    script.write_text(textwrap.dedent(SMALL))
    mounted = f"mount -t tmpfs -o size={size} tmpfs /dev/shm"
    if subprocess.run(["unshare", "-m", "sh", "-c", mounted], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let root mount")
    fill = "head -c 16384 /dev/zero > /dev/shm/full 2> /dev/null;" if full else ""
    words = ["unshare", "-m", "sh", "-c", f"{mounted} && {fill} exec {sys.executable} {script}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if code:
        assert "--workers" in done.stderr
        assert "--shm-size" in done.stderr


@LINUX
def test_a_stop_is_answered_while_a_batch_is_waited_for(
    small_store: Store, quick: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that answers no more: nothing is under way that a stop would have to wait for."""
    built = PatchBatches.__getitem__

    def build(batches: PatchBatches, step: int) -> object:
        if step == 6:
            time.sleep(3600)
        return built(batches, step)

    monkeypatch.setattr(workers_module, "LOOK_S", 0.3)
    monkeypatch.setattr(PatchBatches, "__getitem__", build)  # forked workers have it too

    def stop_soon(state: FitProgress) -> None:
        if state.step == 6:
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()

    long = replace(quick, training=replace(quick.training, epochs=50))
    with pytest.raises(Stopped, match="stopped after 6 steps"):
        train(long, small_store, tmp_path / "out", workers=1, on_step=stop_soon)
    assert torch.load(tmp_path / "out" / CHECKPOINT, weights_only=True)["step"] == 6


@pytest.mark.parametrize("alive", [True, False])
def test_a_worker_has_nothing_to_say_once_its_training_is_gone(
    alive: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Parent:
        def is_alive(self) -> bool:
            return alive

    monkeypatch.setattr(multiprocessing, "parent_process", Parent)
    workers_module._say_while_parent_lives(ValueError, ValueError("no reader"), None)
    assert ("no reader" in capsys.readouterr().err) == alive
