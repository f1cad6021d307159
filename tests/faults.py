"""Random faults in the middle of plan, train and predict; then the same command again, and the results it should have.

    python tests/faults.py                      # 100 faults, seed 0
    python tests/faults.py --count 20 --seed 7  # the same 20 every time, by kind, command and moment
    python tests/faults.py --only 13            # one of them, with all that it said

A fault hits at a moment that is drawn from the seconds that the command takes undisturbed. Afterwards the same command
is run without a fault, and has to end well, with results that are the same to the bit as those of a run that nothing
ever happened to: plan, folds and fingerprint; weights, history and metrics; masks. No traceback, no process and no
temporary file may be left.

    kill      SIGKILL to the process
    signal    SIGTERM, SIGHUP or SIGINT to its process group, as a cluster, a closed terminal or Ctrl-C send them
    disk      the disk is full from that moment on (a small mount, for which it takes root)
    file      no file may be written beyond some KiB (which every user may ask for)
    worker    SIGKILL to one of the processes that it has started
    pipe      whoever reads its output goes away, or the output is a full device
    twice     a second process runs the same command beside it
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import write_volume

Kind = Literal["kill", "signal", "disk", "file", "worker", "pipe", "twice"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LAUNCH = (
    "from pathlib import Path\n"
    "from autospine.cli import app as cli\n"
    "from autospine.planning.document import recipe\n"
    "recipe.recipe_folder = lambda: Path('recipes')\n"
    "run = cli.app\n"
    "def pinned_app():\n"
    "    from autospine.machine.precision import pinned\n"
    "    with pinned('float32'):\n"
    "        run()\n"
    "cli.app = pinned_app\n"
    "cli.main()\n"
)
"""The command line with a small recipe as its default one, in one precision: which is the faster for so small a network
is a matter of the moment."""
COMMANDS = {
    "plan": "plan data --device cpu",
    "train": "train data 0 --device cpu --workers 1",
    "train without a plan": "train data 0 --device cpu --workers 0",
    "train --overwrite": "train data 0 --device cpu --workers 1 --overwrite",
    "predict": "predict in out --device cpu",
    "predict --overwrite": "predict in out --device cpu --overwrite",
}
RECIPE = """\
configurations = ["2d"]
base_features = 4
max_features_2d = 8
epochs = 5
steps_per_epoch = 8
validation_steps = 1
"""
ENDED = {0, 1, 130, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP, -signal.SIGINT}
"""How a command may end that a fault has hit: done, with a message, stopped; or ended by what nobody can answer, as a
signal in the moment before Python has begun to run the command, or after it has."""
LEFT_S = 30.0
"""Seconds in which the processes of one that was killed have to find out."""
LIMIT_S = 240.0
"""Seconds after which a command is said to hang."""


@dataclass(frozen=True)
class Fault:
    """What happens to which command, and when."""

    number: int
    kind: Kind
    command: str
    share: float
    """When, as a share of the time that the command takes undisturbed."""
    choice: int
    """Decides what the kind leaves open."""

    def __str__(self) -> str:
        return f"{self.number}: {self.kind} at {self.share:.0%} of {self.command}"


def draw_faults(count: int, seed: int, kinds: Sequence[Kind]) -> list[Fault]:
    """`count` faults: every kind and command in turn, moments at random."""
    rng = random.Random(seed)
    drawn: list[Fault] = []
    next_kinds, next_commands = list[Kind](), list[str]()
    while len(drawn) < count:
        next_kinds = next_kinds or rng.sample(kinds, len(kinds))
        next_commands = next_commands or rng.sample(list(COMMANDS), len(COMMANDS))
        kind = next_kinds.pop()
        # a prediction starts no process
        fitting = [name for name in next_commands if kind != "worker" or not name.startswith("predict")]
        command = fitting[0] if fitting else "train"
        next_commands = [name for name in next_commands if name != command]
        drawn.append(Fault(len(drawn), kind, command, rng.uniform(0.02, 1.0), rng.randrange(1000)))
    return drawn


class Stage:
    """Folders in which each command is about to be run, and what it makes where nothing disturbs it."""

    def __init__(self, root: Path) -> None:
        """Make everything below `root`; takes the six commands' own time."""
        self.root = root
        self.seconds: dict[str, float] = {}
        self.results: dict[str, dict[str, object]] = {}
        self._new = root / "new"
        make_data(self._new)
        for command in COMMANDS:
            home = self.begin(command, root / "undisturbed" / _folder(command))
            began = time.monotonic()
            done = run(command, home)
            if done.returncode:
                raise RuntimeError(f"{command} fails undisturbed:\n{done.stdout}\n{done.stderr}")
            self.seconds[command] = time.monotonic() - began
            self.results[command] = read_results(home)

    def begin(self, command: str, home: Path) -> Path:
        """A folder in which `command` can be run: for `train` with a plan, for `predict` with a trained fold."""
        undisturbed = self.root / "undisturbed"
        needed = {
            "plan": self._new,
            "train without a plan": self._new,
            "train": undisturbed / "plan",
            "train --overwrite": undisturbed / "train",
            "predict": undisturbed / "train",
            "predict --overwrite": undisturbed / "predict",
        }
        shutil.copytree(needed[command], home, dirs_exist_ok=True)
        return home


