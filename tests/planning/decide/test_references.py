"""What nnU-Net 2.8.1 plans for 28 data sets, and what ours plans for them: equal, or argued in `DIFFERENCES`.

`references_input.json` holds shapes and spacings per case (`cases`: count, cropped shape, spacing), axes in the order
of the files; for the real folders that is our canonical order too. `references.json` is what the reference's planners
make of them (tests/benchmarks/nnunet_plans.py). Run as a script, this prints the tables of docs/benchmarks/plans.md.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from math import isclose, prod
from pathlib import Path
from typing import Any

import pytest

from autospine.data.dataset import open_dataset
from autospine.data.slices import FEW
from autospine.machine.arithmetic import Machine
from autospine.planning.decide.planner import make_plan
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.plan import Plan
from autospine.planning.document.recipe import Recipe
from autospine.planning.estimate.memory import training_memory_gb
from autospine.planning.measured.fingerprint import (
    CaseFingerprint,
    Fingerprint,
    IntensityFingerprint,
    extract_fingerprint,
)

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "benchmarks" / "plans.md"
MARK = "<!-- printed by tests/planning/decide/test_references.py -->\n"
INPUT: dict[str, dict[str, Any]] = json.loads((HERE / "references_input.json").read_text())
REFERENCES: dict[str, dict[str, dict[str, Any]]] = json.loads((HERE / "references.json").read_text())["datasets"]
WHICH = ("2d", "3d_fullres", "3d_lowres", "3d_cascade_fullres")
# The reference's planners, by the recipe and the memory in GB at which ours has to give their numbers.
PLANNERS = {
    "plain": ("default planner, 8 GB", Recipe(configurations=WHICH), 8.0),
    "residual_m": ("residual M, 8 GB", Recipe(configurations=WHICH, encoder="residual"), 8.0),
    "residual_l": ("residual L, 24 GB", Recipe(configurations=WHICH, encoder="residual"), 24.0),
    "residual_xl": ("residual XL, 40 GB", Recipe(configurations=WHICH, encoder="residual"), 40.0),
}
Key = tuple[str, str, str, str]
MEMORY = "the reference's batch would take more than the memory planned for"
SLICES = "the slices lie along the axis of clearly fewest voxels, although another is coarser (ours)"
MORE = "the rule for less memory shows more voxels a step, and more memory never gives fewer (ours)"
TURNED = "axis_order spacing patch strides kernels features blocks convs_decoder"
# Reason: (data set, planner, configuration, keys) that differ for it; a test holds each reason against its rows.
ARGUED: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    MEMORY: (
        ("lumbar-t2", "residual_m", "2d", "batch"),
        ("msd-lung", "residual_m", "2d", "batch"),
        ("msd-spleen", "residual_m", "2d", "batch"),
        ("msd-colon", "residual_m", "2d", "batch"),
        ("amos22", "residual_m", "2d", "batch"),
        ("btcv", "residual_m", "2d", "batch"),
        ("verse", "residual_m", "2d", "batch"),
        ("verse", "residual_m", "3d_cascade_fullres", "patch"),
        ("verse", "residual_l", "2d", "batch"),
        ("ctspine1k", "residual_m", "2d", "batch"),
        ("ctspine1k", "residual_m", "3d_cascade_fullres", "patch strides kernels features blocks"),
        ("ctspine1k", "residual_l", "2d", "batch"),
        ("ctspine1k", "residual_l", "3d_fullres", "patch"),
        ("ctspine1k", "residual_l", "3d_lowres", "patch"),
        ("ctspine1k", "residual_l", "3d_cascade_fullres", "patch"),
        ("ctspine1k", "residual_xl", "3d_cascade_fullres", "patch"),
        ("spider", "residual_m", "2d", "batch"),
        ("zukic", "residual_m", "2d", "batch"),
        ("whole-spine-mr", "residual_m", "2d", "batch"),
        ("whole-spine-mr", "residual_m", "3d_fullres", "patch"),
        ("whole-spine-mr", "residual_l", "2d", "batch"),
        ("whole-spine-ct", "residual_m", "2d", "batch"),
        ("whole-spine-ct", "residual_m", "3d_cascade_fullres", "patch"),
        ("radiographs", "residual_m", "2d", "batch"),
    ),
    SLICES: (
        ("thin-slab", "plain", "2d", f"{TURNED} batch"),
        ("thin-slab", "plain", "3d_fullres", TURNED),
        (
            "thin-slab",
            "residual_m",
            "2d",
            f"{TURNED} batch",
        ),
        (
            "thin-slab",
            "residual_m",
            "3d_fullres",
            f"{TURNED} batch",
        ),
        (
            "thin-slab",
            "residual_l",
            "2d",
            f"{TURNED} batch",
        ),
        (
            "thin-slab",
            "residual_l",
            "3d_fullres",
            f"{TURNED} batch",
        ),
        (
            "thin-slab",
            "residual_xl",
            "2d",
            f"{TURNED} batch",
        ),
        (
            "thin-slab",
            "residual_xl",
            "3d_fullres",
            f"{TURNED} batch",
        ),
    ),
    MORE: (
        ("four-radiographs", "residual_l", "2d", "patch batch strides"),
        ("four-radiographs", "residual_xl", "2d", "patch batch strides"),
    ),
}
# (data set, planner, configuration, key): why ours is another value.
DIFFERENCES: dict[Key, str] = {
    (*row[:3], key): why for why, rows in ARGUED.items() for row in rows for key in row[3].split()
}


class Numbers(Fingerprint):
    """A data set without what the compared numbers do not depend on: intensities, sizes and places of the labels."""

    def hash(self) -> str:
        return "0" * 64  # nobody asks what these plans came from, and to hash 4000 cases is a third of the time


@cache
def fingerprint_of(name: str) -> Fingerprint:
    entry = INPUT[name]
    numbers = range(entry["classes"])
    pairs = [(tuple(shape), tuple(spacing)) for count, shape, spacing in entry["cases"] for _ in range(count)]
    cases = tuple(
        CaseFingerprint(
            case=f"case_{index:03}",
            subject=f"case_{index:03}",
            shape=shape,
            spacing_mm=spacing,
            cropped_shape=shape,
            class_voxels=(0,) * len(numbers),
            class_slices=((0, 0, 0),) * len(numbers),
            class_centroids_mm=(None,) * len(numbers),
            class_extents_mm=((0.0, 0.0, 0.0),) * len(numbers),
            digest=f"{index:064x}",
        )
        for index, (shape, spacing) in enumerate(pairs)
    )
    channels = tuple(f"MR{index}" for index in range(entry["channels"]))
    intensities = (IntensityFingerprint(100.0, 20.0, 99.0, 0.0, 255.0, 12.5, 240.25),) * len(channels)
    return Numbers(name, channels, tuple((f"class_{index}", index + 1) for index in numbers), cases, intensities)


@cache
def plan_of(name: str, planner: str) -> Plan:
    _, recipe, memory_gb = PLANNERS[planner]
    return make_plan(fingerprint_of(name), replace(recipe, memory_gb=memory_gb))


def values_of(configuration: Configuration) -> dict[str, Any]:
    """The numbers of a configuration as references.json writes them."""
    network = configuration.network
    return {
        "axis_order": list(configuration.axis_order),
        "spacing": list(configuration.spacing_mm),
        "patch": list(configuration.patch),
        "batch": configuration.batch,
        "strides": ["".join(map(str, stage)) for stage in network.strides],
        "kernels": ["".join(map(str, stage)) for stage in network.kernels],
        "features": list(network.features),
        "blocks": list(network.blocks),
        "convs_decoder": network.convs_decoder,
        "batch_dice": configuration.loss.batch_dice,
    }


def reference_of(name: str, planner: str, which: str) -> dict[str, Any] | None:
    """The reference's numbers; its cascade is full resolution once more where there is a low one."""
    references = REFERENCES[name][planner]
    if which == "3d_cascade_fullres":
        return references["3d_fullres"] if "3d_lowres" in references else None
    return references.get(which)


