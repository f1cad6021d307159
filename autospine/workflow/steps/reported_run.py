"""What the report of a training says, gathered from its run folder: documents, scores, and cases to look at.

Images are read from the data set where it is at hand, else they come from the prepared cases, in the resolution that
the network saw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.disk.files import read_json, read_text
from autospine.data.disk.tables import read_rows
from autospine.data.folds import read_folds
from autospine.data.geometry import to_canonical
from autospine.data.slices import slices_of
from autospine.data.structure import MOST_CLASSES, Dataset
from autospine.data.volume import read_volume
from autospine.errors import AutospineError, PlanError
from autospine.planning.document.about import read_about
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.evidence import EVIDENCE
from autospine.planning.document.expected import Estimated
from autospine.planning.document.model_file import CALIBRATION
from autospine.planning.document.plan import Plan
from autospine.planning.document.postprocessing import POSTPROCESSING
from autospine.planning.document.promise import PROMISE
from autospine.planning.measured.fingerprint import Fingerprint
from autospine.preprocessing.keys import store_name, stored_key
from autospine.preprocessing.resample import Regrid, resample_image
from autospine.preprocessing.restore import as_written
from autospine.preprocessing.store import Store, StoredCase, find_store
from autospine.report.page.blocks import Picture, Viewer
from autospine.report.page.material import FoldMaterial, OtherConfiguration, Row, RunMaterial
from autospine.report.page.scoreboard import Scoreboard
from autospine.report.page.shown import chosen_cases
from autospine.report.page.slices import ShownCase, as_seen, best_slice, small_picture, thumbnail, viewer_of
from autospine.workflow.runs.fast import FastCost
from autospine.workflow.runs.folder import METRICS_FILE, RECORD, SELECTION, VALIDATION, RunFolder, read_record
from autospine.workflow.runs.plan_command import RECIPE_FILE, plan_command
from autospine.workflow.steps.kept_evidence import promised_out_of_fold
from autospine.workflow.steps.worklist import AUDIT, WORKLIST

PICTURE_BYTES = 6_000_000
"""That the cases of a page may take together; with all else it stays below 10 MB."""
MOST_A_CASE = 1_600_000
SHEET_CASES = 12
_SHEET_PIXELS = 200
HISTORY = "history.csv"
"""As `training.progress` calls it, which a report does not load."""
AUDITED = Path(AUDIT) / WORKLIST
MOST_PICTURES = 8
"""That were drawn before and are shown on a page."""


def gather_run(
    run: RunFolder, configuration: str | None, dataset: Path | None, cases: int, tell: Callable[[str, float], None]
) -> RunMaterial:
    """What there is to say of a trained configuration.

    Args:
        run: its run folder.
        configuration: its name; None: the one that was chosen, else the plan's default, else the first trained one.
        dataset: the data set, for its images.
        cases: that are shown at most.
        tell: called with what is done, and the share of it.

    Raises:
        PlanError: no plan, nothing trained of that name, or a document that cannot be read.
    """
    plan = run.read_plan()
    selection = _table(run.root / SELECTION)
    name = _chosen(run, plan, configuration, selection)
    model, fingerprint = run.model(name), _fingerprint(run)
    tell("reading scores", 0.1)
    worklist = read_rows(run.root / AUDITED, PlanError)
    folds = tuple(_fold(folder) for folder in fold_folders(model))
    subjects = {} if fingerprint is None else fingerprint.subjects
    scores = scores_of({fold.name: fold.metrics for fold in folds}, model, subjects)
    seen = _Seen(run, plan, plan.configuration(name), dataset)
    sheet = tuple(seen.sheet())
    viewers = []
    chosen = chosen_cases(scores, cases) if cases else []
    for place, (case, why) in enumerate(chosen):
        tell(case.case, 0.2 + 0.7 * place / len(chosen))
        viewer = seen.viewer(case.case, case.fold, why, f"case-{place}", PICTURE_BYTES // len(chosen))
        viewers += [] if viewer is None else [viewer]
    others = [_other(run, one.name, subjects) for one in plan.configurations if fold_folders(run.model(one.name))]
    return RunMaterial(
        estimated=Estimated(plan, run.read_expected()),
        configuration=name,
        fingerprint=fingerprint,
        folds=folds,
        planned_folds=len(read_folds(run.splits)) if run.splits.is_file() else len(folds),
        scores=scores,
        others=tuple(others) if len(others) > 1 else (),
        about=read_about(model),
        readme=read_text(model / "README.md", PlanError) if (model / "README.md").is_file() else "",
        promise=_table(model / PROMISE),
        promised_dice=promised_out_of_fold(model),
        postprocessing=_table(model / POSTPROCESSING),
        temperature=_temperature(model),
        selection=selection,
        worklist=worklist,
        worklist_pictures=tuple(_pictures(run.root / AUDIT, worklist)),
        sheet=sheet,
        viewers=tuple(viewers),
        commands=tuple(_commands(run, plan, name, folds)),
    )


def fold_folders(model: Path) -> list[Path]:
    """The folders of its folds whose training has ended, in their order."""
    found = [path for path in model.glob("fold_*") if (path / RECORD).is_file() or (path / METRICS_FILE).is_file()]
    return sorted(found, key=lambda path: (len(path.name), path.name))


def classes_of(values: npt.NDArray[Any], labels: Sequence[tuple[str, int]]) -> npt.NDArray[np.uint8]:
    """Values of a mask as classes from 1, in the order of `labels`; what is none of the first `MOST_CLASSES` is 0."""
    classes = np.zeros(values.shape, np.uint8)
    for place, (_, value) in enumerate(labels[:MOST_CLASSES], start=1):
        classes[values == value] = place
    return classes


@dataclass(frozen=True)
class _Seen:
    """Cases of a run as they can be shown."""

    run: RunFolder
    plan: Plan
    configuration: Configuration
    dataset: Path | None

    @cached_property
    def store(self) -> Store | None:
        """The prepared cases; None where they are not there."""
        key = stored_key(self.plan, self.configuration)
        places = self.run.stores(store_name(self.plan, self.configuration), key)
        return next((store for place in places if (store := find_store(place, key)) is not None), None)

    @cached_property
    def opened(self) -> Dataset | None:
        """The data set; None where it is not at hand."""
        if self.dataset is None or not self.dataset.exists():
            return None
        from autospine.data.dataset import open_dataset

        try:
            return open_dataset(self.dataset, self.run.read_reading())
        except AutospineError:
            return None  # the prepared cases do as well

    def sheet(self) -> Iterator[Picture]:
        """A slice of each of some prepared cases, with its mask."""
        names = () if self.store is None else self.store.names
        for place in sorted({round(one) for one in np.linspace(0, len(names) - 1, min(len(names), SHEET_CASES))}):
            assert self.store is not None
            case, axis = self.store.open(names[place]), self.configuration.axis_order[0]
            back = np.argsort(case.properties.axis_order)
            label = case.label.transpose(back)
            image = case.image[_first_channel(case)].transpose(back)
            number = best_slice(label, axis)
            spacing = [case.properties.prepared_spacing_mm[at] for at in back]
            rows, columns = (other for other in range(3) if other != axis)
            height, width = (label.shape[at] * spacing[at] for at in (rows, columns))
            scale = _SHEET_PIXELS / max(height, width)
            size = max(1, round(width * scale)), max(1, round(height * scale))
            shown, mask = (as_seen(np.take(one, number, axis=axis), axis) for one in (image, label))
            alt = f"A slice of {case.name} with its mask"
            yield Picture(thumbnail(shown, mask, size), alt, case.name, *size)

    def viewer(self, name: str, fold: str, why: str, key: str, most: int) -> Viewer | None:
        """The case with what the network of `fold` made of it; None where that or the image is not there."""
        path = self.run.model(self.configuration.name) / f"fold_{fold}" / VALIDATION / f"{name}.nii.gz"
        if not path.is_file():
            return None
        found = self._image(name)
        if found is None:
            return None
        image, reference = found
        volume = to_canonical(read_volume(path))
        data = self.plan.data
        prediction = classes_of(volume.array[0], data.labels)
        if image.shape != prediction.shape:
            return None
        reference = None if reference is None else as_written(reference, data)
        geometry = volume.geometry
        case = ShownCase(name, image, reference, prediction, geometry.spacing_mm, slices_of(geometry))
        return viewer_of(case, data.names, why, key, min(most, MOST_A_CASE))

    def _image(self, name: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8] | None] | None:
        """Image and reference of a case, canonical; of the data set, else as they were prepared."""
        loaded = self._loaded(name)
        if loaded is not None:
            return loaded
        if self.store is None or name not in self.store.names:
            return None
        case = self.store.open(name)
        return on_own_grid(case, self.configuration), np.asarray(case.reference)

    def _loaded(self, name: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8] | None] | None:
        if self.opened is None:
            return None
        from autospine.data.dataset import read_case

        case = next((one for one in self.opened.cases if one.name == name), None)
        loaded = None if case is None else read_case(self.opened, case, lambda fault: None)
        if loaded is None or loaded.label is None:
            return None
        shown = next((one for one in loaded.image.array if one.any()), loaded.image.array[0])
        return shown, loaded.label


def on_own_grid(case: StoredCase, configuration: Configuration) -> npt.NDArray[np.float32]:
    """The image of a prepared case, its first channel that is there, back on its own canonical grid (Z, Y, X)."""
    properties = case.properties
    way = Regrid(
        properties.cropped_shape,
        properties.prepared_spacing_mm,
        properties.cropped_spacing_mm,
        configuration.resampling,
    )
    channel = _first_channel(case)
    crop = resample_image(np.asarray(case.image[channel : channel + 1]), way)[0]
    image = np.full(properties.canonical_shape, crop.min(), np.float32)
    box = tuple(slice(low, high) for low, high in properties.box)
    image[box] = crop.transpose(np.argsort(properties.axis_order))
    return image


def _first_channel(case: StoredCase) -> int:
    return next((channel for channel in range(len(case.image)) if channel not in case.properties.missing), 0)


def _chosen(run: RunFolder, plan: Plan, wanted: str | None, selection: Mapping[str, Any]) -> str:
    """The configuration that the page is of."""
    if wanted is not None:
        name = plan.configuration(wanted).name
        if not fold_folders(run.model(name)):
            raise PlanError(str(run.model(name)), "no fold of it is trained", remedy="train one first")
        return name
    members = selection.get("members")
    order = [str(one) for one in members] if isinstance(members, list) else []
    names = [one.name for one in plan.configurations]
    for name in (*order, plan.default, *names):
        if name in names and fold_folders(run.model(name)):
            return name
    raise PlanError(str(run.root), "nothing is trained here", "a trained fold", "run `autospine train` first")


def _fold(folder: Path) -> FoldMaterial:
    metrics, cost = _table(folder / METRICS_FILE), FastCost.read(folder)
    return FoldMaterial(
        name=folder.name.removeprefix("fold_"),
        history=_history(folder / HISTORY),
        record=read_record(folder) or {},
        metrics=metrics,
        fast=None if cost is None else (cost.whole, cost.fast),
        expected_dice=_expected(_table(folder / EVIDENCE)),
    )


def _history(path: Path) -> dict[str, list[float]]:
    """The columns of a history as numbers; NaN where a cell is none."""
    rows = read_rows(path, PlanError)
    return {name: [_number(row.get(name, "")) for row in rows] for name in (rows[0] if rows else ())}


def _number(text: object) -> float:
    try:
        return float(str(text))
    except ValueError:
        return math.nan


def _expected(evidence: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Case -> structure -> Dice that the network expects of itself.

    That is twice the sum of its probabilities inside what it predicts, over what it predicts and the sum of all.
    """
    found: dict[str, dict[str, float]] = {}
    cases = evidence.get("cases")
    for case, said in cases.items() if isinstance(cases, dict) else ():
        structures = said.get("structures", {}) if isinstance(said, dict) else {}
        for structure, one in structures.items() if isinstance(structures, dict) else ():
            held = one if isinstance(one, dict) else {}
            numbers = [_number(held.get(key)) for key in ("predicted_voxels", "soft_voxels", "inside")]
            predicted, soft, inside = numbers
            if predicted > 0 and predicted + soft > 0:
                found.setdefault(str(case), {})[str(structure)] = 2 * inside / (predicted + soft)
    return found


