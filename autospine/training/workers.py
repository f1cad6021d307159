"""The processes that build batches: how many, what each does first, and what becomes of a training that loses one.

What goes wrong in one of them arrives in the training's own process between two steps, where all is consistent and a
checkpoint can be saved: an error of the data as itself, a process that was ended as a `DeviceError`.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from math import prod
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from autospine.errors import AutospineError, DeviceError, Stopped
from autospine.machine.cores import available_cores
from autospine.machine.device import is_out_of_memory
from autospine.machine.memory import SHARED, shared_bytes, workers_that_fit
from autospine.machine.processes import leave_signals_to_parent, loader_processes, may_start_processes
from autospine.planning.document.model_card import ModelCard
from autospine.training.interrupt import stop_requested

MOST_WORKERS = 12
"""More do not keep a GPU any busier (nnU-Net's usual number)."""
AHEAD = 3
"""Batches that each process builds ahead."""
LOOK_S = 5.0
"""Seconds between two looks at the processes while a batch is waited for."""
WAIT_LIMIT_S = 900.0
"""Seconds without a batch after which none is expected any more; a slow network disk may take minutes for one."""
_REMEDY = "give fewer `--workers` (0 needs least memory); a container may need more shared memory: `--shm-size 8g`"


class Batches(Protocol):
    """Batch `step` of a training, from cases that can be checked before it begins."""

    def check_cases(self) -> None:
        """Raise what a case that cannot be opened raises."""

    def __getitem__(self, step: int) -> Any:
        """The batch of this step, arrays of which the first is the image."""


def fitting_workers(
    card: ModelCard, device: torch.device, asked: int | None = None, tell: Callable[[str], None] = lambda said: None
) -> int:
    """How many processes build the batches of `card`; `tell` is told where and why they are fewer than usual.

    As many as are `asked` for, or as keep a GPU fed; on a CPU the network itself needs the cores. Batches come from
    them through shared memory, of which a container may have 64 MB, and only the main thread of a process that is not
    daemonic starts any.
    """
    usual = min(available_cores(), MOST_WORKERS) if device.type == "cuda" else int(available_cores() > 2)
    wanted = usual if asked is None else asked
    if not wanted:
        return 0
    if not may_start_processes():
        tell("Batches are built in this process, which may start no others: a thread, a daemon or no shared memory")
        return 0
    free, needed = shared_bytes(), batch_bytes(card)
    # beside those ahead there is the one that a step computes with, and the one that is being moved
    fitting = wanted if free is None else workers_that_fit(wanted, free - 2 * needed, AHEAD * needed)
    if free is not None and fitting < wanted:
        instead = f"{fitting} process{'es' * (fitting != 1)}" if fitting else "this process"
        found = f"shared memory ({SHARED}) has room for {free / 1e6:.3g} MB, a batch takes {needed / 1e6:.3g} MB"
        tell(f"Batches are built by {instead} instead of {wanted}: {found} (a container: --shm-size 8g)")
    return fitting


def batch_bytes(card: ModelCard) -> int:
    """Bytes of one batch: the image in float32, and the target as classes and sizes or, in pretraining, as scans."""
    entering = card.entering
    per_voxel = 4 * (entering.count + max(3, entering.images * entering.slices))
    return per_voxel * card.configuration.batch * prod(card.configuration.patch)


def batches_from(batches: Batches, first: int, workers: int, pin: bool) -> Iterator[Sequence[Tensor]]:
    """Batches without end from step `first` on, as tensors; `workers` processes build them ahead.

    There are none where this process may not start others. `next` raises as that of `WorkerBatches`.

    Raises:
        PlanError: a case of `batches`, or its segmentation by the previous stage, is missing or damaged.
        DeviceError: no processes can be started.
    """
    batches.check_cases()
    if workers and may_start_processes():
        return WorkerBatches(batches, first, workers, pin)
    return iter(DataLoader(cast(Dataset[Any], batches), batch_size=None, sampler=count(first), pin_memory=pin))


def _initialise_worker(_worker: int) -> None:
    """One thread each, and signals left to the training process, which stops its workers itself."""
    leave_signals_to_parent()
    sys.excepthook = _say_while_parent_lives
    torch.set_num_threads(1)


def _say_while_parent_lives(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What fails in a worker whose training was killed, as a batch that nobody takes, is nothing to speak of."""
    parent = multiprocessing.parent_process()
    if parent is None or parent.is_alive():
        sys.__excepthook__(kind, error, trace)


class WorkerBatches(Iterator[Sequence[Tensor]]):
    """Batches without end, built ahead by processes.

    `next` raises what `batches` does; `DeviceError` where a process was ended, shared memory is full or no batch came
    for `WAIT_LIMIT_S`; `Stopped` where a stop was asked for while it waited (see `interrupt`).
    """

    def __init__(self, batches: Batches, first: int, workers: int, pin: bool) -> None:
        """Start so many `workers` for the batches from step `first` on; raises `DeviceError` where none can start."""
        context = loader_processes()
        loader = DataLoader(
            _Shared(batches),
            batch_size=None,
            sampler=count(first),
            num_workers=workers,
            pin_memory=pin,
            worker_init_fn=_initialise_worker,
            prefetch_factor=AHEAD,
            timeout=LOOK_S,
            multiprocessing_context=context,
        )
        others = set(multiprocessing.active_children())
        with _children_handler_kept():
            try:
                context.Lock()  # where there is no room for one, torch would fail half-way and say so beside our words
                self._loaded = iter(loader)
            except OSError as fault:
                found = f"no processes can be started: shared memory has no semaphores for them ({fault})"
                raise DeviceError("workers", found, remedy=_REMEDY) from fault
        self._workers = [one for one in multiprocessing.active_children() if one not in others]

    def __next__(self) -> Sequence[Tensor]:
        """The next batch."""
        began = time.monotonic()
        while True:
            try:
                batch = next(self._loaded)
            except (RuntimeError, OSError, EOFError) as error:
                waited = str(error).startswith("DataLoader timed out")
                ended = self._find_ended(0 if waited else 2)
                if ended is not None:
                    raise _describe_end(ended) from error
                if not waited:
                    raise
                if stop_requested():
                    raise Stopped from error
                if time.monotonic() - began > WAIT_LIMIT_S:
                    found = f"no batch for {WAIT_LIMIT_S / 60:.0f} min, though the processes that build them run"
                    remedy = "see whether the disk with the prepared cases answers"
                    raise DeviceError("workers", found, remedy=remedy) from error
                continue
            if isinstance(batch, AutospineError):
                raise batch
            return cast(Sequence[Tensor], batch)

    def _find_ended(self, seconds: float) -> BaseProcess | None:
        """A process that is no more; it has so many seconds to end, since a pipe that breaks tells of it earlier."""
        deadline = time.monotonic() + seconds
        while True:
            for worker in self._workers:
                if not worker.is_alive():
                    return worker
            if time.monotonic() > deadline:
                return None
            time.sleep(0.05)


class _Shared(Dataset[Any]):
    """Batches in shared memory, or as it is the error of what built them: torch raises none of several arguments again.

    A queue moves what it is given to shared memory in a thread of its own, and what that raises reaches nobody.
    """

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def __getitem__(self, step: int) -> tuple[Tensor, ...] | AutospineError:
        try:
            parts = self._batches[step]
        except AutospineError as error:
            return error
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return DeviceError("workers", "memory ran out while a batch was built", remedy=_REMEDY)
        try:
            return tuple(torch.from_numpy(part).share_memory_() for part in parts)  # type: ignore[no-untyped-call]
        except (RuntimeError, OSError) as error:
            return DeviceError("workers", f"a batch found no shared memory ({error})", remedy=_REMEDY)


def _describe_end(worker: BaseProcess) -> DeviceError:
    """The error of a process that was ended: by what, and why that most often is."""
    code = worker.exitcode or 0
    by, why = f"signal {-code}" if code < 0 else f"exit code {code}", ""
    with suppress(ValueError):  # of a code that is no signal's
        by = signal.Signals(-code).name
    if by == "SIGKILL":
        why = ", most often because memory ran out"
    if by == "SIGBUS":
        free = shared_bytes()
        room = "" if free is None else f" ({SHARED} has {free / 1e6:.3g} MB left)"
        why = f", most often because shared memory is full{room} or a prepared case was cut short"
    return DeviceError("workers", f"a process that builds batches was ended ({by}){why}", remedy=_REMEDY)


@contextmanager
def _children_handler_kept() -> Iterator[None]:
    """A block after which SIGCHLD is handled as before.

    torch's handler raises wherever the main thread happens to be: in the middle of a step, that leaves weights of which
    some have taken it and others have not. A process that has ended is seen where its batch is waited for.
    """
    if not hasattr(signal, "SIGCHLD"):
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None else before)
