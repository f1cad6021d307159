"""`autospine predict`: images in, segmentations on their own grids out.

A fault of one case is that case's: the others are segmented, and at the end all that could not be are named together.
What would stop the next case as well, such as a full disk, stops the run. The same command makes what is not made yet.
Several processes that predict into one folder share its cases (`runs.sharing`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from autospine.data.disk.files import check_name
from autospine.data.inputs import find_inputs
from autospine.data.layouts.shared.naming import is_unread
from autospine.data.segmentation_files import check_segmentation, is_segmentation_name
from autospine.data.structure import Files
from autospine.data.volume import is_series, read_geometry
from autospine.data.wording import plural
from autospine.errors import AutospineError, DataError, OutputError, Stopped
from autospine.inference.segmentation import Wanted
from autospine.inference.settings import Settings
from autospine.machine.cores import available_cores
from autospine.machine.ranks import Rank, Share
from autospine.workflow.progress import Progress, Silent
from autospine.workflow.runs.fast import fast_cost
from autospine.workflow.runs.folder import find_model
from autospine.workflow.runs.predicted import Failed, Target, check_writable, files_of, refuse_images
from autospine.workflow.runs.sharing import Sharing, sharing
from autospine.workflow.steps.arrivals import Arrivals, Watch
from autospine.workflow.steps.counted_cases import Pace
from autospine.workflow.steps.left_out import LeftOut
from autospine.workflow.steps.outputs import Outputs, read_flagged, read_unnamed
from autospine.workflow.steps.promise import why_none
from autospine.workflow.steps.segmenting import Segmenter, load_segmenter
from autospine.workflow.steps.turns import Job, Turns

_NO_FOLDERS = (
    *(".dicom", ".ima", ".txt", ".csv", ".tsv", ".json", ".toml", ".yaml", ".yml", ".xml", ".html", ".md"),
    *(".pdf", ".svg", ".log", ".zip", ".gz", ".bz2", ".xz", ".tar", ".7z"),
)
"""Endings of files of other kinds: nobody means a folder by them, as they may by `out.v2`."""
_LEAVING_S = 20.0
"""Seconds that the first of several ranks waits for the others to end, where it ends with an error (ours)."""
Cases = Sequence[tuple[str, Files]]


@dataclass(frozen=True)
class PredictRequest:
    """What the user asked for."""

    model: Path | None = None
    """Model folder, exported file, or the folder of a run with a selection; None: the only one below `runs`."""
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
    share: Share | None = None
    """Of the cases this part alone, whoever does the others; None: all that no other process is at."""
    watch: Watch | None = None
    """Go on with what arrives in the folder of images, until stopped; None: end with what is there."""
    fast: bool = False
    """One fold, no mirrorings, least overlap; what that costs is said."""
    exact: bool = False
    """float32 throughout, computed by torch."""
    postprocess: bool = True
    """Do what the model's `postprocessing.json` says."""
    memory_gb: float | None = None
    """Most that the process may have in RAM, in 10^9 bytes; None: what is free."""

    @property
    def settings(self) -> Settings:
        """How the model is used."""
        memory_bytes = None if self.memory_gb is None else int(self.memory_gb * 1e9)
        return Settings(self.folds, self.mirror, self.overlap, memory_bytes, self.fast, self.exact, self.postprocess)


