"""Give nnU-Net a fixed training time on a data set and score it: the reference for our own figures.

Run it with the Python of an environment that has ``nnunetv2`` (autospine is not imported here)::

    python nnunet_reference.py DATASET_FOLDER --configuration 3d_fullres --fold 0 --minutes 20 --work DIR

``DATASET_FOLDER`` is in nnU-Net's raw layout. The script drives nnU-Net's public classes and changes as little as it
can: fingerprint, plan, preprocessing, the five-fold split, network, loss, optimiser, augmentation and prediction are
nnU-Net's own. Two things differ from ``nnUNetv2_train``, because the time is given and not the number of epochs:

* the polynomial learning rate is a function of the time used, ``lr0 * (1 - elapsed / budget) ** 0.9``, set before
  every step, so that it reaches zero when the budget ends whatever the speed of the machine;
* nothing but training steps (batch loading and augmentation included) happens inside the budget: no validation, no
  plots, no intermediate checkpoints.

The budget is wall-clock time by default. On a machine that others use at the same time, ``--clock thread`` counts the
time the training thread spent on a processor instead: the same as wall-clock time when nothing else runs (both are
reported, and the quick steps show it), and no loss where the thread had to queue for the processor.

Preprocessing and the start of the data workers are outside the budget; the former is timed on its own.

Scoring: Dice on the native grid, per case and class. A class absent from both reference and prediction is left out
(nan); a class absent from exactly one of them counts 0. The score of a class is the mean over the cases that have a
value, and the final mean is the mean over the classes.

The result goes to ``WORK/result.json`` and to standard output.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import os
import platform
import re
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

DATASET_ID = 1
POLY_POWER = 0.9
WARMUP_STEPS = 5
LOG_EVERY_SECONDS = 30.0
CHECKPOINT = "checkpoint_final.pth"
PLANS_NAME = "nnUNetPlans"
# glibc returns large blocks to the system after every step and faults them in again; on a CPU that cost a third of the
# step. These settings keep the memory. They change no result, and are given so that the reference is not held back.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "2000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
PACKAGES = ("nnunetv2", "torch", "batchgeneratorsv2", "numpy", "scipy")


def say(message: str) -> None:
    """Print one line at once, so that a log file can be followed."""
    print(f"[reference] {message}", flush=True)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("dataset_folder", type=Path, help="data set in nnU-Net's raw layout")
    parser.add_argument("--work", type=Path, required=True, help="folder for everything that is written")
    parser.add_argument("--configuration", default="3d_fullres", choices=("2d", "3d_fullres"))
    parser.add_argument("--fold", type=int, default=0, choices=range(5))
    parser.add_argument("--minutes", type=float, default=20.0, help="training time")
    parser.add_argument("--clock", default="wall", choices=("wall", "thread"), help="what the training time counts")
    parser.add_argument("--batch", type=int, default=None, help="batch size in place of the planned one")
    parser.add_argument("--splits", type=Path, default=None, help="a splits_final.json in place of the default split")
    parser.add_argument("--threads", type=int, default=2, help="torch threads, and processes for preprocessing")
    parser.add_argument("--workers", type=int, default=1, help="augmentation processes; 0: in the training process")
    parser.add_argument("--stock-malloc", action="store_true", help="leave the memory allocator's settings alone")
    parser.add_argument("--limit-cases", type=int, default=None, help="predict and score only the first N cases")
    parser.add_argument("--plan-only", action="store_true", help="fingerprint and plan, print the essentials, stop")
    parser.add_argument("--no-train", action="store_true", help="use the checkpoint that WORK already has")
    parser.add_argument("--no-predict", action="store_true", help="stop after training")
    return parser.parse_args(argv)


def set_environment(work: Path, threads: int) -> None:
    """Point nnU-Net at folders inside ``work``; must run before anything of nnU-Net is imported."""
    for name in ("raw", "preprocessed", "results"):
        folder = work / name
        folder.mkdir(parents=True, exist_ok=True)
        os.environ[f"nnUNet_{name}"] = str(folder)
    os.environ["nnUNet_n_proc_DA"] = str(threads)  # the planner uses this too and does not take 0
    os.environ["nnUNet_def_n_proc"] = str(threads)
    os.environ["OMP_NUM_THREADS"] = str(threads)


def restart_keeping_memory() -> None:
    """Start this script again with the allocator settings in place: they are read when a process starts."""
    if any(os.environ.get(key) != value for key, value in KEEP_MEMORY.items()):
        os.environ.update(KEEP_MEMORY)
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def link_dataset(source: Path, work: Path) -> str:
    """Make ``source`` visible as data set 1 of the raw folder, by links; returns nnU-Net's name for it."""
    source = source.resolve()
    name = f"Dataset{DATASET_ID:03d}_" + re.sub(r"[^A-Za-z0-9]+", "_", source.name).strip("_")
    target = work / "raw" / name
    target.mkdir(exist_ok=True)
    shutil.copyfile(source / "dataset.json", target / "dataset.json")
    for folder in ("imagesTr", "labelsTr"):
        link = target / folder
        if not link.is_symlink():
            link.symlink_to(source / folder, target_is_directory=True)
        elif link.resolve() != (source / folder).resolve():
            raise SystemExit(f"{link} belongs to another data set: use another --work")
    return name


