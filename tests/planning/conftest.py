"""Small fingerprints with the numbers of real data sets, so that the planner is checked where the data are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from autospine.planning.measured.fingerprint import CaseFingerprint, Fingerprint, IntensityFingerprint

Triple = tuple[float, float, float]
MakeFingerprint = Callable[..., Fingerprint]


def build(
    shapes: Sequence[tuple[int, int, int]],
    spacings: Sequence[Triple],
    labels: Sequence[str] = ("a", "b"),
    *,
    channels: Sequence[str] = ("T2",),
    voxels: Sequence[int] | None = None,
    centroids: Sequence[Triple] | None = None,
    extent_mm: float = 20.0,
    full_shape: tuple[int, int, int] | None = None,
) -> Fingerprint:
    """Cases of the given cropped shapes and spacings; every case holds every label in the same place."""
    count = len(labels)
    cases = tuple(
        CaseFingerprint(
            case=f"case_{index:03}",
            subject=f"case_{index:03}",
            shape=full_shape or shape,
            spacing_mm=spacing,
            cropped_shape=shape,
            class_voxels=tuple(voxels or (1000,) * count),
            class_slices=((10, 10, 10),) * count,
            class_centroids_mm=tuple(centroids or ((50.0, 50.0, 50.0),) * count),
            class_extents_mm=((extent_mm,) * 3,) * count,
            digest=f"{index:064x}",
        )
        for index, (shape, spacing) in enumerate(zip(shapes, spacings, strict=True))
    )
    intensities = tuple(IntensityFingerprint(100.0, 20.0, 99.0, 0.0, 255.0, 12.5, 240.25) for _ in channels)
    numbered = tuple((name, value) for value, name in enumerate(labels, 1))
    return Fingerprint("toy", tuple(channels), numbered, cases, intensities)


@pytest.fixture
def make_fingerprint() -> MakeFingerprint:
    return build


@pytest.fixture
def lumbar() -> Fingerprint:
    """lumbar-water in numbers: 37 sagittal volumes, canonical axes, five levels 35 mm apart along Z."""
    shapes = [(224, 224, 20)] * 29 + [(224, 222, 20)] * 4 + [(224, 214, 20)] * 2 + [(224, 212, 20), (224, 218, 20)]
    levels = [(40.0 + 35.0 * index, 100.0 + 2.0 * index, 40.0) for index in range(5)]
    made = build(shapes, [(1.0, 1.0, 4.0)] * 37, ("L5", "L4", "L3", "L2", "L1"), centroids=levels, extent_mm=35.0)
    return replace(made, dataset="lumbar-water", channels=("water",))
