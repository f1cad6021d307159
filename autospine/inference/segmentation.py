"""What a predictor says of an image: labels, and what was asked for beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autospine.data.geometry import Volume


@dataclass(frozen=True)
class Wanted:
    """What is asked for beside labels."""

    probabilities: Path | None = None
    """The file that they are streamed to; None: they are not."""
    uncertainty: bool = False


@dataclass(frozen=True)
class Segmentation:
    """An image, segmented: all of it on the image's own grid."""

    labels: Volume
    """(1, Z, Y, X), values of the training set, 0 for background."""
    uncertainty: Volume | None = None
    """(1, Z, Y, X), 0 where all members agree to 1; None where it was not asked for."""
