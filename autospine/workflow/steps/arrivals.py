"""A folder into which images arrive: which of them are whole, and whether anything has come since the last look.

Nobody says when a file is whole. One counts as whole when neither its size nor its date has changed for some seconds,
a DICOM series when that holds for all files of its folder for longer, since they come one by one. Looking costs the
names and dates of the files, and the longer that takes, the more seldom it is done.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from autospine.data.volume import files_of as parts_of
from autospine.errors import AutospineError
from autospine.workflow.runs.predicted import files_of

State = tuple[int, int]
"""Size of a file in bytes, and when it was last changed, in ns."""
_LOOKING_SHARE = 0.05
"""Share of the time that is spent on looking at most (ours)."""


@dataclass(frozen=True)
class Watch:
    """How long to wait for what, in seconds (ours)."""

    look_s: float = 2.0
    """Between two looks."""
    file_s: float = 5.0
    """Without a change until a file is whole."""
    series_s: float = 30.0
    """Without a change until a DICOM series is whole."""


@dataclass(frozen=True)
class _Seen:
    """A file, as it is."""

    state: State
    since: float
    """When it was first seen so."""
    stage: int
    """0: it may still grow; 1: whole as a file; 2: whole as one of a series."""


@dataclass
class Arrivals:
    """What lies below `folder`, and since when it has been as it is."""

    folder: Path
    apart: Path
    """OUT: what lies there is none of the images."""
    watch: Watch = Watch()
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _seen: Mapping[Path, _Seen] = field(default_factory=dict)
    _below: Mapping[Path, list[Path]] = field(default_factory=dict)
    """Folder -> the files in it."""
    _handled: dict[str, tuple[tuple[Path, State], ...]] = field(default_factory=dict)
    """Case -> its files, as they were when it was come to."""
    _faults: dict[str, float] = field(default_factory=dict)
    """What was found wrong -> when first; infinite once it was told."""
    _took: float = 0.0
    _next: float = 0.0

    def look(self) -> bool:
        """Look at all files; whether one has changed or become whole since the last look, or a fault is open."""
        began = self.clock()
        seen: dict[Path, _Seen] = {}
        below = defaultdict[Path, list[Path]](list)
        for path, state in _files(self.folder, self.apart.resolve()):
            known = self._seen.get(path)
            since = known.since if known is not None and known.state == state else began
            seen[path] = _Seen(state, since, self._stage(began - since))
            below[path.parent].append(path)
        news = seen != self._seen or any(at < began for at in self._faults.values())
        self._seen, self._below, self._took = seen, below, self.clock() - began
        return news

    def is_time(self) -> bool:
        """Whether to put the record of all together, which takes the longer the more there are, and is no hurry."""
        return self.clock() >= self._next

    @contextmanager
    def timed(self) -> Iterator[None]:
        """A block of such work, which is a small part of the time."""
        began = self.clock()
        yield
        now = self.clock()
        self._next = now + (now - began) / _LOOKING_SHARE

    def pause(self) -> None:
        """Sleep until the next look."""
        self.sleep(max(self.watch.look_s, self._took / _LOOKING_SHARE))

    def is_due(self, name: str, images: Sequence[Path | None]) -> bool:
        """Whether a case is whole, and other than when it was last handled."""
        for path in files_of(images):
            stage = 1 if path in self._seen else 2
            files = self._files_of(path)
            if not files or any(self._seen[file].stage < stage for file in files):
                return False
        return self._handled.get(name) != self._states(images)

    def handle(self, name: str, images: Sequence[Path | None]) -> None:
        """Keep how the files of a case are that is come to now."""
        self._handled[name] = self._states(images)

    def is_certain(self, fault: AutospineError) -> bool:
        """Whether something has been wrong for so long that it is no file in coming; True once for each."""
        now, text = self.clock(), str(fault)
        if now - self._faults.setdefault(text, now) < self.watch.file_s:
            return False
        self._faults[text] = float("inf")
        return True

    def forget_faults(self, found: Sequence[AutospineError]) -> None:
        """Forget what is wrong no more."""
        texts = {str(fault) for fault in found}
        self._faults = {text: at for text, at in self._faults.items() if text in texts}

    def _stage(self, seconds: float) -> int:
        return (seconds >= self.watch.file_s) + (seconds >= max(self.watch.file_s, self.watch.series_s))

    def _files_of(self, path: Path) -> list[Path]:
        """The files that an image is read from, of those that were seen."""
        if path in self._seen:
            with suppress(AutospineError, OSError):
                return [file for file in parts_of(path) if file in self._seen]
            return [path]
        if path in self._below:
            return self._below[path]
        # one of several series in a folder, which stands below it by its number
        return [file for file in self._seen if path.parent != self.folder.parent and path.parent in file.parents]

    def _states(self, images: Sequence[Path | None]) -> tuple[tuple[Path, State], ...]:
        return tuple(
            sorted((file, self._seen[file].state) for path in files_of(images) for file in self._files_of(path))
        )


def _files(folder: Path, apart: Path) -> list[tuple[Path, State]]:
    """The files below a folder, but for hidden ones, those of hidden folders, and those `apart`."""
    found = []
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = [name for name in folders if not name.startswith(".") and (here / name).resolve() != apart]
        for name in names:
            with suppress(OSError):
                if not name.startswith("."):
                    state = (here / name).stat()
                    found.append((here / name, (state.st_size, state.st_mtime_ns)))
    return found
