"""`autospine predict`: images in, segmentations on their own grids out.

A fault of one case is that case's: the others are segmented, and at the end all that could not be are named together.
What would stop the next case as well, such as a full disk, stops the run. The same command makes what is not made yet.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autospine.data.disk.files import NO_ROOM, atomic_path, check_name, file_digest
from autospine.data.geometry import Volume
from autospine.data.inputs import find_inputs, images_digest
from autospine.data.layouts.shared.naming import is_unread
from autospine.data.slices import slices_of
from autospine.data.volume import check_format, read_geometry, suffix_of
from autospine.errors import AutospineError, DataError, OutputError
from autospine.inference.segmentation import Segmentation
from autospine.inference.settings import Settings
from autospine.workflow.progress import Progress, Silent
from autospine.workflow.runs.folder import find_model
from autospine.workflow.runs.predicted import (
    Account,
    Made,
    Standing,
    Target,
    check_writable,
    files_of,
    held,
    refuse_images,
    refuse_newcomer,
)
from autospine.workflow.steps.outputs import Outputs
from autospine.workflow.steps.segmenting import Images, Segmenter, load_segmenter
from autospine.workflow.steps.sought import sought

_NO_FOLDERS = (
    *(".dcm", ".dicom", ".ima", ".txt", ".csv", ".tsv", ".json", ".toml", ".yaml", ".yml", ".xml", ".html", ".md"),
    *(".pdf", ".svg", ".log", ".zip", ".gz", ".bz2", ".xz", ".tar", ".7z"),
)
"""Endings of files of other kinds: nobody means a folder by them, as they may by `out.v2`."""
_STOPS = (*NO_ROOM, errno.EROFS, errno.EIO, errno.EACCES)
"""What the system says of a place that takes no other file either."""


@dataclass(frozen=True)
class PredictRequest:
    """What the user asked for."""

    model: Path | None = None
    """Model folder, or an exported file; None: the only model below the runs folder."""
    folds: tuple[str, ...] | None = None
    """Folds to average; None: all that are trained."""
    device: str = "auto"
    mirror: bool = True
    """Average over the plan's mirrorings."""
    overlap: float | None = None
    """Share by which tiles overlap; None: the plan's."""
    overwrite: bool = False
    """Replace segmentations of autospine's that nobody has changed since; nothing else is ever replaced."""

    outputs: Outputs = Outputs()
    series: tuple[str, ...] = ()
    """Which images of a study are meant, where the model does not tell (`data.series_choice.Sought`)."""

    @property
    def settings(self) -> Settings:
        """How the model is used."""
        return Settings(self.folds, self.mirror, self.overlap)


@dataclass(frozen=True)
class Prediction:
    """What was written."""

    files: tuple[Path, ...]
    """One per case that is not left out, made now or before."""
    seconds: tuple[float, ...]
    """Per case made now: reading, predicting and writing."""
    slices: tuple[int, ...]
    """Per case made now: its slices."""
    model: Path
    folds: tuple[str, ...]
    """Those whose networks were averaged."""
    left_out: DataError | None = None
    """Which cases could not be segmented, and why; None where none was left out."""

    def complete(self) -> Prediction:
        """Itself; raises `left_out` where there is one."""
        if self.left_out is not None:
            raise self.left_out
        return self


