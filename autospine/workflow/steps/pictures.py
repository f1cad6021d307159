"""Pictures of segmentations beside their references: the worst of what is evaluated, and a fold's validation cases.

The image of a case is found, where nobody says where it lies,

    PRED/prediction.json          as the file that the segmentation was made of
    labelsTs -> imagesTs          beside the references, in nnU-Net's layout
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.dataset import load_case, open_dataset
from autospine.data.geometry import Geometry, Volume, to_canonical
from autospine.data.layouts.shared.naming import group_files, image_files, numbered_cases
from autospine.data.masks.files import mask_stem
from autospine.data.masks.placing import onto_axes
from autospine.data.slices import slices_of
from autospine.data.structure import IGNORED, Dataset, Reading
from autospine.data.volume import read_volume
from autospine.errors import AutospineError, DataError
from autospine.evaluation.folders import open_pairs
from autospine.evaluation.score import Scores
from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.restore import as_written
from autospine.report.cases import CaseImage, case_row, write_case_picture, write_case_sheet
from autospine.report.panels import ShownSlice
from autospine.workflow.progress import Progress, counted
from autospine.workflow.runs.folder import VALIDATION, VALIDATION_PICTURE
from autospine.workflow.runs.predicted import Account, Target

FOLDER = "pictures"
"""In the folder of the segmentations."""
SHEET = "worst.png"
"""There: a row for each case that has a picture."""
_LABELS, _IMAGES = "labels", "images"
"""Beginnings of the names of nnU-Net's folders."""


@dataclass(frozen=True)
class Pictures:
    """What is to be drawn of an evaluation."""

    images: Path | None = None
    """Folder of the images, or the one image; None: found by `prediction.json`, or beside the references."""
    worst: int = 10
    """Cases that are drawn, those with the lowest mean Dice."""

    def find(self, prediction: Path, reference: Path) -> dict[str, Path]:
        """Case -> its image, of which the first channel is drawn.

        Raises:
            DataError: no image is found.
        """
        if self.images is not None:
            found = _images_in(self.images)
        else:
            found = _recorded(prediction) or _beside(reference)
        if not found:
            where = str(self.images or prediction)
            expected = "the images that were segmented"
            raise DataError(where, "no images to draw on", expected, "name their folder with --images")
        return found


def draw_worst(
    scores: Scores, prediction: Path, reference: Path, images: Mapping[str, Path], worst: int, progress: Progress
) -> Path:
    """Draw the cases with the lowest mean Dice, worst first; the folder of the pictures.

    A case without an image, or with one that lies elsewhere, is told and not drawn; pictures of an earlier evaluation
    in that folder are removed.

    Args:
        scores: what `evaluate_folders` found.
        prediction: folder of segmentations, or one.
        reference: folder of references, or one.
        images: case -> its image; of a single case whatever it is called.
        worst: how many at most.
        progress: told the share that is done, and what is not drawn.

    Raises:
        OutputError: a picture cannot be written.
    """
    folder = (prediction if prediction.is_dir() else prediction.parent) / FOLDER
    ranked = ranked_cases(scores)
    _remove_earlier(folder, {case.case for case in scores.cases})
    places = {case: place for place, (case, _) in enumerate(ranked[:worst], start=1)}
    dice, alone = dict(ranked), len(scores.cases) == 1
    rows: dict[int, ShownSlice] = {}
    masks = open_pairs(prediction, reference, places) if places else None
    with progress.task("Drawing the worst cases") as update:
        tell = counted(update)
        for case, grid, predicted, expected in masks.laid() if masks else ():
            image = next(iter(images.values())) if alone and len(images) == 1 else images.get(case)
            if masks is None or image is None:
                progress.note(f"{case} is not drawn: no image of it was found")
                continue
            try:
                shown = _laid(image, grid, predicted, expected, masks.drawn, masks.ignored)
            except DataError as fault:
                progress.note(f"{case} is not drawn: {fault.where}: {fault.found}")
                continue
            place, said = places[case], f"{case} · Dice {dice[case]:.3f}"
            title = f"{said} · {place} of {len(ranked)}, worst first"
            _draw(folder / f"{place:02d}_{case}.png", shown, title)
            rows[place] = case_row(shown, said)
            labels = masks.drawn
            tell(case, len(rows), len(places))
        (folder / SHEET).unlink(missing_ok=True)  # of an earlier evaluation, where now nothing is drawn
        if rows:
            title = f"The {len(rows)} worst of {len(ranked)} cases, by mean Dice"
            write_case_sheet(folder / SHEET, [rows[place] for place in sorted(rows)], labels, title)
    return folder


