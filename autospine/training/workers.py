"""What every batch-building process does first."""

from __future__ import annotations

import signal

import torch


def initialise_worker(_worker: int) -> None:
    """One thread each, and Ctrl-C left to the training process, which stops its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
