"""Case after case through a model into OUT: the next one is read and the last one written while the network computes.

    thread ahead    claim the case, digest of its images, read them       one case, and only where memory allows
    this thread     segment it
    thread behind   write, digest, record, give it its name               one case

What goes wrong with a case is that case's, and is told when its turn comes. What would stop the next one as well ends
the work: a full disk, a device that is gone, a model that gives no numbers.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path

from autospine.data.disk.files import NO_ROOM, atomic_path, file_digest
from autospine.data.geometry import Volume
from autospine.data.inputs import images_digest
from autospine.data.slices import slices_of
from autospine.data.structure import Files
from autospine.data.volume import read_geometry
from autospine.data.wording import plural
from autospine.errors import AutospineError, DataError, DeviceError, OutputError
from autospine.inference.segmentation import Segmentation
from autospine.machine.memory import free_bytes
from autospine.workflow.progress import Progress
from autospine.workflow.runs.predicted import (
    Failed,
    Made,
    Standing,
    check_writable,
    files_of,
    refuse_newcomer,
)
from autospine.workflow.runs.sharing import Claim, Sharing, stamp_of
from autospine.workflow.steps.ahead import Behind, one_ahead
from autospine.workflow.steps.counted_cases import Pace
from autospine.workflow.steps.left_out import LeftOut
from autospine.workflow.steps.outputs import CaseOutput, Outputs
from autospine.workflow.steps.segmenting import Segmenter, read_case

_STOPS = (*NO_ROOM, errno.EROFS, errno.EIO, errno.EACCES)
"""What the system says of a place that takes no other file either."""
_VOXEL_BYTES = 16
"""An image in reading: each voxel as it lies in the file and scaled, both as large as they can be."""
_FEW = 16
"""Cases at the end of which none is taken before its turn, where others would have nothing left to do."""
_WAITS_S = (0.2, 1.0)
"""Seconds between two looks at cases that other processes are at: at first, and at most (ours)."""


@dataclass(frozen=True)
class Job:
    """A case that is to be made."""

    images: Files
    path: Path
    """Its segmentation."""
    before: Standing | None = None
    """What stands there; None: to be looked at when its turn comes, since another process has to do with it."""


@dataclass
class Ready:
    """A case whose turn has come, as far as it was prepared."""

    name: str
    job: Job
    claimed: bool = True
    settled: bool = False
    """Whether another process has made it meanwhile."""
    heard: bool = False
    """Whether another process has found, and told, that it cannot be segmented."""
    begun: bool = False
    """Whether files of it may be there."""
    before: Standing = Standing()
    digest: str = ""
    """Of its images."""
    error: Exception | None = None
    """Why it cannot be segmented."""
    needed: int = 0
    """Bytes that segmenting it takes at most."""
    _volume: list[Volume] = field(default_factory=list)

    def take(self) -> Volume:
        """Its image, which nobody else holds from then on; read now where there was no memory for it earlier."""
        return self._volume.pop() if self._volume else read_case(self.job.images)


@dataclass(frozen=True)
class Writing:
    """A case that is being written."""

    ready: Ready
    seconds: float
    slices: int
    size: int
    """Bytes of its labels in memory."""


@dataclass
class Turns:
    """The cases that one prediction makes, one after the other."""

    segmenter: Segmenter
    sharing: Sharing
    left_out: LeftOut
    progress: Progress
    outputs: Outputs
    overwrite: bool = False
    bounded: bool = False
    """Whether memory was given a limit: then nothing is held beside the case under way."""
    before: int = 0
    """How many cases were done when it began."""
    seconds: list[float] = field(default_factory=list)
    """Of each case made: from the end of the one before to its own."""
    slices: list[int] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    """Cases that other processes are at."""
    _behind: Behind[None] = field(default_factory=Behind)
    _written: Writing | None = None

    def make(self, jobs: Mapping[str, Job], order: Sequence[str], pace: Pace, *, wait: bool = True) -> None:
        """Make these cases, in this order; `wait` for those that other processes are at, or leave them `waiting`.

        Raises:
            OutputError: none could be written any more.
            AutospineError: the fault of the only case, or one that is no matter of a single case.
        """
        self._pass(jobs, order, pace)
        pause, told = _WAITS_S[0], False
        while wait and self.waiting:
            if not told:
                told = True
                self.progress.note(f"Waiting for {plural(len(self.waiting), 'case')} that other processes are at")
            left, self.waiting = self.waiting, []
            time.sleep(pause)
            pause = min(2 * pause, _WAITS_S[1])
            self._pass(jobs, left, pace)

    def _pass(self, jobs: Mapping[str, Job], order: Sequence[str], pace: Pace) -> None:
        since = time.monotonic()
        try:
            with closing(one_ahead(self._coming(jobs, order))) as coming:
                for ready in coming:
                    if not ready.claimed:
                        ready = self._prepare(ready.name, ready.job, 0) or ready
                    if ready.claimed and not ready.settled:
                        since = self._turn(ready, pace, since)
                    self.sharing.fold_sometimes()
            self._put_away()
        except BaseException:
            self.sharing.writing = not self._behind.ended()
            raise

    def _coming(self, jobs: Mapping[str, Job], order: Sequence[str]) -> Iterator[Ready]:
        """The cases that no other process is at, prepared; the last ones unclaimed, where others might take them."""
        needed = 0
        for place, name in enumerate(order):
            left = len(order) - place
            if place and left <= _FEW and left <= self.sharing.others():
                yield Ready(name, jobs[name], claimed=False)
                continue
            ready = self._prepare(name, jobs[name], needed)
            if ready is not None:
                needed = ready.needed
                yield ready

    def _prepare(self, name: str, job: Job, reserved: int) -> Ready | None:
        """The case, claimed, looked at and read, where that leaves `reserved` bytes; None where another is at it."""
        ready = Ready(name, job)
        try:
            claim = self.sharing.claim(name)
            if claim is None:
                self.waiting.append(name)
                return None
            entry = claim.entry
            ready.heard = entry is not None and isinstance(entry.result, Failed) and self.sharing.is_anothers(entry)
            before = self._look(name, job, claim)
            if before is None or before.stays:
                ready.settled = True
                self.sharing.release(name)
                return ready
            ready.before = before
            self.outputs.check_case(self._output(ready))
            ready.digest = images_digest(job.images)
            geometry = read_geometry(files_of(job.images)[0])
            ready.needed = self.segmenter.predictor.needed_bytes(geometry)
            size = _VOXEL_BYTES * prod(geometry.shape) * len(self.segmenter.predictor.card.data.channels)
            if not self.bounded and (not reserved or reserved + size < free_bytes()):
                ready._volume.append(read_case(job.images))
        except MemoryError:
            pass  # there may be enough when its turn comes
        except Exception as error:
            ready.error = error
        return ready

    def _look(self, name: str, job: Job, claim: Claim) -> Standing | None:
        """What stands in the place of a case that is claimed; None where another process has made it meanwhile.

        Raises:
            DataError: another process has found that it cannot be segmented; or as `Account.judge`.
            OutputError: as `Account.judge`, or it is made in another format there.
        """
        entry, account, path = claim.entry, self.sharing.account, job.path
        same = entry is not None and entry.stamp == stamp_of(job.images)
        if entry is None or not self.sharing.is_new(entry) or (isinstance(entry.result, Failed) and not same):
            return job.before or account.judge(path, job.images, self.overwrite)
        made = entry.result
        if isinstance(made, Failed):
            raise made.error()
        if made.file != path.name:
            found = f"another process has made {made.file} of this case"
            raise OutputError(str(path), found, "one format of each case", "choose another OUT")
        if not os.path.lexists(path):
            return Standing()  # its process was ended before it got its name
        if not same:
            elsewhere = entry.by != self.sharing.number and made.images == images_digest(job.images)
            if elsewhere and made.mask == file_digest(path, OutputError):  # the same image by another path
                return None
            return account.with_cases({name: made}).judge(path, job.images, self.overwrite)
        standing = file_digest(path, OutputError) if made.replaced else made.mask
        return None if standing == made.mask else Standing(standing)

    def _turn(self, ready: Ready, pace: Pace, since: float) -> float:
        """Segment a case and have it written; the time at the end of it."""
        title = pace.title(ready.name)
        try:
            if ready.error is not None:
                raise ready.error
            self._begin(ready)
            wanted = self.outputs.wanted(self._output(ready))
            made = self.segmenter.segment(ready.name, ready.job.images, title, self.progress, ready.take, wanted)
        except Exception as error:
            self._put_away()
            self._fail(ready, error)
            return time.monotonic()
        self._put_away()
        geometry, now = made.labels.geometry, time.monotonic()
        self._written = Writing(ready, now - since, geometry.shape[slices_of(geometry)], made.labels.array.nbytes)
        self._behind.put(partial(self._write, ready, made))
        del made
        if self.bounded:
            self._put_away()
        return now

    def _begin(self, ready: Ready) -> None:
        """Keep that an earlier segmentation is being replaced, where what lies beside it goes before it does."""
        ready.begun = True
        if self.outputs.probabilities and ready.before.digest:
            begun = Made(ready.job.path.name, self.segmenter.identity, ready.digest, "", ready.before.digest)
            self.sharing.keep(ready.name, begun, ready.job.images)

    def _write(self, ready: Ready, made: Segmentation) -> None:
        """Write a case: what is known of it first, then its files appear, whole, the segmentation last."""
        path, identity = ready.job.path, self.segmenter.identity
        with atomic_path(path) as temporary:
            with self.outputs.written(temporary, self._output(ready), made):
                mask = file_digest(temporary, OutputError)
                refuse_newcomer(path, ready.before, mask)
                image = os.path.abspath(files_of(ready.job.images)[0])
                done = Made(path.name, identity, ready.digest, mask, ready.before.digest, image)
                self.sharing.keep(ready.name, done, ready.job.images)
        self.sharing.release(ready.name)

    def _output(self, ready: Ready) -> CaseOutput:
        return self.output_of(ready.name, ready.job.images, ready.job.path)

    def output_of(self, name: str, images: Files, path: Path) -> CaseOutput:
        """A case, as far as writing has to do with it."""
        return CaseOutput(name, images, path, self.sharing.target.single, self.segmenter.facts)

    def _put_away(self) -> None:
        """Wait for the case that is being written, and count it, or its fault."""
        written, self._written = self._written, None
        if written is None:
            return
        try:
            self._behind.take()
        except Exception as error:
            self._fail(written.ready, error, written.size)
            return
        self.left_out.went_well()
        self.seconds.append(written.seconds)
        self.slices.append(written.slices)

    def _fail(self, ready: Ready, error: Exception, size: int = 1) -> None:
        """Leave a case out for an error, or raise what stops the next one as well."""
        if ready.begun:
            self.outputs.drop(self._output(ready))
        if isinstance(error, DeviceError):
            raise error
        if isinstance(error, OutputError):
            self._stop_where_none_can_be_written(error, size)
            fault: AutospineError = error
        else:
            self._stop_where_none_can_be_read(error)
            fault = self.left_out.judge(ready.name, error)
        try:
            self.sharing.keep(ready.name, Failed.of(fault, self.sharing.source), ready.job.images)
        except OutputError as full:
            self._stop_where_none_can_be_written(full, size)
        self.sharing.release(ready.name)
        self.left_out.add(ready.name, fault, told=ready.heard)

    def _stop_where_none_can_be_read(self, fault: Exception) -> None:
        """Raise where the folder of the images is gone, as a disk of the network may be; else return."""
        source = self.sharing.source
        if isinstance(fault, DataError) and not source.exists():
            remedy = "have it there again; the same command then makes the rest"
            raise DataError(str(source), "is there no more", "the folder of the images", remedy) from fault

    def _stop_where_none_can_be_written(self, fault: OutputError, size: int) -> None:
        """Raise where the next segmentation could not be written either, and say what is done; else return."""
        if getattr(fault.__cause__, "errno", None) not in _STOPS:
            try:
                check_writable(self.sharing.target.folder, size)
                return
            except OutputError:
                pass
        done = self.before + len(self.seconds)
        found = "\n  ".join([f"{fault.found}; {done} of {self.left_out.total} done", *self.left_out.lines])
        remedy = f"{fault.remedy or 'make room'}; the same command then makes the rest"
        raise OutputError(fault.where, found, fault.expected, remedy) from fault
