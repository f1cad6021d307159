"""A network compiled for the processor by OpenVINO, which is called as the torch network is.

A tile is a request. Where several are handed over at once (slices), each is computed by a thread of its own, so that
threads need not wait for each other between layers; a single tile (a 3D patch) is computed by all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from autospine.inference.engines.graph import graph_of
from autospine.inference.engines.library import openvino
from autospine.inference.engines.signal_stack import kept_signal_stack
from autospine.machine.precision import Precision

_HINTS: dict[Precision, str] = {"float32": "f32", "bfloat16": "bf16"}
"""Precisions that OpenVINO computes in on a CPU, by its own names."""


class Compiled:
    """Several threads may call it at once: each call has requests of its own."""

    def __init__(
        self,
        network: nn.Module,
        shape: Sequence[int],
        precision: Precision,
        *,
        threads: int,
        streams: int = 1,
        spare: bool = False,
    ) -> None:
        """`network` in evaluation mode, for tiles of `shape` (C, *patch), on so many `threads` in so many `streams`.

        OpenVINO keeps the memory that a network was computed in for the next time, hundreds of megabytes of a 3D patch,
        and each network its own. Where it is to `spare`, it is given back after each call, which costs an eighth more
        time in 3D and none in 2D (one core, OpenVINO 2026.4).

        Raises:
            UnknownLayerError: a layer that is none of the planned ones.
            RuntimeError: OpenVINO cannot compile it.
        """
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": min(streams, threads),
            # threads that are bound to cores are in each other's way where two programs bind theirs
            "ENABLE_CPU_PINNING": False,
        }
        self.shape = tuple(shape)
        """(C, *patch) of the tiles that it takes."""
        with kept_signal_stack():
            self._model = openvino().Core().compile_model(graph_of(network, (1, *shape)), "CPU", options)
        self._give_back = self._model.release_memory if spare else None
        self._outputs = tuple(self._model.output(0).shape)[1:]
        self._idle: deque[Any] = deque()  # taken from and given back by one operation each, which no thread interrupts

    def __call__(self, tiles: Tensor) -> tuple[Tensor, ...]:
        """(N, C, *patch) on the CPU -> (the logits (N, K, *patch) float32,), as a network in evaluation gives them."""
        if tuple(tiles.shape[1:]) != self.shape:
            raise ValueError(f"compiled for tiles of {self.shape}, found {tuple(tiles.shape[1:])}")
        tiles = tiles.float().contiguous()
        logits = torch.empty((len(tiles), *self._outputs))
        requests = [self._begin(tile[None], said[None]) for tile, said in zip(tiles, logits, strict=True)]
        for request in requests:
            request.wait()
        self._idle.extend(requests)
        if self._give_back is not None:
            with suppress(RuntimeError):  # another thread is computing in it
                self._give_back()
        return (logits,)

    def _begin(self, tile: Tensor, said: Tensor) -> Any:
        """A request that has been started: it reads `tile` and writes to `said`, which are (1, ...) in memory."""
        tensor = openvino().Tensor
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._model.create_infer_request()
        request.set_input_tensor(tensor(tile.numpy(), shared_memory=True))
        request.set_output_tensor(tensor(said.numpy(), shared_memory=True))
        request.start_async()
        return request
