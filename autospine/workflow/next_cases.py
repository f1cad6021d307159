"""`autospine next`: which scans to annotate next, each with a segmentation to correct.

    OUT/next.csv                      the scans in the order in which to annotate them, each with why
    OUT/cases/<case>/                 the scan and its segmentation for 3D Slicer and ITK-SNAP (`steps.case_folders`)
    OUT/segmentations/<case>.nii.gz   of all scans, with what was learnt of them in OUT/evidence/<case>.json

Every scan is segmented once; the same command, also with another count or after more was annotated, takes up what is
there as long as the model is the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autospine.data.dataset import open_dataset
from autospine.data.disk.files import read_json, write_json
from autospine.data.disk.tables import write_table
from autospine.data.inputs import find_inputs, images_digest
from autospine.data.segmentation_files import write_segmentation
from autospine.data.structure import Files
from autospine.data.volume import read_volume
from autospine.data.wording import plural
from autospine.errors import DataError, OutputError, PlanError
from autospine.evaluation.informative import Pick, choose, standardised, uncertainty_ranks
from autospine.inference.segmentation import Wanted
from autospine.inference.settings import Settings
from autospine.planning.document.evidence import Evidence
from autospine.workflow.progress import Progress, Silent
from autospine.workflow.runs.folder import METRICS_FILE, RunFolder, alone
from autospine.workflow.steps.case_folders import CaseFolder, remove_older, write_case_folder
from autospine.workflow.steps.evidence import ensure_evidence
from autospine.workflow.steps.kept_evidence import out_of_fold_evidence
from autospine.workflow.steps.left_out import LeftOut
from autospine.workflow.steps.scan_features import expected_dice, features_of, flaws, uncertainty_signs
from autospine.workflow.steps.segmenting import Segmenter, load_segmenter

if TYPE_CHECKING:
    import torch

NEXT = "next"
"""Folder of a run that it is written to, where no other is named."""
TABLE, _LOCK = "next.csv", ".next.lock"
SEGMENTATIONS, EVIDENCE, CASES = "segmentations", "evidence", "cases"
COLUMNS = ("rank", "case", "reason", "uncertainty", "expected_dice", "distance", "stands_for", "segmentation")


@dataclass(frozen=True)
class NextRequest:
    """What the user asked for."""

    model: Path | None = None
    """Model folder, or an exported file; None: the one of the dataset's run."""
    configuration: str | None = None
    """Of the run, where no model is named; None: the plan's default."""
    count: int = 10
    device: str = "auto"


@dataclass(frozen=True)
class Scan:
    """A scan that was chosen."""

    case: str
    reason: str
    uncertainty: float
    """Mean rank by what speaks of uncertainty, 0 to 1: a scan that is the least sure by all of it has 1."""
    expected_dice: float
    """Mean over the structures that were found; NaN where none was."""
    pick: Pick


@dataclass(frozen=True)
class Chosen:
    """What to annotate next."""

    folder: Path
    """Where it was written."""
    scans: tuple[Scan, ...]
    """The first to annotate first."""
    candidates: int
    """Scans that could be chosen."""
    left_out: DataError | None = None
    """Which scans could not be segmented, and why."""

    @property
    def table(self) -> Path:
        """The table of the scans that were chosen."""
        return self.folder / TABLE


