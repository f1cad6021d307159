"""What is odd about a case beside all the others: copies, other scales, missing labels, axes the wrong way round.

Of each case a few numbers and a thumbnail are kept while it is in memory; the comparisons are made on those when all
have been seen. Everything here is a doubt, not a fault: the case may be what it is. Thresholds were set on real MR
(docs/data.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

import numpy as np
import numpy.typing as npt

from autospine.data.findings import Finding
from autospine.data.measures import ClassMeasures, measure_classes, pair_distances, places_along
from autospine.data.slices import slices_of
from autospine.data.structure import Dataset, LoadedCase, in_a_class

THUMBNAIL = 16
"""Edge of a thumbnail, voxels."""
COPY = 0.97
"""Correlation of two thumbnails from which one image is a copy of the other: of different people it is at most 0.94, of
an image and itself with noise, another grey scale or shifted by a voxel at least 0.996."""
FEWEST = 5
"""Cases that a comparison with the rest needs."""
SCALE = 2.0
"""Factor on spacing or field of view that is far from the rest."""
FAR = 6.0
"""Median absolute deviations of the logarithm of an intensity that are far from the rest."""
GREY = 4.0
"""Factor on an intensity that is far from the rest, where the rest agree to less."""
RARE = 0.1
"""Share of the cases up to which something is odd."""
TELLING = 0.2
"""How much better the thumbnails fit the others' as they are than mirrored, for an axis to be told by them."""
APART = 0.25
"""Distance of two classes over their mean extent from which their order can be told."""
AGREED = 0.9
"""Share of the cases that agree on an order."""
MASKED = 0.9
"""Share of the slices with a mask from which the rest are anatomy's end and not unannotated."""
AXES = (("superior", "inferior"), ("posterior", "anterior"), ("left", "right"))
"""Where canonical axes lead to and come from."""


@dataclass(frozen=True)
class Note:
    """What is kept of a case."""

    case: str
    subject: str
    files: str
    spacing_mm: tuple[float, ...]
    extent_mm: tuple[float, ...]
    """Field of view along the canonical axes."""
    medians: tuple[float | None, ...]
    """Median of each channel's voxels that are not at its minimum; None where the case lacks it."""
    shown: int
    """The first channel that the case has."""
    thumbnail: npt.NDArray[np.float32]
    """Of that channel, mean 0 and norm 1, (16, 16, 16)."""
    classes: ClassMeasures | None
    """None without a mask."""
    labelled_slices: tuple[int, int] | None
    """Slices with a label, and all; None without a mask."""

    @property
    def held(self) -> tuple[int, ...]:
        """Classes that its mask holds, the first of the dataset being 0."""
        return () if self.classes is None else tuple(np.flatnonzero(self.classes.voxels).tolist())


def note_case(loaded: LoadedCase, classes: int) -> Note:
    """What to keep of a case of a dataset with so many classes."""
    image, label, spacing = loaded.image.array, loaded.label, loaded.image.geometry.spacing_mm
    missing = loaded.case.missing
    shown = next(index for index in range(len(image)) if index not in missing)
    slices, measures = None, None
    if label is not None:
        measures = measure_classes(label, spacing, classes)
        across = slices_of(loaded.image.geometry)
        others = tuple(axis for axis in range(3) if axis != across)
        held = in_a_class(label).any(axis=others)
        slices = (int(held.sum()), label.shape[across])
    return Note(
        loaded.case.name,
        loaded.case.subject,
        loaded.case.shown,
        spacing,
        tuple(size * step for size, step in zip(image.shape[1:], spacing, strict=True)),
        tuple(None if index in missing else _usual(channel) for index, channel in enumerate(image)),
        shown,
        _thumbnail(image[shown]),
        measures,
        slices,
    )


def compare_cases(dataset: Dataset, notes: Sequence[Note]) -> tuple[Finding, ...]:
    """Every case that is odd beside the rest, and images that are copies of each other's under other subjects."""
    findings = [*_copies(notes)]
    if len(notes) >= FEWEST:
        findings += [*_other_grids(notes), *_other_greys(dataset, notes), *_odd_labels(dataset, notes)]
        findings += [*_unlabelled_slices(notes), *_reversed(notes)]
    return tuple(findings)


