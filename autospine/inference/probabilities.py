"""Probabilities of every class on an image's own grid, compressed and written row by row: never whole in memory.

A `.b2nd` file of blosc2 holds them as float16 (K, Z, Y, X), in the file axes of the image, a chunk for each class and
row. Beside them it says (`vlmeta`) the `names` and label `values` of the K, the `spacing_mm` along (Z, Y, X) and the
`affine` from (X, Y, Z) indices to Right, Anterior, Superior in mm. Background is the first class; regions have none,
and each is as likely as it is by itself.

    import blosc2
    stored = blosc2.open("probabilities/case.b2nd", mode="r")
    stored.schunk.vlmeta["names"], stored[3, 10]                # reads one class of one slice
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from autospine.data.formats.affine import to_affine
from autospine.data.geometry import Geometry
from autospine.inference.export import Placement, structures
from autospine.inference.images import AS_FILES, Given
from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.resample import Index
from autospine.preprocessing.resample_labels import Passage, Piece, Side

BACKGROUND = "background"


@dataclass(frozen=True)
class Probabilities:
    """Probabilities of each class in each voxel, compressed."""

    stored: Any
    """A `blosc2.NDArray`, float16 (K, Z, Y, X) in file axes; slices of it are read alone."""
    names: tuple[str, ...]
    """Of the K: background and the labels, or the regions."""
    path: Path | None
    """The file that holds them; None: they are in memory."""
    given: Given = AS_FILES

    @property
    def array(self) -> npt.NDArray[np.float16]:
        """All of them, (K, ...) in the axes of the image that was given."""
        whole: npt.NDArray[np.float16] = self.given.back(self.stored[...])
        return whole

    def of(self, name: str) -> npt.NDArray[np.float16]:
        """Those of one class or region, in the axes of the image that was given; `KeyError` where there is none."""
        if name not in self.names:
            raise KeyError(f"{name!r} is none of {', '.join(self.names)}")
        one: npt.NDArray[np.float16] = self.given.back(self.stored[self.names.index(name)])
        return one


class ProbabilityStream:
    """Takes logits as they come and keeps the probabilities of each row of the own grid."""

    def __init__(
        self,
        passage: Passage,
        placement: Placement,
        geometry: Geometry,
        card: ModelCard,
        temperature: float,
        path: Path | None,
    ) -> None:
        """Into a new file at `path`, or into memory; outside the crop all is background."""
        import blosc2

        self._passage, self._placement, self._temperature = passage, placement, temperature
        self._regions = bool(card.data.regions)
        self.names = card.data.targets if self._regions else (BACKGROUND, *card.data.targets)
        chunk = [1, *geometry.shape]
        chunk[1 + placement.row_axis] = 1
        self._stored = blosc2.zeros(
            (len(self.names), *geometry.shape),
            dtype=np.float16,
            chunks=tuple(chunk),
            urlpath=None if path is None else str(path),
            mode="w",
            cparams={"codec": blosc2.Codec.ZSTD, "clevel": 3, "filters": [blosc2.Filter.SHUFFLE], "nthreads": 1},
            dparams={"nthreads": 1},
        )
        values = [list(held) for held in structures(card).values()]
        about = self._stored.schunk.vlmeta
        about["names"] = list(self.names)
        about["values"] = values if self._regions else [[0], *values]
        about["spacing_mm"] = list(map(float, geometry.spacing_mm))
        about["affine"] = to_affine(geometry).tolist()
        if not self._regions and any(
            span != slice(0, size) for span, size in zip(placement.whole, geometry.shape, strict=True)
        ):
            self._fill_background(geometry)

    def _fill_background(self, geometry: Geometry) -> None:
        """Let every voxel be background, one row at a time."""
        axis = self._placement.row_axis
        plane = [*geometry.shape]
        plane[axis] = 1
        ones = np.ones((1, *plane), np.float16)
        for row in range(geometry.shape[axis]):
            spans = [slice(0, size) for size in geometry.shape]
            spans[axis] = slice(row, row + 1)
            self._put((slice(0, 1), *spans), ones)

    def add(self, piece: Piece) -> None:
        """Write what a piece tells; of its values, the first channels are the logits."""
        columns, lines = (_taken(self._passage.picked[axis], piece.place[axis]) for axis in (1, 2))
        for place in range(piece.shape[0]):
            row = piece.place[0].start + place
            rows, _ = _taken(self._passage.picked[0], slice(row, row + 1))
            if rows.start == rows.stop:
                continue
            said = self._chances(interpolated(piece, place, len(self.names)))
            said = said[:, columns[1]][:, :, lines[1]]
            for one in range(rows.start, rows.stop):
                box = self._placement.box((slice(one, one + 1), columns[0], lines[0]))
                self._put((slice(None), *box), self._placement.turn(said[:, None]))

    def _put(self, place: tuple[slice, ...], values: npt.NDArray[np.float16]) -> None:
        """Write `values` there; what blosc2 says of a disk is an `OSError`, as that of other writers."""
        try:
            self._stored[place] = values
        except RuntimeError as fault:
            raise OSError(errno.EIO, f"blosc2 could not write ({fault})") from fault

    def _chances(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
        """Probabilities of `logits` (K, y, x)."""
        logits /= self._temperature
        said = special.expit(logits) if self._regions else special.softmax(logits, axis=0)
        small: npt.NDArray[np.float16] = said.astype(np.float16)
        return small

    def done(self, given: Given, path: Path | None) -> Probabilities:
        """All of them; where they have been written, the file lies at `path` by now."""
        import blosc2

        stored = self._stored if path is None else blosc2.open(str(path), mode="r")
        return Probabilities(stored, self.names, path, given)


class MapStream:
    """Takes the last channel of what comes, a number for each voxel from 0 to 1, onto the own grid."""

    def __init__(self, passage: Passage, placement: Placement, geometry: Geometry) -> None:
        """0 outside the crop."""
        self._passage, self._placement = passage, placement
        self._map = np.zeros(geometry.shape, np.float32)

    def add(self, piece: Piece) -> None:
        """Fill in a piece."""
        spans = [_taken(self._passage.picked[axis], piece.place[axis]) for axis in range(3)]
        last = Piece(piece.place, piece.sides, piece.values[-1:])
        for place in range(piece.shape[0]):
            row = piece.place[0].start + place
            rows, _ = _taken(self._passage.picked[0], slice(row, row + 1))
            if rows.start == rows.stop:
                continue
            said = interpolated(last, place, 1)[:, spans[1][1]][:, :, spans[2][1]].clip(0, 1)
            for one in range(rows.start, rows.stop):
                box = self._placement.box((slice(one, one + 1), spans[1][0], spans[2][0]))
                self._map[box] = self._placement.turn(said)

    def done(self) -> npt.NDArray[np.float32]:
        """(Z, Y, X) in file axes."""
        return self._map


def interpolated(piece: Piece, row: int, channels: int) -> npt.NDArray[np.float32]:
    """The first `channels` of a piece, linearly interpolated on a `row` of the new grid: (channels, y, x) float32."""
    rows = [(int(index[row]), np.float32(weight[row])) for index, weight in piece.sides[0]]
    if len(rows) == 1:
        plane = piece.values[:channels, rows[0][0]]
    else:
        (low, before), (high, after) = rows
        plane = piece.values[:channels, low] * before + piece.values[:channels, high] * after
    for axis, sides in enumerate(piece.sides[1:], 1):
        plane = _along(plane, sides, axis)
    return np.array(plane, np.float32)


def _along(plane: npt.NDArray[np.float32], sides: Sequence[Side], axis: int) -> npt.NDArray[np.float32]:
    """`plane` (K, y, x) with the neighbours on both `sides` of each sample along `axis` added up."""
    shape = [1, 1, 1]
    shape[axis] = -1
    if len(sides) == 1:
        return plane.take(sides[0][0], axis)
    (low, before), (high, after) = sides
    summed: npt.NDArray[np.float32] = plane.take(low, axis) * before.astype(np.float32).reshape(shape)
    summed += plane.take(high, axis) * after.astype(np.float32).reshape(shape)
    return summed


def _taken(picked: Index | None, place: slice) -> tuple[slice, Index]:
    """Samples of the new grid that are taken from `place` on the interpolated one; and for each, which it is there."""
    if picked is None:
        return place, np.arange(place.stop - place.start)
    first, end = np.searchsorted(picked, (place.start, place.stop))
    return slice(int(first), int(end)), picked[first:end] - place.start
