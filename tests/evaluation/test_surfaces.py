"""Surfaces: elements by hand, distances against all pairs of elements, both against DeepMind's surface-distance."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import surface_distance
from hypothesis import given, settings
from hypothesis import strategies as st
from surface_distance import lookup_tables

from autospine.evaluation import surfaces
from autospine.evaluation.surfaces import SurfaceDistances, surface_distances

Mask = np.ndarray
SPACING = (4.0, 2.0, 0.5)
THEIR_BITS_3D = (128, 8, 32, 2, 64, 4, 16, 1)
"""Of theirs, for our bits 0 to 7: (before, before, before), (behind, before, before), (before, behind, before) ..."""
THEIR_BITS_2D = (8, 2, 4, 1)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*scipy.ndimage.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Please (use|import) `:DeprecationWarning"),
]


def mask(shape: tuple[int, ...], *ranges: tuple[int, int]) -> Mask:
    """A mask of one box."""
    array = np.zeros(shape, bool)
    array[tuple(slice(*bounds) for bounds in ranges)] = True
    return array


def measured(one: Mask, other: Mask, spacing: tuple[float, ...] = SPACING) -> SurfaceDistances:
    found = surface_distances(one, other, spacing)
    assert found is not None
    return found


def elements(array: Mask, spacing: tuple[float, ...]) -> np.ndarray:
    """Places (n, axes) of all corners at which voxels of both kinds meet, in mm; outside of the array is background."""
    padded = np.pad(array, 1)
    places = []
    for corner in product(*(range(size + 1) for size in array.shape)):
        around = padded[tuple(slice(place, place + 2) for place in corner)]
        if around.any() and not around.all():
            places.append(np.array(corner) * spacing)
    return np.array(places)


def nearest(of: np.ndarray, to: np.ndarray) -> list[float]:
    return sorted(np.linalg.norm(of[:, None] - to[None], axis=2).min(1).tolist())


def test_two_pixels_have_six_elements_by_hand() -> None:
    pair = mask((3, 5), (1, 2), (1, 3))
    found = measured(pair, pair, (2.0, 0.5))
    assert found.predicted_mm.tolist() == [0.0] * 6
    half_diagonal = math.hypot(2.0, 0.5) / 2
    assert sorted(found.predicted_sizes) == pytest.approx([0.5, 0.5] + [half_diagonal] * 4)


def test_a_voxel_is_an_octahedron_and_a_large_box_nearly_a_box() -> None:
    voxel = mask((3, 3, 3), (1, 2), (1, 2), (1, 2))
    faces = (2.0 * 0.5, 4.0 * 0.5, 4.0 * 2.0)
    assert measured(voxel, voxel).predicted_sizes.tolist() == pytest.approx([math.hypot(*faces) / 8] * 8)
    box = mask((30, 40, 50), (0, 30), (0, 40), (0, 50))
    sides = 2 * (30 * 40 * 8.0 + 30 * 50 * 2.0 + 40 * 50 * 1.0)
    assert measured(box, box).predicted_sizes.sum() == pytest.approx(sides, rel=0.03)


def test_statistics_of_a_moved_plate_by_hand() -> None:
    """A plate of one voxel, 10 x 10, moved by 3 voxels of 2 mm across itself: all of one side is 6 or 4 mm away."""
    plate = mask((10, 12, 10), (0, 10), (1, 2), (0, 10))
    moved = np.roll(plate, 3, axis=1)
    found = measured(plate, moved, (1.0, 2.0, 1.0))
    assert set(found.predicted_mm.tolist()) == {4.0, 6.0}
    assert found.hausdorff_mm() == 6.0
    assert found.hausdorff_mm(0.5) == 4.0
    assert found.average_mm() == pytest.approx(5.0)
    assert [found.within(tolerance) for tolerance in (3.9, 4.0, 6.0)] == pytest.approx([0.0, 0.5, 1.0])


def test_a_large_side_weighs_as_much_as_it_is_large() -> None:
    """A bump of one voxel on a plate: few elements of many, and in area even less on this grid."""
    plate = mask((8, 6, 60), (0, 8), (0, 3), (0, 60))
    bumped = plate.copy()
    bumped[4, 3, 30] = True
    found = measured(bumped, plate)
    assert found.hausdorff_mm() == 0.0
    assert found.hausdorff_mm(1.0) == 2.0
    assert 0 < found.average_mm() < 0.01


def test_no_distance_to_nothing() -> None:
    something, nothing = mask((2, 2, 2), (0, 1), (0, 1), (0, 1)), np.zeros((2, 2, 2), bool)
    assert surface_distances(something, nothing, SPACING) is None
    assert surface_distances(nothing, something, SPACING) is None
    assert surface_distances(nothing, nothing, SPACING) is None


def test_a_slice_is_its_contour_whatever_its_thickness() -> None:
    first, second = mask((9, 9), (0, 9), (2, 5)), mask((9, 9), (3, 6), (1, 8))
    flat = measured(first, second, (2.0, 0.5))
    for axis in range(3):
        thick = (*(2.0, 0.5)[:axis], 7.0, *(2.0, 0.5)[axis:])
        lying = measured(np.expand_dims(first, axis), np.expand_dims(second, axis), thick)
        assert lying.hausdorff_mm() == flat.hausdorff_mm() and lying.average_mm() == flat.average_mm()
    # a box of one voxel of a larger volume is no slice of it
    cut = surface_distances(first[None], second[None], (7.0, 2.0, 0.5), (0, 1, 2))
    assert cut is not None and cut.predicted_sizes.sum() > 7.0 * flat.predicted_sizes.sum()


def test_lines_and_single_voxels_have_ends() -> None:
    line = mask((1, 1, 9), (0, 1), (0, 1), (2, 5))
    found = measured(line, np.roll(line, 2, axis=2))
    assert found.predicted_mm.tolist() == [0.5, 1.0] and found.predicted_sizes.tolist() == [1.0, 1.0]
    point = np.ones((1, 1, 1), bool)
    assert measured(point, point).hausdorff_mm() == 0.0 and measured(point, point).within(0.0) == 1.0


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (4.0, 2.0, 0.5), (0.7, 3.1, 1.9)])
def test_every_element_is_as_large_as_theirs(spacing: tuple[float, float, float]) -> None:
    theirs = lookup_tables.create_table_neighbour_code_to_surface_area(spacing)
    mine = surfaces._element_sizes(spacing)
    for code in range(256):
        other = sum(bit for place, bit in enumerate(THEIR_BITS_3D) if code >> place & 1)
        assert mine[code] == pytest.approx(theirs[other], abs=1e-12), code
    flat = lookup_tables.create_table_neighbour_code_to_contour_length(spacing[:2])
    for code in range(16):
        other = sum(bit for place, bit in enumerate(THEIR_BITS_2D) if code >> place & 1)
        assert surfaces._element_sizes(spacing[:2])[code] == pytest.approx(flat[other], abs=1e-12), code


def noise(shape: tuple[int, ...], share: float, seed: int) -> Mask:
    array = np.random.default_rng(seed).random(shape) < share
    array.flat[seed % array.size] = True
    return array


def ball(shape: tuple[int, ...], centre: tuple[float, ...], radius: float) -> Mask:
    grid = np.indices(shape, float)
    return sum((axis - at) ** 2 for axis, at in zip(grid, centre, strict=True)) <= radius**2


ADVERSARIAL = {
    "single voxels": (mask((5, 5, 5), (1, 2), (1, 2), (1, 2)), mask((5, 5, 5), (3, 4), (2, 3), (4, 5))),
    "corners of the array": (mask((4, 5, 6), (0, 1), (0, 1), (0, 1)), mask((4, 5, 6), (3, 4), (4, 5), (5, 6))),
    "full": (np.ones((3, 4, 5), bool), mask((3, 4, 5), (1, 2), (1, 3), (0, 5))),
    "full both": (np.ones((3, 4, 5), bool), np.ones((3, 4, 5), bool)),
    "many components": (noise((6, 7, 8), 0.05, 1), noise((6, 7, 8), 0.1, 2)),
    "checkerboards": (np.indices((5, 6, 7)).sum(0) % 2 == 0, np.indices((5, 6, 7)).sum(0) % 2 == 1),
    "disjoint": (mask((20, 6, 6), (0, 3), (0, 6), (2, 6)), mask((20, 6, 6), (15, 20), (1, 3), (0, 6))),
    "one inside the other": (ball((13, 13, 13), (6, 6, 6), 5.5), ball((13, 13, 13), (6, 5, 6), 2.1)),
    "hollow": (
        ball((13, 13, 13), (6, 6, 6), 5.5) & ~ball((13, 13, 13), (6, 6, 6), 3.5),
        ball((13, 13, 13), (6, 7, 6), 4),
    ),
    "dense noise": (noise((6, 7, 8), 0.5, 3), noise((6, 7, 8), 0.6, 4)),
    "2D": (noise((15, 17), 0.3, 5), ball((15, 17), (7, 8), 4.5)),
    "2D, at the border": (mask((15, 17), (0, 15), (0, 3)), mask((15, 17), (0, 2), (0, 17))),
}


@pytest.mark.parametrize("name", ADVERSARIAL)
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (4.0, 0.9, 0.55)])
def test_as_their_library_has_it(name: str, spacing: tuple[float, ...]) -> None:
    one, other = ADVERSARIAL[name]
    agree(one, other, spacing[: one.ndim])


def agree(one: Mask, other: Mask, spacing: tuple[float, ...]) -> None:
    """All statistics, and the sorted distances with their areas."""
    mine = measured(one, other, spacing)
    theirs = surface_distance.compute_surface_distances(other, one, spacing)
    assert mine.predicted_mm == pytest.approx(theirs["distances_pred_to_gt"], abs=1e-6)
    assert mine.expected_mm == pytest.approx(theirs["distances_gt_to_pred"], abs=1e-6)
    assert mine.predicted_sizes.sum() == pytest.approx(theirs["surfel_areas_pred"].sum(), rel=1e-9)
    for share in (95, 80, 100):
        their = surface_distance.compute_robust_hausdorff(theirs, share - 1e-7)  # below a share that is just reached
        assert mine.hausdorff_mm(share / 100 - 1e-9) == pytest.approx(their, abs=1e-6)
    average = np.mean(surface_distance.compute_average_surface_distance(theirs))
    assert mine.average_mm() == pytest.approx(average, abs=1e-6)
    for tolerance in (0.0, 0.73, 1.0, 2.21):
        dice = surface_distance.compute_surface_dice_at_tolerance(theirs, tolerance + 1e-9)
        assert mine.within(tolerance) == pytest.approx(dice, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.02, 0.9), spacing=st.sampled_from([SPACING, (0.7, 1.3, 2.9)]))
def test_random_masks_as_their_library_has_them(seed: int, share: float, spacing: tuple[float, ...]) -> None:
    agree(noise((5, 6, 7), share, seed), noise((5, 6, 7), 0.4, seed + 1), spacing)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.02, 0.9), axes=st.integers(1, 3), tree=st.booleans())
def test_distances_are_those_of_all_pairs(seed: int, share: float, axes: int, tree: bool) -> None:
    shape, spacing = (4, 5, 6)[:axes], SPACING[:axes]
    one, other = noise(shape, share, seed), noise(shape, 0.4, seed + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surfaces, "_QUERY_NS", 0.0 if tree else math.inf)
        found = measured(one, other, spacing)
    mine, theirs = elements(one, spacing), elements(other, spacing)
    assert found.predicted_mm.tolist() == pytest.approx(nearest(mine, theirs), abs=1e-9)
    assert found.expected_mm.tolist() == pytest.approx(nearest(theirs, mine), abs=1e-9)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.permutations([0, 1, 2]), flips=st.sets(st.integers(0, 2)))
def test_nothing_depends_on_how_the_axes_run(seed: int, order: list[int], flips: set[int]) -> None:
    one, other = noise((4, 5, 6), 0.3, seed), noise((4, 5, 6), 0.5, seed + 1)
    plain = measured(one, other)
    turned = [np.flip(array, tuple(flips)).transpose(order) for array in (one, other)]
    moved = measured(*turned, tuple(SPACING[axis] for axis in order))
    assert moved.predicted_mm == pytest.approx(plain.predicted_mm, abs=1e-9)
    assert moved.average_mm() == pytest.approx(plain.average_mm(), abs=1e-9)
    assert moved.hausdorff_mm() == pytest.approx(plain.hausdorff_mm(), abs=1e-9)