@dataclass(frozen=True)
class Prediction:
    """What was written."""

    files: tuple[Path, ...]
    """One per case that is not left out, made now or before."""
    seconds: tuple[float, ...]
    """Per case made now: from the end of the one before to its own, which overlaps with reading and writing."""
    slices: tuple[int, ...]
    """Per case made now: its slices."""
    model: Path
    folds: tuple[str, ...]
    """Those whose networks were averaged."""
    flagged: Mapping[str, str] = field(default_factory=dict)
    """Case -> what is off first, of those that need a look, as `promise.csv` says; made now or before."""
    unnamed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Case -> what is said of each of its vertebrae whose level is not certain, as `levels.csv` has it."""
    left_out: DataError | None = None
    """Which cases could not be segmented, and why; None where none was left out.

    Of several ranks of one command the first says so for all: where one ended with an error, the others would be ended.
    """

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

    Other processes that predict into `target` by the same model share the cases, whether started by one command
    (`machine.ranks`) or not; the call returns when all cases of `source` are done, by whichever.

    Raises:
        DataError: no images, or none that has a place to be written to, or the only one cannot be segmented.
        PlanError: no model, or a broken one, or a cascade without its previous stage; or several images in a row have
            shown that it is of no use.
        OutputError: an OUT of another model's, or of nobody's that is known; a format or place that cannot be written.
        DeviceError: the device is not there.
        Stopped: where it is to watch `source`, the end of that.
    """
    from autospine.machine.device import device_of_rank

    rank = Rank.of()
    progress = progress or Silent()
    tell = _quiet if rank.launched and rank.index else progress.note
    place = Target(target, _is_file(target))
    request.outputs.check(target if place.single else None)
    request.settings.check()
    _check_watch(source, place, request)
    device = device_of_rank(request.device, rank)
    _use_threads(rank)
    folder = request.model or find_model(runs)
    outputs = request.outputs
    segmenter = load_segmenter(
        folder, device, request.settings, calibrated=outputs.probabilities or outputs.uncertainty
    )
    segmenter.predictor.check_wanted(Wanted(uncertainty=outputs.uncertainty, instances=outputs.instances), str(folder))
    for note in (*segmenter.chosen, *segmenter.unfinished):
        tell(note)
    if request.fast:
        tell(fast_cost(segmenter.folder, segmenter.predictor.origin.folds[0], segmenter.predictor.origin.about))
    run = _Run(source, place, request, segmenter, rank, progress, tell)
    return run.watch() if request.watch else run.once()