def reference_memory_gb(name: str, planner: str, which: str) -> float:
    """Estimated peak of a training step (10^9 bytes) with the reference's numbers in the place of ours."""
    configuration, numbers = plan_of(name, planner).configuration(which), reference_of(name, planner, which)
    assert numbers is not None
    network = replace(
        configuration.network,
        strides=tuple(tuple(map(int, stage)) for stage in numbers["strides"]),
        kernels=tuple(tuple(map(int, stage)) for stage in numbers["kernels"]),
        features=tuple(numbers["features"]),
        blocks=tuple(numbers["blocks"]),
    )
    patch, batch = tuple(numbers["patch"]), numbers["batch"]
    return training_memory_gb(replace(configuration, patch=patch, batch=batch, network=network), Machine())


def same(reference: Any, ours: Any) -> bool:
    if isinstance(reference, list) and isinstance(ours, list) and all(isinstance(value, float) for value in reference):
        return len(reference) == len(ours) and all(map(lambda a, b: isclose(a, b, rel_tol=1e-9), reference, ours))
    return bool(reference == ours)


@cache
def compare(name: str, planner: str) -> dict[Key, tuple[Any, Any]]:
    """(reference's value, ours) of everything that differs; key `planned` where only one of them plans it."""
    ours = {configuration.name: values_of(configuration) for configuration in plan_of(name, planner).configurations}
    found: dict[Key, tuple[Any, Any]] = {}
    for which in WHICH:
        reference, mine = reference_of(name, planner, which), ours.get(which)
        if reference is None or mine is None:
            pairs = {"planned": (reference is not None, mine is not None)}
        else:
            pairs = {key: (value, mine[key]) for key, value in reference.items()}
        found |= {(name, planner, which, key): pair for key, pair in pairs.items() if not same(*pair)}
    return found


