"""Temporary files: those of the dead go, those of the living stay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from autospine.data.disk import temporaries
from autospine.data.disk.files import atomic_path, write_json, write_text
from autospine.data.disk.temporaries import remove_abandoned, temporary_beside
from autospine.data.volume import check_format
from autospine.errors import OutputError

WRITE = """
import sys
from pathlib import Path
from autospine.data.disk.files import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    sys.stdin.readline()
"""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no locks on open files there")


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@contextmanager
def writing(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is in the midst of writing `path`, and ends well at a line of input."""
    command = [sys.executable, "-c", WRITE, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "writing\n"
        try:
            yield process
        finally:
            process.kill()


def left(folder: Path, name: str, age_s: float = 0) -> Path:
    """A file that nobody writes any more, last touched so long ago."""
    path = folder / name
    path.write_text("half")
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path: Path) -> None:
    with writing(tmp_path / "a.txt") as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert len(names(tmp_path)) == 1 and names(tmp_path)[0].startswith(".tmp-")
    write_text(tmp_path / "b.txt", "whole")
    assert names(tmp_path) == ["b.txt"]


def test_what_a_neighbour_writes_stays(tmp_path: Path) -> None:
    with writing(tmp_path / "a.txt") as process:
        before = names(tmp_path)
        remove_abandoned(tmp_path)
        write_text(tmp_path / "b.txt", "whole")
        assert names(tmp_path) == sorted([*before, "b.txt"])
        process.communicate("\n")
        assert process.returncode == 0
    assert names(tmp_path) == ["a.txt", "b.txt"] and (tmp_path / "a.txt").read_text() == "half"


def test_what_this_process_writes_stays(tmp_path: Path) -> None:
    with temporary_beside(tmp_path / "a.txt") as (path, _):
        remove_abandoned(tmp_path)
        assert path.exists()
    assert names(tmp_path) == []


def test_without_a_lock_that_tells_a_day_decides(tmp_path: Path) -> None:
    """Another machine's lock may not be seen here, and earlier versions had none."""
    for name in (".tmp-ffffffff-0123abcd-a.nii", ".tmp-0123456789ab-a.nii"):
        young, old = left(tmp_path, name, 23 * 3600), left(tmp_path, f"{name}.gz", 25 * 3600)
        remove_abandoned(tmp_path)
        assert young.exists() and not old.exists()


def test_where_there_are_no_locks_a_day_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(temporaries.fcntl, "flock", refuse)
    own = f".tmp-{temporaries._running_system()}-0123abcd-"
    young, old = left(tmp_path, f"{own}a", 23 * 3600), left(tmp_path, f"{own}b", 25 * 3600)
    write_text(tmp_path / "b.txt", "whole")
    assert names(tmp_path) == sorted([young.name, "b.txt"]) and not old.exists()


def test_nothing_else_is_touched(tmp_path: Path) -> None:
    kept = [left(tmp_path, name, 1e6) for name in (".tmp-notes", ".tmp-0123-a", "tmp-0123456789ab-a", ".hidden")]
    (tmp_path / ".tmp-0123456789ab-folder").mkdir()
    (tmp_path / ".tmp-0123456789ab-link").symlink_to(kept[0])
    before = names(tmp_path)
    remove_abandoned(tmp_path)
    assert names(tmp_path) == before


def test_clearing_and_making_at_the_same_time(tmp_path: Path) -> None:
    """Between its making and its lock a file looks abandoned: whoever makes it notices, and makes another."""
    over = threading.Event()

    def clear() -> None:
        while not over.is_set():
            remove_abandoned(tmp_path)

    clearing = [threading.Thread(target=clear) for _ in range(2)]
    for thread in clearing:
        thread.start()
    try:
        for number in range(200):
            write_text(tmp_path / f"{number}.txt", "whole")
    finally:
        over.set()
        for thread in clearing:
            thread.join()
    assert len(names(tmp_path)) == 200


@pytest.mark.parametrize("name", ["a" * 251 + ".txt", "ä" * 125 + ".txt", "脊" * 83 + ".txt"])
def test_names_as_long_as_names_can_be(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "whole")
    assert names(tmp_path) == [name]


def test_a_writer_within_another_keeps_the_lock(tmp_path: Path) -> None:
    """Another process that writes here for the first time clears the folder of what nobody writes."""
    code = "import sys; from pathlib import Path; from autospine.data.disk.temporaries import remove_abandoned\n"
    with atomic_path(tmp_path / "a.json") as temporary:
        write_json(temporary, {"a": 1})
        words = [sys.executable, "-c", f"{code}remove_abandoned(Path(sys.argv[1]))", str(tmp_path)]
        subprocess.run(words, check=True)
        assert [path.name for path in tmp_path.iterdir()] == [temporary.name]
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_fault_of_a_writer_within_another_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not a format") as fault:
        with atomic_path(tmp_path / "a.bin") as temporary:
            check_format(temporary)
    assert fault.value.where == str(tmp_path / "a.bin")