def predict_paths(
    source: Path, target: Path, runs: Path, request: PredictRequest, *, progress: Progress | None = None
) -> Prediction:
    """Segment one image or a folder of images.

    One image, a file or the folder of a DICOM series, is written to `target` where that ends in an image suffix;
    otherwise `target` is a folder and each case keeps its name and file ending. What the same model has made there of
    the same images is left alone. What is left aside in `source` is noted, and so are cases that are left out.
    A cascade starts from the segmentation of its previous stage, whose model stands beside it.

    Raises:
        DataError: no images, or none that has a place to be written to, or the only one cannot be segmented.
        PlanError: no model, or a broken one, or a cascade without its previous stage.
        OutputError: an OUT of another model's, or of nobody's that is known; a format or place that cannot be written.
        DeviceError: the device is not there.
    """
    from autospine.machine.device import resolve_device

    progress = progress or Silent()
    single = _is_file(target)
    device = resolve_device(request.device)
    folder = request.model or find_model(runs)
    segmenter = load_segmenter(folder, device, request.settings)
    for note in segmenter.unfinished:
        progress.note(note)
    faults: list[DataError] = []
    channels, optional = segmenter.predictor.card.data.channels, segmenter.predictor.optional_channels
    meant = sought(segmenter.predictor.card, None, request.series)
    cases = find_inputs(source, channels, optional, sought=meant, tell=progress.note, report=faults.append)
    if single:
        _check_single(target, source, [files_of(images) for _, images in cases])
    left_out = _LeftOut(source, target, len(cases) + len(faults), progress)
    for fault in faults:
        left_out.add(fault.where.removeprefix(f"{source}{os.sep}"), fault)
    outputs = {}
    for name, images in cases:
        path = target if single else target / request.outputs.name_of(name, files_of(images)[0])
        try:
            check_name(path, OutputError)
            outputs[name] = path
        except OutputError as unnamed:
            left_out.add(name, unnamed)
    if not outputs:
        raise left_out.error()
    named = {name: images for name, images in cases if name in outputs}
    place = Target(target, single)
    refuse_images(place, outputs, named.values(), source)
    with held(place, progress.note):
        account = Account.read(place, segmenter.identity)
        made = _segment_cases(segmenter, account, named, outputs, left_out, progress, request)
    files = tuple(path for name, path in outputs.items() if name not in left_out.names)
    missing = left_out.error() if left_out.names else None
    return Prediction(files, *made, folder, segmenter.predictor.origin.folds, missing)


