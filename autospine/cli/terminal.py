"""The terminal: progress bars where there is one, plain lines where there is none, and the panel of an error."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from autospine.cli.quantities import format_duration
from autospine.errors import AutospineError

if TYPE_CHECKING:
    from autospine.workflow.progress import Update

LINE_EVERY_S = 20.0
"""Seconds between two lines of a task where no bar can be drawn."""

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


class TerminalProgress:
    """Shows tasks as bars on a terminal and as lines in a log."""

    def __init__(self, name: str = "") -> None:
        """With a `name` before every line, and without bars, where other processes write to the same terminal."""
        self._name = escape(name)

    def note(self, text: str) -> None:
        """Print one line."""
        # a line that was broken would stand without its name among those of others
        console.print(f"{self._name}{escape(text)}", soft_wrap=bool(self._name))

    @contextmanager
    def task(self, title: str) -> Iterator[Update]:
        """Show `title` with what is being done, the share done and the time left."""
        start = time.monotonic()
        left = TimeLeft()
        if console.is_terminal and not self._name:
            columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
            texts = (TextColumn("{task.fields[left]}"), TextColumn("{task.fields[doing]}"))
            with Progress(*columns, *texts, console=console) as bar:
                task = bar.add_task(escape(title), total=1.0, doing="", left="")

                def draw(doing: str, share: float) -> None:
                    bar.update(task, completed=share, doing=escape(doing), left=left(share))

                yield draw
        else:
            self.note(title)
            shown = start

            def write(doing: str, share: float) -> None:
                nonlocal shown
                if time.monotonic() - shown >= LINE_EVERY_S:
                    shown = time.monotonic()
                    self.note(f"  {share:4.0%}  {doing}  {left(share)}")

            yield write
            self.note(f"  done in {format_duration(time.monotonic() - start)}")


class TimeLeft:
    """Time left by what was done since the first look: a resumed task begins with a share that cost nothing now."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self._first: tuple[float, float] | None = None

    def __call__(self, share: float) -> str:
        """`12 min 30 s left`, or nothing where it cannot be told."""
        now = time.monotonic()
        if self._first is None:
            self._first = (now, share)
        elapsed, done = now - self._first[0], share - self._first[1]
        return f"{format_duration(elapsed * (1 - share) / done)} left" if done > 0 and share < 1 else ""


def show_error(error: AutospineError) -> None:
    """One panel: where, what was found, what was expected, what to do."""
    # a title is cut where it is too long, and the end of a path is what tells files apart
    fits = len(error.where) <= errors.width - 8
    body = escape(error.found) if fits else f"{escape(error.where)}\n{escape(error.found)}"
    if error.expected:
        body += f"\n[bold]Expected:[/bold] {escape(error.expected)}"
    if error.remedy:
        body += f"\n[bold]What to do:[/bold] {escape(error.remedy)}"
    errors.print(Panel(body, title=escape(error.where) if fits else None, title_align="left", border_style="red"))


def show_line(text: str) -> None:
    """`text` as it is, however long: in a log or a pipe a line stays one."""
    console.print(text, markup=False, soft_wrap=True)
