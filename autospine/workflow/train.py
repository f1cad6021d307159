"""`autospine train`: prepare, fit, then predict and score the fold's validation cases."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from autospine import __version__
from autospine.data.files import write_json, write_text
from autospine.data.folds import Fold, read_folds
from autospine.errors import PlanError
from autospine.evaluation.score import Scores, score_cases
from autospine.planning.model import ModelCard, write_model
from autospine.planning.plan import Configuration, Plan
from autospine.preprocessing.prepare import restore_labels
from autospine.preprocessing.store import Store
from autospine.workflow.progress import Progress, Silent, counted
from autospine.workflow.runs import RunFolder

if TYPE_CHECKING:
    import torch

    from autospine.training.log import EpochRecord
    from autospine.training.loop import FitProgress, FitResult


@dataclass(frozen=True)
class TrainRequest:
    """What the user asked for."""

    configuration: str | None = None
    """`2d` or `3d_fullres`; None: the plan's default."""
    budget_s: float | None = None
    """Seconds that the training may take; None: the plan's budget or epochs."""
    epochs: int | None = None
    """Epochs instead of the plan's; switches a budget off."""
    device: str = "auto"
    workers: int | None = None
    """Processes that build batches; None: by the device and the cores."""
    overwrite: bool = False
    """Throw an earlier training of this fold away."""


@dataclass(frozen=True)
class Trained:
    """A trained fold."""

    folder: Path
    scores: Scores | None
    """None where the fold has no validation cases."""


def train_fold(
    dataset: Path, fold: int, runs: Path, request: TrainRequest, *, progress: Progress | None = None
) -> Trained:
    """Train one fold, or go on with it, then predict and score its validation cases.

    Preparation and validation come on top of a time budget, which is for training alone. The dataset's
    images are needed only where cases are not prepared yet.

    Raises:
        PlanError: no plan, no such configuration, a checkpoint of another training.
        DataError: a case cannot be read.
        DeviceError: the device is not there.
        OutputError: the run folder cannot be written.
        Stopped: the user stopped; the same call goes on.
    """
    from autospine.networks.device import describe_device, resolve_device
    from autospine.training.loop import fit, is_trained

    progress = progress or Silent()
    run = RunFolder.of(runs, dataset)
    plan = run.read_plan()
    configuration = _requested(plan, request)
    split = read_folds(run.splits)[fold]
    device = resolve_device(request.device)
    run.check_writable()
    folder = run.fold(configuration.name, fold)
    if request.overwrite and folder.exists():
        shutil.rmtree(folder)

    store = ensure_prepared(dataset, run, plan, configuration, progress)
    write_model(run.model(configuration.name), ModelCard.from_plan(plan, configuration))
    if is_trained(folder):
        progress.note(f"{folder} is trained already (--overwrite trains it anew)")
    else:
        progress.note(f"Training {configuration.name}, fold {fold}, on {describe_device(device)}")
        with progress.task(f"Training {configuration.name} fold {fold}") as update:
            result = fit(
                configuration,
                store,
                split,
                folder,
                classes=tuple(name for name, _ in plan.labels),
                device=device,
                workers=request.workers if request.workers is not None else _default_workers(device),
                on_step=lambda state: update(_step_text(state), state.progress),
                on_epoch=_drawing(folder),
            )
        _write_run_record(folder, plan, configuration, store, device, request, result)
    scores = validate_fold(dataset, run, plan, configuration, fold, split, store, device, progress)
    return Trained(folder, scores)


def fold_numbers(text: str, dataset: Path, runs: Path) -> tuple[int, ...]:
    """The folds that `text` names: `all`, or one number.

    Raises:
        PlanError: neither, or the dataset has no folds yet.
    """
    run = RunFolder.of(runs, dataset)
    run.read_plan()
    count = len(read_folds(run.splits))
    if text == "all":
        return tuple(range(count))
    if not text.isdigit() or int(text) >= count:
        raise PlanError(f"FOLD {text}", "no such fold", f"a number from 0 to {count - 1}, or all", "choose one of them")
    return (int(text),)


def ensure_prepared(
    dataset: Path, run: RunFolder, plan: Plan, configuration: Configuration, progress: Progress
) -> Store:
    """The store of `configuration`, prepared from `dataset` as far as it is not there yet."""
    from autospine.preprocessing.store import find_store, prepare_dataset, stored_key

    root = run.prepared(configuration.name)
    store = find_store(root, stored_key(plan, configuration))
    if store is not None:
        return store
    # read here alone: a machine that got the prepared cases needs no image library
    from autospine.data.dataset import open_dataset

    with progress.task(f"Preparing {configuration.name}") as update:
        return prepare_dataset(open_dataset(dataset), plan, configuration, root, progress=counted(update))