def _segment_cases(
    segmenter: Segmenter,
    account: Account,
    cases: Mapping[str, Images],
    outputs: Mapping[str, Path],
    left_out: _LeftOut,
    progress: Progress,
    request: PredictRequest,
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Seconds and slices of each case made now; those that could not be are `left_out`."""
    left, done = _left_to_make(account, cases, outputs, left_out, progress, overwrite=request.overwrite)
    if left:
        check_writable(account.target.folder)
    computed = _tell_how(segmenter, progress) if left else ""
    last = {"folder": str(segmenter.folder), "folds": list(segmenter.predictor.origin.folds), "device": computed}
    seconds: list[float] = []
    slices: list[int] = []
    for name, before in left.items():
        title = f"{name} ({done + len(seconds) + len(left_out.lines) + 1}/{left_out.total})"
        start = time.monotonic()
        try:
            digest = images_digest(cases[name])
            made = segmenter.segment(name, cases[name], title, progress)
        except DataError as fault:
            left_out.add(name, fault)
            continue
        try:
            account = _write(account, name, outputs[name], made, digest, before, last, request.outputs)
        except OutputError as fault:
            _stop_where_none_can_be_written(account.target, made.labels, fault, done + len(seconds), left_out)
            left_out.add(name, fault)
            continue
        seconds.append(time.monotonic() - start)
        slices.append(made.labels.geometry.shape[slices_of(made.labels.geometry)])
    return tuple(seconds), tuple(slices)


def _left_to_make(
    account: Account,
    cases: Mapping[str, Images],
    outputs: Mapping[str, Path],
    left_out: _LeftOut,
    progress: Progress,
    *,
    overwrite: bool,
) -> tuple[dict[str, Standing], int]:
    """What stands in the place of each case that is to be made, and how many are done; tells what stays as it is."""
    others = account.refuse_others(outputs, overwrite)
    if others:
        progress.note(f"{len(others)} segmentation(s) of another model stay in {account.target.path}: {others[0]}, ...")
    standing = {}
    for name, images in cases.items():
        try:
            standing[name] = account.judge(outputs[name], images, overwrite)
        except (DataError, OutputError) as fault:
            left_out.add(name, fault)
    changed = [outputs[name].name for name, one in standing.items() if one.changed]
    if changed:
        way = "move or delete them to have them made anew"
        progress.note(f"changed since they were predicted, left as they are: {', '.join(changed)} ({way})")
    left = {name: one for name, one in standing.items() if not one.stays}
    done = len(standing) - len(left)
    if done and not overwrite:
        progress.note(f"{done} case(s) had been predicted before (--overwrite makes them anew)")
    return left, done


def _tell_how(segmenter: Segmenter, progress: Progress) -> str:
    """What it computes on, said together with which folds are averaged."""
    from autospine.machine.device import describe_device

    progress.note(f"Segmenting with {segmenter.averaged} of {segmenter.folder}")
    choice = segmenter.predictor.computed_in()
    computed = describe_device(segmenter.predictor.device, choice)
    if choice.speed is not None:
        progress.note(f"Predicting on {computed}")
    return computed


def _write(
    account: Account,
    name: str,
    path: Path,
    made: Segmentation,
    images: str,
    before: Standing,
    last: Mapping[str, object],
    wanted: Outputs,
) -> Account:
    """The account with this segmentation, once both are written: the record first, the file is whole or not there."""
    with atomic_path(path) as temporary:
        wanted.write(temporary, made)
        mask = file_digest(temporary, OutputError)
        account = account.with_case(name, Made(path.name, account.identity, images, mask, before.digest))
        refuse_newcomer(path, before)
        account.write(last)
    return account


class _LeftOut:
    """Cases that could not be segmented, a line for each, which are told together at the end."""

    def __init__(self, source: Path, target: Path, total: int, progress: Progress) -> None:
        """Of `total` cases in `source`, none yet."""
        self.names: set[str] = set()
        self.lines: list[str] = []
        self.total = total
        self._source, self._target, self._progress = source, target, progress

    def add(self, name: str, fault: AutospineError) -> None:
        """Note the fault of a case for the end; a fault of the only case is raised at once."""
        if self.total == 1:
            raise fault
        self.names.add(name)
        where = Path(fault.where).name
        text = f"{name}: {fault.found}" if where in name else f"{name}: {where}: {fault.found}"
        # its text alone: the error itself holds on to the image that it was found in
        self.lines.append(f"{text}; expected {fault.expected}" if fault.expected else text)
        self._progress.note(f"Left out: {self.lines[-1]}")

    def error(self) -> DataError:
        """The error that lists each of them."""
        count, lines = len(self.lines), "\n  ".join(self.lines)
        done = f"{self.total - count} of {self.total} done, in {self._target}"
        found = f"{done}; {count} could not be segmented:\n  {lines}"
        remedy = "correct these or take them away; the same command then tries what is not done"
        return DataError(str(self._source), found, "images that fit the model, free places in OUT", remedy)


def _stop_where_none_can_be_written(
    target: Target, segmentation: Volume, fault: OutputError, done: int, left_out: _LeftOut
) -> None:
    """Raise where the next segmentation could not be written either, and say what is done; else return."""
    if getattr(fault.__cause__, "errno", None) not in _STOPS:
        try:
            check_writable(target.folder, segmentation.array.nbytes)
            return
        except OutputError:
            pass
    found = "\n  ".join([f"{fault.found}; {done} of {left_out.total} done", *left_out.lines])
    remedy = f"{fault.remedy or 'make room'}; the same command then makes the rest"
    raise OutputError(fault.where, found, fault.expected, remedy) from fault


def _is_file(target: Path) -> bool:
    """Whether `target` is the name of one segmentation, and not of a folder; `OutputError` where it can be neither."""
    if target.is_dir():
        return False
    named = suffix_of(target) or is_unread(target.name) or target.name.lower().endswith(_NO_FOLDERS)
    if named:
        check_format(target)
    return bool(named)


def _check_single(target: Path, source: Path, cases: Sequence[Sequence[Path]]) -> None:
    """Raise `OutputError` unless the segmentation of these `cases`, by their files, can be the one file `target`."""
    if not source.is_file() and list(cases) != [[source]]:
        found = f"a file for the segmentations of a folder ({len(cases)})"
        raise OutputError(str(target), found, "a folder", "give OUT a name without an image's suffix")
    for files in cases:
        check_format(target, read_geometry(files[0]))
