"""How long work tells what it is doing; the command line draws it, tests and scripts may ignore it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Update = Callable[[str, float], None]
"""Called with what is being done (a case, a loss) and the share that is done, 0 to 1."""


class Progress(Protocol):
    """What a workflow reports to."""

    def note(self, text: str) -> None:
        """Show one line."""

    def task(self, title: str) -> AbstractContextManager[Update]:
        """Show `title` with a share done, until the context ends."""


class Silent:
    """Reports to nobody."""

    def note(self, text: str) -> None:
        """Drop the line."""

    @contextmanager
    def task(self, title: str) -> Iterator[Update]:
        """Give an update that does nothing."""
        yield lambda text, share: None


def counted(update: Update) -> Callable[[str, int, int], None]:
    """`update` for work that is counted: called with (item, done, total)."""
    return lambda item, done, total: update(f"{item} ({done}/{total})", done / max(total, 1))
