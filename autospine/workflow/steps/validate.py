"""The end of a training: the fold's validation cases predicted whole, written and scored on their own grids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from autospine.data.folds import Fold
from autospine.data.structure import IGNORED, Reading
from autospine.errors import DataError, PlanError
from autospine.evaluation.score import ScoredCase, Scores, score_cases
from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.previous import PreviousStage
from autospine.preprocessing.store import Store
from autospine.workflow.progress import Progress, counted

if TYPE_CHECKING:
    import torch


def validate_fold(
    folder: Path,
    fold: int,
    split: Fold,
    store: Store,
    write: Callable[[str, npt.NDArray[np.uint8]], None],
    device: torch.device,
    progress: Progress,
    previous: PreviousStage | None = None,
) -> Scores:
    """Predict the validation cases of `split` whole, hand them to `write`, and score them on their own grid.

    The network of `fold` in the model `folder` predicts. `write` is called with a case and its canonical class indices
    (Z, Y, X). A cascade starts from the segmentations of the `previous` stage.

    Raises:
        PlanError: prepared files are missing or damaged, all that are, once the other cases have been predicted.
    """
    from autospine.inference.loading import load_model

    model = load_model(folder, device, (str(fold),))
    damaged: list[PlanError] = []

    def predictions(update: Callable[[str, int, int], None]) -> Iterator[ScoredCase]:
        for done, name in enumerate(split.validation, 1):
            try:
                case = store.open(name)
                earlier = None if previous is None else previous.open(name, case.label.shape)
            except PlanError as fault:
                damaged.append(fault)
                continue
            labels = model.labels(case, earlier)
            write(name, labels)
            yield name, labels, np.asarray(case.reference), case.properties.canonical_spacing_mm
            update(name, done, len(split.validation))

    with progress.task("Predicting and scoring the validation cases") as update:
        # where a plan goes by lesions, its scores do too
        lesions = model.card.configuration.by_component
        scores = score_cases(predictions(counted(update)), model.card.data.scored, IGNORED, lesions=lesions)
    if damaged:
        first, every = damaged[0], "\n  ".join(fault.found for fault in damaged)
        raise PlanError(first.where, every, first.expected, first.remedy)
    return scores


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
