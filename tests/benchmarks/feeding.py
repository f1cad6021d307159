"""Processor time of an augmented training sample, beside nnU-Net's.

    python -m tests.benchmarks.feeding lumbar-water lumbar-t2 --work WORK --peer PEER/bin/python

One thread each. Both tools plan without a limit of time, so that patches and batches are those of the reference, and
build batches of fold 0 from prepared cases, taking turns in rounds of some 24 samples: processor time of a sample in
the mean over all rounds, as few samples take most of it, and the range of the rounds. Ours without random contrast,
which nnU-Net has nothing like, and with the share that the plan has.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from autospine.data.folds import read_folds
from autospine.training.batches import PatchBatches
from autospine.workflow.progress import Silent
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.runs.prepared import ensure_prepared
from tests.benchmarks.peer import Peer

CONFIGURATIONS = ("2d", "3d_fullres")
SAMPLES = 24
"""Of a round, at least."""


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--peer", type=Path, help="the Python of an environment with nnunetv2")
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print("| data set, configuration | patch, batch | ours | with random contrast | nnU-Net | times |")
    print("|---|---|---|---|---|---|", flush=True)
    for dataset in asked.datasets:
        peer = None if asked.peer is None else begin_peer(asked.peer, dataset, asked.work / "nnunet" / dataset.name)
        run = planned(dataset, asked.work)
        for name in CONFIGURATIONS:
            plain, mixed = (Ours(dataset, run, name, contrast=contrast) for contrast in (False, True))
            ours, with_contrast, theirs = list[float](), list[float](), list[float]()
            for _ in range(asked.rounds):
                ours.append(plain.round())
                with_contrast.append(mixed.round())
                if peer is not None:
                    seconds, size = peer.ask(f"{name} {plain.count}").split()
                    theirs.append(float(seconds) / (plain.count * int(size)))
            factor = f"{statistics.fmean(theirs) / statistics.fmean(ours):.2f}" if theirs else ""
            columns = (f"{plain.size}", told(ours), f"{told(with_contrast)} ({mixed.share:g})", told(theirs), factor)
            print(f"| {dataset.name}, {name} | {' | '.join(columns)} |", flush=True)


def begin_peer(python: Path, dataset: Path, work: Path) -> Peer:
    """nnU-Net, which plans and preprocesses before it is ready."""
    work.mkdir(parents=True, exist_ok=True)
    return Peer((python, Path(__file__).with_name("nnunet_feeding.py"), dataset, "--work", work))


def told(seconds: list[float]) -> str:
    """Mean and range of the rounds, in milliseconds."""
    if not seconds:
        return ""
    return f"{1e3 * statistics.fmean(seconds):.1f} ms ({1e3 * min(seconds):.1f} to {1e3 * max(seconds):.1f})"


def planned(dataset: Path, work: Path) -> RunFolder:
    """The run folder of a plan that no time narrows."""
    run = RunFolder.of(work / "runs", dataset)
    if not run.plan.is_file():
        command = (sys.executable, "-m", "autospine", "plan", str(dataset), "--runs", str(work / "runs"))
        subprocess.run((*command, "--epochs", "1000", "--device", "cpu"), check=True, stdout=subprocess.DEVNULL)
    return run


class Ours:
    """Our batches of one configuration."""

    def __init__(self, dataset: Path, run: RunFolder, name: str, *, contrast: bool) -> None:
        plan = run.read_plan()
        configuration = plan.configuration(name)
        store = ensure_prepared(dataset, run, plan, configuration, Silent(), 1)
        self.share = configuration.training.random_contrast if contrast else 0.0
        training = replace(configuration.training, random_contrast=self.share)
        card = plan.card(name).with_configuration(replace(configuration, training=training))
        self._batches = PatchBatches(store, read_folds(run.splits)[0].train, card, augment=True, seed=1)
        self.count = -(-SAMPLES // configuration.batch)
        self._size, self._step = configuration.batch, 0
        self.size = f"{' x '.join(str(edge) for edge in configuration.patch)}, {configuration.batch}"
        self._batches[0]

    def round(self) -> float:
        """Processor seconds a sample."""
        start = time.process_time()
        for _ in range(self.count):
            self._step += 1
            self._batches[self._step]
        return (time.process_time() - start) / (self.count * self._size)


if __name__ == "__main__":
    main()
