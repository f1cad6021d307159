"""One training that is killed again and again: its weights have to be those of one that nothing happened to.

    python -m tests.benchmarks.killed_training [--kills 20] [--seed 0]

SIGKILL at a random moment of each run of the same command, counted from where the training has begun; a checkpoint is
written after every step, so that many kills fall into one. Between them the newest checkpoint is cut in half now and
then, as a disk may do that loses its power. Weights, scores and predictions are compared to the bit.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.faults import LAUNCH, make_data, read_results

EVERY_STEP = "from autospine.training import epochs\nepochs.CHECKPOINT_EVERY_S = 0.0\n"
COMMAND = "train data 0 --device cpu --workers 0 --epochs 30".split()
DAMAGED = 0.2
"""Share of the kills after which the newest checkpoint is damaged."""
LONGEST_S = 2.0
"""Of training between two kills."""


def main() -> None:
    """Train twice, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as temporary:
        homes = [Path(temporary) / name for name in ("whole", "killed")]
        for home in homes:
            make_data(home)
            run(home, "plan data --device cpu".split()).communicate()
        whole, killed = homes
        finish(run(whole, COMMAND))
        done = within = damaged = 0
        fold = killed / "runs" / "data" / "2d" / "fold_0"
        while done < asked.kills:
            process = run(killed, COMMAND)
            before = newest(fold)
            while process.poll() is None and newest(fold) == before:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, LONGEST_S))
            if process.poll() is not None:
                break  # it has ended: fewer kills than were asked for
            process.send_signal(signal.SIGKILL)
            process.communicate()
            done += 1
            within += any(fold.glob(".tmp-*"))
            if rng.random() < DAMAGED:
                path = fold / "training.ckpt"
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
                damaged += 1
        finish(run(killed, COMMAND))
        one, other = (read_results(home) for home in homes)
        different = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
        told = ", ".join(different) if different else "none of it differs"
        print(f"{done} kills, {within} of them within a write, {damaged} checkpoints damaged; {len(one)} files: {told}")


def run(home: Path, words: list[str]) -> subprocess.Popen[str]:
    """A command in the folder `home`, with a checkpoint after every step."""
    output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", EVERY_STEP + LAUNCH, *words], cwd=home, **output)  # type: ignore[call-overload, no-any-return]


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for its end, which has to be a good one."""
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(errors)


def newest(fold: Path) -> float:
    """When the newest checkpoint was written; 0 where there is none."""
    try:
        return (fold / "training.ckpt").stat().st_mtime
    except FileNotFoundError:
        return 0.0


if __name__ == "__main__":
    main()
