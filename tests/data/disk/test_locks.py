"""Locks: one holder at a time, named to the others, gone with its process however that ends."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from autospine.data.disk.locks import find_holder, locked
from autospine.errors import OutputError
from tests.data.disk.holding import holding


def test_whoever_comes_second_is_told_who_holds_it(tmp_path: Path) -> None:
    """The message names the process and its command."""
    with holding(tmp_path / ".lock") as number:
        with pytest.raises(OutputError, match=f"the folder: in use by process {number} .*-c"):
            with locked(tmp_path / ".lock", Path("the folder")):
                pass


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    """The system takes the lock away from a process that is killed."""
    with holding(tmp_path / ".lock") as number:
        os.kill(number, signal.SIGKILL)
    with locked(tmp_path / ".lock", tmp_path):
        pass


def test_who_waits_says_so_and_goes_on_when_it_is_free(tmp_path: Path) -> None:
    """Waiting is told once, and ends with the holder's block."""
    said: list[str] = []
    inside: list[float] = []

    def wait() -> None:
        with locked(tmp_path / ".lock", tmp_path, said.append):
            inside.append(time.monotonic())

    with locked(tmp_path / ".lock", tmp_path):
        thread = threading.Thread(target=wait)
        thread.start()
        deadline = time.monotonic() + 30
        while not said and time.monotonic() < deadline:
            time.sleep(0.05)
        left = time.monotonic()
    thread.join(30)
    assert inside and inside[0] >= left
    assert len(said) == 1 and f"process {os.getpid()}" in said[0] and "waiting" in said[0]


def test_a_folder_without_the_right_to_write(tmp_path: Path) -> None:
    """A lock that cannot be made is the user's fault, with the folder's name."""
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be written"):
        with locked(tmp_path / ".lock", tmp_path):
            pass


def test_file_systems_without_locks_are_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system says that it has no locks, the block is entered as it is."""
    import fcntl

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    entered = False
    with locked(tmp_path / ".lock", tmp_path):
        entered = True
    assert entered


def test_a_name_as_long_as_a_name_can_be_has_a_lock(tmp_path: Path) -> None:
    path = tmp_path / f".{'n' * 255}.lock"
    with locked(path, tmp_path), pytest.raises(OutputError, match="in use"):
        with locked(path, tmp_path):
            pass


def test_what_keeps_a_lock_from_being_made_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process that has no more files to open: it must not go on as if it were alone."""
    import filelock

    def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with pytest.raises(OutputError, match="Too many open files"):
        with locked(tmp_path / ".lock", tmp_path):
            pass


def test_the_holder_is_found_by_whoever_does_not_want_the_lock(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    assert find_holder(path) is None and not path.exists()
    with holding(path) as number:
        assert f"process {number} " in (find_holder(path) or "")
    with locked(path, tmp_path):
        assert find_holder(path) is None  # this process
    assert find_holder(path) is None


def test_others_can_take_a_lock_whatever_the_umask_of_who_made_it(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with locked(tmp_path / ".lock", tmp_path):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / ".lock").stat().st_mode & 0o777 == 0o666
