"""A promise learnt from cases whose networks had not seen them: evidence and Dice in, `Promise` out.

    evidence, Dice of a, b | c, d | e, f       the folds that they were validated in, or groups of subjects
    part 0 learns of          c, d   e, f      and is tried on a, b: how far off it is, and how odd they are to it
    part 1 learns of  a, b           e, f      ...

**Dice.** A ridge regression of Dice (as a logit) on the evidence of a structure, with one level a structure and slopes
that all share and that may not be below 0: more certainty never speaks for less Dice. What the parts were off by on the
cases that they did not learn of makes the bound (`planning.document.promised`): CV+ of Barber et al. 2021.

**Flags.** Centres, scales and covariances (Ledoit-Wolf 2004) of each kind of quantity; how odd each case is to the
parts that did not learn of it; and the threshold that holds flags to a few usual cases: the conformal quantile of
oddness.

No distribution is assumed for either, but that a new case is like these: drawn as they were, and segmented by a network
that has not seen it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

import autospine
from autospine.planning.document.evidence import Evidence
from autospine.planning.document.gauging import distance, gains, oddness
from autospine.planning.document.promise import FEATURES, KINDS, MOST_GAUGED, Bound, Gauge, Kind, Promise
from autospine.planning.document.promised import features, foretell
from autospine.planning.document.quantities import Quantities, Quantity, on_scale, quantities

CONFIDENCE = 0.9
"""Share of the cases in which a promise is to be kept."""
ALARMS = 0.03
"""Share of usual cases that may be flagged, in the mean over what might have been learnt from: of one promise it is
seldom more than 0.05 then."""
FEWEST = 9
"""Subjects: of fewer, the lowest tenth is none of them."""
_TOGETHER: tuple[Kind, ...] = ("intensity", "layout", "orientation")
"""Kinds whose quantities go with each other, and say more together."""
_GROUPS = 5
"""Of subjects, where there are fewer than three folds to leave out (ours)."""
_FEWEST_FOLDS = 3
_RIDGE = 5.0
"""Added to the sum of squares of each feature, which is scaled to one a case: slopes take more than that (ours)."""
_LEAST_SCALES = (0.1, 0.05, 0.1, 0.02, 0.3, 0.1)
"""Of `FEATURES`: smaller differences are no evidence (ours)."""
_FEWEST_OF_STRUCTURE = 3
"""Cases of a structure in a part; with fewer, its level is that of all structures (ours)."""
_ORIENTED = 0.95
"""Share of the cases that would be farther from the others flipped, along an axis that has an orientation (ours)."""
_LEAST_SPREAD, _LEAST_GAIN = 0.5, 0.02
"""Of distances, and of what flipping gains: where all cases are alike, a little more is not odd yet (ours)."""
_MOST_DIRECTIONS, _MOST_ALONG = 24, 15_000
"""Along which quantities are known to vary together: a few more than there are in most data sets (ours). Of very many
quantities, as ten channels have, fewer: as many numbers as a file has room for."""
_FAR = 0.9
"""Share of the cases that are nearer than the far ones, by whom distances of different kinds are made alike (ours)."""
_TIES = 0.01
"""By which a threshold lies above the case that it is made of: equal cases differ in their last digits."""
_MOST_CASES, _MOST_REMEMBERED = 5000, 30_000
"""That a promise remembers of a structure and of all together, evenly taken: of more its file would be larger than what
is read of a model (ours)."""
_DIGITS = 7
Group = str
Levels = tuple[Mapping[str, float], Mapping[str, float], npt.NDArray[np.float64]]
"""Of a part: intercept by structure, logarithm of the usual volume by structure, slopes."""


@dataclass(frozen=True)
class Known:
    """A case that no network which spoke of it had seen, with what is true of it."""

    case: str
    subject: str
    """Who was imaged; cases of one subject are left out together."""
    fold: str
    """In which it was validated."""
    evidence: Evidence
    dice: Mapping[str, float]
    """Of each structure that prediction or reference show."""

    def has(self, structure: str) -> bool:
        """Whether the Dice of a structure is foretold here: it was found, and is known."""
        own = self.evidence.structures.get(structure)
        return own is not None and own.found and structure in self.dice


def learn_promise(cases: Sequence[Known]) -> Promise:
    """What `cases` teach; of fewer than `FEWEST` subjects, nothing but how many there were.

    Raises:
        ValueError: no cases, or some of which evidence was gathered in another way (another temperature).
    """
    temperatures = {known.evidence.temperature for known in cases}
    if len(temperatures) != 1:
        raise ValueError(f"evidence at {len(temperatures)} temperatures")
    cases = sorted(cases, key=lambda known: known.case)
    subjects = {known.subject for known in cases}
    folds = tuple(sorted({known.fold for known in cases}))
    version, temperature = autospine.__version__, temperatures.pop()
    nothing = Promise(version, CONFIDENCE, temperature, folds, len(cases), len(subjects), FEATURES, ())
    if len(subjects) < FEWEST:
        return nothing
    groups = _groups(cases)
    named = sorted(set(groups.values()))
    parts = [[known for known in cases if groups[known.case] != left_out] for left_out in named]
    places = {known.case: named.index(groups[known.case]) for known in cases}
    levels = [_levels(part) for part in parts]
    slopes = tuple(tuple(_rounded(one[2])) for one in levels)
    learnt = replace(nothing, slopes=slopes, bounds=tuple(_bounds(cases, levels, places)))
    return _with_gauges(learnt, cases, parts, places)


def _groups(cases: Sequence[Known]) -> dict[str, Group]:
    """Case -> the group that is left out together: its fold, or where there are too few of these, some subjects.

    Subjects that are in several folds, as edited ones may have it, count to the first of these.
    """
    first: dict[str, str] = {}
    for known in cases:
        first.setdefault(known.subject, known.fold)
    if len(set(first.values())) >= _FEWEST_FOLDS:
        return {known.case: first[known.subject] for known in cases}
    subjects = sorted(first)
    place = {subject: str(index % _GROUPS) for index, subject in enumerate(subjects)}
    return {known.case: place[known.subject] for known in cases}


def _structures(cases: Sequence[Known]) -> list[str]:
    """All that is segmented, in the order of the model."""
    return list(dict.fromkeys(name for known in cases for name in known.evidence.structures))


def _levels(cases: Sequence[Known]) -> Levels:
    """The regression that `cases` teach."""
    from sklearn.linear_model import Ridge

    volumes, rows, targets = dict[str, float](), list[npt.NDArray[np.float64]](), list[float]()
    of = list[str]()
    for name in _structures(cases):
        having = [known for known in cases if known.has(name)]
        sizes = [math.log(max(known.evidence.structures[name].volume_mm3, 1e-9)) for known in having]
        volumes[name] = float(np.median(sizes)) if sizes else 0.0
        rows += [features(known.evidence, name, volumes[name]) for known in having]
        targets += [on_scale(known.dice[name]) for known in having]
        of += [name] * len(having)
    if not rows:
        return dict.fromkeys(volumes, 0.0), volumes, np.zeros(len(FEATURES))
    x, y, counts = np.array(rows), np.array(targets), Counter(of)
    centres = {name: _centre(x, y, of, name if counts[name] >= _FEWEST_OF_STRUCTURE else None) for name in volumes}
    inside = x - np.array([centres[name][0] for name in of])
    scales = np.maximum(inside.std(axis=0), _LEAST_SCALES)
    above = y - np.array([centres[name][1] for name in of])
    found = Ridge(alpha=_RIDGE, fit_intercept=False, positive=True).fit(inside / scales, above).coef_ / scales
    intercepts = {name: centre[1] - float(centre[0] @ found) for name, centre in centres.items()}
    return intercepts, volumes, found


def _centre(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], of: Sequence[str], name: str | None
) -> tuple[npt.NDArray[np.float64], float]:
    """Mean features and Dice of the rows of a structure; None: of all."""
    rows = np.array([name in (None, one) for one in of])
    return x[rows].mean(axis=0), float(y[rows].mean())


def _bounds(cases: Sequence[Known], levels: Sequence[Levels], places: Mapping[str, int]) -> list[Bound]:
    """Those of the structures that were found in enough subjects."""
    bounds, names = [], _structures(cases)
    most = min(_MOST_CASES, _MOST_REMEMBERED // max(1, len(names)))
    for name in names:
        having = [known for known in cases if known.has(name)]
        having = having[:: max(1, math.ceil(len(having) / most))]
        counts = Counter(known.subject for known in having)
        if len(counts) < FEWEST:
            continue
        residuals = []
        for known in having:
            intercepts, volumes, slopes = levels[places[known.case]]
            said = intercepts[name] + float(slopes @ features(known.evidence, name, volumes[name]))
            residuals.append(on_scale(known.dice[name]) - said)
        bounds.append(
            Bound(
                name,
                len(counts),
                max(known.dice[name] for known in having),
                tuple(_rounded([one[0][name] for one in levels])),
                tuple(_rounded([one[1][name] for one in levels])),
                tuple(places[known.case] for known in having),
                tuple(_rounded(residuals)),
                tuple(_rounded([1 / counts[known.subject] for known in having])),
            )
        )
    return bounds


def _with_gauges(
    learnt: Promise, cases: Sequence[Known], parts: Sequence[Sequence[Known]], places: Mapping[str, int]
) -> Promise:
    """The promise with its gauges, and the threshold that they are held to."""
    # of each case what the part says that had not learnt of it; of a new one, the middle of all parts
    found = {
        known.case: quantities(
            known.evidence,
            {
                bound.structure: float(foretell(bound, learnt.slopes, known.evidence)[places[known.case]])
                for bound in learnt.bounds
                if known.evidence.structures[bound.structure].found
            },
        )
        for known in cases
    }
    gauges = []
    for kind in KINDS:
        trial = [_gauge(kind, [found[known.case] for known in part]) for part in parts]
        whole = _gauge(kind, list(found.values()))
        if whole is None or any(one is None for one in trial):
            continue
        if kind == "orientation":
            axes = _oriented([(_there(trial[places[known.case]]), found[known.case][kind]) for known in cases])
            whole, trial = replace(whole, axes=axes), [replace(_there(one), axes=axes) for one in trial]
        away = {known.case: distance(_there(trial[places[known.case]]), found[known.case][kind]) for known in cases}
        tried = []
        for place, one in enumerate(trial):  # nor do the cases that were left out say what is usual
            others = [value for case, value in away.items() if places[case] != place]
            tried.append(_usual(_there(one), others))
        gauges.append((_usual(whole, list(away.values())), tried))
    odd = [
        oddness([tried[places[known.case]] for _, tried in gauges], found[known.case]) if gauges else 0.0
        for known in cases
    ]
    threshold, alarms = _threshold(odd, [known.subject for known in cases])
    return replace(
        learnt, gauges=tuple(whole for whole, _ in gauges), threshold=_rounded([threshold])[0], alarms=alarms
    )


def _oriented(cases: Sequence[tuple[Gauge, Mapping[str, Quantity]]]) -> tuple[int, ...]:
    """The canonical axes along which nearly no case would be nearer to the others were it flipped, each by its gauge.

    Along the others images are as good as symmetric, as a spine is from right to left.
    """
    gained = np.array([gains(gauge, found) for gauge, found in cases])
    return tuple(int(axis) for axis in np.flatnonzero((gained < 0).mean(axis=0) >= _ORIENTED))


def _there(gauge: Gauge | None) -> Gauge:
    assert gauge is not None
    return gauge


def _gauge(kind: Kind, found: Sequence[Quantities]) -> Gauge | None:
    """Centres, scales and covariance of one kind in cases; None where none is known of several, or too many are."""
    names, columns, shown = list[str](), list[npt.NDArray[np.float64]](), list[npt.NDArray[np.float64]]()
    floors = list[float]()
    for name in dict.fromkeys(name for one in found for name in one[kind]):
        held = [one[kind][name] for one in found if name in one[kind]]
        known = [one for one in held if not math.isnan(one.value)]
        if 2 * len(known) < len(found):
            continue  # of few cases: what is usual is not known
        names.append(name)
        floors.append(known[0].floor)
        columns.append(np.array([_value(one[kind].get(name)) for one in found]))
        shown.append(np.array([one.shown for one in known]))
    if not 0 < len(names) <= MOST_GAUGED:
        return None
    values = np.array(columns).T
    together = kind in _TOGETHER
    centres = np.nanmean(values, axis=0) if together else np.nanmedian(values, axis=0)
    scales = np.maximum(np.nanstd(values, axis=0), floors)
    low, high = [float(one.min()) for one in shown], [float(one.max()) for one in shown]
    measured = _together((values - centres) / scales) if together else {}
    return Gauge(
        kind,
        tuple(names),
        tuple(_rounded(centres)),
        tuple(_rounded(scales)),
        tuple(_rounded(low)),
        tuple(_rounded(high)),
        0.0,
        1.0,
        **measured,
    )


def _value(quantity: Quantity | None) -> float:
    return math.nan if quantity is None else quantity.value


def _together(scaled: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Directions of a gauge, and what lies along and across them, of scaled quantities (cases, n).

    The covariance is that of Ledoit and Wolf, in which no quantity has less than its scale for deviation. Of its
    directions the first are kept; all others get their mean variance (as in probabilistic PCA, Tipping 1999).
    """
    from sklearn.covariance import LedoitWolf

    covariance = LedoitWolf(assume_centered=True).fit(np.nan_to_num(scaled)).covariance_
    covariance += np.diag(np.maximum(0, 1 - np.diag(covariance)))
    variances, vectors = np.linalg.eigh(covariance)  # the largest last
    kept = min(_MOST_DIRECTIONS, max(1, _MOST_ALONG // len(variances)), len(variances))
    rest = variances[: len(variances) - kept]
    return {
        "directions": tuple(tuple(_rounded(vector)) for vector in vectors.T[::-1][:kept]),
        "along": tuple(_rounded(1 / variances[::-1][:kept])),
        "across": _rounded([1 / rest.mean()])[0] if len(rest) else 0.0,
    }


def _usual(gauge: Gauge, away: Sequence[float]) -> Gauge:
    """The gauge with the usual distance, of cases that were this far from the others, and its spread."""
    usual = float(np.median(away))
    least = _LEAST_GAIN if gauge.kind == "orientation" else _LEAST_SPREAD
    spread = max(least, float(np.quantile(away, _FAR)) - usual)
    return replace(gauge, usual=_rounded([usual])[0], spread=_rounded([spread])[0])


def _threshold(odd: Sequence[float], subjects: Sequence[str]) -> tuple[float, float]:
    """The oddness that at most `ALARMS` of usual cases exceed, and the share of them that do at most.

    Of n subjects the k-th smallest, k being (1 - ALARMS) (n + 1) rounded up; of fewer than 33 the largest, which more
    exceed. Of a subject with several cases the oddest counts.
    """
    worst: dict[str, float] = {}
    for subject, value in zip(subjects, odd, strict=True):
        worst[subject] = max(value, worst.get(subject, -math.inf))
    values = sorted(worst.values())
    rank = min(len(values), math.ceil((1 - ALARMS) * (len(values) + 1) - 1e-9))
    return max(0.0, values[rank - 1] + _TIES), 1 - rank / (len(values) + 1)


def _rounded(values: Sequence[float] | npt.NDArray[np.float64]) -> list[float]:
    """To `_DIGITS` digits: what a file holds is what was tried."""
    return [float(f"{float(value):.{_DIGITS}g}") for value in values]