@pytest.mark.parametrize("planner", PLANNERS)
@pytest.mark.parametrize("name", INPUT)
def test_numbers_of_the_reference(name: str, planner: str) -> None:
    argued = {key for key in DIFFERENCES if key[:2] == (name, planner)}
    found = compare(name, planner)
    assert {key: pair for key, pair in found.items() if key not in argued} == {}
    assert argued <= set(found), "these have become equal: take them out of DIFFERENCES"


@pytest.mark.parametrize("why, name, planner, which", [(why, *row[:3]) for why, rows in ARGUED.items() for row in rows])
def test_the_reason_holds(why: str, name: str, planner: str, which: str) -> None:
    ours, reference = plan_of(name, planner).configuration(which), reference_of(name, planner, which)
    assert reference is not None
    memory_gb = PLANNERS[planner][2]
    assert training_memory_gb(ours, Machine()) <= memory_gb
    if why == MEMORY:
        assert reference_memory_gb(name, planner, which) > memory_gb
    elif why == SLICES:
        (_, shape, spacing), *_ = INPUT[name]["cases"]
        slices, strips = ours.axis_order[0], reference["axis_order"][0]
        assert spacing[slices] < spacing[strips]
        assert all(shape[slices] < FEW * shape[other] for other in ours.axis_order[1:])
    else:
        assert prod(ours.patch) * ours.batch > prod(reference["patch"]) * reference["batch"]


def test_every_data_set_has_its_reference() -> None:
    assert list(INPUT) == list(REFERENCES)
    assert all(list(planners) == list(PLANNERS) for planners in REFERENCES.values())


def test_the_page_shows_these_numbers() -> None:
    _, _, printed = PAGE.read_text(encoding="utf-8").partition(MARK)
    assert printed == tables(), "print them again: python tests/planning/decide/test_references.py"


@pytest.fixture(scope="module")
def real_fingerprint(real_data: Callable[[str], Path]) -> Callable[[str], Fingerprint]:
    measured: dict[str, Fingerprint] = {}

    def measure(name: str) -> Fingerprint:
        if name not in measured:
            measured[name] = extract_fingerprint(open_dataset(real_data(name)))
        return measured[name]

    return measure


# About 5 s each to read whole.
SLOW = ("lumbar-t2", "hippocampus", "lumbar-water")
REAL = [
    pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
    for name in ("cord-axial", "muscle-axial", *SLOW)
]


@pytest.mark.parametrize("name", REAL)
def test_numbers_of_the_real_folders(name: str, real_fingerprint: Callable[[str], Fingerprint]) -> None:
    fingerprint = real_fingerprint(name)
    measured = Counter((case.cropped_shape, case.spacing_mm) for case in fingerprint.cases)
    kept = {(tuple(shape), tuple(spacing)): count for count, shape, spacing in INPUT[name]["cases"]}
    assert measured == kept
    assert (len(fingerprint.channels), len(fingerprint.labels)) == (INPUT[name]["channels"], INPUT[name]["classes"])
    planned = {item.name: values_of(item) for item in make_plan(fingerprint, Recipe(memory_gb=8.0)).configurations}
    for which, reference in REFERENCES[name]["plain"].items():
        assert all(same(value, planned[which][key]) for key, value in reference.items())


def test_sides_and_concentric_labels_of_real_data(real_fingerprint: Callable[[str], Fingerprint]) -> None:
    muscle = make_plan(real_fingerprint("muscle-axial"), Recipe())
    assert muscle.configuration("2d").training.mirror_axes == (0, 1)  # left and right muscles swap
    assert muscle.data.sides == ((3, 2), (4, 1)) and muscle.card("2d").sides_axis == 1
    assert muscle.configuration("2d").training.rotation_deg == 15
    assert "left_ES / right_ES" in muscle.reasons["2d.training.mirror_axes"]
    assert muscle.configuration("2d").use_mask is True  # half of each image is black
    cord = make_plan(real_fingerprint("cord-axial"), Recipe())
    assert cord.configuration("3d_fullres").training.mirror_axes == (0, 1, 2)  # grey lies inside white matter
    assert cord.configuration("2d").loss.kind == "dice_ce"  # white matter is 4.8 times larger
    assert "over smallest grey_matter (42): 4.8 times, below 50" in cord.reasons["2d.loss.kind"]


