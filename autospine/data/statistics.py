"""How large each structure of a segmentation is, and how bright: a table a case, and one of all cases."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.disk.files import read_text, unwritable, write_text
from autospine.data.disk.locks import locked
from autospine.data.geometry import Volume
from autospine.errors import OutputError

SUFFIX = ".csv"
_FIXED = ("case", "structure", "value", "voxels", "volume_mm3")
_LOCK = ".all.lock"


@dataclass(frozen=True)
class Measured:
    """A structure of a case, in numbers."""

    structure: str
    values: tuple[int, ...]
    """Those of the labels that it is made of."""
    voxels: int
    volume_mm3: float
    """Area in mm2 in 2D files."""
    means: tuple[float | None, ...]
    """Mean intensity in each channel, as the image has it; None where the structure or the channel is missing."""


def measure_structures(
    labels: Volume,
    structures: Mapping[str, tuple[int, ...]],
    image: Volume | None = None,
    missing: Sequence[int] = (),
) -> tuple[Measured, ...]:
    """Voxels, volume and mean intensities of each structure, also of those that are not there.

    Args:
        labels: (1, Z, Y, X), values of `structures` or 0.
        structures: name -> the values that it is made of; a region may be of several, and share them with others.
        image: (C, Z, Y, X) on the same grid; None: no intensities.
        missing: its channels, from 0, that the case lacks.
    """
    channels = 0 if image is None else len(image.array)
    if image is not None and image.array.shape[1:] != labels.array.shape[1:]:
        raise ValueError(f"labels of {labels.array.shape[1:]} on an image of {image.array.shape[1:]}")
    values = np.unique([value for held in structures.values() for value in held]).astype(np.int64)
    counts = np.zeros(len(values), np.int64)
    sums = np.zeros((len(values), channels))
    for place, plane in enumerate(labels.array[0]):  # slice by slice: an image can be large
        inside = plane > 0
        if not inside.any():
            continue
        places = np.minimum(np.searchsorted(values, plane[inside]), len(values) - 1)
        known = values[places] == plane[inside]
        counts += np.bincount(places[known], minlength=len(values))
        for channel in range(channels):
            assert image is not None
            intensities = image.array[channel, place][inside][known].astype(np.float64)
            sums[:, channel] += np.bincount(places[known], intensities, len(values))
    voxel_mm3 = labels.geometry.voxel_volume_mm3
    measured = []
    for name, held in structures.items():
        own = np.isin(values, held)
        count = int(counts[own].sum())
        measured.append(Measured(name, held, count, count * voxel_mm3, _means(sums[own].sum(0), count, missing)))
    return tuple(measured)


def write_statistics(path: Path, case: str, measured: Sequence[Measured], channels: Sequence[str]) -> None:
    """Write the table of a case: a row for each structure, a column of mean intensities for each channel.

    Raises:
        OutputError: it cannot be written.
    """
    columns = (*_FIXED, *(f"mean_{channel}" for channel in channels))
    rows = []
    for one in measured:
        means = ["" if mean is None else f"{mean:.6g}" for mean in one.means]
        row = (case, one.structure, " ".join(map(str, one.values)), one.voxels, f"{one.volume_mm3:.6g}", *means)
        rows.append(dict(zip(columns, row, strict=True)))
    _write(path, columns, rows)


def combine_statistics(folder: Path, path: Path, first: Sequence[str] = _FIXED) -> None:
    """Write all tables of cases in `folder`, which begin with the columns `first`, as one, by the names of the cases.

    Several processes may do so at once: they take turns, and each reads what is there when its turn has come, so that
    the last one leaves the table of all. Where there are none, there is none of all either.

    Raises:
        OutputError: a table cannot be read or is none of these, or the one of all cannot be written.
    """
    if not folder.is_dir():
        return
    with locked(folder / _LOCK, path, lambda note: None):
        columns: dict[str, None] = dict.fromkeys(first)
        rows: list[dict[str, Any]] = []
        for file in sorted(folder.iterdir()):
            if file.name.startswith(".") or file.suffix != SUFFIX:
                continue
            held = _read(file, first)
            columns |= dict.fromkeys(key for row in held for key in row)
            rows += held
        if rows:
            _write(path, tuple(columns), rows)
        else:
            _remove(path)


def _read(path: Path, first: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a case's table; `OutputError` where it is none, as a spreadsheet may have saved it."""
    table = csv.DictReader(io.StringIO(read_text(path, OutputError), newline=""))
    rows = list(table)
    whole = tuple(table.fieldnames or ())[: len(first)] == tuple(first)
    if not whole or any(None in row or None in row.values() for row in rows):
        expected = f"the columns {', '.join(first)} and as many cells in each row, parted by commas"
        remedy = "move it away; with --overwrite the case is measured anew"
        raise OutputError(str(path), "not a table as a prediction writes it", expected, remedy)
    return rows


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as fault:
        raise unwritable(path, fault) from fault


def _means(sums: npt.NDArray[np.float64], count: int, missing: Sequence[int]) -> tuple[float | None, ...]:
    return tuple(
        None if channel in missing or not count else float(total / count) for channel, total in enumerate(sums)
    )


def _write(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())