@dataclass(frozen=True)
class _Run:
    """One prediction: what is to be segmented by what, and where it goes."""

    source: Path
    place: Target
    request: PredictRequest
    segmenter: Segmenter
    rank: Rank
    progress: Progress
    tell: Callable[[str], None]
    """For what concerns no single case: one of several ranks says it."""

    def once(self) -> Prediction:
        """Segment what is there."""
        cases, faults = self._find(self.tell)
        folds = self.segmenter.predictor.origin.folds
        if not cases and not faults:  # of a share alone: without any images there is an error
            self.tell("This part has no case")
            return Prediction((), (), (), self.segmenter.folder, folds)
        if self.place.single:
            _check_single(self.place.path, self.source, [files_of(images) for _, images in cases])
        _check_dicom(self.request.outputs, [files_of(images)[0] for _, images in cases])
        total = len(cases) + len(faults)
        alone = total == 1 and self.request.share is None
        left_out = LeftOut(self.source, self.place.path, total, self.progress, alone=alone)
        failed = dict[str, Failed]()
        for fault in faults:
            self._leave_out(left_out, left_out.name_of(fault), fault, failed)
        outputs = self._named(cases, left_out, failed)
        if not outputs:
            raise left_out.error()
        named = {name: images for name, images in cases if name in outputs}
        refuse_images(self.place, outputs, named.values(), self.source)
        with self._sharing() as here:
            for name, one in failed.items():
                here.keep(name, one)
            turns = self._turns(here, left_out)
            self._make(turns, named, outputs)
            self._put_tables_together()
            here.complete = self.request.share is None
            if left_out.names and self.rank.launched and not self.rank.index:
                _wait_for_others(here)
        files = tuple(path for name, path in outputs.items() if name not in left_out.names)
        missing = left_out.error() if left_out.names and self.tell is not _quiet else None
        flagged, unnamed, facts = dict[str, str](), dict[str, list[str]](), self.segmenter.facts
        there = self.place.path, self.place.single, outputs.keys() - left_out.names
        if facts.promises and self.tell is not _quiet:
            flagged = read_flagged(*there)
        if facts.levels and self.tell is not _quiet:
            unnamed = read_unnamed(*there)
        seconds, slices = tuple(turns.seconds), tuple(turns.slices)
        return Prediction(files, seconds, slices, self.segmenter.folder, folds, flagged, unnamed, missing)

    def watch(self) -> Prediction:
        """Segment what is there and what arrives, until stopped; raises `Stopped`."""
        left_out = LeftOut(self.source, self.place.path, 0, self.progress, alone=False)
        arrivals = Arrivals(self.source, self.place.path, self.request.watch or Watch())
        turns: Turns | None = None
        said = set[str]()

        def tell(note: str) -> None:
            if note not in said:
                said.add(note)
                self.tell(note)

        try:
            with self._sharing() as here:
                turns = self._turns(here, left_out)
                self.tell(f"Watching {self.source}; Ctrl-C ends it, and the same command goes on")
                waiting = dict[str, Files]()
                while True:
                    if arrivals.look() or waiting:
                        waiting = self._make_arrived(turns, arrivals, waiting, tell)
                    if here.is_behind and arrivals.is_time():
                        with arrivals.timed():
                            self._put_together(here)
                    arrivals.pause()
        except KeyboardInterrupt:
            with suppress(AutospineError):
                self._put_tables_together()
            made = len(turns.seconds) if turns else 0
            left = f", {len(left_out.names)} could not be" if left_out.names else ""
            raise Stopped(f"{plural(made, 'case')} segmented{left}; the same command goes on") from None

    def _put_together(self, here: Sharing) -> None:
        """The record and the tables of all that was made so far."""
        here.fold()
        self._put_tables_together()

    def _put_tables_together(self) -> None:
        """The tables of all cases, of what stands in OUT."""
        self.request.outputs.finish(self.place.path, self.place.single, self.segmenter.facts)

    def _make_arrived(
        self, turns: Turns, arrivals: Arrivals, waiting: Mapping[str, Files], tell: Callable[[str], None]
    ) -> dict[str, Files]:
        """Segment what has arrived whole, and was left `waiting` for other processes; what still is."""
        here, left_out = turns.sharing, turns.left_out
        try:
            cases, faults = self._find(tell)
        except DataError as whole:  # of the folder: no images yet, or of two kinds
            if arrivals.is_certain(whole):
                tell(f"{whole.where}: {whole.found}")
            arrivals.forget_faults([whole])
            return dict(waiting)
        arrivals.forget_faults(faults)
        failed = dict[str, Failed]()
        for fault in faults:
            if arrivals.is_certain(fault):
                left_out.total += 1
                self._leave_out(left_out, left_out.name_of(fault), fault, failed)
        due = [(name, images) for name, images in cases if name in waiting or arrivals.is_due(name, images)]
        left_out.total += sum(name not in waiting for name, _ in due)
        for name, images in due:
            left_out.names -= {name, *(str(path.relative_to(self.source)) for path in files_of(images))}
            arrivals.handle(name, images)
        outputs = self._named(due, left_out, failed)
        for name, one in failed.items():
            here.keep(name, one)
        named = {name: images for name, images in due if name in outputs}
        if named:
            refuse_images(self.place, outputs, named.values(), self.source)
            here.refresh()
            for images in named.values():
                for path in files_of(images):  # a file that could not be read stood there under its own name
                    here.forget_failure(str(path.relative_to(self.source)))
            self._make(turns, named, outputs, tell=tell)
        left, turns.waiting = turns.waiting, []
        return {name: named[name] for name in left}

    def _find(self, tell: Callable[[str], None]) -> tuple[Cases, list[DataError]]:
        """The cases of this process's share, and what is wrong with others."""
        predictor, faults = self.segmenter.predictor, list[DataError]()
        channels, optional = predictor.card.data.channels, predictor.optional_channels
        meant = replace(self.segmenter.sought, series=self.request.series)
        cases = find_inputs(self.source, channels, optional, sought=meant, tell=tell, report=faults.append)
        share = self.request.share
        if share is None:
            return cases, faults
        return share.of(cases), faults if share.part == 1 else []

    def _named(self, cases: Cases, left_out: LeftOut, failed: dict[str, Failed]) -> dict[str, Path]:
        """Case -> its segmentation, of those that have a name for it."""
        outputs = {}
        for name, images in cases:
            try:
                own = self.request.outputs.name_of(name, files_of(images)[0])
                path = self.place.path if self.place.single else self.place.path / own
                check_name(path, OutputError)
                outputs[name] = path
            except OutputError as unnamed:
                self._leave_out(left_out, name, unnamed, failed)
        return outputs

    def _leave_out(self, left_out: LeftOut, name: str, fault: AutospineError, failed: dict[str, Failed]) -> None:
        failed[name] = Failed.of(fault, self.source)
        left_out.add(name, fault, told=self.tell is _quiet)

    def _sharing(self) -> AbstractContextManager[Sharing]:
        outputs = asdict(self.request.outputs)
        return sharing(self.place, self.segmenter.identity, self.source, self.tell, outputs)

    def _turns(self, here: Sharing, left_out: LeftOut) -> Turns:
        request = self.request
        bounded = request.memory_gb is not None
        return Turns(self.segmenter, here, left_out, self.progress, request.outputs, request.overwrite, bounded)

    def _make(
        self,
        turns: Turns,
        cases: Mapping[str, Files],
        outputs: Mapping[str, Path],
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """Segment the cases that are not done; those that cannot be are left out."""
        here, left_out = turns.sharing, turns.left_out
        jobs, done = _left_to_make(turns, cases, outputs, tell or self.tell)
        if jobs:
            check_writable(self.place.folder)
            if not here.last:
                # how many will arrive in a folder that is watched, nobody knows
                computed = _tell_how(self.segmenter, None if self.request.watch else len(jobs), self.tell)
                folds = list(self.segmenter.predictor.origin.folds)
                told = {"folder": str(self.segmenter.folder), "folds": folds, "device": computed}
                here.last = told | self.segmenter.record
        turns.before = done
        pace = Pace(len(cases) if tell else left_out.total, done + (0 if tell else len(left_out.lines)), here.begun)
        order = [name for name in self.rank.own_first(list(cases)) if name in jobs]
        turns.make(jobs, order, pace, wait=self.request.watch is None)


def _left_to_make(
    turns: Turns, cases: Mapping[str, Files], outputs: Mapping[str, Path], tell: Callable[[str], None]
) -> tuple[dict[str, Job], int]:
    """The cases that are to be made, with what stands in their places, and how many are done; tells what stays."""
    here, left_out, overwrite = turns.sharing, turns.left_out, turns.overwrite
    place = here.target
    others = here.refuse_others(outputs, overwrite)
    if others:
        tell(f"{len(others)} segmentation(s) of another model stay in {place.path}: {others[0]}, ...")
    jobs, done, changed, lacking = dict[str, Job](), 0, list[str](), Counter[str]()
    for name, images in cases.items():
        path = outputs[name]
        if here.is_made_by_another(name):
            jobs[name] = Job(images, path)
            continue
        try:
            standing = here.account.judge(path, images, overwrite)
        except (DataError, OutputError) as fault:
            if here.is_begun(name):
                jobs[name] = Job(images, path)
                continue
            here.keep(name, Failed.of(fault, here.source))
            left_out.add(name, fault, told=tell is _quiet)
            continue
        if standing.changed:
            changed.append(path.name)
        if not standing.stays:
            jobs[name] = Job(images, path, standing)
            continue
        done += 1
        lacking.update(turns.outputs.lacking(turns.output_of(name, images, path)))
        if name in here.account.failed:
            here.keep(name, None)
    if changed:
        way = "move or delete them to have them made anew"
        tell(f"changed since they were predicted, left as they are: {', '.join(changed)} ({way})")
    if done and not overwrite:
        without = "".join(f", {count} without {kind}" for kind, count in sorted(lacking.items()))
        tell(f"{done} case(s) had been predicted before{without} (--overwrite makes them anew)")
    return jobs, done


def _tell_how(segmenter: Segmenter, cases: int | None, tell: Callable[[str], None]) -> str:
    """What it computes so many cases on (None: many), said with which folds are averaged, and whether it promises."""
    from autospine.machine.device import describe_device

    tell(f"Segmenting with {segmenter.averaged} of {segmenter.folder}")
    predictor = segmenter.predictor
    choices = [stage.computed_in(cases) for stage in predictor.stages]
    computed = describe_device(predictor.device, choices[0])
    for stage, choice in zip(predictor.stages[1:], choices[1:], strict=True):
        computed += f"; {stage.card.configuration.name}: {choice}"
    if any(choice.speed is not None or choice.about_engine for choice in choices):
        tell(f"Predicting on {computed}")
    if nothing := why_none(predictor.promise, withheld=predictor.origin.promise_withheld, members=segmenter.members):
        tell(nothing)
    return computed


def _wait_for_others(here: Sharing) -> None:
    """Wait until the other processes have left, for a while: an error of this one would end them."""
    until = time.monotonic() + _LEAVING_S
    while here.others() and time.monotonic() < until:
        time.sleep(0.1)


def _use_threads(rank: Rank) -> None:
    """Compute with this rank's part of the cores."""
    import torch

    threads = rank.threads(available_cores())
    if threads is not None:
        torch.set_num_threads(threads)


def _quiet(note: str) -> None: ...


def _check_watch(source: Path, place: Target, request: PredictRequest) -> None:
    """Raise `DataError` or `OutputError` where a folder is to be watched that is none, or has no folder for results."""
    if request.watch is None:
        return
    if not source.is_dir():
        raise DataError(str(source), "no folder, and --watch waits for images in one", "a folder")
    if place.single:
        raise OutputError(str(place.path), "a file, for images that are still to come", "a folder")
    if request.share is not None:
        remedy = "leave --share out: processes that watch one folder share what arrives by themselves"
        raise DataError("--share", "given with --watch: nobody knows of how many images", remedy=remedy)


def _is_file(target: Path) -> bool:
    """Whether `target` is the name of one segmentation, and not of a folder; `OutputError` where it can be neither."""
    if target.is_dir():
        return False
    named = is_segmentation_name(target) or is_unread(target.name) or target.name.lower().endswith(_NO_FOLDERS)
    if named:
        check_segmentation(target)
    return named


def _check_single(target: Path, source: Path, cases: Sequence[Sequence[Path]]) -> None:
    """Raise `OutputError` unless the segmentation of these `cases`, by their files, can be the one file `target`."""
    # a folder of one DICOM study, from which one series was chosen, is meant as that series
    chosen = len(cases) == 1 and all(is_series(path) for path in cases[0])
    if not source.is_file() and not chosen:
        found = f"a file for the segmentations of a folder ({len(cases)})"
        raise OutputError(str(target), found, "a folder", "give OUT a name without an image's suffix")
    for files in cases:
        check_segmentation(target, read_geometry(files[0]), files)


def _check_dicom(outputs: Outputs, images: Sequence[Path]) -> None:
    """Raise `OutputError` where DICOM-SEG objects are asked for and none of the `images`, one a case, is DICOM."""
    if outputs.format == "dicom-seg" and images and not any(map(is_series, images)):
        others = f", nor any other of {len(images)} images" if len(images) > 1 else ""
        found = f"a DICOM-SEG object refers to a DICOM series, and {images[0].name} is none{others}"
        raise OutputError("--format dicom-seg", found, "images read as DICOM", "choose another, such as nifti")
