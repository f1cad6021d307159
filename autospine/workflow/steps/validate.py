"""The end of a training: the fold's validation cases predicted whole, written and scored on their own grids.

They are also predicted the fast way, so that whoever predicts like that later can be told what it costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from autospine.data.folds import Fold, FoldName
from autospine.data.structure import IGNORED, Reading
from autospine.errors import DataError, PlanError
from autospine.evaluation.levels import chains_planned
from autospine.evaluation.score import ScoredCase, Scores, score_cases
from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.previous import PreviousStage
from autospine.preprocessing.store import Store
from autospine.workflow.progress import Progress, counted
from autospine.workflow.runs.fast import FastCost

if TYPE_CHECKING:
    import torch

    from autospine.inference.predictor import Predictor
    from autospine.planning.document.evidence import Evidence

MOST_FAST_S = 600.0
"""Seconds of a validation from which on it is not repeated the fast way (ours)."""


def validate_fold(
    folder: Path,
    fold: FoldName,
    split: Fold,
    store: Store,
    write: Callable[[str, npt.NDArray[np.uint8]], None],
    device: torch.device,
    progress: Progress,
    previous: PreviousStage | None = None,
    subjects: Mapping[str, str] | None = None,
    keep: Callable[[str, Evidence], None] | None = None,
    temperature: float = 1.0,
) -> Scores:
    """Predict the validation cases of `split` whole, hand them to `write`, and score them on their own grid.

    The network of `fold` in the model `folder` predicts. `write` is called with a case and its canonical class indices
    (Z, Y, X), `keep` with what the prediction says of itself at this `temperature`. A cascade starts from the
    segmentations of the `previous` stage. Intervals are over `subjects` (case -> subject), or as the cases' names say
    it.

    Raises:
        PlanError: prepared files are missing or damaged, all that are, once the other cases have been predicted.
    """
    from autospine.inference.loading import load_model

    model = load_model(folder, device, (str(fold),))
    damaged: list[PlanError] = []
    with progress.task("Predicting and scoring the validation cases") as update:
        # where a plan goes by lesions, its scores do too
        lesions = model.card.configuration.by_component
        cases = _predicted(model, split, store, previous, write, counted(update), damaged.append, keep, temperature)
        data = model.card.data
        scores = score_cases(
            cases, data.scored, IGNORED, lesions=lesions, chains=chains_planned(data), subjects=subjects
        )
    if damaged:
        first, every = damaged[0], "\n  ".join(fault.found for fault in damaged)
        raise PlanError(first.where, every, first.expected, first.remedy)
    return scores


def measure_fast(
    folder: Path,
    fold: FoldName,
    split: Fold,
    store: Store,
    device: torch.device,
    progress: Progress,
    previous: PreviousStage | None,
    whole: Scores,
    seconds: float,
) -> FastCost | None:
    """What a fast prediction costs; arguments and errors as of `validate_fold`.

    That found `whole` in so many `seconds`. None where it would take long, which is said, or where no case has a Dice.
    """
    from autospine.inference.loading import load_model
    from autospine.inference.settings import Settings

    if seconds > MOST_FAST_S:
        progress.note(f"What --fast costs in Dice is not measured: the validation took {seconds / 60:.0f} min")
        return None
    model = load_model(folder, device, (str(fold),))
    overlap = Settings(fast=True).overlap_of(model.card.configuration.overlap)
    card = model.card.with_configuration(replace(model.card.configuration, overlap=overlap))
    fast = replace(model, card=card, mirror=False)
    dice = whole.mean()
    if not _same_passes(model, fast, split, store):
        with progress.task("Predicting the validation cases the fast way") as update:
            cases = _predicted(fast, split, store, previous, lambda name, labels: None, counted(update), _raise)
            dice = score_cases(cases, card.data.scored, IGNORED, distances=False).mean()
    return FastCost(whole.mean(), dice, len(whole.cases)) if not math.isnan(dice) else None


def _same_passes(one: Predictor, other: Predictor, split: Fold, store: Store) -> bool:
    """Whether both predict each case from the same tiles, not mirrored."""
    from autospine.inference.window import tile_starts

    if one.mirror and one.card.configuration.training.mirror_axes:
        return False
    configurations = (one.card.configuration, other.card.configuration)
    for name in split.validation:
        shape = store.open(name).image.shape[1:]
        for size, edge in zip(shape[-len(configurations[0].patch) :], configurations[0].patch, strict=True):
            starts = [tile_starts(max(size, edge), edge, configuration.overlap) for configuration in configurations]
            if starts[0] != starts[1]:
                return False
    return True


def _predicted(
    model: Predictor,
    split: Fold,
    store: Store,
    previous: PreviousStage | None,
    write: Callable[[str, npt.NDArray[np.uint8]], None],
    update: Callable[[str, int, int], None],
    damaged: Callable[[PlanError], None],
    keep: Callable[[str, Evidence], None] | None = None,
    temperature: float = 1.0,
) -> Iterator[ScoredCase]:
    """The validation cases as `model` predicts them, each handed to `write`; what cannot be opened is `damaged`.

    Evidence of each is gathered where it is to be kept.
    """
    for done, name in enumerate(split.validation, 1):
        try:
            case = store.open(name)
            earlier = None if previous is None else previous.open(name, case.label.shape)
        except PlanError as fault:
            damaged(fault)
            continue
        if keep is None:
            labels = model.labels(case, earlier)
        else:
            labels, evidence = model.judged(case, earlier, temperature)
            keep(name, evidence)
        write(name, labels)
        yield name, labels, np.asarray(case.reference), case.properties.canonical_spacing_mm
        update(name, done, len(split.validation))


def _raise(fault: PlanError) -> None:
    raise fault


def segmentation_writer(
    dataset: Path, reading: Reading, folder: Path, card: ModelCard, progress: Progress
) -> Callable[[str, npt.NDArray[np.uint8]], None]:
    """A function that writes canonical class indices of a case on the grid of its image.

    Where the images are not at hand (a machine that got the prepared cases alone) it writes nothing; it is said.
    """
    absent = f"{dataset} is not here: validation cases will be scored, their segmentations not written"
    if not dataset.exists():
        progress.note(absent)
        return lambda name, labels: None
    from autospine.data.dataset import open_dataset
    from autospine.data.volume import read_geometry, write_volume
    from autospine.inference.export import labels_volume

    try:
        images = {case.name: case.files[0] for case in open_dataset(dataset, reading).cases}
    except DataError as error:
        progress.note(f"{absent} ({error.found})")
        return lambda name, labels: None

    def write(name: str, labels: npt.NDArray[np.uint8]) -> None:
        if name not in images:
            progress.note(f"{name} is no longer in {dataset}: scored, not written")
            return
        try:
            geometry = read_geometry(images[name])
        except DataError as fault:
            progress.note(f"{images[name]} cannot be read any more ({fault.found}): {name} is scored, not written")
            return
        write_volume(folder / f"{name}.nii.gz", labels_volume(labels, geometry, card))

    return write
