"""Kinds of scan in a data set: how many scanners and sequences a network is shown.

Most files say neither. What tells is how the slices lie, how large voxels are, and how the greys of the labels stand to
the rest of the image: bone is bright in T1 and dark where fat is suppressed. Cases that agree in all of it are of one
kind; two sequences that show the labels alike count as one. Our own measure, and all numbers are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autospine.data.codes.structures import CATEGORIES, structures_of
from autospine.data.slices import slice_axis
from autospine.data.wording import plural
from autospine.planning.measured.fingerprint import CaseFingerprint, Fingerprint

SAME_SPACING = 1.1
"""Ratio of voxel sizes up to which two cases are of one kind: matrix sizes of one protocol differ so much."""
SAME_CONTRAST = 1.0
"""Difference of what a class stands out by, in standard deviations of the image: the mean over classes and channels. Of
two cases of one sequence it is 0.2 to 0.4 in the median, and 0.7 to 1.1 in one pair of a hundred (three sets). Lower,
every patient is a kind; higher, sequences are one that differ in the labels' greys alone."""


@dataclass(frozen=True)
class Scans:
    """What a network is shown, as far as other scanners and sequences go."""

    kinds: int
    """Kinds of scan."""
    unknown: tuple[str, ...]
    """Labels that are no anatomy by their names: a lesion may be told from what lies around it by its grey alone."""
    greys: bool = True
    """Whether anything is known of the greys of the labels."""
    channels: tuple[str, ...] = ()
    """Their names."""

    @staticmethod
    def of(fingerprint: Fingerprint) -> Scans:
        """Those of a data set."""
        unknown = [
            one.name
            for one in structures_of(fingerprint.labels)
            if not one.known or one.category == CATEGORIES["abnormal"]
        ]
        greys = any(case.contrasts for case in fingerprint.cases)
        return Scans(count_kinds(fingerprint.cases), tuple(unknown), greys, tuple(fingerprint.channels))

    @property
    def told(self) -> str:
        """How many kinds there are, in words."""
        by = "slices, voxel size and the greys of the labels" if self.greys else "slices and voxel size"
        return f"the data hold {plural(self.kinds, 'kind')} of scan, by {by}"


def count_kinds(cases: Sequence[CaseFingerprint]) -> int:
    """Kinds of scan among `cases`: each case is of the first kind whose first case is like it, or of a new one.

    Cases are gone through in the order of what they look like, so that their names change nothing.
    """
    first = list[_Look]()
    for look in sorted(map(_Look.of, cases), key=_Look.order):
        if not any(look.is_like(other) for other in first):
            first.append(look)
    return len(first)


@dataclass(frozen=True)
class _Look:
    """What tells the kind of a scan."""

    plane: int
    missing: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    contrasts: tuple[float, ...]
    """NaN where a class is absent; empty where nothing is known."""

    @staticmethod
    def of(case: CaseFingerprint) -> _Look:
        plane = slice_axis(case.shape, case.spacing_mm, case.slice_axis).axis
        greys = [np.nan if one is None else one for channel in case.contrasts for one in channel]
        return _Look(plane, case.missing, case.spacing_mm, tuple(greys))

    def order(self) -> tuple[object, ...]:
        """What it is sorted by."""
        return self.plane, self.missing, self.spacing_mm, tuple(np.nan_to_num(self.contrasts))

    def is_like(self, other: _Look) -> bool:
        if (self.plane, self.missing) != (other.plane, other.missing):
            return False
        if max(max(a / b, b / a) for a, b in zip(self.spacing_mm, other.spacing_mm, strict=True)) > SAME_SPACING:
            return False
        if not self.contrasts or not other.contrasts:
            return True
        apart = np.abs(np.subtract(self.contrasts, other.contrasts))
        known = apart[np.isfinite(apart)]
        return not len(known) or float(known.mean()) <= SAME_CONTRAST