def choose_next(
    dataset: Path,
    unlabelled: Path,
    runs: Path | RunFolder,
    out: Path | None,
    request: NextRequest,
    *,
    progress: Progress | None = None,
) -> Chosen:
    """Segment the scans in `unlabelled` and choose those whose annotation would teach the dataset's model most.

    Scans that the dataset has annotated already, by the content of their files, are passed over, and counted in a note.
    One that cannot be segmented is left out, with a note. Of two processes with one `out` the second waits and takes
    up what the first has made.

    Raises:
        DataError: no scans, or none that can be segmented or is not annotated yet; the dataset cannot be opened.
        PlanError: no plan, no trained model, one of other structures, or an ensemble.
        OutputError: OUT cannot be written.
        DeviceError: the device is not there.
    """
    from autospine.machine.device import resolve_device

    run, progress = RunFolder.of(runs, dataset), progress or Silent()
    plan, device = run.read_plan(), resolve_device(request.device)
    model = request.model or run.model(plan.card(request.configuration).configuration.name)
    segmenter = load_segmenter(model, device, Settings())
    if segmenter.members:
        found = f"an ensemble ({' + '.join(segmenter.members)}), which does not say how sure it is of a scan"
        remedy = f"name one of its members: --model {segmenter.folder / segmenter.members[0]}"
        raise PlanError(str(model), found, "a single model", remedy)
    for note in segmenter.unfinished:
        progress.note(note)
    card = segmenter.predictor.card
    if card.data.targets != plan.data.targets:
        found = f"segments {', '.join(card.data.targets)}"
        raise PlanError(str(model), found, ", ".join(plan.data.targets), "name a model of this dataset with --model")
    folder = out or run.root / NEXT
    cases, left_out = _candidates(dataset, unlabelled, folder, run, segmenter, progress)
    with alone(folder / _LOCK, folder, progress.note):
        known = _segmented(cases, folder, segmenter, left_out, progress)
        if not known:
            raise left_out.error()
        annotated = _annotated(dataset, run, segmenter.folder, device, progress)
        scans = _chosen(known, annotated, len(card.data.channels), card.data.targets, request.count)
        _write(folder, scans, cases, segmenter, progress)
    return Chosen(folder, scans, len(known), left_out.error() if left_out.names else None)


def _candidates(
    dataset: Path, unlabelled: Path, folder: Path, run: RunFolder, segmenter: Segmenter, progress: Progress
) -> tuple[dict[str, Files], LeftOut]:
    """The scans that are not annotated yet, by name, and what is wrong with others."""
    data, faults = segmenter.predictor.card.data, list[DataError]()
    optional = segmenter.predictor.optional_channels
    found = find_inputs(
        unlabelled, data.channels, optional, sought=segmenter.sought, tell=progress.note, report=faults.append
    )
    opened = open_dataset(dataset, run.read_reading())
    annotated = {_digest(case.images) for case in opened.cases if case.label is not None} - {None}
    cases = {name: images for name, images in found if _digest(images) not in annotated}
    if len(cases) < len(found):
        progress.note(f"Annotated already, passed over: {plural(len(found) - len(cases), 'scan')}")
    total = len(cases) + len(faults)
    left_out = LeftOut(unlabelled, folder, total, progress, alone=total == 1)
    for fault in faults:
        left_out.add(left_out.name_of(fault), fault)
    if not cases and not faults:
        remedy = "name a folder with scans that have no masks yet"
        raise DataError(str(unlabelled), "every scan in it is annotated already", "scans without masks", remedy)
    return cases, left_out


def _digest(images: Files) -> str | None:
    """What `images_digest` says; None where a file cannot be read, which the attempt to segment it tells."""
    try:
        return images_digest(images)
    except DataError:
        return None


def _segmented(
    cases: Mapping[str, Files], folder: Path, segmenter: Segmenter, left_out: LeftOut, progress: Progress
) -> dict[str, Evidence]:
    """Scan -> the evidence of its segmentation; both are made unless they are there, of the same images and model."""
    found: dict[str, Evidence] = {}
    made = 0
    for number, (name, images) in enumerate(cases.items(), 1):
        path, kept = folder / SEGMENTATIONS / f"{name}.nii.gz", folder / EVIDENCE / f"{name}.json"
        try:
            mark = {"model": segmenter.identity, "images": images_digest(images)}
            standing = _standing(kept, mark) if path.is_file() else None
            if standing is not None:
                found[name] = standing
                continue
            kept.unlink(missing_ok=True)  # of another segmentation
            title = f"Segmenting {name} ({number}/{len(cases)})"
            one = segmenter.segment(name, images, title, progress, wanted=Wanted(evidence=True))
            assert one.evidence is not None  # it was asked for
            write_segmentation(path, one.labels, segmenter.facts.structures, images, segmenter.facts.made_by)
            write_json(kept, {**mark, "evidence": one.evidence.to_json()})
            found[name], made = one.evidence, made + 1
            left_out.went_well()
        except OutputError:
            raise
        except Exception as error:
            left_out.add(name, left_out.judge(name, error))
    if len(found) > made:
        progress.note(f"Segmented before: {plural(len(found) - made, 'scan')}")
    return found


