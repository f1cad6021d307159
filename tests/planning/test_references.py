"""What nnU-Net 2.8.1 plans for four public data sets (default planner, 8 GB), and what ours plans for them.

Axis orders are of our canonical axes (Z, Y, X towards superior, posterior, left); the reference names file axes. Here
every file lies so that both agree: the sagittal sets have their thick slices along X, the others are axial.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autospine.data.dataset import open_dataset
from autospine.planning.fingerprint import Fingerprint, extract_fingerprint
from autospine.planning.planner import make_plan
from autospine.planning.recipe import Recipe

# (shape, spacing) per case, cropped, as the files lie.
CASES = {
    "lumbar-water": [((224, 224, 20), (1.0, 1.0, 4.0))] * 37,
    "lumbar-t2": [((305, 305, 39), (1.25, 1.25, 2.0))] * 12,
    "cord-axial": [
        ((20, 190, 254), (3.000000238418579, 0.78125, 0.78125)),
        ((20, 190, 254), (3.000000238418579, 0.78125, 0.78125)),
        ((20, 256, 255), (2.5000016689300537, 0.703125, 0.703125)),
        ((20, 256, 255), (2.5000016689300537, 0.5859375, 0.5859375)),
        ((17, 382, 322), (3.0, 0.5, 0.5)),
        ((17, 210, 383), (3.0000007152557373, 0.4166666567325592, 0.4166666567325592)),
        ((20, 288, 288), (3.0, 0.6006944179534912, 0.6006944179534912)),
        ((15, 446, 446), (4.999998092651367, 0.5, 0.5)),
    ],
    "hippocampus": [((34, 49, 34), (1.0, 1.0, 1.0)), ((36, 50, 35), (1.0, 1.0, 1.0)), ((38, 52, 36), (1.0, 1.0, 1.0))]
    * 52,
}
LABELS = {"lumbar-water": 5, "lumbar-t2": 7, "cord-axial": 2, "hippocampus": 2}
AXES = {"lumbar-water": (2, 0, 1), "lumbar-t2": (2, 0, 1), "cord-axial": (0, 1, 2), "hippocampus": (0, 1, 2)}
BOTH, PLANE, FLAT = (2, 2, 2), (1, 2, 2), (1, 3, 3)
CUBE = (3, 3, 3)
# name, configuration, spacing, patch, batch, strides after the first stage, kernels
EXPECTED = [
    ("lumbar-water", "2d", (1, 1), (224, 224), 37, [(2, 2)] * 5, [(3, 3)] * 6),
    (
        "lumbar-water",
        "3d_fullres",
        (4, 1, 1),
        (20, 224, 224),
        2,
        [PLANE, PLANE, BOTH, BOTH, PLANE],
        [FLAT, FLAT, CUBE, CUBE, CUBE, CUBE],
    ),
    ("lumbar-t2", "2d", (1.25, 1.25), (320, 320), 21, [(2, 2)] * 6, [(3, 3)] * 7),
    (
        "lumbar-t2",
        "3d_fullres",
        (2, 1.25, 1.25),
        (32, 256, 256),
        2,
        [BOTH, BOTH, BOTH, PLANE, PLANE, PLANE],
        [CUBE] * 7,
    ),
    ("cord-axial", "2d", (0.5933, 0.5933), (320, 320), 7, [(2, 2)] * 6, [(3, 3)] * 7),
    (
        "cord-axial",
        "3d_fullres",
        (2.5, 0.5933, 0.5933),
        (20, 256, 320),
        2,
        [PLANE, PLANE, BOTH, BOTH, PLANE, PLANE],
        [FLAT, FLAT, CUBE, CUBE, CUBE, CUBE, CUBE],
    ),
    ("hippocampus", "2d", (1, 1), (56, 40), 219, [(2, 2)] * 3, [(3, 3)] * 4),
    ("hippocampus", "3d_fullres", (1, 1, 1), (40, 56, 40), 5, [BOTH] * 3, [CUBE] * 4),
]
FEATURES = {2: (32, 64, 128, 256, 512, 512, 512), 3: (32, 64, 128, 256, 320, 320, 320)}


def check(fingerprint: Fingerprint, row: tuple) -> None:
    name, which, spacing, patch, batch, strides, kernels = row
    configuration = make_plan(fingerprint, Recipe()).configuration(which)
    network = configuration.network
    assert configuration.axis_order == AXES[name]
    assert configuration.spacing_mm == pytest.approx(spacing, abs=5e-5)
    assert configuration.patch == patch
    assert configuration.batch == batch
    assert network.strides == ((1,) * len(patch), *strides)
    assert network.kernels == tuple(kernels)
    assert network.features == FEATURES[len(patch)][: len(kernels)]
    assert configuration.normalisation == ("zscore",)
    assert configuration.use_mask is False
    assert configuration.loss.batch_dice is (which == "2d")  # the reference drops low resolution on all four


@pytest.mark.parametrize("row", EXPECTED, ids=lambda row: f"{row[0]}-{row[1]}")
def test_numbers_of_the_reference(row: tuple, make_fingerprint: Callable[..., Fingerprint]) -> None:
    shapes, spacings = zip(*CASES[row[0]], strict=True)
    check(make_fingerprint(shapes, spacings, [f"class_{index}" for index in range(LABELS[row[0]])]), row)


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
    pytest.param(row, marks=[pytest.mark.slow] if row[0] in SLOW else [], id=f"{row[0]}-{row[1]}") for row in EXPECTED
]


@pytest.mark.parametrize("row", REAL)
def test_numbers_of_the_reference_on_the_real_folders(
    row: tuple, real_fingerprint: Callable[[str], Fingerprint]
) -> None:
    check(real_fingerprint(row[0]), row)


def test_sides_and_concentric_labels_of_real_data(real_fingerprint: Callable[[str], Fingerprint]) -> None:
    muscle = make_plan(real_fingerprint("muscle-axial"), Recipe())
    assert muscle.configuration("2d").training.mirror_axes == (0,)  # left and right muscles have names of their own
    assert muscle.configuration("2d").training.rotation_deg == 15
    assert "left_ES / right_ES" in muscle.reasons["2d.training.mirror_axes"]
    assert muscle.configuration("2d").use_mask is True  # half of each image is black
    cord = make_plan(real_fingerprint("cord-axial"), Recipe())
    assert cord.configuration("3d_fullres").training.mirror_axes == (0, 1, 2)  # grey lies inside white matter
    assert cord.configuration("2d").loss.kind == "dice_size_adaptive_ce"  # white matter is 4.8 times larger


@pytest.mark.slow
def test_levels_of_real_data_are_ordered(real_fingerprint: Callable[[str], Fingerprint]) -> None:
    plan = make_plan(real_fingerprint("lumbar-water"), Recipe())
    assert 0 not in plan.configuration("2d").training.mirror_axes
    assert "L5 < L4 < L3 < L2 < L1 in 37 of 37 cases" in plan.reasons["2d.training.mirror_axes"]
    assert plan.configuration("3d_fullres").training.mirror_axes == (0,)  # left-right is free
