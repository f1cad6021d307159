"""Masks with a palette: the numbers in the file are the labels, and the colours only show them.

Painting programs and labelling tools save masks as PNG or TIFF with a table of colours, of which a voxel holds the
place. Read as images they are colours, three values a voxel; read as masks they are one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.volume import PICTURES, suffix_of
from autospine.data.wording import said
from autospine.errors import DataError

_MODE = "P"
"""Of Pillow: 8 bits a voxel that are places in a palette."""


def palette_indices(path: Path, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8] | None:
    """The numbers (1, Z, Y, X) in a file with a palette, the pages of a TIFF along Z; None for any other file.

    Raises:
        DataError: it has a palette and is damaged, or has not the `shape` that its grid has.
    """
    if suffix_of(path) not in PICTURES:
        return None
    from PIL import Image, ImageSequence

    try:
        with Image.open(path) as image:
            if image.mode != _MODE:
                return None
            pages: list[npt.NDArray[Any]] = [np.asarray(page) for page in ImageSequence.Iterator(image)]
    except Exception as fault:  # a damaged file fails anywhere in the decoder
        found = f"cannot be read as an image ({said(fault)})"
        raise DataError(str(path), found, remedy="export the file again") from fault
    if {page.shape for page in pages} != {shape[1:]} or len(pages) != shape[0]:
        found = f"pages of {', '.join(sorted({str(page.shape) for page in pages}))} voxels"
        raise DataError(str(path), found, f"{shape[0]} of {shape[1:]}", "export the file again")
    return np.stack(pages)[None]
