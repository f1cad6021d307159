"""How intensities become what the network sees: scaled, inside a mask or not, and resampled."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from autospine.planning.decide.decided import RULE, Decided
from autospine.planning.decide.grid import ANISOTROPY
from autospine.planning.document.parts import Normalisation, ResamplingPlan
from autospine.planning.measured.fingerprint import CaseFingerprint

MASK_FRACTION = 0.75
"""Median share of a case left by the nonzero crop under which intensities are normalised inside the mask."""


def normalisation_of(channel: str) -> Normalisation:
    """`ct` for a channel called so, else `zscore`: MR intensities have no unit, so each case is its own scale."""
    return "ct" if channel.casefold() == "ct" else "zscore"


def planned_normalisation(channels: Sequence[str]) -> Decided[tuple[Normalisation, ...]]:
    """How each channel is scaled."""
    scales = tuple(map(normalisation_of, channels))
    if "ct" in scales:
        why = "a channel called CT is clipped and scaled by the data set's intensities, others by each case's own"
    else:
        why = "no channel is called CT: MR intensities have no unit, so each case is scaled by its own mean and spread"
    return Decided(scales, f"{why} ({RULE})")


def planned_mask(cases: Sequence[CaseFingerprint], scales: Sequence[Normalisation]) -> Decided[bool]:
    """Whether intensities are normalised inside the box that is not black alone."""
    kept = float(np.median([prod(case.cropped_shape) / prod(case.shape) for case in cases]))
    why = f"the box that is not black holds {kept:.0%} of the median case"
    if kept >= MASK_FRACTION:
        return Decided(False, f"{why}; masked under {MASK_FRACTION:.0%} ({RULE})")
    if "zscore" not in scales:
        return Decided(False, f"{why}, under {MASK_FRACTION:.0%}, but CT is scaled by the data set's own ({RULE})")
    return Decided(True, f"{why}, under {MASK_FRACTION:.0%}: mask used ({RULE})")


def planned_resampling() -> Decided[ResamplingPlan]:
    """How images, labels and probabilities are brought from one grid to another."""
    why = {
        "order_image": "cubic splines keep edges sharp in images",
        "order_label": "linear per label, cut at one half: no ringing and no labels in between",
        "order_probability": "linear: probabilities stay between those of their neighbours",
        "order_through_plane": "nearest along a coarse axis: between thick slices there is nothing to interpolate",
        "anisotropy_threshold": f"an axis over {ANISOTROPY:g} times coarser than the finest stands apart",
    }
    plan = ResamplingPlan(anisotropy_threshold=ANISOTROPY)
    return Decided(plan, {key: f"{text} ({RULE})" for key, text in why.items()})
