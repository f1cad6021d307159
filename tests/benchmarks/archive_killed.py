"""An archive of small cases, some of them broken, by several processes of torchrun that are killed on the way.

    python -m tests.benchmarks.archive_killed                        # 1000 cases, 10 broken, killed twice
    python -m tests.benchmarks.archive_killed --cases 60 --broken 5  # in a minute

All processes are killed at once with SIGKILL when a share of the cases is done; then the same command goes on. At the
end every sound case has a whole segmentation that is as its record says, every broken one a reason, and nothing else
lies in the folder. How many cases were made twice is counted too: those that were under way at a kill.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from autospine.data.geometry import Geometry, Volume
from autospine.data.label_tables import TABLES
from autospine.data.volume import read_volume, write_volume
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import IntensityPlan
from autospine.planning.document.model_file import WEIGHTS, write_model
from autospine.planning.document.parts import LossPlan, NetworkPlan, ResamplingPlan, TrainingPlan
from tests.cards import card_of

GRID = Geometry((20, 64, 64), (3.0, 1.0, 1.0), (1.0, 2.0, 3.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
DAMAGES = ("cut", "empty", "no image", "other channels", "nan")


@dataclass(frozen=True)
class Outcome:
    """What a run of the command has left."""

    code: int
    seconds: float
    done: int
    """Segmentations in OUT."""


def make_model(folder: Path) -> Path:
    """A 2D model of one channel that nobody trained, small enough that files take as long as the network."""
    network = NetworkPlan(2, 1, 4, (4, 8), ((3, 3), (3, 3)), ((1, 1), (2, 2)), (2, 2))
    training = TrainingPlan(
        *("sgd", 0.01, 3e-5, 0.99, 0.0, 0.9, 12.0, 10, 10, 2, None, 0.33, 0.0, 0.0),
        mirror_axes=(),
        rotation_deg=30.0,
        rotate_in_plane=False,
        scale_range=(0.7, 1.4),
    )
    configuration = Configuration(
        name="2d",
        axis_order=(0, 1, 2),
        spacing_mm=(1.0, 1.0),
        median_shape=(64, 64),
        patch=(64, 64),
        batch=4,
        normalisation=("zscore",),
        use_mask=False,
        network=network,
        resampling=ResamplingPlan(),
        loss=LossPlan(kind="dice_ce", class_weights=(1.0,) * 4, batch_dice=False),
        training=training,
    )
    labels = (("upper", 1), ("middle", 2), ("lower", 3))
    write_model(folder, card_of(configuration, labels=labels, intensities=(IntensityPlan(0.0, 1.0, 0.0, 1.0),)))
    (folder / "fold_0").mkdir()
    torch.manual_seed(0)
    save_file(UNet(network, configuration.patch).state_dict(), folder / "fold_0" / WEIGHTS)
    return folder


def make_images(folder: Path, cases: int, broken: int) -> set[str]:
    """`cases` images, of which so many are broken in turn in each of the ways of `DAMAGES`; the names of those."""
    damaged = {round((index + 0.5) * cases / broken) for index in range(broken)} if broken else set()
    names = set()
    for index in range(cases):
        path = folder / f"case_{index:04}.nii.gz"
        array = np.random.default_rng(index).normal(100, 10, (1, *GRID.shape)).astype(np.int16)
        kind = DAMAGES[len(names) % len(DAMAGES)] if index in damaged else ""
        if kind == "other channels":
            array = np.repeat(array, 2, axis=0)
        elif kind == "nan":
            array = np.where(np.arange(array.size).reshape(array.shape) == 7, np.nan, array).astype(np.float32)
        write_volume(path, Volume(array, GRID))
        if kind in ("cut", "empty", "no image"):
            content = path.read_bytes()
            path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "no image": b"text" * 99}[kind])
        if kind:
            names.add(f"case_{index:04}")
    return names


def run(words: list[str], out: Path, kill_at: int | None) -> Outcome:
    """The command to its end, or until `kill_at` segmentations are there: then its whole group is killed."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "200"}
    began = time.monotonic()
    with (out.parent / "log.txt").open("a") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, env=environment, start_new_session=True)
        while process.poll() is None:
            if kill_at is not None and _count(out) >= kill_at:
                for group in _groups_below(process.pid):
                    os.killpg(group, signal.SIGKILL)
                process.wait()
                break
            time.sleep(0.02)
    return Outcome(process.returncode, time.monotonic() - began, _count(out))


def _groups_below(leader: int) -> set[int]:
    """The process groups of a process and of all that it has started: torchrun gives each rank one of its own."""
    parents: dict[int, int] = {}
    groups: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)], groups[int(folder.name)] = int(fields[1]), int(fields[2])
    below = {leader}
    while more := {child for child, parent in parents.items() if parent in below} - below:
        below |= more
    return {groups[number] for number in below if number in groups} - {os.getpgrp()}


def _count(out: Path) -> int:
    try:
        return sum(name.endswith(".nii.gz") and not name.startswith(".") for name in os.listdir(out))
    except FileNotFoundError:
        return 0


def find_wrong(out: Path, sound: set[str], broken: set[str]) -> list[str]:
    """What is not as it should be at the end."""
    wrong = []
    record = json.loads((out / "prediction.json").read_text())
    for name in sorted(sound):
        path = out / f"{name}.nii.gz"
        if not path.is_file():
            wrong.append(f"{name}: no segmentation")
        elif read_volume(path).array.shape != (1, *GRID.shape):
            wrong.append(f"{name}: not whole")
        elif record["cases"].get(name, {}).get("mask") != hashlib.sha256(path.read_bytes()).hexdigest():
            wrong.append(f"{name}: not as its record says")
    with (out / "failed.csv").open(newline="") as file:
        reasons = {row["case"].removesuffix(".nii.gz"): row["found"] for row in csv.DictReader(file)}
    if reasons.keys() != broken or not all(reasons.values()):
        wrong.append(f"reasons for {sorted(reasons)} instead of {sorted(broken)}")
    expected = {"prediction.json", "failed.csv", *TABLES, *(f"{name}.nii.gz" for name in sound)}
    wrong += [f"left: {path.name}" for path in out.iterdir() if path.name not in expected]
    return wrong


def main() -> None:
    """Print what each run has done, and what is wrong at the end; exit code 1 where anything is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--broken", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--kills", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        model, out = make_model(root / "model"), root / "out"
        broken = make_images(root / "in", given.cases, given.broken)
        sound = {f"case_{index:04}" for index in range(given.cases)} - broken
        launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(given.processes)]
        command = ["-m", "autospine", "predict", str(root / "in"), str(out), "--model", str(model), "--device", "cpu"]
        words = [sys.executable, *launcher, *command]
        for number in range(given.kills + 1):
            last = number == given.kills
            found = run(words, out, None if last else (number + 1) * len(sound) // (given.kills + 1))
            how = "to its end" if last else "killed"
            print(
                f"run {number + 1}, {how}: exit code {found.code}, {found.seconds:.1f} s, {found.done} done", flush=True
            )
        log = (root / "log.txt").read_text()
        begun = len(re.findall(r"^\[\d+\] case_\d+ \(\d+/", log, re.MULTILINE))
        print(f"{begun} cases segmented for {len(sound)} segmentations, {len(broken)} broken")
        wrong = find_wrong(out, sound, broken)
        if found.code != 1 and broken:
            wrong.append(f"exit code {found.code} instead of 1")
        print("\n".join(wrong) or "all as it should be")
        if wrong:
            print(log[-3000:])
            raise SystemExit(1)


if __name__ == "__main__":
    main()