def validate_fold(
    dataset: Path,
    run: RunFolder,
    plan: Plan,
    configuration: Configuration,
    fold: int,
    split: Fold,
    store: Store,
    device: torch.device,
    progress: Progress,
) -> Scores | None:
    """Predict the fold's validation cases whole, write and score them on their own grid.

    Where the images are not at hand (a machine that got the prepared cases alone) the scores are the same,
    and the segmentations are not written.
    """
    from autospine.inference.ensemble import load_model
    from autospine.inference.predictor import predict_logits

    folder = run.fold(configuration.name, fold)
    if not split.validation:
        progress.note("This fold has no validation cases: nothing to score")
        return None
    model = load_model(run.model(configuration.name), device, (str(fold),))
    write = _segmentation_writer(dataset, folder / "validation", model.card, progress)

    def predictions(
        update: Callable[[str, int, int], None],
    ) -> Iterator[tuple[str, npt.NDArray[np.uint8], npt.NDArray[np.uint8], tuple[float, float, float]]]:
        for index, name in enumerate(split.validation):
            case = store.open(name)
            image = np.asarray(case.image, np.float32)
            logits = predict_logits(model.networks, image, configuration, device=device)
            labels = restore_labels(logits, case.properties, configuration)
            write(name, labels)
            yield name, labels, np.asarray(case.reference), case.properties.canonical_spacing_mm
            update(name, index + 1, len(split.validation))

    with progress.task("Predicting and scoring the validation cases") as update:
        indices = tuple((name, index + 1) for index, (name, _) in enumerate(plan.labels))
        scores = score_cases(predictions(counted(update)), indices)
    write_json(folder / "metrics.json", scores.to_json())
    return scores


def _segmentation_writer(
    dataset: Path, folder: Path, card: ModelCard, progress: Progress
) -> Callable[[str, npt.NDArray[np.uint8]], None]:
    """A function that writes canonical class indices of a case on the grid of its image."""
    if not dataset.exists():
        progress.note(f"{dataset} is not here: the validation cases are scored, their segmentations are not written")
        return lambda name, labels: None
    from autospine.data.dataset import open_dataset
    from autospine.data.volume import Volume, canonical_orientation, read_geometry, restore, write_volume
    from autospine.inference.export import label_values

    images = {case.name: case.images[0] for case in open_dataset(dataset).cases}

    def write(name: str, labels: npt.NDArray[np.uint8]) -> None:
        geometry = read_geometry(images[name])
        array = restore(label_values(labels, card), canonical_orientation(geometry))
        write_volume(folder / f"{name}.nii.gz", Volume(array[None], geometry, ()))

    return write


def _requested(plan: Plan, request: TrainRequest) -> Configuration:
    configuration = plan.configuration(request.configuration)
    training = configuration.training
    if request.epochs is not None:
        training = replace(training, epochs=request.epochs, budget_s=None)
    if request.budget_s is not None:
        training = replace(training, budget_s=request.budget_s)
    return replace(configuration, training=training)


def _default_workers(device: torch.device) -> int:
    """Enough processes to keep a GPU fed; on a CPU the network itself needs the cores."""
    from autospine.networks.device import available_cores

    return min(available_cores(), 12) if device.type == "cuda" else 0


def _step_text(state: FitProgress) -> str:
    loss = "" if state.loss is None else f", loss {state.loss:.3f}"
    dice = "" if state.dice is None else f", Dice {state.dice:.3f}"
    return f"step {state.step}{loss}{dice}"


def _drawing(folder: Path) -> Callable[[EpochRecord], None]:
    """A function that redraws `progress.png` after an epoch."""
    from autospine.report.figures import plot_history

    return lambda record: plot_history(folder / "history.csv", folder / "progress.png")


def _write_run_record(
    folder: Path,
    plan: Plan,
    configuration: Configuration,
    store: Store,
    device: torch.device,
    request: TrainRequest,
    result: FitResult,
) -> None:
    """`run.toml`: what this fold was trained with and what it took."""
    import tomlkit

    from autospine.networks.device import describe_device

    record = tomlkit.document()
    record["flags"] = {key: value for key, value in vars(request).items() if value is not None}
    record["data"] = {"dataset": plan.dataset, "fingerprint": plan.fingerprint_hash, "prepared": store.key}
    record["versions"] = {"python": platform.python_version(), "autospine": __version__} | {
        name: version(name) for name in ("torch", "numpy", "scipy", "batchgenerators")
    }
    record["hardware"] = {"device": describe_device(device), "system": f"{platform.system()} {platform.machine()}"}
    took: dict[str, float | int] = {
        "steps": result.step,
        "seconds": round(result.seconds, 1),
        "seconds_per_step": round(result.seconds / max(result.step, 1), 4),
    }
    if result.peak_memory_bytes is not None:
        took["peak_memory_mib"] = round(result.peak_memory_bytes / 2**20)
    record["result"] = took
    write_text(folder / "run.toml", tomlkit.dumps(record))
