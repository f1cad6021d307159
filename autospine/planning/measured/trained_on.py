"""What a model learns from, drawn from the fingerprint of its data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from autospine.data.geometry import Triple, triple
from autospine.data.slices import PLANES, slice_axis
from autospine.planning.document.trained_on import LONGEST_DESCRIPTION, MOST_DESCRIPTIONS, TrainedOn
from autospine.planning.measured.fingerprint import Fingerprint


def trained_on(fingerprint: Fingerprint, descriptions: Iterable[str] = ()) -> TrainedOn:
    """That of the cases of a `fingerprint`, whose DICOM series have these `descriptions`, each once for a person."""
    cases = fingerprint.cases
    planes = Counter(slice_axis(case.shape, case.spacing_mm, case.slice_axis).axis for case in cases)
    return TrainedOn(
        len(cases),
        _range([case.spacing_mm for case in cases]),
        _range([case.shape for case in cases]),
        PLANES[planes.most_common(1)[0][0]],
        shared_descriptions(descriptions),
    )


def shared_descriptions(descriptions: Iterable[str]) -> tuple[str, ...]:
    """What the series of several people are called, the most frequent first.

    A technologist may type a name there: what those of a single person are called says nothing of others, and stays.
    """
    plain = (" ".join(one.split()) for one in descriptions)
    counts = Counter(one for one in plain if one.isprintable() and 0 < len(one) <= LONGEST_DESCRIPTION)
    several = sorted((-count, one) for one, count in counts.items() if count > 1)
    return tuple(one for _, one in several[:MOST_DESCRIPTIONS])


def _range(values: Sequence[Sequence[float]]) -> tuple[Triple, Triple, Triple]:
    """Smallest, median and largest along each axis."""
    stacked = np.asarray(values, np.float64)
    return triple(triple(map(float, row)) for row in np.quantile(stacked, (0.0, 0.5, 1.0), axis=0))
