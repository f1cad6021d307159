"""What a predictor says of an image: labels, and what was asked for beside them."""

from __future__ import annotations

from dataclasses import dataclass

from autospine.data.geometry import Volume


@dataclass(frozen=True)
class Wanted:
    """What is asked for beside labels."""

    probabilities: bool = False
    uncertainty: bool = False


@dataclass(frozen=True)
class Segmentation:
    """An image, segmented: all of it on the image's own grid."""

    labels: Volume
    """(1, Z, Y, X), values of the training set, 0 for background."""