def run(command: str, home: Path) -> subprocess.CompletedProcess[str]:
    """`command` in the folder `home`, to its end."""
    with _started(command, home) as process:
        output, errors = _finished(process)
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def inject(fault: Fault, stage: Stage, home: Path) -> list[str]:
    """What is wrong after `fault` in the empty folder `home`, and after the same command without it."""
    stage.begin(fault.command, home)
    moment = fault.share * stage.seconds[fault.command]
    with _disturbed(fault, home, moment) as process:
        output, errors = _finished(process)
    wrong = []
    if process.returncode not in ENDED:
        wrong.append(f"ended with {process.returncode}")
    if fault.kind in ("pipe", "twice") and process.returncode != 0:
        wrong.append(f"ended with {process.returncode}, though nothing was in its way")
    if "Traceback" in errors + output or "Exception ignored" in errors:
        wrong.append("a traceback")
    if left := _left_processes(process.pid):
        wrong.append(f"processes left: {left}")
    again = run(fault.command, home)
    if again.returncode:
        wrong.append(f"the same command again ended with {again.returncode}")
    if "Traceback" in again.stderr:
        wrong.append("a traceback of the same command again")
    results, expected = read_results(home), stage.results[fault.command]
    for name in sorted(results.keys() ^ expected.keys()):
        wrong.append(f"{name} is {'missing' if name in expected else 'too much'}")
    wrong += [f"{name} differs" for name in sorted(results.keys() & expected.keys()) if results[name] != expected[name]]
    wrong += [f"left: {path.relative_to(home)}" for path in home.rglob(".tmp-*")]
    wrong += [f"left: {path.relative_to(home)}" for path in home.rglob(".removed-*")]
    if wrong:
        wrong += [f"--- disturbed ---\n{output}\n{errors}", f"--- again ---\n{again.stdout}\n{again.stderr}"]
    return wrong


def read_results(home: Path) -> dict[str, object]:
    """What a command has made, file by file, without what is different every time: seconds, and memory."""
    found: dict[str, object] = {}
    for path in sorted([*(home / "runs").rglob("*"), *(home / "out").rglob("*")]):
        reader = next((read for pattern, read in _READERS.items() if re.fullmatch(pattern, path.name)), None)
        if reader is not None and path.is_file():
            found[path.relative_to(home).as_posix()] = reader(path)
    return found


def _expected(path: Path) -> object:
    """What is expected, without what was measured: how long a step takes."""
    found = json.loads(path.read_text())
    return {name: {key: one[key] for key in one if key != "seconds_per_step"} for name, one in found.items()}


TIMES = ("seconds", "waiting")
"""Columns of a history that are another each time."""


def _history(path: Path) -> object:
    with path.open(newline="") as file:
        return [{key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(file)]


def _record(path: Path) -> object:
    content = tomllib.loads(path.read_text())
    return {key: content.get(key) for key in ("identity", "split", "data", "images")} | {
        "steps": content["result"]["steps"]
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


_READERS: dict[str, Callable[[Path], object]] = {
    r"plan\.toml": lambda path: tomllib.loads(path.read_text()),
    r"(fingerprint|splits|metrics|model)\.json": lambda path: json.loads(path.read_text()),
    r"expected\.json": _expected,
    r"history\.csv": _history,
    r"run\.toml": _record,
    r"(?!\.).*\.(npy|npz|safetensors)": _digest,
    r"(?!\.).*\.nii": _digest,
    r"(?!\.).*\.nii\.gz": lambda path: hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest(),
}


@contextmanager
def _disturbed(fault: Fault, home: Path, moment: float) -> Iterator[subprocess.Popen[str]]:
    """The command in `home`, with its fault."""
    match fault.kind:
        case "kill":
            with _started(fault.command, home) as process:
                if not _ends_within(process, moment):
                    process.kill()
                yield process
        case "signal":
            number = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)[fault.choice % 3]
            with _started(fault.command, home) as process:
                if not _ends_within(process, moment):
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, number)
                yield process
        case "disk":
            with _small_disk(home) as fill, _started(fault.command, home) as process:
                _ends_within(process, moment)
                fill(fault.choice * 40)
                yield process
        case "file":
            with _started(fault.command, home, file_bytes=256 + fault.choice * 100) as process:
                yield process
        case "worker":
            with _started(fault.command, home) as process:
                if not _ends_within(process, moment):
                    _kill_worker(process)
                yield process
        case "pipe":
            if fault.choice % 2:
                with Path("/dev/full").open("w") as full, _started(fault.command, home, stdout=full) as process:
                    yield process
            else:
                with _started(fault.command, home) as process:
                    _ends_within(process, moment)
                    assert process.stdout is not None
                    process.stdout.close()
                    process.stdout = None
                    yield process
        case "twice":
            with _started(fault.command, home) as process:
                ended = _ends_within(process, moment)
                with _started(fault.command, home) as other:
                    _finished(other)
                if other.returncode not in ENDED or (ended and other.returncode):
                    raise RuntimeError(f"{fault}: the other process ended with {other.returncode}")
                yield process