def _standing(kept: Path, mark: Mapping[str, str]) -> Evidence | None:
    """The evidence that was kept of the same images and model; None for any other."""
    try:
        content: Any = read_json(kept)
        if not isinstance(content, dict) or any(content.get(key) != value for key, value in mark.items()):
            return None
        return Evidence.from_json(content.get("evidence"), str(kept))
    except (DataError, PlanError):
        return None


def _annotated(dataset: Path, run: RunFolder, model: Path, device: torch.device, progress: Progress) -> list[Evidence]:
    """Evidence of what is annotated already: of the out-of-fold predictions of the run that the model is of.

    Folds that have kept none predict their validation cases again, once.
    """
    if model.resolve().parent != run.root.resolve():
        return []
    folds = sorted(
        int(number)
        for place in model.glob(f"fold_*/{METRICS_FILE}")
        if (number := place.parent.name.removeprefix("fold_")).isdecimal()
    )
    if not folds:
        return []
    try:
        found = ensure_evidence(dataset, run, model.resolve().name, folds, device, progress)
    except PlanError as fault:
        progress.note(f"Nothing is known of what is annotated: {fault.where}: {fault.found}")
        return list(out_of_fold_evidence(model, progress.note).values())
    return [one for held in found.values() for one in held.values()]


def _chosen(
    known: Mapping[str, Evidence], annotated: Sequence[Evidence], channels: int, names: Sequence[str], count: int
) -> tuple[Scan, ...]:
    """The scans to annotate, in their order, each with why."""
    evidence = list(known.values())
    table = standardised(features_of([*evidence, *annotated], channels, names))
    uncertainty = uncertainty_ranks(uncertainty_signs(evidence, names))
    here = {name: held[: len(evidence)] for name, held in table.items()}
    before = {name: held[len(evidence) :] for name, held in table.items()}
    scans = []
    for pick in choose(here, before, uncertainty, count):
        case = evidence[pick.scan]
        expected = expected_dice(case, names)
        surer = float((uncertainty < uncertainty[pick.scan]).sum() / max(len(evidence) - 1, 1))
        reason = _reason(pick, surer, expected, flaws(case), bool(annotated))
        scans.append(Scan(list(known)[pick.scan], reason, float(uncertainty[pick.scan]), expected, pick))
    return tuple(scans)


def _reason(pick: Pick, surer: float, expected: float, flawed: int, compared: bool) -> str:
    """Why a scan is chosen, in words; `surer` is the share of the other scans that are."""
    said = []
    if pick.stands_for:
        said.append(f"nearest to {plural(pick.stands_for, 'other scan')}")
    if pick.unlike:
        said.append(f"differs from what is {'annotated or chosen' if compared else 'chosen'} in {pick.unlike}")
    if math.isnan(expected):
        said.append("nothing was found in it")
    else:
        said.append(f"less sure than {surer:.0%} of the others, expected Dice {expected:.2f}")
    if flawed:
        said.append("its segmentation has levels or sides that no anatomy has")
    return "; ".join(said)


def _write(
    folder: Path, scans: Sequence[Scan], cases: Mapping[str, Files], segmenter: Segmenter, progress: Progress
) -> None:
    """The table, and a folder for each of the scans that are chosen."""
    facts = segmenter.facts
    changed = [*remove_older(folder / CASES, {one.case for one in scans})]
    with progress.task("Laying out the scans that are chosen") as update:
        for done, one in enumerate(scans, 1):
            labels = read_volume(folder / SEGMENTATIONS / f"{one.case}.nii.gz")
            place = folder / CASES / one.case
            laid = CaseFolder(place, cases[one.case], {"segmentation": labels}, facts.structures, facts.made_by)
            changed += [f"{one.case}/{name}" for name in write_case_folder(laid)]
            update(one.case, done / len(scans))
    if changed:
        progress.note(f"changed since they were written, left as they are in {folder / CASES}: {', '.join(changed)}")
    write_table(folder / TABLE, COLUMNS, [_row(rank, one) for rank, one in enumerate(scans, 1)])


def _row(rank: int, one: Scan) -> tuple[object, ...]:
    expected = "" if math.isnan(one.expected_dice) else f"{one.expected_dice:.4f}"
    distance = f"{one.pick.distance:.3f}" if math.isfinite(one.pick.distance) else ""
    path = f"{CASES}/{one.case}/segmentation.seg.nrrd"
    return rank, one.case, one.reason, f"{one.uncertainty:.3f}", expected, distance, one.pick.stands_for, path
