"""Scores of a whole case, row by row: in memory, or in a temporary file where memory is too little for them.

They are kept only where the whole case has to be looked at before any voxel is decided (`vertebral_levels`).
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from math import prod
from types import TracebackType
from typing import IO

import numpy as np
import numpy.typing as npt

from autospine.errors import OutputError

SLAB_BYTES = 1 << 26
"""Of the rows that are looked at together; a single larger one is taken whole."""
_FLOAT = 4
Logits = npt.NDArray[np.float32]


class Rows:
    """Logits (K, a0, a1, a2) of a case; on disk one row after the other, each (K, a1, a2) float32.

    A context manager, at whose end they are gone.

    Raises:
        OutputError: the disk has no room for them.
    """

    def __init__(self, shape: tuple[int, int, int, int], *, on_disk: bool) -> None:
        """Of this `shape`; none is there yet."""
        self._outputs, self._count, *plane = shape
        self._row = (self._outputs, plane[0], plane[1])
        self._opened = ExitStack()
        self._held = None if on_disk else np.empty((self._count, *self._row), np.float32)
        self._file: IO[bytes] | None = None
        if on_disk:
            self._check_room(prod(shape) * _FLOAT)
            self._file = self._opened.enter_context(tempfile.TemporaryFile(prefix="autospine-"))

    def __enter__(self) -> Rows:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of them."""
        self._held = None
        self._opened.close()

    def put(self, first: int, columns: slice, values: Logits) -> None:
        """Keep `values` (K, rows, columns, a2), whose rows are those from `first` on."""
        rows = values.transpose(1, 0, 2, 3)
        if self._held is not None:
            self._held[first : first + len(rows), :, columns] = rows
            return
        assert self._file is not None
        outputs, height, width = self._row
        try:
            for place, row in enumerate(rows, first):
                for output in range(outputs):
                    self._file.seek(_FLOAT * width * ((place * outputs + output) * height + columns.start))
                    self._file.write(np.ascontiguousarray(row[output]).data)
        except OSError as fault:
            if fault.errno != errno.ENOSPC:
                raise
            raise self._no_room("no room is left") from fault

    def slabs(self) -> Iterator[tuple[int, Logits]]:
        """All rows: (first row, logits (K, rows, a1, a2)). What is changed in one may be seen the next time, or not."""
        step = max(1, SLAB_BYTES // (prod(self._row) * _FLOAT))
        for first in range(0, self._count, step):
            rows = min(step, self._count - first)
            yield first, self._read(first, rows).transpose(1, 0, 2, 3)

    def _read(self, first: int, rows: int) -> Logits:
        """(rows, K, a1, a2)."""
        if self._held is not None:
            return self._held[first : first + rows]
        assert self._file is not None
        values = np.empty((rows, *self._row), np.float32)
        self._file.seek(first * prod(self._row) * _FLOAT)
        read = self._file.readinto(values.data.cast("B"))  # type: ignore[attr-defined]
        if read != values.nbytes:
            raise OSError(errno.EIO, "a temporary file ended too early")
        return values

    def _check_room(self, needed: int) -> None:
        """Raise `OutputError` unless the folder of temporary files has room for so many bytes."""
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if needed > free:
            raise self._no_room(f"{free / 1e9:.3g} GB free, and the scores of this image take {needed / 1e9:.3g} GB")

    @staticmethod
    def _no_room(found: str) -> OutputError:
        """What is said where the disk is too small."""
        remedy = "set TMPDIR to a folder with more room, or allow more memory with --memory"
        return OutputError(tempfile.gettempdir(), found, "room for what does not fit into memory", remedy)
