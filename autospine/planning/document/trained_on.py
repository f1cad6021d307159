"""What a model has learnt from, in a few numbers: for who uses it on images that it has never seen."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from autospine.data.geometry import Triple
from autospine.data.slices import PLANES
from autospine.planning.document.convert import Checks
from autospine.planning.document.limits import Count
from autospine.planning.document.plain import PLAIN, are_plain

MOST_DESCRIPTIONS = 100
"""Of series; what is rarer than the hundredth tells nothing (ours)."""
LONGEST_DESCRIPTION = 200
"""Letters; DICOM allows 64, and other characters take several (ours)."""


@dataclass(frozen=True)
class TrainedOn:
    """The cases of a training; what is given per axis is canonical (Z, Y, X)."""

    cases: Count
    spacing_mm: tuple[Triple, Triple, Triple]
    """Smallest, median and largest, above 0."""
    shape: tuple[Triple, Triple, Triple]
    """Voxels: smallest, median and largest."""
    slices: str
    """How most of them are sliced: sagittal, coronal, axial."""
    descriptions: tuple[str, ...] = ()
    """Of DICOM series, as their scanner called them; the most frequent first."""

    def __post_init__(self) -> None:
        """Check the numbers, which may come from a stranger."""
        with Checks(self, "trained_on.") as check:
            for name in ("spacing_mm", "shape"):
                values = getattr(self, name)
                usable = all(isfinite(one) and one > 0 for three in values for one in three)
                check(usable, name, "finite numbers above 0")
            check(self.slices in PLANES, "slices", f"one of {', '.join(PLANES)}")
            check(len(self.descriptions) <= MOST_DESCRIPTIONS, "descriptions", f"at most {MOST_DESCRIPTIONS}")
            short = max(map(len, self.descriptions), default=0) <= LONGEST_DESCRIPTION
            check(short, "descriptions", f"at most {LONGEST_DESCRIPTION} letters each")
            check(are_plain(self.descriptions), "descriptions", PLAIN, ascii(self.descriptions))
