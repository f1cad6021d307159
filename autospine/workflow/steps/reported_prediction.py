"""What the report of a folder of segmentations says, gathered from what a prediction and an evaluation wrote there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.description import DATASET_FILE, LABELS_FILE, declared
from autospine.data.disk.files import read_json
from autospine.data.disk.tables import read_rows
from autospine.data.geometry import Geometry, canonical_orientation, orient, orient_geometry, to_canonical
from autospine.data.label_tables import BIDS_TABLE
from autospine.data.layouts.shared.naming import CHANNEL, PREVIEW
from autospine.data.masks.files import mask_stem, read_mask
from autospine.data.not_to_segment import PREDICTED, PREVIEWS, STATISTICS
from autospine.data.slices import slices_of
from autospine.data.structure import MOST_CLASSES
from autospine.data.volume import is_series, read_volume, stem, suffix_of
from autospine.errors import AutospineError, DataError, PlanError
from autospine.evaluation.folders import evaluate_folders
from autospine.report.page.blocks import Picture, Viewer
from autospine.report.page.material import PredictionMaterial, Row
from autospine.report.page.promised import flags_by_case
from autospine.report.page.scoreboard import Scoreboard
from autospine.report.page.shown import chosen_cases
from autospine.report.page.slices import ShownCase, small_picture, viewer_of
from autospine.workflow.runs.folder import METRICS_FILE
from autospine.workflow.steps.reported_run import (
    MOST_A_CASE,
    MOST_PICTURES,
    PICTURE_BYTES,
    classes_of,
    scores_of,
)

PROMISES = "promise.csv"
Labels = tuple[tuple[str, int], ...]
"""(name, value in the masks)."""


def gather_prediction(
    folder: Path, reference: Path | None, images: Path | None, cases: int, tell: Callable[[str, float], None]
) -> PredictionMaterial:
    """What there is to say of a folder of segmentations.

    Args:
        folder: OUT of a prediction, or any folder of masks.
        reference: folder of reference masks; None: the scores that stand in the folder, if any.
        images: folder of the images that were segmented, to show them.
        cases: that are shown at most.
        tell: called with what is done, and the share of it.

    Raises:
        DataError: no segmentations there, or they do not fit the references.
        PlanError: a document in the folder cannot be read.
    """
    record = _record(folder)
    masks = masks_in(folder, record)
    if not masks:
        expected = "a run folder, a study, or a folder of segmentations"
        raise DataError(str(folder), "nothing to report on", expected, "check the path")
    promises = read_rows(folder / PROMISES, PlanError)
    statistics = read_rows(folder / f"{STATISTICS}.csv", PlanError)
    scores = _scores(folder, reference, tell)
    chosen = _chosen(scores, promises, tuple(masks), cases)
    labels = _labels(folder, statistics) or (() if reference is None else _declared(reference))
    viewers = []
    for place, (name, why) in enumerate(chosen.items()):
        tell(name, 0.5 + 0.5 * place / len(chosen))
        viewer = _viewer(
            name, why, masks[name], _of(reference, name), _of(images, name), labels, place, PICTURE_BYTES // len(chosen)
        )
        viewers += [] if viewer is None else [viewer]
    words = [f" --ref {reference.name}"] if reference is not None else []
    words += [f" --images {images.name}"] if images is not None else []
    return PredictionMaterial(
        name=folder.resolve().name,
        record=record,
        cases=tuple(masks),
        statistics=statistics,
        promises=promises,
        failed={case: str(one.get("found", "")) for case, one in _tables_in(record, "failed").items()},
        scores=scores,
        previews=() if viewers else tuple(_previews(folder / PREVIEWS)),
        viewers=tuple(viewers),
        commands=(f"autospine report {folder.resolve().name}{''.join(words)}",),
    )


def masks_in(folder: Path, record: dict[str, Any]) -> dict[str, Path]:
    """Case -> file of its segmentation: as the record of the prediction says, else all masks by their names."""
    if named := _tables_in(record, "cases"):
        files = {name: folder / Path(str(one.get("file", ""))).name for name, one in named.items()}
        return {name: path for name, path in sorted(files.items()) if path.is_file()}
    found = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    return {mask_stem(path): path for path in found if suffix_of(path) not in ("", PREVIEW)}


def _record(folder: Path) -> dict[str, Any]:
    path = folder / PREDICTED
    content = read_json(path, PlanError) if path.is_file() else {}
    return content if isinstance(content, dict) else {}


def _tables_in(record: Mapping[str, Any], key: str) -> dict[str, dict[str, Any]]:
    """Case -> what a record says of it; what is no table is left out."""
    held = record.get(key)
    cases = held.items() if isinstance(held, dict) else ()
    return {str(case): one for case, one in cases if isinstance(one, dict)}


def _scores(folder: Path, reference: Path | None, tell: Callable[[str, float], None]) -> Scoreboard | None:
    """The segmentations scored against `reference`, else as `metrics.json` has it; None where neither is there."""
    if reference is not None:
        scores = evaluate_folders(folder, reference, progress=lambda case, done, total: tell(case, 0.5 * done / total))
        return Scoreboard.of({"": scores.to_json()})
    path = folder / METRICS_FILE
    content = read_json(path, PlanError) if path.is_file() else None
    return scores_of({"": content}, folder, {}) if isinstance(content, dict) else None


def _chosen(scores: Scoreboard | None, promises: Sequence[Row], cases: tuple[str, ...], most: int) -> dict[str, str]:
    """Cases to look at, each with why: by their scores, else those that are flagged, else the first."""
    if scores is not None and scores.ranked:
        return {case.case: why for case, why in (chosen_cases(scores, most) if most else []) if case.case in cases}
    flagged = {case: f"Flagged: {'; '.join(said)}" for case, said in flags_by_case(promises).items() if case in cases}
    others = {case: "As it was segmented" for case in cases if case not in flagged}
    return dict(list((flagged | others).items())[:most])


def _labels(folder: Path, statistics: Sequence[Row]) -> Labels:
    """What the values in the masks mean, by the tables beside them; empty where none says it."""
    path = folder / BIDS_TABLE
    if path.is_file():
        head, *lines = path.read_text("utf-8", errors="replace").splitlines()
        rows = [dict(zip(head.split("\t"), line.split("\t"), strict=False)) for line in lines]
        found = [(row.get("name", ""), row.get("index", "")) for row in rows]
    else:
        found = list({(row.get("structure", ""), row.get("value", "")): None for row in statistics})
    return tuple((name, int(value)) for name, value in found if value.isdecimal())


def _declared(reference: Path) -> Labels:
    """What the values mean by a description in or beside the references; empty where none says it of classes."""
    folder = reference.parent if reference.is_file() else reference
    for path in (place / name for place in (folder, folder.parent) for name in (DATASET_FILE, LABELS_FILE)):
        content = read_json(path) if path.is_file() else None
        if not isinstance(content, dict):
            continue
        entries = content.get("labels") if path.name == DATASET_FILE else content
        try:
            return declared(entries if isinstance(entries, dict) else {}, path, content).classes
        except DataError:
            continue  # whatever it describes, it is not these masks, or scoring has said so
    return ()


def _viewer(
    name: str, why: str, mask: Path, reference: Path | None, image: Path | None, labels: Labels, place: int, most: int
) -> Viewer | None:
    """A case to scroll through; None where its segmentation cannot be shown."""
    try:
        found = read_mask(mask) if not is_series(mask) else None
    except AutospineError:
        return None
    if found is None or found.cropped:  # an object on the grid of its series, or a part of an image
        return None
    grid = found.geometry
    values = orient(found.values, canonical_orientation(grid))
    known = labels or tuple((f"label_{value}", int(value)) for value in np.unique(values) if value > 0)
    known = known[:MOST_CLASSES]  # pieces that are numbered may be more
    expected = None if reference is None else _reference(reference, grid)
    shown = None if image is None else _image(image, values.shape)
    if shown is None and expected is None:
        return None
    case = ShownCase(
        name=name,
        image=shown,
        reference=None if expected is None or expected.shape != values.shape else classes_of(expected, known),
        prediction=classes_of(values, known),
        spacing_mm=orient_geometry(grid).spacing_mm,
        axis=slices_of(orient_geometry(grid)),
    )
    return viewer_of(case, [one for one, _ in known], why, f"case-{place}", min(most, MOST_A_CASE))


def _reference(path: Path, grid: Geometry) -> npt.NDArray[Any] | None:
    try:
        found = read_mask(path, grid)
    except AutospineError:
        return None
    return orient(found.values, canonical_orientation(found.geometry))


def _image(path: Path, shape: tuple[int, ...]) -> npt.NDArray[Any] | None:
    """The first channel of an image, canonical; None where it is not on the grid of its segmentation."""
    try:
        array = to_canonical(read_volume(path)).array[0]
    except AutospineError:
        return None
    return array if array.shape == shape else None


def _of(folder: Path | None, name: str) -> Path | None:
    """The file of a case in a folder, by its name; of several channels the first."""
    if folder is None:
        return None
    if folder.is_file():
        return folder
    found = [path for path in sorted(folder.iterdir()) if suffix_of(path) and suffix_of(path) != PREVIEW]
    for path in found:
        match = CHANNEL.fullmatch(stem(path))
        if name in (stem(path), mask_stem(path), match["case"] if match else ""):
            return path
    return folder / name if (folder / name).is_dir() else None


def _previews(folder: Path) -> list[Picture]:
    """The pictures that `--preview` wrote, as small as the page needs them."""
    files = sorted(folder.glob(f"*{PREVIEW}"))[:MOST_PICTURES] if folder.is_dir() else []
    alts = {path: f"Slices of {path.stem} without and with its segmentation" for path in files}
    made = (small_picture(path.read_bytes(), alt, path.stem) for path, alt in alts.items())
    return [picture for picture in made if picture is not None]