def scores_of(contents: Mapping[str, Mapping[str, Any]], where: Path, subjects: Mapping[str, str]) -> Scoreboard:
    """The scores in the metrics.json of folds, by their names; those without any are left out.

    Raises:
        PlanError: naming `where`, what is there is not what autospine writes.
    """
    try:
        return Scoreboard.of({fold: content for fold, content in contents.items() if content}, subjects)
    except (KeyError, TypeError, AttributeError, ValueError) as fault:
        found = f"{METRICS_FILE} is not as autospine writes it ({type(fault).__name__}: {fault})"
        raise PlanError(str(where), found, "scores of cases and classes", "score it again") from fault


def _other(run: RunFolder, name: str, subjects: Mapping[str, str]) -> OtherConfiguration:
    folders = fold_folders(run.model(name))
    metrics = {folder.name: _table(folder / METRICS_FILE) for folder in folders}
    scores = scores_of(metrics, run.model(name), subjects)
    return OtherConfiguration(name, len(folders), scores.mean(), len(scores.cases))


def _fingerprint(run: RunFolder) -> Fingerprint | None:
    return run.read_fingerprint() if run.fingerprint.is_file() else None


def _table(path: Path) -> dict[str, Any]:
    """The content of a JSON file that is a table; empty where it is not there."""
    content = read_json(path, PlanError) if path.is_file() else {}
    if not isinstance(content, dict):
        raise PlanError(str(path), "not a table of keys", "what autospine writes there", "make it again")
    return content


