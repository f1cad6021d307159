"""Several processes, on one machine or many, that predict into one place: each case is made by one of them.

    out/.prediction.lock               held for moments: who comes, who leaves, prediction.json is written
    out/.prediction/<number>.present   a process that predicts here, locked for as long as it lives
    out/.prediction/<digest>.case      a case, locked by the process that is at it; its last line says what became of it

A lock ends with its process, so that the cases of one that was killed are free at once, for those that still run and
for the next. What became of a case is written into its file before the segmentation gets its name: a file that stands
in OUT is known. Whoever leaves puts what it made into `prediction.json`; who leaves last takes the folder away.

Between machines this asks of a file system what NFS promises: that a lock holds there, and that a file that is locked
and opened has what was written to it before. Where there are no locks, each process does every case that is not done;
`--share` splits them then.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from autospine.data.disk.files import unwritable, write_json
from autospine.data.disk.locks import describe_holder, locked, this_process, try_lock
from autospine.data.disk.tables import write_table
from autospine.data.disk.temporaries import remove_abandoned
from autospine.data.formats.dicom_files import series_files
from autospine.data.not_to_segment import SIDES
from autospine.errors import DataError, OutputError
from autospine.workflow.runs.predicted import Account, Failed, Made, Target, check_writable, files_of, read_entry

FAILED = "failed.csv"
"""The cases that could not be segmented, as a table for people."""
FOLDED_EVERY_S = 60.0
"""Seconds after which what was made is put into `prediction.json` while the work goes on (ours)."""
_PRESENT, _CASE = ".present", ".case"
_MOST_BYTES = 1 << 20
"""Of the file of a case: its lines have some 500 bytes."""
_LOOKED_AT_S = 0.01
_OUTPUTS = "--format, --probabilities, --uncertainty, --statistics, --preview"
_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True)
class Entry:
    """What became of a case."""

    case: str
    by: str
    """Number of the process that says so."""
    stamp: str
    """Of the image files as they were then."""
    result: Made | Failed
    made: Made | None = None
    """Of a failure, the segmentation of this name that was made before: of another image, perhaps, or by another IN."""

    def to_line(self) -> bytes:
        """A line of the case's file."""
        kind = "made" if isinstance(self.result, Made) else "failed"
        content = {"case": self.case, "by": self.by, "stamp": self.stamp, kind: asdict(self.result)}
        return f"{json.dumps(content)}\n".encode()

    @staticmethod
    def last_of(content: bytes) -> Entry | None:
        """The last whole line of a case's file; one that was cut off by a kill says nothing."""
        last: Entry | None = None
        for line in reversed(content.split(b"\n")):
            with suppress(ValueError, RecursionError):
                if isinstance(read := json.loads(line), dict) and (entry := Entry._read(read)):
                    last = last or entry
                    if isinstance(entry.result, Made):
                        return last if last is entry else replace(last, made=entry.result)
        return last

    @staticmethod
    def _read(line: dict[str, object]) -> Entry | None:
        result = read_entry(Made, line.get("made")) or read_entry(Failed, line.get("failed"))
        case, by, stamp = (line.get(name) for name in ("case", "by", "stamp"))
        if result is None or not (isinstance(case, str) and isinstance(by, str) and isinstance(stamp, str)):
            return None
        return Entry(case, by, stamp, result)