def draw_validation(
    dataset: Path, reading: Reading, folder: Path, card: ModelCard, scores: Scores, progress: Progress
) -> None:
    """Draw the worst, the median and the best validation case of the fold in `folder`, of those that were written.

    Nothing is drawn where the images are not at hand; one that cannot be read is told.

    Raises:
        OutputError: the picture cannot be written.
    """
    ranked = ranked_cases(scores)
    if not ranked or not dataset.exists():
        return
    places = dict.fromkeys((0, (len(ranked) - 1) // 2, len(ranked) - 1))
    names = dict(zip(places, ("worst", "median", "best"), strict=False)) if len(places) == 3 else {}
    rows = []
    try:
        opened = open_dataset(dataset, reading)
        for place in places:
            case, dice = ranked[place]
            shown = _validated(opened, case, folder / VALIDATION / f"{case}.nii.gz", card)
            said = f"{names[place]}: " if names else ""
            rows.append(case_row(shown, f"{said}{case}\nDice {dice:.3f}"))
    except DataError as fault:
        progress.note(f"{VALIDATION_PICTURE} is not drawn: {fault.where}: {fault.found}")
        return
    title = (
        f"{card.data.dataset}, {card.configuration.name}: {len(ranked)} validation cases, mean Dice {scores.mean():.3f}"
    )
    write_case_sheet(folder / VALIDATION_PICTURE, rows, _drawn(card), title)


def ranked_cases(scores: Scores) -> list[tuple[str, float]]:
    """(case, mean Dice over its classes) from the lowest on, of the cases that have one."""
    means = [(case.case, scores.case_mean(case)) for case in scores.cases]
    return sorted((one for one in means if not math.isnan(one[1])), key=lambda one: (one[1], one[0]))


def _draw(path: Path, shown: CaseImage, title: str) -> None:
    write_case_picture(
        path,
        shown.image,
        shown.reference,
        shown.prediction,
        shown.spacing_mm,
        shown.labels,
        shown.axis,
        title,
        shown.ignored,
    )


def _laid(
    image: Path,
    grid: Geometry,
    predicted: npt.NDArray[Any],
    expected: npt.NDArray[Any],
    labels: tuple[tuple[str, int], ...],
    ignored: int | None,
) -> CaseImage:
    """A case in canonical axes; raises `DataError` where its image cannot be read or lies on another grid."""
    volume = onto_axes(read_volume(image), grid, image, Path("the masks"))
    shown, mine, its = (
        to_canonical(Volume(array, grid)) for array in (_first(volume.array), predicted[None], expected[None])
    )
    geometry = shown.geometry
    return CaseImage(
        shown.array[0], its.array[0], mine.array[0], geometry.spacing_mm, labels, slices_of(geometry), ignored
    )


def _validated(dataset: Dataset, name: str, path: Path, card: ModelCard) -> CaseImage:
    """A validation case as it was written, with class indices in both masks."""
    case = next((case for case in dataset.cases if case.name == name), None)
    if case is None:
        raise DataError(name, f"no longer in {dataset.root}")
    loaded = load_case(dataset, case)
    written = to_canonical(read_volume(path)).array[0]
    if loaded.label is None or written.shape != loaded.label.shape:
        raise DataError(str(path), "not on the grid of the mask", "the segmentation that was written")
    indices = np.zeros(written.shape, np.uint8)
    for index, (_, value) in enumerate(card.data.labels, start=1):
        indices[written == value] = index
    geometry, image = loaded.image.geometry, _first(loaded.image.array)[0]
    reference = as_written(loaded.label, card.data)
    return CaseImage(image, reference, indices, geometry.spacing_mm, _drawn(card), slices_of(geometry), IGNORED)


def _drawn(card: ModelCard) -> tuple[tuple[str, int], ...]:
    """Names of the classes with their indices."""
    return tuple((name, index) for index, (name, _) in enumerate(card.data.labels, start=1))


def _first(channels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(1, Z, Y, X): the first channel that is not 0 everywhere."""
    place = next((place for place, channel in enumerate(channels) if channel.any()), 0)
    return channels[place : place + 1]


def _recorded(prediction: Path) -> dict[str, Path]:
    """Case -> image, as the account of the prediction has it, of images that are still there."""
    target = Target(prediction, prediction.is_file())
    with suppress(AutospineError):  # whatever it is, it is no account of a prediction
        made = Account.read(target, "").made.values()
        return {mask_stem(Path(one.file)): Path(one.image) for one in made if one.image and Path(one.image).exists()}
    return {}


def _beside(reference: Path) -> dict[str, Path]:
    """The images in the folder that is called `images...` where that of the references is `labels...`."""
    folder = reference.resolve().parent if reference.is_file() else reference.resolve()
    if not folder.name.lower().startswith(_LABELS):
        return {}
    images = folder.with_name(f"{_IMAGES}{folder.name[len(_LABELS) :]}")
    return _images_in(images) if images.is_dir() else {}


def _images_in(place: Path) -> dict[str, Path]:
    """Case -> the file of its first channel, of a folder of images, of a data set, or of one image."""
    if place.is_file():
        return {mask_stem(place): place}
    if not place.is_dir():
        raise DataError(str(place), "no such file or folder", "a folder of images", "correct --images")
    files = image_files(place, None)
    if files:
        return {name: held[min(held)] for name, held in group_files(files, whole=numbered_cases(files)).items()}
    return {case.name: case.files[0] for case in open_dataset(place, labelled=False).cases if case.files}


def _remove_earlier(folder: Path, cases: Collection[str]) -> None:
    """Remove pictures that an evaluation of these cases has left: under other ranks they would stand beside the new."""
    for path in sorted(folder.glob("*.png")) if folder.is_dir() else ():
        match = re.fullmatch(r"\d{2,}_(.+)", path.stem)
        if match and match[1] in cases:
            path.unlink(missing_ok=True)
