"""The fingerprint: what a data set looks like, measured in one pass that reads every file once.

Shapes, spacings, intensities under the labels, and of each class its size, place and extent: all that planning needs,
small enough to be kept as JSON. Axes are canonical: Z, Y, X increase towards superior, posterior, left.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.box import nonzero_box
from autospine.data.check import absent_channels, image_digest, inspect_case
from autospine.data.findings import Finding
from autospine.data.geometry import Triple, triple
from autospine.data.measures import class_contrasts, measure_classes
from autospine.data.slices import slice_axis
from autospine.data.structure import Case, Dataset, LoadedCase, Region, in_a_class
from autospine.errors import DataError
from autospine.machine.jobs import Progress, share_out
from autospine.planning.document.convert import REPLAN, from_table, to_table

SAMPLES_PER_CASE = 10_000
"""Foreground voxels drawn per case and channel (nnU-Net v2.8); fewer make the 0.5 % percentiles noisy."""
SAMPLES_IN_ALL = 100_000_000
"""Cap over all cases (nnU-Net v2.8): 0.4 GB per channel."""


@dataclass(frozen=True)
class CaseFingerprint:
    """One labelled case; per-class tuples follow the order of the labels."""

    case: str
    """Case name."""
    subject: str
    """Subject the case belongs to."""
    shape: tuple[int, int, int]
    """Canonical image shape in voxels."""
    spacing_mm: Triple
    """Canonical voxel spacing."""
    cropped_shape: tuple[int, int, int]
    """Shape of the box around nonzero intensities."""
    class_voxels: tuple[int, ...]
    """Voxels of each class; this and the next three as `data.measures` has them."""
    class_slices: tuple[tuple[int, int, int], ...]
    """Slices that contain the class, counted along each axis."""
    class_centroids_mm: tuple[Triple | None, ...]
    """Mean index times spacing; None where the class is absent."""
    class_extents_mm: tuple[Triple, ...]
    """Edges of the box around the class; zeros where it is absent."""
    digest: str
    """Digest of the image's voxels."""
    missing: tuple[int, ...] = ()
    """Channels, from 0, that the case lacks."""
    slice_axis: int | None = None
    """Canonical axis along which the header says that slices were acquired; None where it does not, or where their
    spacing says it: then the case is the same whichever format it lies in."""
    contrasts: tuple[tuple[float | None, ...], ...] = ()
    """Of each channel, how each class stands out in it (`data.measures.class_contrasts`); empty where an earlier
    version has not measured it."""

    def is_of(self, image: npt.NDArray[Any], label: npt.NDArray[Any], missing: tuple[int, ...]) -> bool:
        """Whether it is of this image (C, Z, Y, X), its `missing` channels and, by voxels, this label (Z, Y, X)."""
        voxels = np.bincount(label.ravel(), minlength=1 + len(self.class_voxels))[1 : 1 + len(self.class_voxels)]
        same = missing == self.missing and tuple(voxels.tolist()) == self.class_voxels
        return same and image_digest(image) == self.digest


@dataclass(frozen=True)
class IntensityFingerprint:
    """Intensities of one channel under the labels, over all cases."""

    mean: float
    std: float
    median: float
    minimum: float
    maximum: float
    percentile_00_5: float
    percentile_99_5: float