@contextmanager
def _started(
    command: str, home: Path, *, stdout: io.TextIOWrapper | int = subprocess.PIPE, file_bytes: int | None = None
) -> Iterator[subprocess.Popen[str]]:
    """`command` as a process that leads a group of its own; killed at the end of the block where it still runs."""

    def limit() -> None:
        if file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, *COMMANDS[command].split()],
        cwd=home,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
        preexec_fn=limit,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _finished(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a process has said, once it has ended."""
    try:
        output, errors = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
        return output or "", f"{errors}\nTraceback: it hangs"
    return output or "", errors


def _ends_within(process: subprocess.Popen[str], seconds: float) -> bool:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        return True
    return False


def _kill_worker(process: subprocess.Popen[str]) -> None:
    """SIGKILL to the first process that `process` has started, as soon as there is one."""
    while process.poll() is None:
        with suppress(OSError):
            for number in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(number), signal.SIGKILL)
                return
        time.sleep(0.005)


def _left_processes(group: int) -> list[int]:
    """Processes of a group that are there although its leader has ended, and stay for `LEFT_S`."""
    deadline = time.monotonic() + LEFT_S
    while left := [number for number in map(int, filter(str.isdigit, os.listdir("/proc"))) if _group(number) == group]:
        if time.monotonic() > deadline:
            return left
        time.sleep(0.1)
    return []


def _group(number: int) -> int | None:
    """The process group of a process that runs; None where it has ended."""
    with suppress(OSError, IndexError, ValueError):
        state, _, group = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[:3]
        return None if state == "Z" else int(group)
    return None


@contextmanager
def _small_disk(home: Path) -> Iterator[Callable[[int], None]]:
    """`home` on a small disk; the function fills it up to so many KiB. At the end all is back on the large disk."""
    with tempfile.TemporaryDirectory() as folder:
        disk = Path(folder)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], check=True)
        try:
            shutil.copytree(home, disk, dirs_exist_ok=True)
            for path in home.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            subprocess.run(["mount", "--bind", folder, str(home)], check=True)
            ballast = disk / ".ballast"

            def fill(left_kib: int) -> None:
                room = shutil.disk_usage(disk).free - left_kib * 1024
                with suppress(OSError), ballast.open("wb") as file:
                    for _ in range(max(0, room) // 4096):
                        file.write(bytes(4096))

            try:
                yield fill
            finally:
                subprocess.run(["umount", "-l", str(home)], check=True)
                ballast.unlink(missing_ok=True)
                shutil.copytree(disk, home, dirs_exist_ok=True)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def can_mount() -> bool:
    """Whether this process may mount a small disk."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return False
        subprocess.run(["umount", folder], check=True)
        return True


def make_data(home: Path) -> None:
    """Eight cases of two classes, and images to predict."""
    (home / "recipes").mkdir(parents=True)
    (home / "recipes/default.toml").write_text(RECIPE)
    geometry = Geometry((6, 40, 32), (4.0, 1.0, 1.25), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    for folder in ("data/imagesTr", "data/labelsTr", "in"):
        (home / folder).mkdir(parents=True)
    for index in range(12):
        rng = np.random.default_rng(index)
        grid = np.indices(geometry.shape)
        label = np.zeros(geometry.shape, np.uint8)
        for value in (1, 2):
            middle = [rng.uniform(0.3, 0.7) * size for size in geometry.shape]
            label[sum((axis - at) ** 2 for axis, at in zip(grid, middle, strict=True)) < 36] = value
        image = (rng.normal(100, 10, geometry.shape) + 60 * label).astype(np.float32)
        if index < 8:
            write_volume(home / f"data/imagesTr/c{index}_0000.nii.gz", Volume(image[None], geometry))
            write_volume(home / f"data/labelsTr/c{index}.nii.gz", Volume(label[None], geometry))
        else:
            write_volume(home / f"in/s{index}.nii.gz", Volume(image[None], geometry))
    description = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "one": 1, "two": 2},
        "numTraining": 8,
        "file_ending": ".nii.gz",
    }
    (home / "data/dataset.json").write_text(json.dumps(description))


def _folder(command: str) -> str:
    return command.replace(" ", "_")


def main() -> int:
    """Inject the faults that the command line asks for; the number of those after which something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int)
    options = parser.parse_args()
    kinds = KINDS if can_mount() else tuple(kind for kind in KINDS if kind != "disk")
    faults = draw_faults(options.count, options.seed, kinds)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        for fault in faults:
            if options.only not in (None, fault.number):
                continue
            home = Path(folder) / f"fault_{fault.number}"
            home.mkdir()
            wrong = inject(fault, stage, home)
            shutil.rmtree(home)
            failed += bool(wrong)
            print(f"{'WRONG' if wrong else 'right'}  {fault}", *wrong, sep="\n    ", flush=True)  # noqa: T201
    print(f"{failed} of {len(faults)} faults left something wrong")  # noqa: T201
    return failed


if __name__ == "__main__":
    sys.exit(bool(main()))
