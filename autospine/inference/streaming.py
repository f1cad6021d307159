"""What networks say of a prepared case, slab by slab, handed to whatever makes something of it.

    tiles --window, strip by strip--> rows of logits --to the new grid--> pieces --> labels, probabilities, uncertainty

    where levels have to agree:      rows of logits --> kept, in memory or on disk --> renamed --> pieces --> ...

No scores of a whole case are held, unless its pieces have to agree on levels; then a file takes what memory does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autospine.errors import PlanError
from autospine.inference.padded import PaddedCase
from autospine.inference.rows import Rows
from autospine.inference.vertebral_levels import Chain, Renaming, Slabs, find_renaming
from autospine.inference.window import Tile, Window
from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.resample_labels import Passage, Piece, Stream, Strip

Progress = Callable[[int, int], None]
"""Called with (tiles done, tiles in all), anew for each stage."""
Logits = npt.NDArray[np.float32]


class Sink(Protocol):
    """What makes something of pieces."""

    def add(self, piece: Piece) -> None:
        """Take one; each voxel of the new grid is in one of them."""
        ...


@dataclass(frozen=True)
class Scores:
    """The scores of a case as they come out of the sliding window."""

    card: ModelCard
    inputs: PaddedCase
    window: Window
    """Its outputs are the network's, and what else is blended like them."""
    forward: Callable[[Tensor], Tensor]
    """(N, in_channels, *patch) -> (N, outputs, *patch)."""
    device: torch.device
    """On which tiles are added up."""
    progress: Progress
    chain: Chain | None = None
    """The levels as they lie in the prepared case; None where labels are none."""

    @property
    def case_shape(self) -> tuple[int, int, int]:
        """Voxels of the prepared case."""
        a, b, c = (span.stop - span.start for span in self.inputs.inner)
        return a, b, c

    def slabs(self, strips: Sequence[Strip]) -> Iterator[tuple[Strip, int, Logits]]:
        """(strip, first row, (outputs, rows, columns, a2)): each strip from the first row to the last.

        Raises:
            PlanError: what comes out is not finite.
        """
        shape, inner = self.inputs.volume.shape[1:], self.inputs.inner
        total = sum(len(self.window.across(shape, inner, strip.columns)) for strip in strips)
        done = 0

        def tell(tiles: int) -> None:
            nonlocal done
            done += tiles
            self.progress(done, total)

        for strip in strips:
            slabs = self.window.slide(shape, inner, strip.columns, self._of_tiles, device=self.device, tell=tell)
            for first, values in slabs:
                self._check(values)
                yield strip, first, values.numpy()
                del values  # all that is open belongs to it: the next strip's would stand beside this one's

    @torch.inference_mode()
    def _of_tiles(self, tiles: Sequence[Tile]) -> Tensor:
        """(tiles, outputs, *patch), a slice being a volume one voxel thick."""
        said = self.forward(self.inputs.batch(tiles))
        return said if said.ndim == 5 else said[:, :, None]

    def _check(self, values: Tensor) -> None:
        """Raise `PlanError` where there are numbers that are none."""
        # row by row: of what does not lie in one piece torch makes a copy, which would be as large as all that is open
        if not all(torch.isfinite(end) for row in values.unbind(1) for end in torch.aminmax(row)):
            found = "NaN or infinite numbers in the output of the network"
            remedy = "use other weights; where large numbers overflow in float16 alone, predict with --device cpu"
            raise PlanError(f"configuration {self.card.configuration.name}", found, "finite numbers", remedy)

    def pour(
        self,
        passage: Passage,
        sinks: Sequence[Sink],
        strips: int,
        *,
        on_disk: bool,
        look: Callable[[Logits], None] | None = None,
    ) -> Renaming | None:
        """Hand all pieces that `passage` makes of the case to each of the `sinks`; its vertebrae with levels, if any.

        The case is gone through in so many `strips`; where levels have to agree, all scores are kept `on_disk`, or in
        memory. `look` is given the scores themselves (outputs, rows, columns, a2), each voxel once: to be left as they
        are, and good until it returns.
        """
        columns = self.case_shape[1]
        if self.chain is None:
            streams = {strip: Stream(passage, strip) for strip in Strip.of(columns, strips)}
            for strip, first, values in self.slabs(list(streams)):
                if look is not None:
                    look(values[:, :, : strip.stop - strip.start])
                _hand(streams[strip].pieces(first, values), sinks)
                del values  # as there
            return None
        outputs = self.card.configuration.network.out_channels
        with Rows((self.window.outputs, *self.case_shape), on_disk=on_disk) as rows:
            for strip, first, values in self.slabs([strip.alone for strip in Strip.of(columns, strips)]):
                rows.put(first, strip.owned, values)
                del values  # as there
            return pour_agreed(rows.slabs, outputs, self.chain, passage, sinks, look)


def pour_agreed(
    slabs: Slabs,
    outputs: int,
    chain: Chain | None,
    passage: Passage,
    sinks: Sequence[Sink],
    look: Callable[[Logits], None] | None = None,
) -> Renaming | None:
    """Hand all pieces that `passage` makes of scores, whose pieces agree on their levels, to each of the `sinks`.

    Gives the vertebrae with their levels, where there are any.

    Args:
        slabs: gives all rows, each time from the first on: (first row, (outputs and more, rows, a1, a2)).
        outputs: channels that are logits; what follows is passed on as it is.
        chain: the levels; None: every voxel by itself.
        passage: to the new grid.
        sinks: what makes something of the pieces.
        look: is given the scores that agree, as that of `Scores.pour`.
    """
    renaming = None
    if chain is not None:
        renaming = find_renaming(lambda: ((first, values[:outputs]) for first, values in slabs()), chain)
    stream = Stream(passage)
    for first, values in slabs():
        if renaming is not None:
            renaming.apply(first, values[:outputs])
        if look is not None:
            look(values)
        _hand(stream.pieces(first, values), sinks)
    return renaming


def _hand(pieces: Iterator[Piece], sinks: Sequence[Sink]) -> None:
    """Each piece to each of the sinks."""
    for piece in pieces:
        for sink in sinks:
            sink.add(piece)


def whole(scores: Scores) -> npt.NDArray[Any]:
    """All of the scores (outputs, a0, a1, a2) of a case, each voxel by itself."""
    held = np.empty((scores.window.outputs, *scores.case_shape), np.float32)
    for _, first, values in scores.slabs(Strip.of(scores.case_shape[1], 1)):
        held[:, first : first + values.shape[1]] = values
    return held