@dataclass(frozen=True)
class Fingerprint:
    """A data set in numbers."""

    dataset: str
    """Name of the data set's folder."""
    channels: tuple[str, ...]
    """Channel names in order."""
    labels: tuple[tuple[str, int], ...]
    """(name, value on disk) of each class."""
    cases: tuple[CaseFingerprint, ...]
    """Labelled cases, sorted by name."""
    intensities: tuple[IntensityFingerprint, ...]
    """One per channel."""
    sides: tuple[tuple[str, str], ...] = ()
    """(left, right) names of labels that the data set pairs itself; empty: their names tell."""
    regions: tuple[Region, ...] = ()
    """Overlapping unions of labels that are segmented in their place."""

    def to_json(self) -> dict[str, Any]:
        """Plain dicts and lists."""
        table: dict[str, Any] = to_table(self)
        return table

    @classmethod
    def from_json(cls, table: object, where: str = "fingerprint.json") -> Fingerprint:
        """The fingerprint that `to_json` gave; PlanError naming `where` and the key otherwise."""
        return from_table(cls, table, where, REPLAN)

    def hash(self) -> str:
        """SHA-256 of the content: the same data give the same hash on every machine."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def subjects(self) -> dict[str, str]:
        """Case -> who was imaged."""
        return {case.case: case.subject for case in self.cases}

    @property
    def digests(self) -> dict[str, str]:
        """Case -> digest of its image."""
        return {case.case: case.digest for case in self.cases}


@dataclass(frozen=True)
class _Measured:
    """What a worker hands back for one case."""

    findings: tuple[Finding, ...]
    case: CaseFingerprint | None
    samples: npt.NDArray[np.float32] | None


def extract_fingerprint(dataset: Dataset, *, workers: int = 1, progress: Progress | None = None) -> Fingerprint:
    """The fingerprint of all labelled cases; unlabelled ones are no training cases and are left out.

    `progress` is called with (case, done, total) after each case. The result does not depend on `workers`.
    Raises DataError that lists every error finding of every case at once.
    """
    cases = [case for case in dataset.cases if case.label is not None]
    if not cases:
        remedy = "put a mask with the case's name beside each image"
        raise DataError(str(dataset.root), "no case has a mask", "labelled cases to plan from", remedy)
    measured = _measure_all(dataset, cases, workers, progress or (lambda case, done, total: None))
    findings = [finding for result in measured for finding in result.findings] + [*absent_channels(dataset)]
    errors = [str(finding) for finding in findings if finding.severity == "error"]
    if errors:
        found = f"{len(errors)} error(s) in the data:\n" + "\n".join(errors)
        raise DataError(str(dataset.root), found, "a data set without errors", "correct or remove these files")
    return Fingerprint(
        dataset=dataset.name,
        channels=dataset.channels,
        labels=tuple((label.name, label.value) for label in dataset.labels),
        cases=tuple(result.case for result in measured if result.case is not None),
        intensities=_intensities(measured, len(dataset.channels)),
        sides=dataset.sides,
        regions=dataset.regions,
    )


def _measure_all(dataset: Dataset, cases: list[Case], workers: int, progress: Progress) -> list[_Measured]:
    """What was measured, in the order of `cases`, in this process or in `workers` fresh ones."""
    count = min(SAMPLES_PER_CASE, max(1, SAMPLES_IN_ALL // len(cases)))
    named = [(case.name, case) for case in cases]
    measured: dict[int, _Measured] = {}
    try:
        with closing(share_out(partial(_measure, dataset, count=count), named, workers)) as results:
            for place, result in results:
                measured[place] = result
                progress(cases[place].name, len(measured), len(cases))
    except BrokenProcessPool:
        remedy = "give fewer workers; most often memory ran out"
        raise DataError(str(dataset.root), "a worker that read cases was killed", remedy=remedy) from None
    return [measured[place] for place in range(len(cases))]


def _measure(dataset: Dataset, case: Case, *, count: int) -> _Measured:
    """Check, read and measure one case."""
    try:
        loaded, findings = inspect_case(dataset, case)
    except Exception as error:
        error.add_note(f"while reading case {case.name}")
        raise
    if loaded is None or loaded.label is None or any(finding.severity == "error" for finding in findings):
        return _Measured(findings, None, None)
    image, label = loaded.image.array, loaded.label
    fingerprint = measure_case(loaded, label, len(dataset.labels))
    # Seeded by the case's name, so that adding a case changes no other case's draw.
    generator = np.random.default_rng(zlib.crc32(case.name.encode()))
    foreground = np.flatnonzero(in_a_class(label))
    if foreground.size == 0:
        return _Measured(findings, fingerprint, None)
    drawn = generator.choice(foreground, count, replace=True)
    samples = image.reshape(image.shape[0], -1)[:, drawn].astype(np.float32)
    return _Measured(findings, fingerprint, samples)


def measure_case(loaded: LoadedCase, label: npt.NDArray[np.uint8], classes: int) -> CaseFingerprint:
    """The fingerprint of a case with its `label` (Z, Y, X): class indices 0 .. `classes`, or `IGNORED`."""
    image, grid = loaded.image.array, loaded.image.geometry
    across = slice_axis(grid.shape, grid.spacing_mm, grid.slice_axis)
    measures = measure_classes(label, grid.spacing_mm, classes)
    return CaseFingerprint(
        case=loaded.case.name,
        subject=loaded.case.subject,
        shape=triple(label.shape),
        spacing_mm=triple(float(step) for step in grid.spacing_mm),
        cropped_shape=triple(side.stop - side.start for side in nonzero_box(image)),
        class_voxels=measures.voxels,
        class_slices=measures.slices,
        class_centroids_mm=measures.centroids_mm,
        class_extents_mm=measures.extents_mm,
        digest=image_digest(image),
        missing=loaded.case.missing,
        slice_axis=across.axis if across.why == "header" else None,
        contrasts=class_contrasts(image, label, classes),
    )


def _intensities(measured: list[_Measured], channels: int) -> tuple[IntensityFingerprint, ...]:
    """Statistics per channel of the cases that have it; zeros where none of them has a labelled voxel."""
    found = []
    for channel in range(channels):
        samples = [
            result.samples[channel]
            for result in measured
            if result.samples is not None and result.case is not None and channel not in result.case.missing
        ]
        if not samples:
            found.append(IntensityFingerprint(0, 1, 0, 0, 0, 0, 0))
            continue
        values = np.concatenate(samples).astype(np.float64)
        low, median, high = np.percentile(values, (0.5, 50.0, 99.5))
        numbers = values.mean(), values.std(), median, values.min(), values.max(), low, high
        found.append(IntensityFingerprint(*map(float, numbers)))
    return tuple(found)