def plan(name: str, work: Path, threads: int) -> dict[str, float]:
    """Extract the fingerprint and write the plans, unless ``work`` has them; returns the seconds each took."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprint_dataset,
        plan_experiment_dataset,
    )

    marker = work / "planned.json"
    if marker.exists():
        return json.loads(marker.read_text())
    start = time.perf_counter()
    extract_fingerprint_dataset(DATASET_ID, num_processes=threads, verbose=False, show_progress_bar=False)
    middle = time.perf_counter()
    plan_experiment_dataset(DATASET_ID)
    seconds = {"fingerprint_seconds": middle - start, "planning_seconds": time.perf_counter() - middle}
    marker.write_text(json.dumps(seconds))
    return seconds


def preprocess(configuration: str, work: Path, threads: int) -> float:
    """Preprocess one configuration, unless ``work`` has it; returns the seconds it took."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import preprocess_dataset

    marker = work / f"preprocessed_{configuration}.json"
    if marker.exists():
        return json.loads(marker.read_text())["seconds"]
    start = time.perf_counter()
    preprocess_dataset(
        DATASET_ID, configurations=[configuration], num_processes=[threads], verbose=False, show_progress_bar=False
    )
    seconds = time.perf_counter() - start
    marker.write_text(json.dumps({"seconds": seconds}))
    return seconds


def plan_essentials(plans: dict[str, Any], configuration: str) -> dict[str, Any]:
    """The parts of a plan that decide about the network and its input."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(plans).get_configuration(configuration)
    network = manager.network_arch_init_kwargs
    return {
        "transpose_forward": plans["transpose_forward"],
        "spacing": manager.spacing,
        "median_image_size": manager.configuration["median_image_size_in_voxels"],
        "patch_size": manager.patch_size,
        "batch_size": manager.batch_size,
        "batch_dice": manager.batch_dice,
        "normalization": manager.normalization_schemes,
        "use_mask_for_norm": manager.use_mask_for_norm,
        "features_per_stage": network["features_per_stage"],
        "strides": network["strides"],
        "kernel_sizes": network["kernel_sizes"],
    }


def read_splits(preprocessed: Path, configuration_folder: str, given: Path | None) -> list[dict[str, list[str]]]:
    """Write nnU-Net's default five-fold split (or the given one) where its trainer looks for it, and return it."""
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
    from nnunetv2.utilities.crossval_split import generate_crossval_split

    if given is None:
        folder = str(preprocessed / configuration_folder)
        cases = sorted(infer_dataset_class(folder).get_identifiers(folder))
        splits = generate_crossval_split(cases, seed=12345, n_splits=5)
        splits = [{part: [str(case) for case in cases] for part, cases in split.items()} for split in splits]
    else:
        splits = json.loads(given.read_text())
    (preprocessed / "splits_final.json").write_text(json.dumps(splits, indent=1))
    return splits


