"""What 8 bits do to a trained model: Dice on its validation cases, agreement with float32, and speed.

    pip install openvino nncf
    python tests/benchmarks/int8.py --runs RUNS --dataset lumbar-water --configuration 2d --fold 0 --threads 2

Quantises the network of a trained fold after training (NNCF), calibrated on tiles of its training cases, and predicts
the validation cases in float32 (torch), in float32 (OpenVINO) and in 8 bits (OpenVINO), from the prepared cases.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from autospine.data.folds import read_folds
from autospine.evaluation.score import score_cases
from autospine.inference.engines.graph import graph_of
from autospine.inference.engines.library import openvino
from autospine.inference.loading import load_model
from autospine.inference.padded import PaddedCase
from autospine.inference.window import Window
from autospine.machine.precision import pinned
from autospine.preprocessing.store import Store
from autospine.workflow.runs.folder import RunFolder

CPU = torch.device("cpu")


class Requested:
    """A compiled model, called as a network is."""

    def __init__(self, model: Any, threads: int) -> None:
        options = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
        self._request = openvino().Core().compile_model(model, "CPU", options).create_infer_request()

    def __call__(self, tiles: torch.Tensor) -> tuple[torch.Tensor, ...]:
        said = [self._request.infer([tile[None].numpy()])[0].copy() for tile in tiles.contiguous()]
        return (torch.from_numpy(np.concatenate(said)),)


def main() -> None:
    """Print a table."""
    asked = parse()
    torch.set_num_threads(asked.threads)
    run = RunFolder(asked.runs / asked.dataset)
    model = load_model(run.model(asked.configuration), CPU, (str(asked.fold),))
    configuration, network = model.card.configuration, model.networks[0]
    store, split = Store(run.prepared(asked.configuration)), read_folds(run.splits)[asked.fold]
    patch = tuple((1, *configuration.patch)[-3:])
    tiles = []
    for name in split.train:
        case = store.open(name)
        inputs = PaddedCase.of(case.image, case.properties.missing, None, model.card, patch)
        places = Window(patch, 0.0, 1, 1).tiles(inputs.volume.shape[1:])
        picked = places[:: max(1, len(places) // max(1, asked.tiles // len(split.train)))]
        tiles += [inputs.batch([place]).numpy() for place in picked]
    tiles = tiles[:: max(1, len(tiles) // asked.tiles)][: asked.tiles]
    shape = (1, configuration.network.in_channels, *configuration.patch)
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # NNCF reports, too
    openvino()
    import nncf

    graph = graph_of(network, shape)
    start = time.perf_counter()
    preset = nncf.QuantizationPreset.MIXED if asked.mixed else nncf.QuantizationPreset.PERFORMANCE
    small = nncf.quantize(graph_of(network, shape), nncf.Dataset(tiles), subset_size=len(tiles), preset=preset)
    print(f"quantised on {len(tiles)} tiles in {time.perf_counter() - start:.1f} s")
    ways = {"torch float32": network, "OpenVINO float32": Requested(graph, asked.threads)}
    ways["OpenVINO 8 bits"] = Requested(small, asked.threads)
    print("| way | Dice | worst class differs by | voxels as float32 | CPU s a case |\n|---|---|---|---|---|")
    first: list[np.ndarray] = []
    dices: list[float] = []
    for way, computing in ways.items():
        predictor = replace(model, networks=(computing,), precision="float32")
        labels, seconds = [], []
        with pinned("float32"):
            for name in split.validation[: asked.cases]:
                start = time.process_time()
                labels.append(predictor.labels(store.open(name)))
                seconds.append(time.process_time() - start)
        first = first or labels
        opened = [(name, store.open(name)) for name in split.validation[: asked.cases]]
        scored = (
            (name, found, np.asarray(case.reference), case.properties.canonical_spacing_mm)
            for (name, case), found in zip(opened, labels, strict=True)
        )
        scores = score_cases(scored, model.card.data.scored)
        by_class = [scores.class_mean(name) for name in scores.classes]
        dices = dices or by_class
        worst = max(abs(one - other) for one, other in zip(by_class, dices, strict=True))
        same = np.mean([np.mean(one == other) for one, other in zip(first, labels, strict=True)])
        print(f"| {way} | {scores.mean():.4f} | {worst:.4f} | {same:.5f} | {min(seconds):.2f} |", flush=True)


def parse() -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--dataset", default="lumbar-water")
    parser.add_argument("--configuration", default="2d")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tiles", type=int, default=100, help="tiles to calibrate on")
    parser.add_argument("--cases", type=int, default=100, help="validation cases at most")
    parser.add_argument("--mixed", action="store_true", help="activations quantised asymmetrically")
    return parser.parse_args()


if __name__ == "__main__":
    main()
