"""The processes that build batches: how many, and what each does first."""

from __future__ import annotations

import signal

import torch

from autospine.machine import available_cores

MOST_WORKERS = 12
"""More do not keep a GPU any busier (nnU-Net's usual number)."""


def default_workers(device: torch.device) -> int:
    """Enough processes to keep a GPU fed; on a CPU the network itself needs the cores."""
    if device.type == "cuda":
        return min(available_cores(), MOST_WORKERS)
    return 1 if available_cores() > 2 else 0


def initialise_worker(_worker: int) -> None:
    """One thread each, and Ctrl-C left to the training process, which stops its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