def train(plans: dict[str, Any], dataset: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """Train one fold for the given time and save the final checkpoint; returns the figures."""
    import numpy as np
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    os.environ["nnUNet_n_proc_DA"] = str(args.workers)
    torch.set_num_threads(args.threads)
    trainer = nnUNetTrainer(
        plans={**plans, "continue_training": False},
        configuration=args.configuration,
        fold=args.fold,
        dataset_json=dataset,
        device=torch.device("cpu"),
    )
    trainer.on_train_start()
    trainer.network.train()

    budget = args.minutes * 60.0
    losses: list[float] = []
    logged: list[dict[str, float]] = []
    last_log, since_log = 0.0, 0
    clock = time.perf_counter if args.clock == "wall" else time.thread_time
    wall_durations: list[float] = []
    durations: list[float] = []
    loading = 0.0
    wall_start, start = time.perf_counter(), clock()
    elapsed = 0.0
    while elapsed < budget:
        rate = trainer.initial_lr * (1.0 - elapsed / budget) ** POLY_POWER
        for group in trainer.optimizer.param_groups:
            group["lr"] = rate
        wall_before = time.perf_counter()
        batch = next(trainer.dataloader_train)
        loading += time.perf_counter() - wall_before
        losses.append(float(np.mean(trainer.train_step(batch)["loss"])))
        wall_durations.append(time.perf_counter() - wall_before)
        before, elapsed = elapsed, clock() - start
        durations.append(elapsed - before)
        wall = time.perf_counter() - wall_start
        if len(losses) == WARMUP_STEPS:
            per_step = elapsed / WARMUP_STEPS
            say(f"{per_step:.3f} s per step at the start: about {budget / per_step:.0f} steps in {args.minutes:g} min")
        if wall - last_log >= LOG_EVERY_SECONDS or elapsed >= budget:
            recent = float(np.mean(losses[since_log:]))
            logged.append({"seconds": elapsed, "wall": wall, "steps": len(losses), "loss": recent, "lr": rate})
            say(f"{elapsed:7.1f} s ({wall:.1f} wall)  step {len(losses):6d}  loss {recent:8.4f}  lr {rate:.6f}")
            last_log, since_log = wall, len(losses)
    trainer.current_epoch = trainer.num_epochs
    trainer.on_train_end()
    return {
        "steps": len(losses),
        "training_seconds": elapsed,
        "seconds_per_step": elapsed / len(losses),
        "seconds_per_step_median": statistics.median(durations),
        "wall_seconds": sum(wall_durations),
        "wall_seconds_per_step_median": statistics.median(wall_durations),
        "wall_seconds_per_step_quickest_tenth": sorted(wall_durations)[len(wall_durations) // 10],
        "waiting_for_batches_seconds": loading,
        "parameters": sum(p.numel() for p in trainer.network.parameters()),
        "model_folder": trainer.output_folder_base,
        "losses": logged,
        "step_seconds": [[round(own, 3), round(wall, 3)] for own, wall in zip(durations, wall_durations, strict=True)],
    }


def class_dice(reference: Any, prediction: Any, label: int) -> float:
    """Dice of one class: nan where neither has it, 0 where exactly one has it."""
    in_reference, in_prediction = reference == label, prediction == label
    total = int(in_reference.sum()) + int(in_prediction.sum())
    if total == 0:
        return math.nan
    return 2.0 * int((in_reference & in_prediction).sum()) / total


def predict(
    model: Path, cases: list[str], files: dict[str, Any], output: Path, args: argparse.Namespace
) -> list[float]:
    """Predict the cases one by one with nnU-Net's default settings; returns the seconds per case, file to file."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(
        tile_step_size=0.5,
        use_gaussian=True,
        use_mirroring=True,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    predictor.initialize_from_trained_model_folder(str(model), use_folds=(args.fold,), checkpoint_name=CHECKPOINT)
    output.mkdir(parents=True, exist_ok=True)
    seconds = []
    for case in cases:
        start = time.perf_counter()
        predictor.predict_from_files_sequential([files[case]["images"]], [str(output / case)])
        seconds.append(time.perf_counter() - start)
        say(f"predicted {case} in {seconds[-1]:.2f} s")
    return seconds


def score(
    cases: list[str], files: dict[str, Any], output: Path, plans: dict[str, Any], dataset: dict[str, Any]
) -> dict[str, Any]:
    """Dice of the written predictions against the reference files, on the native grid."""
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    reader = PlansManager(plans).image_reader_writer_class()
    labels = {name: value for name, value in dataset["labels"].items() if name not in ("background", "ignore")}
    if not all(isinstance(value, int) for value in labels.values()):
        raise SystemExit("region-based labels are not supported here")
    per_case: dict[str, dict[str, float]] = {}
    for case in cases:
        reference = reader.read_seg(files[case]["label"])[0]
        prediction = reader.read_seg(str(output / (case + dataset["file_ending"])))[0]
        if reference.shape != prediction.shape:
            raise SystemExit(f"{case}: reference and prediction differ in shape")
        per_case[case] = {name: class_dice(reference, prediction, value) for name, value in labels.items()}
    per_class = {}
    for name in labels:
        values = [row[name] for row in per_case.values() if not math.isnan(row[name])]
        per_class[name] = statistics.fmean(values) if values else math.nan
    present = [value for value in per_class.values() if not math.isnan(value)]
    return {
        "dice_per_class": per_class,
        "dice_mean": statistics.fmean(present) if present else math.nan,
        "dice_per_case": per_case,
    }


def without_nan(value: Any) -> Any:
    """The same structure with nan as None, which JSON can hold."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def main(argv: list[str] | None = None) -> int:
    """Plan, preprocess, train, predict and score, as the command line asks."""
    args = parse_args(argv)
    work = args.work.resolve()
    set_environment(work, args.threads)

    import torch
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    torch.set_num_threads(args.threads)
    name = link_dataset(args.dataset_folder, work)
    raw, preprocessed = work / "raw" / name, work / "preprocessed" / name
    result: dict[str, Any] = {
        "dataset": args.dataset_folder.name,
        "configuration": args.configuration,
        "fold": args.fold,
        "minutes": args.minutes,
        "clock": args.clock,
        "threads": args.threads,
        "augmentation_workers": args.workers,
        "batch_override": args.batch,
        "keep_memory": all(os.environ.get(key) == value for key, value in KEEP_MEMORY.items()),
        "split": "nnU-Net default (5 folds, seed 12345)" if args.splits is None else args.splits.name,
        "versions": {
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in PACKAGES},
        },
    }
    result.update(plan(name, work, args.threads))
    plans = json.loads((preprocessed / f"{PLANS_NAME}.json").read_text())
    dataset = json.loads((raw / "dataset.json").read_text())
    available = plans["configurations"]
    if args.plan_only:
        shown = {key: plan_essentials(plans, key) for key in ("2d", "3d_fullres") if key in available}
        print(json.dumps({**result, "available": sorted(available), "plans": shown}, indent=2))
        return 0
    if args.configuration not in available:
        raise SystemExit(f"nnU-Net did not plan {args.configuration} for this data set: {sorted(available)}")

    result["preprocessing_seconds"] = preprocess(args.configuration, work, args.threads)
    splits = read_splits(preprocessed, available[args.configuration]["data_identifier"], args.splits)
    result["training_cases"] = len(splits[args.fold]["train"])
    result["validation_cases"] = splits[args.fold]["val"]
    if args.batch is not None:
        available[args.configuration]["batch_size"] = args.batch
    result["plan"] = plan_essentials(plans, args.configuration)

    model = work / "results" / name / f"nnUNetTrainer__{PLANS_NAME}__{args.configuration}"
    record = work / f"training_{args.configuration}_{args.fold}.json"
    if not args.no_train:
        figures = train(plans, dataset, args)
        model = Path(figures.pop("model_folder"))
        record.write_text(json.dumps(figures))
    figures = json.loads(record.read_text())
    figures.pop("step_seconds", None)
    result.update(figures)

    if not args.no_predict:
        files = get_filenames_of_train_images_and_targets(str(raw), dataset)
        cases = splits[args.fold]["val"][: args.limit_cases]
        output = work / "predictions" / f"{args.configuration}_{args.fold}"
        seconds = predict(model, cases, files, output, args)
        result["prediction_seconds_per_case"] = statistics.fmean(seconds)
        result["prediction_seconds_median"] = statistics.median(seconds)
        result["prediction_seconds"] = dict(zip(cases, seconds, strict=True))
        result["scored_cases"] = len(cases)
        result.update(score(cases, files, output, plans, dataset))

    text = json.dumps(without_nan(result), indent=2)
    (work / "result.json").write_text(text + "\n")
    print(text, flush=True)
    return 0


if __name__ == "__main__":
    if sys.platform == "linux" and "--stock-malloc" not in sys.argv:
        restart_keeping_memory()
    sys.exit(main())
