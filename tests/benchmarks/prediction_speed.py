"""How long prediction takes on a CPU, beside nnU-Net and by itself.

    python -m tests.benchmarks.prediction_speed lumbar-water --work WORK --peer PEER/bin/python --repeats 3
    python -m tests.benchmarks.prediction_speed lumbar-water --work WORK --trained RUNS/lumbar-water/2d

Without `--peer` nothing is measured beside nnU-Net. All that is measured needs the machine to itself.

1. Three cases, file to file, with networks of reference size that nobody trained, each tool by its own plan (that of
   autospine with `--epochs 1000`, so that no time narrows it), with each tool's default mirroring and without: the sum
   over the cases, the tools taking turns, the median of the repeats.
2. `autospine predict one.nii.gz OUT` from a cold start.
3. A resident `Predictor`: p50 and p95 of a slice of 256 x 256 and of a volume of 20 x 224 x 224.
4. With `--trained`: labels of the default engine beside those of `--exact`, and Dice of both.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command line has it

import numpy as np
import torch
from safetensors.torch import save_file

from autospine.data.dataset import open_dataset, read_images
from autospine.data.folds import read_folds
from autospine.data.volume import read_volume
from autospine.evaluation.score import score_cases
from autospine.inference.loading import load_stages
from autospine.inference.predictor import Predictor
from autospine.inference.settings import Settings
from autospine.networks.unet import UNet
from autospine.planning.document.model_file import WEIGHTS, write_model
from autospine.workflow.predict import PredictRequest, predict_paths
from autospine.workflow.runs.folder import RunFolder
from tests.benchmarks.peer import Peer

CPU = torch.device("cpu")
CONFIGURATIONS = ("2d", "3d_fullres")


def main() -> None:
    """Print tables."""
    asked = parse()
    torch.set_num_threads(asked.threads)
    asked.work.mkdir(parents=True, exist_ok=True)
    models = untrained_models(asked.dataset, asked.work)
    images = sorted((asked.dataset / "imagesTr").glob("*_0000.nii.gz"))[: asked.cases]
    if asked.peer is not None:
        beside_nnunet(asked, models, images)
    cold_starts(asked, models, images[0])
    resident(asked, models)
    for model in asked.trained:
        agreement(asked.dataset, model)


def untrained_models(dataset: Path, work: Path) -> dict[str, Path]:
    """A model folder for each configuration of the plan, with weights as they are initialised."""
    run = RunFolder.of(work / "runs", dataset)
    if not run.plan.is_file():
        command = (sys.executable, "-m", "autospine", "plan", str(dataset), "--runs", str(work / "runs"))
        subprocess.run((*command, "--epochs", "1000", "--device", "cpu"), check=True, stdout=subprocess.DEVNULL)
    plan, models = run.read_plan(), {}
    for name in CONFIGURATIONS:
        card, folder = plan.card(name), work / "models" / name
        if not folder.is_dir():
            (folder / "fold_0").mkdir(parents=True)
            write_model(folder, card)
            torch.manual_seed(0)
            network = UNet(card.configuration.network, card.configuration.patch)
            save_file(network.state_dict(), folder / "fold_0" / WEIGHTS)
        configuration = card.configuration
        size = f"{configuration.patch}, features {configuration.network.features}"
        print(f"autospine {name}: patch {size}, mirrored along {configuration.training.mirror_axes}", flush=True)
        models[name] = folder
    return models


def beside_nnunet(asked: argparse.Namespace, models: dict[str, Path], images: Sequence[Path]) -> None:
    """Seconds of all images together, and how many times longer nnU-Net takes."""
    script, work = Path(__file__).with_name("nnunet_speed.py"), asked.work / "nnunet"
    peer = Peer((asked.peer, script, asked.dataset, "--work", work, "--threads", asked.threads))
    print(f"\n| {len(images)} cases, median of {asked.repeats} | mirrored | autospine | nnU-Net | times |")
    print("|---|---|---|---|---|", flush=True)
    for name in asked.configurations:
        for mirror in (True, False):
            ours, theirs = [], []
            for _ in range(asked.repeats):
                ours.append(our_seconds(models[name], images, asked.work, mirror=mirror))
                lines = [f"{name} {int(mirror)} {image.resolve()}" for image in images]
                theirs.append(sum(float(peer.ask(line)) for line in lines))
            mine, its = statistics.median(ours), statistics.median(theirs)
            how = "default of each" if mirror else "none"
            print(f"| {name} | {how} | {mine:.1f} s | {its:.1f} s | {its / mine:.1f} |", flush=True)


def our_seconds(model: Path, images: Sequence[Path], work: Path, *, mirror: bool) -> float:
    """From file to file, all images; what the engine needs to get ready is in it."""
    source, target = work / "in", work / "out"
    for folder in (source, target):
        shutil.rmtree(folder, ignore_errors=True)
    source.mkdir()
    for image in images:
        (source / image.name).symlink_to(image.resolve())
    start = time.perf_counter()
    predict_paths(source, target, model, PredictRequest(model, device="cpu", mirror=mirror)).complete()
    return time.perf_counter() - start


def cold_starts(asked: argparse.Namespace, models: dict[str, Path], image: Path) -> None:
    """Seconds of the command line for one case, all that a process does."""
    print(f"\n| first case from a cold start, median of {asked.repeats} | seconds |\n|---|---|", flush=True)
    for name in asked.configurations:
        looks = []
        for _ in range(asked.repeats):
            out = asked.work / "out"
            shutil.rmtree(out, ignore_errors=True)
            command = (sys.executable, "-m", "autospine", "predict", str(image), str(out), "--model", str(models[name]))
            start = time.perf_counter()
            subprocess.run((*command, "--device", "cpu"), check=True, stdout=subprocess.DEVNULL)
            looks.append(time.perf_counter() - start)
        print(f"| {name} | {statistics.median(looks):.1f} |", flush=True)


def resident(asked: argparse.Namespace, models: dict[str, Path]) -> None:
    """p50 and p95 of a predictor that stays, arrays in and labels out."""
    print(f"\n| resident, {asked.requests} requests | computed in | p50 | p95 |\n|---|---|---|---|", flush=True)
    shapes = {"2d": ((1, 256, 256), (20, 224, 224)), "3d_fullres": ((20, 224, 224),)}
    for name in asked.configurations:
        predictor = Predictor.load(models[name], device="cpu")
        for shape in shapes[name]:
            # slices lie along the planned first axis, which for a sagittal model is an array's last
            axes = np.argsort(predictor.card.configuration.axis_order)
            image = np.random.default_rng(0).normal(100, 20, [shape[axis] for axis in axes]).astype(np.float32)
            spacing_mm = [(4.0, 1.0, 1.0)[axis] for axis in axes]
            looks = seconds_of(partial(predictor.predict, image, spacing_mm=spacing_mm), asked.requests)
            p50, p95 = np.percentile(looks, [50, 95])
            how = predictor.computed_in()
            print(f"| {name}, {' x '.join(map(str, shape))} | {how} | {p50:.2f} s | {p95:.2f} s |", flush=True)


def seconds_of(call: Callable[[], object], times: int) -> list[float]:
    """Of so many calls, after one that prepares."""
    call()
    looks = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        looks.append(time.perf_counter() - start)
    return looks


def agreement(dataset: Path, model: Path) -> None:
    """Labels and Dice of the default engine beside those of float32 in torch, on the first fold's validation cases."""
    run = RunFolder(model.parent)
    fold = next(path for path in sorted(model.glob("fold_*")) if (path / WEIGHTS).is_file())
    number = fold.name.removeprefix("fold_")
    ways = {
        "float32, torch": load_stages(model, CPU, Settings(folds=(number,), exact=True)),
        "default": load_stages(model, CPU, Settings(folds=(number,))),
    }
    cases = {case.name: case for case in open_dataset(dataset, run.read_reading()).cases}
    labels: dict[str, list[np.ndarray]] = {way: [] for way in ways}
    references = []
    for name in read_folds(run.splits)[int(number)].validation:
        volume = read_images(cases[name].images, refuse)
        assert volume is not None and cases[name].label is not None
        reference = read_volume(cases[name].label)
        references.append((name, reference.array[0], reference.geometry.spacing_mm))
        for way, predictor in ways.items():
            labels[way].append(predictor.predict(replace(volume), name=name).labels.array[0])
    same = [np.mean(one == other) for one, other in zip(*labels.values(), strict=True)]
    dices = {}
    for way, found in labels.items():
        scored = [(name, said, *rest) for (name, *rest), said in zip(references, found, strict=True)]
        dices[way] = score_cases(scored, ways[way].card.data.labels).mean()
    print(f"\n{model}: {ways['default'].computed_in()}")
    print(f"voxels with the same label: {np.mean(same):.5f}, least of a case {min(same):.5f}")
    print("; ".join(f"Dice {way}: {dice:.4f}" for way, dice in dices.items()), flush=True)


def refuse(fault: Exception) -> None:
    """Raise what is wrong with an image."""
    raise fault


def parse() -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="where plans, models and segmentations go")
    parser.add_argument("--peer", type=Path, help="the Python of an environment with nnunetv2")
    parser.add_argument("--trained", type=Path, nargs="*", default=[], help="model folders in the dataset's run folder")
    parser.add_argument("--configurations", nargs="*", choices=CONFIGURATIONS, default=CONFIGURATIONS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--cases", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