def _doubt(note: Note, found: str, expected: str, remedy: str) -> Finding:
    return Finding("warning", note.case, note.files, found, expected, remedy)


def _copies(notes: Sequence[Note]) -> list[Finding]:
    """Images of two subjects that are one; those that are equal voxel by voxel are told elsewhere."""
    if len(notes) < 2:
        return []
    table = np.stack([note.thumbnail.ravel() for note in notes])
    findings = []
    for index, note in enumerate(notes):
        alike = table[:index] @ table[index]
        for other in np.flatnonzero(alike >= COPY).tolist():
            twin = notes[other]
            if twin.subject != note.subject:
                found = f"nearly the same image as {twin.case} of another subject (correlation {alike[other]:.3f})"
                remedy = "if both are of one person, say so with --subjects: else training and validation share them"
                findings.append(_doubt(note, found, "images of different people", remedy))
    return findings


def _other_grids(notes: Sequence[Note]) -> list[Finding]:
    """Spacing, field of view or slice direction unlike the rest."""
    findings = []
    for name, values in (
        ("spacing", [note.spacing_mm for note in notes]),
        ("field of view", [note.extent_mm for note in notes]),
    ):
        usual = tuple(median(column) for column in zip(*values, strict=True))
        odd = [
            (note, own)
            for note, own in zip(notes, values, strict=True)
            if any(not 1 / SCALE <= mine / all_of <= SCALE for mine, all_of in zip(own, usual, strict=True))
        ]
        expected, remedy = f"about {_millimetres(usual)}, as the rest", "look whether it belongs to this dataset"
        for note, own in odd if len(odd) <= RARE * len(notes) else ():
            findings.append(_doubt(note, f"a {name} of {_millimetres(own)}", expected, remedy))
    return findings


def _other_greys(dataset: Dataset, notes: Sequence[Note]) -> list[Finding]:
    """Intensities far from the rest; where these lie apart by themselves, as MR often does, nothing is."""
    findings = []
    for channel, name in enumerate(dataset.channels):
        known = [(note, value) for note in notes if (value := note.medians[channel]) is not None]
        values = np.array([value for _, value in known])
        if len(known) < FEWEST or (values <= 0).any():
            continue  # no scale to compare
        logs = np.log(values)
        usual = float(np.median(logs))
        spread = float(np.median(np.abs(logs - usual)))
        odd = np.flatnonzero(np.abs(logs - usual) > max(FAR * spread, np.log(GREY))).tolist()
        remedy = "look whether it is the same sequence on the same scale"
        for note, value in [known[index] for index in odd] if len(odd) <= RARE * len(known) else ():
            found = f"channel {name!r} has a median intensity of {value:.4g}"
            findings.append(_doubt(note, found, f"about {np.exp(usual):.4g}, as the rest", remedy))
    return findings


def _odd_labels(dataset: Dataset, notes: Sequence[Note]) -> list[Finding]:
    """Masks that lack a class which nearly all have, or hold one that nearly none has."""
    masks = [note for note in notes if note.held]
    held = Counter(index for note in masks for index in note.held)
    findings = []
    for note in masks if len(masks) >= FEWEST else ():
        names = [(label.name, held[index], index in note.held) for index, label in enumerate(dataset.labels)]
        lacks = [name for name, count, here in names if not here and count >= (1 - RARE) * len(masks)]
        more = [name for name, count, here in names if here and count <= RARE * len(masks) and count < FEWEST]
        said = [f"the mask lacks {', '.join(lacks)}"] * bool(lacks)
        said += [f"the mask holds {', '.join(more)}, as hardly any other"] * bool(more)
        if said:
            findings.append(_doubt(note, " and ".join(said), "the classes of the rest", "look whether it is whole"))
    return findings


def _unlabelled_slices(notes: Sequence[Note]) -> list[Finding]:
    """Masks on a part of the slices, where the rest have them on all."""
    shares = [(note, *note.labelled_slices) for note in notes if note.labelled_slices and note.labelled_slices[0]]
    whole = [note for note, labelled, total in shares if labelled == total]
    if len(shares) < FEWEST or len(whole) < (1 - 2 * RARE) * len(shares):
        return []
    expected = "masks on every slice, as the rest"
    remedy = "if the others were not annotated, plan with a recipe that has `ignore_unlabelled_slices = true`"
    odd = [share for share in shares if share[1] < MASKED * share[2]]
    return [_doubt(note, f"masks on {some} of {total} slices", expected, remedy) for note, some, total in odd]


