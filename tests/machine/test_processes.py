"""Processes that work is shared out to: what stops them, what ends them from outside, where there may be none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from autospine.data.structure import Case
from autospine.machine import processes
from autospine.preprocessing.fill import run_jobs
from tests.processes import group, wait_for

POSIX = pytest.mark.skipif(os.name != "posix", reason="groups of processes")

SLOW = '''
import os, sys, time
from dataclasses import dataclass
from pathlib import Path

from autospine.data.disk.files import atomic_path
from autospine.data.structure import Case


@dataclass(frozen=True)
class Slow:
    """A case that takes until `go` is there, and is half written meanwhile."""

    case: Case
    root: Path


def build(job):
    (job.root / f"by_{os.getpid()}_{os.getppid()}").touch()
    with atomic_path(job.root / f"{job.case.name}.npy") as temporary:
        temporary.write_text("half")
        (job.root / f"begun_{job.case.name}").touch()
        deadline = time.monotonic() + 60
        while not (job.root / "go").exists() and time.monotonic() < deadline:
            time.sleep(0.02)


def jobs(root):
    return [Slow(Case(f"case{number}", (root / "image.nii",), None, "one"), root) for number in range(6)]
'''
MAIN = """
import sys
from pathlib import Path

import slow
from autospine.machine import jobs as pools
from autospine.errors import AutospineError
from autospine.preprocessing import fill
from autospine.training.interrupt import end_on_signals

root = Path(sys.argv[1])
end_on_signals()
pools.WAITING_SAID_EVERY_S = 0.5
try:
    fill.run_jobs(slow.build, slow.jobs(root), 2, 0, lambda name, done, total: print(name, done, total, flush=True))
except KeyboardInterrupt:
    sys.exit(130)
except AutospineError as fault:
    sys.exit(str(fault))
"""


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    def start(source: str = MAIN) -> subprocess.Popen[str]:
        root = tmp_path / "store"
        root.mkdir()
        (tmp_path / "slow.py").write_text(SLOW)
        (tmp_path / "main.py").write_text(source)
        path = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
        words = [sys.executable, str(tmp_path / "main.py"), str(root)]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            words, env=os.environ | {"PYTHONPATH": path}, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    return start


def begun(root: Path) -> int:
    return len(list(root.glob("begun_*")))


@POSIX
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_stop_of_the_group_ends_it_once_the_cases_under_way_are_whole(
    begin: Callable[..., subprocess.Popen[str]], tmp_path: Path, name: str
) -> None:
    process, root = begin(), tmp_path / "store"
    wait_for(lambda: begun(root) == 2)
    for _ in range(2):  # as `timeout` sends it, to the process and to its group
        os.killpg(process.pid, getattr(signal, name))
    time.sleep(0.2)
    (root / "go").touch()
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130, complaint
    assert "Traceback" not in complaint
    assert not list(root.glob(".tmp-*"))
    # the two under way, and what stood in the queue behind them
    assert 2 <= len(list(root.glob("*.npy"))) < 6
    wait_for(lambda: not group(process.pid))


@POSIX
def test_a_second_stop_does_not_wait_for_the_cases(begin: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    process, root = begin(MAIN.replace("end_on_signals()", "")), tmp_path / "store"
    wait_for(lambda: begun(root) == 2)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    wait_for(lambda: not group(process.pid))


@POSIX
@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_processes_end_with_a_parent_that_is_killed(
    begin: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process, root = begin(), tmp_path / "store"
    wait_for(lambda: begun(root) == 2)
    assert len(group(process.pid)) >= 3
    process.kill()
    process.wait()
    wait_for(lambda: not group(process.pid))
    process.communicate()


@POSIX
def test_a_process_that_is_killed_is_named_with_the_way_out(
    begin: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process, root = begin(), tmp_path / "store"
    wait_for(lambda: begun(root) == 2)
    victim = next(int(path.name.split("_")[1]) for path in root.glob("by_*"))
    os.kill(victim, signal.SIGKILL)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "memory" in complaint
    assert "--workers 1" in complaint
    wait_for(lambda: not group(process.pid))


@POSIX
def test_cases_that_take_long_are_named(begin: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    process, root = begin(), tmp_path / "store"
    assert process.stdout is not None
    said = process.stdout.readline()
    (root / "go").touch()
    rest, complaint = process.communicate(timeout=60)
    assert process.returncode == 0, complaint
    assert "under way" in said
    assert said.split()[-2:] == ["0", "6"]
    assert [line.split()[-2:] for line in rest.splitlines() if "under way" not in line][-1] == ["6", "6"]


THREAD = (
    MAIN.replace("try:", "import threading\ntry:")
    .replace("    fill.run_jobs(", "    work = lambda: fill.run_jobs(")
    .replace(
        "flush=True))",
        "flush=True))\n    thread = threading.Thread(target=work)\n    thread.start()\n    thread.join()",
    )
)
DAEMON = """
import multiprocessing, sys
from pathlib import Path

import slow
from autospine.preprocessing import fill

def work():
    fill.run_jobs(slow.build, slow.jobs(Path(sys.argv[1])), 2, 0, None)

if __name__ == "__main__":
    process = multiprocessing.get_context("fork").Process(target=work, daemon=True)
    process.start()
    process.join()
    sys.exit(process.exitcode)
"""


@POSIX
@pytest.mark.parametrize("source", [THREAD, DAEMON], ids=["thread", "daemonic process"])
def test_where_no_process_may_be_started_one_does_it_all(
    begin: Callable[..., subprocess.Popen[str]], tmp_path: Path, source: str
) -> None:
    process, root = begin(source), tmp_path / "store"
    (root / "go").touch()
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 0, complaint
    assert len(list(root.glob("*.npy"))) == 6
    assert len(list(root.glob("by_*"))) == 1


@dataclass(frozen=True)
class Noted:
    case: Case
    root: Path


def test_work_that_cannot_be_shared_is_done_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes take turns by semaphores in shared memory; where that is read-only, one process does it all."""
    assert processes.may_start_processes()

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("multiprocessing.context.BaseContext.Lock", refuse)
    assert not processes.may_start_processes()
    built: list[str] = []
    jobs = [Noted(Case(name, (), None, name), tmp_path) for name in ("a", "b")]
    run_jobs(lambda job: built.append(job.case.name), jobs, 2, 0, None)
    assert built == ["a", "b"]
