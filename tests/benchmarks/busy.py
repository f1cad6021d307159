"""A training step beside busy processes, by how the threads of OpenMP wait and by precision.

    python tests/benchmarks/busy.py                       # the table: 5 ways to wait, 2 precisions, 0 to 3 neighbours
    python tests/benchmarks/busy.py --seconds 3 --neighbours 0 1
    python tests/benchmarks/busy.py --reference           # nnU-Net's own 2D network for lumbar-water, at a batch of 2

Every cell is a process of its own, as an OpenMP library reads how to wait once, when it is loaded; its neighbours turn
in a loop without end at the same priority. The step is that of a plan for half an hour: 2D, 160 x 160, batch 2, 16
features, 5 classes, on the same random batch. A cell says the mean and the median of the steps in `--seconds` after the
first two. The machine has to be idle but for this.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import get_args

from memory import plan, repeated_step  # beside this script

from autospine.machine.cores import WAITING, let_threads_sleep
from autospine.machine.precision import Precision

WAYS: dict[str, dict[str, str]] = {
    "OpenMP's default": {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"},
    "as autospine sets it": {},  # filled in below
    "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
"""The first names what the libraries do where nobody has said anything."""
let_threads_sleep(WAYS["as autospine sets it"])
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
NEIGHBOUR = "while True: pass"
WARM_UP = 2


def main() -> None:
    """Print the table row by row."""
    asked = parse()
    if asked.cell is not None:
        print(json.dumps(time_steps(asked.cell, asked.seconds, asked.reference)))
        return
    print(f"| waiting | precision | {' | '.join(f'{count} busy' for count in asked.neighbours)} |")
    print("|---|---|" + "---|" * len(asked.neighbours), flush=True)
    for way, environment in WAYS.items():
        for precision in PRECISIONS:
            cells = [cell(environment, precision, count, asked) for count in asked.neighbours]
            print(f"| {way} | {precision} | {' | '.join(cells)} |", flush=True)


def cell(environment: dict[str, str], precision: Precision, neighbours: int, asked: argparse.Namespace) -> str:
    """`mean, median` seconds of a step beside so many busy processes."""
    inherited = {key: value for key, value in os.environ.items() if key not in (*WAITING, "OMP_NUM_THREADS")}
    busy = [subprocess.Popen([sys.executable, "-c", NEIGHBOUR]) for _ in range(neighbours)]
    try:
        command = [sys.executable, __file__, "--cell", precision, "--seconds", str(asked.seconds)]
        command += ["--reference"] * asked.reference
        done = subprocess.run(command, env=inherited | environment, stdout=subprocess.PIPE, check=True)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    mean, median = json.loads(done.stdout)
    return f"{mean:.3f}, {median:.3f}"


def time_steps(precision: Precision, seconds: float, reference: bool) -> tuple[float, float]:
    """Mean and median seconds of the steps that fit into `seconds`, at least three."""
    import torch

    torch.manual_seed(0)
    if reference:
        configuration = plan((224, 224), 2, (32, 64, 128, 256, 512, 512), 5)
    else:
        configuration = plan((160, 160), 2, (16, 32, 64, 128, 256), 5, optimiser="adamw")
    step = repeated_step(configuration, torch.device("cpu"), precision)
    for _ in range(WARM_UP):
        step()
    times: list[float] = []
    while sum(times) < seconds or len(times) < 3:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.mean(times), statistics.median(times)


def parse() -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of steps in a cell")
    parser.add_argument("--neighbours", type=int, nargs="+", default=[0, 1, 2, 3], metavar="N", help="busy processes")
    parser.add_argument("--reference", action="store_true", help="the reference's network instead of the half hour's")
    parser.add_argument("--cell", choices=get_args(Precision), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
