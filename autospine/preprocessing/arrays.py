"""Arrays on disk, whole or not at all: numpy does not tell of every full disk."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.disk.files import atomic_path, is_whole_archive


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write `array` as the `.npy` file `path`; `OutputError` where that fails."""
    with atomic_path(path, whole=_is_whole) as temporary:
        try:
            np.save(temporary, np.ascontiguousarray(array), allow_pickle=False)
        except OSError as fault:
            if fault.errno is None:  # numpy has counted less than it gave, and says the numbers alone
                raise OSError(errno.ENOSPC, "not all of it could be written") from fault
            raise


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write `arrays` by their names as the `.npz` file `path`; `OutputError` where that fails."""
    with atomic_path(path, whole=is_whole_archive) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


def _is_whole(path: Path) -> bool:
    """Whether the file has the bytes that its header promises."""
    try:
        np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError):
        return False
    return True
