"""What a prediction writes of a case, and where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autospine.data.volume import WRITTEN_AS, suffix_of, write_volume
from autospine.inference.segmentation import Segmentation, Wanted

WRITTEN = ".nii.gz"
"""Format of the segmentation of a DICOM series."""


@dataclass(frozen=True)
class Outputs:
    """What the user wants written."""

    @property
    def wanted(self) -> Wanted:
        """What the predictor is asked for."""
        return Wanted()

    def name_of(self, case: str, image: Path) -> str:
        """The file of the segmentation of a case whose first image is `image`."""
        return f"{case}{WRITTEN_AS.get(suffix_of(image), WRITTEN)}"

    def write(self, temporary: Path, made: Segmentation) -> None:
        """Write the segmentation itself under a temporary name that has the suffix of its own."""
        write_volume(temporary, made.labels)