@pytest.mark.slow
def test_levels_of_real_data_are_ordered(real_fingerprint: Callable[[str], Fingerprint]) -> None:
    plan = make_plan(real_fingerprint("lumbar-water"), Recipe())
    assert 0 not in plan.configuration("2d").training.mirror_axes
    assert "L5 < L4 < L3 < L2 < L1 in 37 of 37 cases" in plan.reasons["2d.training.mirror_axes"]
    assert plan.configuration("3d_fullres").training.mirror_axes == (0,)  # left-right is free


def tables() -> str:
    """The printed part of the page: the data sets, one table per planner, the differences, the count."""
    return "\n".join(["", *_datasets(), *(line for planner in PLANNERS for line in _plans(planner)), *_differences()])


def _size(edges: list[int] | list[float]) -> str:
    return " x ".join(f"{edge:.4g}" for edge in edges)


def _datasets() -> list[str]:
    lines = ["## The data sets", "", "| data set | cases | channels | classes | shape | spacing (mm) | figures |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name, entry in INPUT.items():
        cases = sum(count for count, _, _ in entry["cases"])
        _, shape, spacing = max(entry["cases"], key=lambda case: case[0])
        several = "" if len(entry["cases"]) == 1 else f", the commonest of {len(entry['cases'])}"
        exact = "every case" if entry["exact"] else "medians only"
        row = (name, cases, entry["channels"], entry["classes"], _size(shape) + several, _size(spacing))
        lines.append(f"| {' | '.join(map(str, row))} | {exact}: {entry['source']} |")
    return [*lines, ""]


def _plans(planner: str) -> list[str]:
    title = PLANNERS[planner][0]
    lines = [
        f"## {title[0].upper()}{title[1:]}",
        "",
        f"| data set | {' | '.join(WHICH[:3])} | ours |",
        "|---|---|---|---|---|",
    ]
    for name in INPUT:
        cells = []
        for which in WHICH[:3]:
            row = REFERENCES[name][planner].get(which)
            coarse = f" at {_size(row['spacing'])} mm" if row is not None and which == "3d_lowres" else ""
            cells.append("none" if row is None else f"{_size(row['patch'])}, {row['batch']}{coarse}")
        different = dict.fromkeys(which for _, _, which, _ in compare(name, planner))
        lines.append(
            f"| {name} | {' | '.join(cells)} | {'not the same: ' if different else 'same'}{', '.join(different)} |"
        )
    return [*lines, ""]


def _short(numbers: dict[str, Any], keys: list[str]) -> str:
    """Those of patch and batch that differ, and the stages where the network does."""
    texts = {"patch": f"patch {_size(numbers['patch'])}", "batch": f"batch {numbers['batch']}"}
    stages = {"strides", "kernels", "features", "blocks", "convs_decoder"}
    words = [texts.get(key, f"{key} {numbers[key]}") for key in keys if key not in stages]
    return ", ".join(words + [f"strides {' '.join(numbers['strides'])}"] * bool(stages.intersection(keys)))


def _differences() -> list[str]:
    rows, compared, different = [], 0, 0
    for name in INPUT:
        for planner, (title, _, memory_gb) in PLANNERS.items():
            ours = {item.name: values_of(item) for item in plan_of(name, planner).configurations}
            for which in WHICH:
                reference = reference_of(name, planner, which)
                keys = [key[3] for key in compare(name, planner) if key[2] == which]
                compared += len(reference or "1")  # one: that neither plans it
                different += len(keys)
                if reference is None or which not in ours or not keys:
                    continue
                why = ", ".join(
                    dict.fromkeys(DIFFERENCES.get((name, planner, which, key), "not argued") for key in keys)
                )
                if why == MEMORY:
                    why += f" ({reference_memory_gb(name, planner, which):.2f} of {memory_gb:g} GB)"
                texts = (_short(reference, keys), _short(ours[which], keys), why)
                rows.append(f"| {name} | {title} | {which} | {' | '.join(texts)} |")
    lines = ["## Differences", "", f"{compared} values compared, {different} different.", ""]
    if rows:
        lines += [
            "| data set | planner | configuration | reference | ours | why |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    return lines


if __name__ == "__main__":
    sys.stdout.write(tables())
