"""How long an evaluation takes, beside nnU-Net's on the same files, and the distances of two large masks.

    python tests/benchmarks/evaluation_speed.py --data lumbar-water --peer PYTHON_WITH_NNUNET

The predictions are the reference masks moved by some voxels, so that both programs have errors to count. Measured are,
in turn and the median of several: a call of `evaluate_folders` without distances and with them; a call of nnU-Net's
`compute_metrics_on_folder`, with the processes that it starts; and both command lines whole. Reading is in all of them.
What was imported before is not. Then a pair of masks of 300 x 300 x 100 voxels, of several kinds, also with DeepMind's
surface-distance.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import surface_distance

from autospine.data.geometry import Volume
from autospine.data.volume import read_volume, write_volume
from autospine.evaluation.folders import evaluate_folders
from autospine.evaluation.label_pair import LabelPair
from autospine.evaluation.metrics import measure_class
from autospine.evaluation.score import Scores
from autospine.machine.cores import available_cores

MOVED = (0, 2, -3)
"""Voxels along the axes of an array in a file."""
LARGE = (300, 300, 100)
PEER = """
import json, sys, time
from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
reference, prediction, labels, processes = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])
if __name__ == "__main__":
    start = time.perf_counter()
    found = compute_metrics_on_folder(
        reference, prediction, None, SimpleITKIO(), ".nii.gz", labels, None, processes, chill=True
    )
    print(json.dumps({"seconds": time.perf_counter() - start, "dice": found["foreground_mean"]["Dice"]}))
"""


def main() -> None:
    """Print the medians."""
    asked = parse()
    with tempfile.TemporaryDirectory() as home:
        reference, prediction, labels = prepare(asked.data, Path(home), asked.cases)
        folders(asked, reference, prediction, labels, Path(home))
    surfaces(asked.repeats)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a data set with dataset.json and labelsTr")
    parser.add_argument("--peer", type=Path, help="the Python of an environment with nnU-Net")
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--processes", type=int, default=available_cores(), help="that nnU-Net starts")
    return parser.parse_args()


def prepare(data: Path, home: Path, cases: int) -> tuple[Path, Path, list[int]]:
    """References and predictions of so many cases, beside the description of their labels; and the labels' values."""
    reference, prediction = home / "labelsTr", home / "predicted"
    for path in sorted((data / "labelsTr").glob("*.nii.gz"))[:cases]:
        volume = read_volume(path)
        write_volume(reference / path.name, volume)
        write_volume(prediction / path.name, Volume(np.roll(volume.array, MOVED, (1, 2, 3)), volume.geometry))
    content = json.loads((data / "dataset.json").read_text(encoding="utf-8"))
    (home / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    return reference, prediction, sorted(value for value in content["labels"].values() if value)


def folders(asked: argparse.Namespace, reference: Path, prediction: Path, labels: list[int], home: Path) -> None:
    """Both programs in turn, so that a machine that is busy for a while slows both down."""
    script = home / "peer.py"
    script.write_text(PEER, encoding="utf-8")
    told: dict[str, list[float]] = {}
    dices: dict[str, float] = {}

    def ours(name: str, distances: bool) -> None:
        start = time.perf_counter()
        scores: Scores = evaluate_folders(prediction, reference, distances=distances)
        content = scores.to_json()
        told.setdefault(name, []).append(time.perf_counter() - start)
        dices[name] = content["mean"]["dice"]

    def theirs(name: str) -> None:
        words = [
            str(asked.peer),
            str(script),
            str(reference),
            str(prediction),
            json.dumps(labels),
            str(asked.processes),
        ]
        start = time.perf_counter()
        said = subprocess.run(words, check=True, capture_output=True, text=True, env=quiet()).stdout
        whole, found = time.perf_counter() - start, json.loads(said.splitlines()[-1])
        told.setdefault(name, []).append(found["seconds"])
        told.setdefault(f"{name}, from the start of Python", []).append(whole)
        dices[name] = found["dice"]

    def command() -> None:
        words = [sys.executable, "-m", "autospine", "evaluate", str(prediction), str(reference), "--no-distances"]
        start = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True)
        told.setdefault("autospine evaluate --no-distances, from the start of Python", []).append(
            time.perf_counter() - start
        )

    evaluate_folders(prediction, reference)  # the files are in the cache of the system, and all is imported
    for _ in range(asked.repeats):
        ours("autospine, without distances", False)
        ours("autospine, with distances", True)
        command()
        if asked.peer is not None:
            theirs(f"nnU-Net, {asked.processes} process(es)")
    print(f"{asked.cases} cases of {asked.data.name}, {available_cores()} cores, median of {asked.repeats}")
    for name, seconds in told.items():
        dice = f"   mean Dice {dices[name]:.6f}" if name in dices else ""
        print(f"{median(seconds):8.3f} s  {name}{dice}")
    if asked.peer is not None:
        peer, own = (median(told[name]) for name in (f"nnU-Net, {asked.processes} process(es)", next(iter(told))))
        print(f"{peer / own:8.1f} times as fast as nnU-Net")


def quiet() -> dict[str, str]:
    """This environment with the folders that nnU-Net asks for, so that it warns of none."""
    return dict(os.environ) | {
        name: tempfile.gettempdir() for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    }


def surfaces(repeats: int) -> None:
    """All metrics of one class in a pair of large masks."""
    grid = np.indices(LARGE, np.float32)
    scaled = [(axis - size / 2) / size for axis, size in zip(grid, LARGE, strict=True)]
    radius = np.sqrt(sum(axis**2 for axis in scaled))
    rng = np.random.default_rng(0)
    rough = (radius + 0.01 * rng.standard_normal(LARGE)) < 0.4
    kinds: dict[str, tuple[np.ndarray, np.ndarray]] = {
        "an ellipsoid and one that is smaller by a twentieth": (radius < 0.4, radius < 0.38),
        "an ellipsoid and one with a rough surface": (radius < 0.4, rough),
        "the same ellipsoid, moved by 5 voxels": (radius < 0.4, np.roll(radius < 0.4, 5, 1)),
        "two far apart": (grid[0] < 40, grid[0] > 260),
        "noise": (rng.random(LARGE) < 0.5, rng.random(LARGE) < 0.5),
    }
    print(f"\nHD95, average distance, surface Dice and overlap of two masks of {' x '.join(map(str, LARGE))} voxels")
    for name, (one, other) in kinds.items():
        pair = (one.astype(np.uint8), other.astype(np.uint8))
        seconds, hd95 = timed(lambda pair=pair: measure_class(LabelPair(*pair), 1, (1.0, 0.8, 3.0)).hd95_mm, repeats)
        line = f"{seconds:8.3f} s  {name}: HD95 {hd95:.3f} mm"
        if name != "noise":  # of millions of elements theirs makes lists
            seconds, hd95 = timed(lambda one=one, other=other: theirs_of(one, other), 1)
            line += f"   surface-distance {seconds:.3f} s, {hd95:.3f} mm"
        print(line)


def theirs_of(one: np.ndarray, other: np.ndarray) -> float:
    """HD95 as DeepMind's surface-distance computes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = surface_distance.compute_surface_distances(other, one, (1.0, 0.8, 3.0))
    return float(surface_distance.compute_robust_hausdorff(found, 95))


def timed(work: Callable[[], float], repeats: int) -> tuple[float, float]:
    """The median of so many times, and what the work gives."""
    seconds, result = [], 0.0
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return median(seconds), result


if __name__ == "__main__":
    main()