@dataclass
class Claim:
    """A case that this process alone is at, until it lets go of it."""

    entry: Entry | None
    """What became of it before."""
    _descriptor: int | None
    """None where nothing can be written: then all is done there already."""

    def write(self, entry: Entry) -> None:
        """Keep what became of the case; raises `OSError`."""
        if self._descriptor is not None:
            os.lseek(self._descriptor, 0, os.SEEK_END)
            line = b"\n" + entry.to_line()  # what a kill has cut off before it stays a line of its own
            if os.write(self._descriptor, line) != len(line):
                raise OSError(28, os.strerror(28))
            os.fsync(self._descriptor)

    def release(self) -> None:
        """Let go of it; again is no harm."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


@dataclass
class Sharing:
    """This process among those that predict into `target`."""

    account: Account
    """What was made there before it came, and by those who are here."""
    source: Path
    """IN."""
    outputs: Mapping[str, object] = field(default_factory=dict)
    """What is written of a case, as the options say it: of all cases in a place the same."""
    writable: bool = True
    number: str = field(default_factory=lambda: uuid.uuid4().hex[:16])
    last: Mapping[str, object] = field(default_factory=dict)
    """What is said of this prediction in the record: its folds, its device."""
    complete: bool = False
    """Whether it came to every case of `source`: then its failures that were known before are no more."""
    writing: bool = False
    """Whether a thread may still write a segmentation while the process ends: then the files of cases have to stay."""
    is_behind: bool = False
    """Whether something became of a case that `prediction.json` does not say yet."""
    _gone: set[str] = field(default_factory=set)
    """Numbers of processes that were gone when this one came."""
    _results: dict[str, Made | Failed | None] = field(default_factory=dict)
    """Case -> what became of it since it came; None: it was done before."""
    _made: dict[str, Made] = field(default_factory=dict)
    """Case -> the segmentation that was made of it since it came, also where it failed afterwards."""
    _there: dict[str, Entry] = field(default_factory=dict)
    """Case -> what its file said when it came."""
    _claims: dict[str, Claim] = field(default_factory=dict)
    _presence: int | None = None
    _folded: float = field(default_factory=time.monotonic)

    @property
    def target(self) -> Target:
        """Where segmentations go."""
        return self.account.target

    def is_new(self, entry: Entry | None) -> bool:
        """Whether `entry` is of a process that is here, or was since this one came; not of an earlier prediction."""
        return entry is not None and entry.by not in self._gone

    def is_made_by_another(self, name: str) -> bool:
        """Whether another process has said something of a case that was here when it was last looked."""
        entry = self._there.get(name)
        return entry is not None and self.is_anothers(entry)

    def is_anothers(self, entry: Entry) -> bool:
        """Whether another process that is here, or was since this one came, says so."""
        return entry.by != self.number and self.is_new(entry)

    def is_begun(self, name: str) -> bool:
        """Whether any process has begun the case since the record was last put together."""
        return self._file(name).exists()

    def claim(self, name: str) -> Claim | None:
        """The case, for this process alone; None where another is at it.

        Raises:
            OutputError: its file cannot be made.
        """
        if not self.writable:
            return Claim(None, None)
        path = self._file(name)
        try:
            try:
                descriptor = os.open(path, _OPEN, 0o666)
            except FileNotFoundError:  # without locks, another process may have thought that it was the last
                path.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(path, _OPEN, 0o666)
            try:
                if not try_lock(descriptor):
                    os.close(descriptor)
                    return None
                _open_to_others(descriptor)
                claim = self._claims[name] = Claim(Entry.last_of(_content(descriptor)), descriptor)
                return claim
            except BaseException:
                with suppress(OSError):
                    os.close(descriptor)
                raise
        except OSError as fault:
            raise unwritable(path, fault) from fault

    def keep(self, name: str, result: Made | Failed | None, images: Sequence[Path | None] = ()) -> None:
        """Keep what became of a case, for others as well where it is claimed; None: it had been made before.

        Raises:
            OutputError: it cannot be written.
        """
        if isinstance(result, Made) and not self.target.record.exists():
            self.fold()  # a folder with segmentations in it is told by its record to be no folder of images
        claim = self._claims.get(name)
        try:
            if claim is not None and result is not None:
                claim.write(Entry(name, self.number, stamp_of(images), result))
        except OSError as fault:
            raise unwritable(self._file(name), fault) from fault
        finally:
            self._results[name] = result
            self.is_behind = True
            if isinstance(result, Made):
                self._made[name] = result

    def forget_failure(self, name: str) -> None:
        """Let a failure be no more, where there is one of this name."""
        if name in self.account.failed:
            self._results[name], self.is_behind = None, True

    def release(self, name: str) -> None:
        """Let go of a case."""
        if claim := self._claims.pop(name, None):
            claim.release()

    def fold_sometimes(self) -> None:
        """Put what was made into the record, where that was last done a while ago."""
        if time.monotonic() - self._folded > FOLDED_EVERY_S:
            self.fold()

    def fold(self) -> None:
        """Put what was made so far into `prediction.json`; raises `OutputError` where it cannot be written."""
        self.is_behind = False
        with self._locked():
            self._write_record(dict(self._results), dict(self._made))
        self._folded = time.monotonic()

    def begun(self) -> int:
        """How many cases all processes have begun since the first of them came; 0 where there is only this one."""
        if not self.others():
            return 0
        with suppress(OSError):
            files = sum(name.endswith(_CASE) for name in os.listdir(self.target.working))
            return max(0, files - sum(entry.by in self._gone for entry in self._there.values()))
        return 0

    def others(self) -> int:
        """How many other processes predict here now."""
        return len(_living(self.target.working, self.number)) if self.writable else 0

    def enter(self, tell: Callable[[str], None]) -> None:
        """Come in, and read what is known; raises `OutputError` where another model predicts here now."""
        with self._locked(tell):
            working = self.target.working
            _make_working(working)
            living = _living(working, self.number, clear=True)
            for holder in living.values():
                if holder.get("model") != self.account.identity:
                    self._refuse(holder, "with another model or other settings", "one model at a time")
                if holder.get("outputs") != self.outputs:
                    self._refuse(holder, f"which writes other files ({_OUTPUTS})", "the same options for all cases")
            self._presence = self._appear(working / f"{self.number}{_PRESENT}")
            self._read()
            self._gone = {entry.by for entry in self._there.values()} - living.keys()

    def _refuse(self, holder: Mapping[str, object], why: str, expected: str) -> None:
        remedy = "wait until it has ended, or choose another OUT"
        raise OutputError(str(self.target.path), f"in use by {describe_holder(holder)}, {why}", expected, remedy)

    def _read(self) -> None:
        """What the record and the files of the cases say."""
        self._there = {entry.case: entry for entry in _entries(self.target.working)}
        account = Account.read(self.target, self.account.identity)
        last = {name: entry.result for name, entry in self._there.items()}
        self.account = account.with_cases(_made_before(self._there.values())).with_cases(last)

    def refresh(self) -> None:
        """Read again what is known, of this process and of others."""
        if self.others():
            self._read()
        self.account = self.account.with_cases(dict(self._made)).with_cases(dict(self._results))

    def refuse_others(self, outputs: Mapping[str, Path], overwrite: bool) -> list[str]:
        """As `Account.refuse_others`, which other processes may have made out of date meanwhile."""
        try:
            return self.account.refuse_others(outputs, overwrite)
        except OutputError:
            self.refresh()
            return self.account.refuse_others(outputs, overwrite)

    def leave(self) -> None:
        """Put all into the record and go; who is last takes away what processes share the cases by.

        Raises:
            OutputError: the record cannot be written; then what became of each case stays in its own file.
        """
        working = self.target.working
        try:
            with self._locked():
                alone = not _living(working, self.number, clear=True)
                entries = list(_entries(working)) if alone else []
                results = {**{entry.case: entry.result for entry in entries}, **self._results}
                past = self._failures_of_source() if self.complete else set[str]()
                if results or past:
                    self._write_record(results, {**_made_before(entries), **self._made}, past)
                self._disappear()
                if alone:
                    _clear(self.target)
        finally:
            self._disappear()

    def abandon(self) -> None:
        """Go where the work has ended with an error; where the record cannot be written, the files of cases stay."""
        if self.writing:
            self._disappear()
            return
        for name in list(self._claims):
            self.release(name)
        with suppress(OutputError, OSError):
            self.leave()

    def turn_back(self) -> None:
        """Be gone where it could not come in; what others left stays."""
        self._disappear()
        with suppress(OSError):  # where others are here, or were, it stays
            self.target.working.rmdir()

    def _disappear(self) -> None:
        if self._presence is not None:
            with suppress(OSError):
                (self.target.working / f"{self.number}{_PRESENT}").unlink()
            os.close(self._presence)
            self._presence = None

    def _failures_of_source(self) -> set[str]:
        """Cases of this IN that the record says to have failed."""
        failed = Account.read(self.target, self.account.identity).failed
        return {name for name, one in failed.items() if one.source == os.path.abspath(self.source)}

    @contextmanager
    def _locked(self, tell: Callable[[str], None] = lambda said: None) -> Iterator[None]:
        with locked(self.target.lock, self.target.path, tell):
            try:
                yield
            finally:
                # whoever waits for a file that is gone makes a new one
                with suppress(OSError):
                    self.target.lock.unlink()

    def _file(self, name: str) -> Path:
        return self.target.working / f"{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}{_CASE}"

    def _card(self) -> dict[str, object]:
        """Who this process is, and what it does, for others who come."""
        return {**this_process(), "model": self.account.identity, "outputs": dict(self.outputs)}

    def _appear(self, path: Path) -> int:
        """The descriptor of the file that says that this process is here, for as long as it is open."""
        try:
            descriptor = os.open(path, _OPEN, 0o666)
            _open_to_others(descriptor)
            os.write(descriptor, json.dumps(self._card()).encode())
            while not try_lock(descriptor):  # somebody looks whether it is locked
                time.sleep(_LOOKED_AT_S)
        except OSError as fault:
            raise unwritable(path, fault) from fault
        return descriptor

    def _write_record(
        self, results: Mapping[str, Made | Failed | None], made: Mapping[str, Made], past: Collection[str] = ()
    ) -> None:
        """`prediction.json` and the table of failures, with these results; what other processes put there stays.

        A case that was `made` and has failed since has both. Failures of `past` are no more. A segmentation that has
        not got its name yet is not done.
        """
        folder = self.target.folder
        there = {name for name, one in made.items() if os.path.lexists(folder / one.file)}
        done = {name: one for name, one in results.items() if not isinstance(one, Made) or name in there}
        account = Account.read(self.target, self.account.identity)
        account = account.with_cases({name: made[name] for name in there}).with_cases(done, past)
        content = account.to_json()
        write_json(self.target.record, {"model": content.pop("model"), **self.last, **content})
        if not self.target.single:
            _write_failed(folder / FAILED, account.failed)


@contextmanager
def sharing(
    target: Target,
    identity: str,
    source: Path,
    tell: Callable[[str], None],
    outputs: Mapping[str, object] = MappingProxyType({}),
) -> Iterator[Sharing]:
    """A block in which this process is among those that predict into `target`.

    A folder that is there and takes no file is not entered: all may be done there already.

    Raises:
        OutputError: nothing can be written there, or another model, or other `outputs`, are predicted there now.
    """
    there = target.folder.exists()
    here = Sharing(Account(target, identity, {}), source, dict(outputs))
    if target.folder.is_dir() and not os.access(target.folder, os.W_OK):
        here.writable = False
        here.account = Account.read(target, identity)
        yield here
        return
    check_writable(target.folder)
    try:
        try:
            here.enter(tell)
        except BaseException:
            here.turn_back()
            raise
        try:
            yield here
        except BaseException:
            here.abandon()
            raise
        here.leave()
    finally:
        if not there:
            with suppress(OSError):  # where something lies in it, it stays
                target.folder.rmdir()


def stamp_of(images: Sequence[Path | None]) -> str:
    """A digest of where the files of a case lie, how large they are and when they were last changed."""
    digest = hashlib.sha256()
    for path in files_of(images):
        with suppress(OSError, DataError):
            for file in [path] if path.is_file() else sorted(series_files(path)):
                state = file.stat()
                digest.update(
                    f"{file.resolve()}\0{state.st_size}\0{state.st_mtime_ns}\n".encode(errors="surrogateescape")
                )
    return digest.hexdigest()


def _make_working(working: Path) -> None:
    """Make the folder, which whoever may write into OUT may write into."""
    try:
        working.mkdir()
        working.chmod(stat.S_IMODE(working.parent.stat().st_mode))
    except FileExistsError:
        return
    except OSError as fault:
        raise unwritable(working, fault) from fault


def _open_to_others(descriptor: int) -> None:
    """Let others lock a file, whatever the umask of who makes it: a case goes on in another user's process."""
    with suppress(OSError, AttributeError):  # of another user; on Windows
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != 0o666:
            os.fchmod(descriptor, 0o666)