def _temperature(model: Path) -> float | None:
    found = _number(_table(model / CALIBRATION).get("temperature"))
    return None if math.isnan(found) else found


def _pictures(folder: Path, rows: Sequence[Row]) -> Iterator[Picture]:
    """The pictures that a table names in its folder, of the first rows that have one."""
    named = [(row.get("case", ""), folder / row["picture"]) for row in rows if row.get("picture")]
    for case, path in named[:MOST_PICTURES]:
        if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
            picture = small_picture(path.read_bytes(), f"Image, mask and prediction of {case}", case)
            if picture is not None:
                yield picture


def _commands(run: RunFolder, plan: Plan, name: str, folds: Sequence[FoldMaterial]) -> Iterator[str]:
    """The command lines that made it, with names in the place of folders."""
    dataset = Path(plan.data.dataset)
    request = run.read_request()
    if request is not None:
        kept = request.get(RECIPE_FILE)
        yield plan_command(dataset, Path("runs"), {**request, RECIPE_FILE: Path(str(kept)).name if kept else None})
    for fold in folds:
        yield f"autospine train {dataset} {fold.name} -c {name}"
    yield f"autospine predict IMAGES OUT --model runs/{plan.data.dataset}/{name}"
    yield f"autospine report runs/{plan.data.dataset} -c {name}"
