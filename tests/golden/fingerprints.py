"""The data sets that plans are recorded of, as fingerprints: the references, made up ones, and measured ones.

The references have the shapes and spacings of `tests/planning/references_input.json`; their labels have sizes, and
those of every second one lie above each other. What no reference has is made up: regions, sides, missing channels, CT,
views that a network cannot see whole, single slices, lesions. Real folders and phantoms are measured where asked for.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from autospine.data.dataset import open_dataset
from autospine.data.structure import Reading, Region
from autospine.phantom.dataset import SCENARIOS, write_phantom
from autospine.planning.measured.fingerprint import (
    CaseFingerprint,
    Fingerprint,
    IntensityFingerprint,
    extract_fingerprint,
)

TESTS = Path(__file__).resolve().parents[1]
REAL_DATA = TESTS.parents[1] / "shared" / "data"
REAL: Mapping[str, tuple[str, Reading]] = {
    "cord-axial": ("cord-axial", Reading()),
    "hippocampus": ("hippocampus", Reading()),
    "lumbar-t2": ("lumbar-t2", Reading()),
    "lumbar-water": ("lumbar-water", Reading()),
    "muscle-axial": ("muscle-axial", Reading()),
    "spider-t2": ("spider-t2", Reading()),
    "t2-crop-subreg": ("t2-crop", Reading(masks="seg-subreg_msk")),
    "t2-crop-vert": ("t2-crop", Reading(masks="seg-vert_msk")),
}
"""Name -> folder of the real data that can be planned, and how it is read."""
LEVELS = ("L5", "L4", "L3", "L2", "L1")
Triple = tuple[float, float, float]
T = TypeVar("T")


def _case(
    index: int,
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    voxels: tuple[int, ...],
    places: tuple[Triple, ...],
    extent: float,
    absent: tuple[int, ...] = (),
) -> CaseFingerprint:
    """Case `index`, in which each label has its voxels around its place (mm), but those that are `absent`."""
    there = [label not in absent for label in range(len(voxels))]
    slices = tuple(max(1, min(edge, round(extent / step))) for edge, step in zip(shape, spacing, strict=True))
    return CaseFingerprint(
        case=f"case_{index:03}",
        subject="twice" if index < 2 else f"case_{index:03}",
        shape=_triple(shape),
        spacing_mm=_triple(spacing),
        cropped_shape=_triple(shape),
        class_voxels=tuple(count if held else 0 for count, held in zip(voxels, there, strict=True)),
        class_slices=tuple(_triple(slices) if held else (0, 0, 0) for held in there),
        class_centroids_mm=tuple(place if held else None for place, held in zip(places, there, strict=True)),
        class_extents_mm=tuple((extent, extent, extent) if held else (0.0, 0.0, 0.0) for held in there),
        digest=f"{index:064x}",
    )


def _triple(values: Sequence[T]) -> tuple[T, T, T]:
    first, second, third = values
    return first, second, third


def _places(count: int, axis: int | None, step: float) -> tuple[Triple, ...]:
    """Where labels lie, mm: all in one place, or one after the other along `axis`."""
    moved = [[50.0 + 0.5 * index * at for at in range(3)] for index in range(count)]
    for index, place in enumerate(moved):
        place[0 if axis is None else axis] += 0.0 if axis is None else step * index
    return tuple((z, y, x) for z, y, x in moved)


def _intensities(channels: int) -> tuple[IntensityFingerprint, ...]:
    return tuple(IntensityFingerprint(100.0 + 7 * at, 20.0, 99.0, -3.0, 255.0, 12.5, 240.25) for at in range(channels))


@cache
def references() -> dict[str, Fingerprint]:
    """The reference data sets by name."""
    given = json.loads((TESTS / "planning" / "decide" / "references_input.json").read_text(encoding="utf-8"))
    return {name: _reference(number, name, entry) for number, (name, entry) in enumerate(given.items())}


def _reference(number: int, name: str, entry: dict[str, Any]) -> Fingerprint:
    labels, channels = entry["classes"], entry["channels"]
    voxels = tuple(20_000 // (index + 1) for index in range(labels))
    places = _places(labels, 0 if number % 2 else None, 30.0)
    grids = [(tuple(shape), tuple(spacing)) for count, shape, spacing in entry["cases"] for _ in range(count)]
    cases = tuple(_case(index, *grid, voxels, places, 28.0) for index, grid in enumerate(grids))
    names = tuple((f"class_{index}", index + 1) for index in range(labels))
    return Fingerprint(name, tuple(f"MR{at}" for at in range(channels)), names, cases, _intensities(channels))


def _made_up(
    name: str,
    labels: tuple[str, ...],
    *,
    shape: tuple[int, int, int] = (224, 224, 20),
    spacing: Triple = (1.0, 1.0, 4.0),
    count: int = 12,
    voxels: tuple[int, ...] | None = None,
    along: int | None = None,
    step: float = 35.0,
    extent: float = 30.0,
    channels: tuple[str, ...] = ("T2",),
    absent: Callable[[int], tuple[int, ...]] = lambda case: (),
    missing: Callable[[int], tuple[int, ...]] = lambda case: (),
    case: Mapping[str, Any] | None = None,
    **more: Any,
) -> Fingerprint:
    """A data set whose cases differ a little in shape, spacing, sizes and places."""
    sizes, places = voxels or (4000,) * len(labels), _places(len(labels), along, step)
    cases = []
    for index in range(count):
        edges = tuple(edge - 4 * (index % 3) if edge > 40 else edge for edge in shape)
        steps = tuple(width * 1.125 if index % 4 == 3 else width for width in spacing)
        held = tuple(size * (8 + index % 5) // 10 for size in sizes)
        moved = tuple((z + index % 3, y - index % 2, x + 0.25 * index) for z, y, x in places)
        made = _case(index, edges, steps, held, moved, extent, absent(index))
        cases.append(replace(made, missing=missing(index), **(case or {})))
    numbered = tuple((label, value) for value, label in enumerate(labels, 1))
    return Fingerprint(name, channels, numbered, tuple(cases), _intensities(len(channels)), **more)


@cache
def made_up() -> dict[str, Fingerprint]:
    """The made up data sets by name."""
    regions = (Region("column", (1, 2, 3, 4, 5), 2), Region("lower", (1, 2), 1))
    muscles = ("left_ES", "right_ES", "left_MF", "right_MF", "bone")
    large: dict[str, Any] = {"shape": (700, 720, 260), "spacing": (0.5, 0.5, 0.75)}
    axial: dict[str, Any] = {"shape": (20, 320, 320), "spacing": (3.0, 0.5, 0.5), "extent": 15.0}
    three = ("T2", "T1", "STIR")
    made = [
        _made_up("levels", LEVELS, along=0),
        _made_up("levels-counted", LEVELS, along=0, step=20.0, extent=18.0),
        _made_up("levels-partial", LEVELS, along=0, absent=lambda case: (0, 4)[: case % 3], count=30),
        _made_up("levels-few-cases", LEVELS, along=0, count=1),
        _made_up("uneven", LEVELS, along=0, voxels=(40_000, 9000, 4000, 4000, 150)),
        _made_up("regions", LEVELS, along=0, regions=regions),
        _made_up("regions-uneven", LEVELS, voxels=(90_000, 800, 700, 90, 9000), regions=regions),
        _made_up("regions-sided", LEVELS, regions=(Region("left_a", (1, 2), 1), Region("right_a", (3, 4, 5), 3))),
        _made_up("regions-large", LEVELS, along=0, regions=regions, **large),
        _made_up("sides", muscles, **axial),
        _made_up("sides-declared", ("one", "other", "rest"), sides=(("one", "other"),), **axial),
        _made_up("sides-ordered", muscles, along=2, step=12.0, **axial),
        _made_up("sides-lone", ("left_tumour", "cord"), **axial),
        _made_up("sides-large", muscles, **large),
        _made_up("missing", LEVELS, along=0, channels=three, missing=lambda case: (1,) * (case % 4 == 0)),
        _made_up("missing-other", LEVELS, along=0, channels=three, missing=lambda case: (2,) * (case % 3 == 1)),
        _made_up("missing-large", ("a", "b"), channels=three, missing=lambda case: (case % 3,), **large),
        _made_up("complete", LEVELS, along=0, channels=three),
        _made_up("ct", ("bone", "disc"), channels=("CT", "T1"), voxels=(90_000, 700)),
        _made_up("ct-alone", LEVELS, along=0, channels=("ct",), shape=(300, 512, 512), spacing=(1.5, 0.8, 0.8)),
        _made_up("large", ("cord", "lesion"), voxels=(200_000, 900), **large),
        _made_up("large-levels", LEVELS, along=0, **large),
        _made_up("slices", ("vertebra", "disc"), shape=(1, 512, 384), spacing=(1.0, 0.4, 0.4)),
        _made_up("slices-across", LEVELS, along=0, shape=(512, 384, 1), spacing=(0.5, 0.5, 5.0), count=40),
        _made_up("few-slices", ("a", "b"), shape=(4, 180, 190), spacing=(6.0, 1.0, 1.0)),
        _made_up("line", ("a",), shape=(1, 1, 300), spacing=(1.0, 1.0, 1.0)),
        _made_up("isotropic", ("a", "b", "c"), shape=(160, 170, 150), spacing=(1.0, 1.0, 1.0)),
        _made_up("stated", ("a", "b"), shape=(120, 120, 110), spacing=(1.0, 1.0, 1.0), case={"slice_axis": 1}),
        _made_up("cropped", ("a", "b"), case={"shape": (400, 300, 30)}),
        _made_up("lesions", ("lytic", "sclerotic"), voxels=(700, 60), extent=6.0, absent=lambda case: (case % 4,)),
        _made_up("lesions-axial", ("lesion",), voxels=(90,), **(axial | {"extent": 5.0})),
        _made_up("unseen", ("a", "never"), absent=lambda case: (1,)),
        _made_up("many", tuple(f"v{at}" for at in range(24)), along=0, step=14.0, extent=13.0, count=6),
    ]
    return {fingerprint.dataset: fingerprint for fingerprint in made}


@cache
def real(name: str) -> Fingerprint | None:
    """A real folder measured; None where it is not beside this checkout."""
    folder, reading = REAL[name]
    path = REAL_DATA / folder
    return replace(extract_fingerprint(open_dataset(path, reading)), dataset=name) if path.is_dir() else None


@cache
def phantoms() -> dict[str, Fingerprint]:
    """A few cases of each phantom measured, by scenario."""
    found = {}
    for scenario in SCENARIOS:
        with tempfile.TemporaryDirectory() as place:
            folder = write_phantom(Path(place) / scenario, scenario=scenario, cases=5, test_cases=1)
            found[scenario] = extract_fingerprint(open_dataset(folder, Reading(allow_missing=True)))
    return found