def _reversed(notes: Sequence[Note]) -> list[Finding]:
    """Axes that run the other way than in the rest: by the order of the labels, or by the image itself."""
    by_labels, by_image = _orders(notes), _mirrored(notes)
    findings = []
    for note in notes:
        for axis, (end, start) in enumerate(AXES):
            said = ["its labels"] * ((note.case, axis) in by_labels) + ["its image"] * ((note.case, axis) in by_image)
            if said:
                found = f"{' and '.join(said)} run the other way between {start} and {end} than in the rest"
                remedy = "correct the orientation in its header, or the names of its labels"
                findings.append(_doubt(note, found, "the same orientation", remedy))
    return findings


def _orders(notes: Sequence[Note]) -> set[tuple[str, int]]:
    """(case, axis) where most pairs of classes lie in another order than in the rest."""
    against: Counter[tuple[str, int]] = Counter()
    pairs: Counter[tuple[str, int]] = Counter()
    measured = [note.classes for note in notes if note.classes is not None]
    centroids, extents = [one.centroids_mm for one in measured], [one.extents_mm for one in measured]
    for axis in range(3):
        places, sizes = places_along(centroids, extents, axis)
        for first, second in combinations(sorted({index for note in notes for index in note.held}), 2):
            having = [note for note in notes if {first, second} <= set(note.held)]
            distances, apart = pair_distances(places, sizes, first, second)
            if len(having) < FEWEST or np.median(np.abs(distances) / np.maximum(apart, 1e-6)) < APART:
                continue
            signs = np.sign(distances)
            for note, sign in zip(having, signs, strict=True):
                rest = (signs.sum() - sign) / (len(having) - 1)
                if abs(rest) >= 2 * AGREED - 1:
                    pairs[note.case, axis] += 1
                    against[note.case, axis] += bool(sign * rest < 0)
    return {key for key, count in pairs.items() if against[key] > count / 2}


def _mirrored(notes: Sequence[Note]) -> set[tuple[str, int]]:
    """(case, axis) where the image fits the others better mirrored, by half of what they fit each other as they are.

    Only images of one channel can be compared: the one that most cases show first.
    """
    usual_channel = Counter(note.shown for note in notes).most_common(1)[0][0]
    notes = [note for note in notes if note.shown == usual_channel]
    if len(notes) < FEWEST:
        return set()
    table = np.stack([note.thumbnail for note in notes]).astype(np.float64)
    total = table.sum(axis=0)
    better = np.zeros((len(notes), 3))
    for index, own in enumerate(table):
        rest = total - own
        rest = rest / max(float(np.linalg.norm(rest)), 1e-12)
        better[index] = [float((own * rest).sum() - (np.flip(own, axis) * rest).sum()) for axis in range(3)]
    usual = np.median(better, axis=0)
    return {
        (note.case, axis)
        for axis in range(3)
        if usual[axis] >= TELLING
        for note, mine in zip(notes, better[:, axis], strict=True)
        if mine < -usual[axis] / 2
    }


def _usual(channel: npt.NDArray[np.float32]) -> float:
    """The median of what is above the minimum: air does not count."""
    inside = channel[channel > channel.min()]
    return float(np.median(inside)) if inside.size else 0.0


def _thumbnail(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Means of 16 x 16 x 16 blocks (nearest voxels along shorter axes), mean 0 and norm 1."""
    small: npt.NDArray[np.float64] = image.astype(np.float64)
    for axis in range(3):
        edges = np.linspace(0, small.shape[axis], THUMBNAIL + 1).astype(int)
        starts = np.minimum(edges[:-1], small.shape[axis] - 1)
        counts = np.maximum(np.diff(edges), 1).reshape([-1 if other == axis else 1 for other in range(3)])
        small = np.add.reduceat(small, starts, axis=axis) / counts
    small -= small.mean()
    return (small / max(float(np.linalg.norm(small)), 1e-12)).astype(np.float32)


def _millimetres(values: Sequence[float]) -> str:
    return " x ".join(f"{value:.3g}" for value in values) + " mm"
