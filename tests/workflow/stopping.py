"""A training that is stopped at one of its steps."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from autospine.workflow.progress import Update
from tests.workflow.conftest import Noting


class Stopping(Noting):
    """Presses Ctrl-C at a step of the training of one fold."""

    def __init__(self, fold: int, step: int) -> None:
        super().__init__()
        self._where = f"fold {fold}", f"step {step},"

    @contextmanager
    def task(self, title: str) -> Iterator[Update]:
        def update(text: str, share: float) -> None:
            if title.endswith(self._where[0]) and text.startswith(self._where[1]):
                os.kill(os.getpid(), signal.SIGINT)

        yield update
