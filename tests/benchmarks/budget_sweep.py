"""Trains one variant of a plan for a number of steps and scores the fold's cases: a row of docs/benchmarks/budget.md.

    python tests/benchmarks/budget_sweep.py DATASET --fold 1 --spacing 1.41 1.41 --features 16 --batch 2 --steps 1636

Steps, not seconds: a variant is given the steps that its multiply-adds allow in some minutes of an idle machine, so
that runs beside each other, on one thread each, compare as runs alone would. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from autospine.data.dataset import open_dataset
from autospine.data.folds import make_folds
from autospine.data.structure import Reading
from autospine.evaluation.score import score_cases
from autospine.inference.predictor import Predictor
from autospine.networks.unet import UNet
from autospine.planning.budget.fit_to_time import SHORT
from autospine.planning.decide.basis import Basis
from autospine.planning.decide.network import Narrowing
from autospine.planning.decide.planner import configure, make_plan
from autospine.planning.document.data import LevelsPlan
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.model_file import WEIGHTS
from autospine.planning.document.recipe import load_recipe
from autospine.planning.measured.fingerprint import extract_fingerprint
from autospine.preprocessing.cases import prepare_dataset
from autospine.training.epochs import fit
from autospine.training.fold import FoldTask
from autospine.training.task import Place

EPOCHS = 10
CPU = torch.device("cpu")


def main() -> None:
    """Plan, narrow, prepare, train, predict the fold's validation cases, score."""
    asked = parse()
    torch.set_num_threads(asked.threads)
    dataset = open_dataset(asked.dataset, Reading(subjects=asked.subjects))
    fingerprint, recipe = extract_fingerprint(dataset), load_recipe(asked.recipe)
    plan = make_plan(fingerprint, recipe)
    full = plan.configuration(asked.configuration)
    view = [edge * step / new for edge, step, new in zip(full.patch, full.spacing_mm, asked.spacing, strict=True)]
    narrowing = Narrowing(
        spacing_mm=tuple(asked.spacing),
        base_features=asked.features,
        feature_cap=16 * asked.features,
        max_batch=asked.batch,
        patch_limit=tuple(asked.patch or view),
        decoder_convs=asked.decoder_convs,
        blocks=asked.encoder_convs,
    )
    configuration = configure(Basis.of(fingerprint, recipe), asked.configuration, narrowing).value
    training = replace(
        configuration.training,
        **SHORT,
        epochs=EPOCHS,
        steps_per_epoch=asked.steps // EPOCHS,
        validation_steps=2,
        budget_s=None,
        shift=0.0,
    )
    training = replace(training, **tomllib.loads("\n".join(asked.set)))
    configuration = replace(configuration, training=training)
    cases = fingerprint.cases
    folds = make_folds({case.case: case.subject for case in cases}, {case.case: case.digest for case in cases})
    split = folds[asked.fold]
    with tempfile.TemporaryDirectory() as scratch:
        store = prepare_dataset(dataset, plan, configuration, Path(scratch) / "prepared")
        start = time.monotonic()
        card, levels = ModelCard(plan.data, configuration), plan.data.levels
        named, classes = plan.data.scored, plan.data.targets
        result = fit(FoldTask(card, split), store, Place(Path(scratch), CPU, workers=0))
        trained = time.monotonic()
        network = UNet(configuration.network, configuration.patch).eval()
        network.load_state_dict(load_file(Path(scratch) / WEIGHTS))

        predictor = Predictor(card, (network,), CPU, asked.mirror)

        def predictions(levels: LevelsPlan | None, without: tuple[int, ...] = ()) -> Iterator[Any]:
            for name in split.validation:
                case = store.open(name)
                image, missing = np.array(case.image), {*case.properties.missing, *without}
                image[list(missing)] = 0
                lacking = replace(case, image=image, properties=replace(case.properties, missing=tuple(missing)))
                agreeing = replace(predictor, card=replace(card, data=replace(card.data, levels=levels)))
                labels = agreeing.labels(lacking)
                yield name, labels, np.asarray(case.reference), case.properties.canonical_spacing_mm

        scores = score_cases(predictions(levels), named)
        predicted = time.monotonic()
        apart = scores if levels is None else score_cases(predictions(None), named)
        lacking = {
            plan.data.channels[index]: round(score_cases(predictions(levels, (index,)), named).mean(), 4)
            for index in plan.data.optional
        }
    found = {
        "patch": configuration.patch,
        "features": configuration.network.features,
        "steps": result.step,
        "train_s": round(trained - start),
        "predict_s_case": round((predicted - trained) / len(split.validation), 1),
        "dice": round(scores.mean(), 4),
        "worst_case": round(min(scores.case_mean(case) for case in scores.cases), 4),
        "without_levels": round(apart.mean(), 4),
        "worst_case_without_levels": round(min(apart.case_mean(case) for case in apart.cases), 4),
        "dice_without": lacking,
        "classes": {name: round(scores.class_mean(name), 3) for name in classes},
        "patch_dice_by_tenth": [
            None if any(value is None for value in epoch.dice) else round(float(np.mean(epoch.dice)), 3)
            for epoch in result.history
        ],
    }
    asked_plainly = {key: str(value) if isinstance(value, Path) else value for key, value in vars(asked).items()}
    sys.stdout.write(json.dumps({**asked_plainly, **found}) + "\n")


def parse() -> argparse.Namespace:
    """The variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--subjects", help="regular expression, as for autospine plan")
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--configuration", default="2d")
    parser.add_argument("--fold", type=int, required=True)
    parser.add_argument("--spacing", type=float, nargs="+", required=True, help="mm along each planned axis")
    parser.add_argument("--patch", type=int, nargs="+", help="voxels; the plan's view if not given")
    parser.add_argument("--features", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--encoder-convs", type=int)
    parser.add_argument("--decoder-convs", type=int, default=1)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="of the training plan, as TOML")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--mirror", action="store_true", help="predict with the plan's mirrorings")
    return parser.parse_args()


if __name__ == "__main__":
    main()
