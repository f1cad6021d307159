"""Cases that could not be segmented: told when they are met, and together at the end."""

from __future__ import annotations

import os
from pathlib import Path
from traceback import extract_tb

from autospine.errors import AutospineError, DataError
from autospine.workflow.progress import Progress

IN_A_ROW = 3
"""So many cases one after the other that fail by what is no fault of an image are no matter of the cases (ours)."""


class LeftOut:
    """A line for each case that is left out."""

    def __init__(self, source: Path, target: Path, total: int, progress: Progress, *, alone: bool) -> None:
        """Of `total` cases in `source`, none yet; `alone`: there is one, and its fault is all there is to say."""
        self.names: set[str] = set()
        self.lines: list[str] = []
        self.total = total
        self._source, self._target, self._progress = source, target, progress
        self._alone, self._odd = alone, 0

    def add(self, name: str, fault: AutospineError, *, told: bool = False) -> None:
        """Note the fault of a case for the end, and say it where it was not `told` by another process.

        The fault of the only case is raised.
        """
        if self._alone:
            raise fault
        self.names.add(name)
        where = Path(fault.where).name
        text = f"{name}: {fault.found}" if where in name else f"{name}: {where}: {fault.found}"
        # its text alone: the error itself holds on to the image that it was found in
        self.lines.append(f"{text}; expected {fault.expected}" if fault.expected else text)
        if not told:
            self._progress.note(f"Left out: {self.lines[-1]}")

    def name_of(self, fault: DataError) -> str:
        """What a case is called whose files could not be put together."""
        return fault.where.removeprefix(f"{self._source}{os.sep}")

    def went_well(self) -> None:
        """A case was segmented, or had a fault of its own: what failed before was not the model's or the machine's."""
        self._odd = 0

    def judge(self, name: str, error: Exception) -> AutospineError:
        """The fault of a case that ended with `error`, which is raised where it is no matter of this case alone.

        That is so for the only case, and where several in a row have ended in such a way.
        """
        if isinstance(error, DataError):
            self.went_well()
            return error
        self._odd += 1
        if self._alone or self._odd >= IN_A_ROW:
            raise error
        return error if isinstance(error, AutospineError) else unexpected(name, error)

    def error(self) -> DataError:
        """The error that lists each of them."""
        count, lines = len(self.lines), "\n  ".join(self.lines)
        done = f"{self.total - count} of {self.total} done, in {self._target}"
        found = f"{done}; {count} could not be segmented:\n  {lines}"
        remedy = "correct these or take them away; the same command then tries what is not done"
        return DataError(str(self._source), found, "images that fit the model, free places in OUT", remedy)


def unexpected(name: str, error: Exception) -> DataError:
    """The error of a case at which code has failed, with the place: for who takes it away, and who mends it."""
    places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in extract_tb(error.__traceback__)]
    found = f"{type(error).__name__} in {places[-1] if places else 'unknown code'}: {error}"
    remedy = "an image that other programs read as well is a fault of autospine: please report it"
    return DataError(name, found, remedy=remedy)
