"""What a cascade takes from its previous stage: a segmentation on the grid of its own prepared case.

    runs/<dataset>/3d_lowres/fold_<k>/next_stage/<key>/
        <case>.npy    (a0, a1, a2) uint8 class indices on the prepared grid of the next stage; memory-mapped

The key hashes what the segmentations come from: weights, stores, how they were predicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autospine.data.disk.files import unreadable
from autospine.errors import PlanError


@dataclass(frozen=True)
class PreviousStage:
    """The previous stage's segmentation of each case, on disk."""

    files: Mapping[str, Path]
    """Case -> its `.npy` file."""
    key: str
    """Hash of what all of them come from; part of a training's identity."""

    def open(self, name: str, shape: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Class indices `shape` (a0, a1, a2) of the case called `name`, read from disk where they are touched.

        Raises `PlanError` where the file is missing, damaged or of another shape.
        """
        path = self.files[name]
        remedy = "delete the folder of this file and run the training again: it is made anew"
        try:
            labels: npt.NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
        except PermissionError as fault:
            raise unreadable(path, fault, PlanError) from fault
        except (OSError, ValueError, EOFError) as fault:
            found = f"the previous stage's segmentation of {name} is missing or damaged ({fault})"
            raise PlanError(str(path), found, "a whole file", remedy) from fault
        if labels.dtype != np.uint8 or labels.shape != tuple(shape):
            found = f"{labels.dtype} of shape {labels.shape}"
            raise PlanError(str(path), found, f"uint8 of shape {tuple(shape)}, the grid of the prepared case", remedy)
        return labels