def _content(descriptor: int) -> bytes:
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, _MOST_BYTES)


def _entries(working: Path) -> Iterator[Entry]:
    """What the files of the cases say."""
    with suppress(OSError):
        for path in working.iterdir():
            if path.suffix == _CASE:
                with suppress(OSError):
                    if entry := Entry.last_of(path.read_bytes()[-_MOST_BYTES:]):
                        yield entry


def _made_before(entries: Iterable[Entry]) -> dict[str, Made]:
    """Case -> its segmentation, of those that were made, also where the last that is said of one is a failure."""
    found = {entry.case: entry.result if isinstance(entry.result, Made) else entry.made for entry in entries}
    return {name: made for name, made in found.items() if made is not None}


def _clear(target: Target) -> None:
    """Take away what processes share the cases by, and what those that were killed had begun to write."""
    for path in target.working.glob(f"*{_CASE}"):
        with suppress(OSError):
            path.unlink()
    with suppress(OSError):
        target.working.rmdir()
    for folder in (target.folder, *(target.folder / kind for kind in SIDES if not target.single)):
        remove_abandoned(folder)


def _living(working: Path, number: str, *, clear: bool = False) -> dict[str, dict[str, object]]:
    """Number -> who it is, of each other process that is here; `clear`: remove the files of those that are gone."""
    found: dict[str, dict[str, object]] = {}
    for path in working.glob(f"*{_PRESENT}"):
        if path.stem == number:
            continue
        with suppress(OSError, ValueError):
            descriptor = os.open(path, os.O_RDWR)
            try:
                if try_lock(descriptor):
                    if clear:
                        path.unlink()
                else:
                    said = json.loads(_content(descriptor) or b"{}")
                    found[path.stem] = said if isinstance(said, dict) else {}
            finally:
                os.close(descriptor)
    return found


def _write_failed(path: Path, failed: Mapping[str, Failed]) -> None:
    """The table of failures; no file where there are none."""
    if not failed:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return
    rows = ((name, one.where, one.found, one.expected, one.remedy) for name, one in sorted(failed.items()))
    write_table(path, ("case", "where", "found", "expected", "remedy"), rows)
