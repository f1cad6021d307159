"""Standard output and error that cannot hurt the work whose words they carry.

The reader of a log goes away (`| head`), its disk is full, the terminal is closed: a training goes on all the same.
From the first write that fails on, nothing is written any more. This lies below Python's own layers, so that whatever
writes is covered, and so is the flush at the end.

A command that works for what it prints alone (`plan --explain`, `--help`) ends there instead: without a word where the
reader has gone, who may have seen enough, and else with an error.
"""

from __future__ import annotations

import errno
import io
import sys
from typing import TextIO

from autospine.errors import OutputError

STDOUT = 1
"""The descriptor of standard output."""


class SteadyFile(io.FileIO):
    """A descriptor to write to, whose faults nobody hears of but where output is `needed`."""

    needed = False
    """Raise at the first write that fails, or at the next one where it has failed already."""
    lost: OSError | None = None
    """Why nothing is written any more."""

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        """All of `data` written, or dropped; raises `OutputError`, or `SystemExit` for want of a reader, if needed."""
        if self.lost is None:
            try:
                written = super().write(data)
                return len(data) if written is None else written  # None: a reader that does not keep up, and no waiting
            except OSError as error:
                self.lost = error
                self._tell(error)
        if self.needed:
            self.needed = False  # what is written on the way out is not to raise again
            if self.lost.errno == errno.EPIPE:
                raise SystemExit(0)
            found, remedy = f"cannot be written ({_reason(self.lost)})", "direct the output to a place that has room"
            raise OutputError("standard output", found, remedy=remedy)
        return len(data)

    def _tell(self, error: OSError) -> None:
        """Say on standard error that words are lost; a reader who goes away knows it."""
        if self.needed or self.fileno() != STDOUT or error.errno == errno.EPIPE or sys.stderr is None:
            return
        found = f"Standard output cannot be written ({_reason(error)})"
        sys.stderr.write(f"{found}: the work goes on, and what it says is lost\n")


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def steady_streams() -> None:
    """Put steady streams in the place of `sys.stdout` and `sys.stderr`.

    Output is needed until a command says otherwise. What a terminal or log has no letters for, such as those of a
    case's name, is escaped: it can be read and ends nothing.
    """
    sys.stdout, sys.stderr = (_steady(stream) for stream in (sys.stdout, sys.stderr))
    need_output()


def need_output(needed: bool = True) -> None:
    """Whether the command that runs works for what it prints from here on."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, SteadyFile):
        raw.needed = needed


def _steady(stream: TextIO) -> TextIO:
    """`stream` with a `SteadyFile` at its bottom; in a Windows console, which has a kind of its own there, without."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream  # None where the process was started without, or whatever a caller has put there
    stream.reconfigure(errors="backslashreplace")
    if sys.platform == "win32":
        return stream
    stream.flush()
    raw: io.FileIO = SteadyFile(stream.fileno(), "wb", closefd=False)
    lines = stream.line_buffering or stream.write_through  # without buffers, as `python -u` asks for: each line at once
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, stream.errors, line_buffering=lines)
