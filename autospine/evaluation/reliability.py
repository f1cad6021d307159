"""How sure a model says it is, and how often it is right: measured at a few temperatures at once, case by case.

Logits that are divided by a temperature T above 1 are less sure; the class that wins stays what it is (Guo 2017,
arXiv:1706.04599). The temperature is the one with the least negative log-likelihood of the true class, and

    ECE     sum over bins of confidence of  (share of voxels in the bin) * |mean confidence - share that is right|

says how far off confidence is. Both are of voxels in the box around predicted and true structures: elsewhere
everything is background and everybody sure of it. Of a case a sample is looked at, so that a case is small numbers
whatever its size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from autospine.evaluation.choice import FEWEST_SUBJECTS, by_subject, moved_by
from autospine.evaluation.paired import Interval, interval
from autospine.preprocessing.chances import as_logits

TEMPERATURES = tuple(round(float(value), 4) for value in np.geomspace(0.5, 4.0, 37))
"""Tried: each is 6 % above the one before, and 1 is one of them. Networks that are trained by Dice and cross-entropy
lie between 1 and 2.5; what lies beyond 4 is no matter of confidence (ours)."""
_ONE = TEMPERATURES.index(1.0)
BINS = 15
"""Of confidence, as wide as each other (Guo 2017)."""
SAMPLED = 100_000
"""Voxels that are looked at of a case: the error of a rate is a tenth of a percent then (ours)."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """One case at each of the `TEMPERATURES`."""

    nll: Floats
    """(temperatures,): mean negative log-likelihood of what is true, in nats; of regions the mean over them."""
    bins: Floats
    """(temperatures, bins, 3): voxels, and the sums of their confidence and of how many are right."""

    @staticmethod
    def of(chances: npt.NDArray[Any], truth: npt.NDArray[Any], *, regions: bool) -> Reliability:
        """Of the probabilities (K, n) of sampled voxels.

        Args:
            chances: of each class at a temperature of 1, background first; of `regions` that of each being there.
            truth: (n,) class indices; of regions (K, n), whether each is there.
            regions: whether each of the K is yes or no by itself.
        """
        measured = (_binary if regions else _classes)(chances.astype(np.float32), truth)
        # rounded here and not where it is written: what is read again is the same
        bins: Floats = np.stack([bins for _, bins in measured]).round(3)
        return Reliability(np.array([nll for nll, _ in measured]), bins)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `json.dumps`."""
        return {"nll": self.nll.tolist(), "bins": self.bins.tolist()}

    @staticmethod
    def from_json(content: dict[str, Any]) -> Reliability:
        """From what `to_json` gave; `KeyError` or `ValueError` for anything else."""
        nll, bins = np.array(content["nll"], np.float64), np.array(content["bins"], np.float64)
        if nll.shape != (len(TEMPERATURES),) or bins.shape != (len(TEMPERATURES), BINS, 3):
            raise ValueError("figures of other temperatures or bins")
        return Reliability(nll, bins)


def _classes(chances: npt.NDArray[np.float32], truth: npt.NDArray[Any]) -> list[tuple[float, Floats]]:
    """(NLL, bins) at each temperature, where one class holds in a voxel."""
    logs = as_logits(chances, regions=False)
    right = logs.argmax(axis=0) == truth
    largest, true = logs.max(axis=0), np.take_along_axis(logs, truth[None].astype(np.intp), 0)[0]
    found = []
    for temperature in TEMPERATURES:
        total = special.logsumexp(logs / np.float32(temperature), axis=0)
        nll = float((total - true / temperature).mean()) if len(truth) else 0.0
        found.append((nll, _binned(np.exp(largest / temperature - total), right)))
    return found


def _binary(chances: npt.NDArray[np.float32], truth: npt.NDArray[Any]) -> list[tuple[float, Floats]]:
    """(NLL, bins) at each temperature, where each is yes or no by itself."""
    logits = as_logits(chances, regions=True).ravel()
    true = np.asarray(truth, bool).ravel()
    right = (logits > 0) == true
    found = []
    for temperature in TEMPERATURES:
        towards = np.where(true, logits, -logits) / temperature
        nll = float(np.logaddexp(0, -towards).mean()) if len(true) else 0.0
        found.append((nll, _binned(special.expit(np.abs(logits) / temperature), right)))
    return found


def _binned(confidence: npt.NDArray[Any], right: npt.NDArray[np.bool_]) -> Floats:
    """(bins, 3): voxels, sum of confidence, and how many are right."""
    place = np.minimum((confidence * BINS).astype(np.intp), BINS - 1)
    columns = [np.bincount(place, weights, BINS) for weights in (None, confidence, right)]
    return np.stack([np.asarray(column, np.float64) for column in columns], axis=1)


def ece(bins: Floats) -> float:
    """Expected calibration error of `bins` (bins, 3), 0 to 1; NaN where no voxel is in any."""
    voxels = bins[:, 0].sum()
    return float(np.abs(bins[:, 1] - bins[:, 2]).sum() / voxels) if voxels else math.nan


@dataclass(frozen=True)
class Calibrated:
    """A temperature, and what it does to cases that did not choose it."""

    temperature: float
    """That of all cases together."""
    of_part: dict[int, float]
    """Part -> the temperature that the cases of all others choose."""
    nll_before: float
    nll_after: float
    ece_before: float
    ece_after: float
    gain: Interval
    """By how much the NLL of a subject is less."""
    moved: int
    """Subjects whose NLL it changes."""

    @property
    def helps(self) -> bool:
        """Whether that is beyond noise."""
        return self.moved >= FEWEST_SUBJECTS and self.gain.low > 0


def calibrate(cases: Sequence[Reliability], subjects: Sequence[str], parts: Sequence[int]) -> Calibrated:
    """The temperature of a model by its cases, each of a subject and a part; cases of a part are judged by the others.

    Where there is but one part nothing is chosen without its own cases: the temperature is judged to be 1.
    """
    nll, part_of = np.stack([one.nll for one in cases]), np.asarray(parts)
    of_part, chosen = dict[int, float](), np.full(len(cases), _ONE)
    for part in sorted(set(parts)):
        others = part_of != part
        index = _best(nll[others]) if others.any() else _ONE
        of_part[part], chosen[~others] = TEMPERATURES[index], index
    rows = np.arange(len(cases))
    after = nll[rows, chosen]
    bins = np.stack([one.bins for one in cases])
    gained = by_subject(nll[:, _ONE] - after, subjects)
    return Calibrated(
        TEMPERATURES[_best(nll)],
        of_part,
        float(nll[:, _ONE].mean()),
        float(after.mean()),
        ece(bins[:, _ONE].sum(axis=0)),
        ece(bins[rows, chosen].sum(axis=0)),
        interval(gained),
        moved_by(gained),
    )


def _best(nll: Floats) -> int:
    """Which of the temperatures has the least mean NLL (cases, temperatures)."""
    return int(nll.mean(axis=0).argmin())
