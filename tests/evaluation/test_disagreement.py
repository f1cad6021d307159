from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from autospine.data.structure import IGNORED
from autospine.evaluation import translations
from autospine.evaluation.disagreement import measure_disagreement

SPACING_MM = (2.0, 1.0, 0.5)
TWO = ((1,), (2,))


def blocks(*placed: tuple[int, tuple[int, int], tuple[int, int], tuple[int, int]]) -> np.ndarray:
    labels = np.zeros((16, 14, 12), np.uint8)
    for value, *sides in placed:
        labels[tuple(slice(*side) for side in sides)] = value
    return labels


BELOW = (1, (1, 5), (3, 9), (3, 9))
ABOVE = (2, (8, 12), (3, 9), (3, 9))


def test_equal_maps_agree_in_everything() -> None:
    labels = blocks(BELOW, ABOVE)
    found = measure_disagreement(labels, labels.copy(), TWO, SPACING_MM, 0)
    np.testing.assert_allclose(found.dice, [[1, 0], [0, 1]])
    for one in found.structures:
        assert one.dice == 1.0 and one.translation is not None and one.translation.length_mm == 0
        assert (one.lacking.volume_mm3, one.surplus.volume_mm3, one.merged, one.split) == (0, 0, 0, 0)
        assert one.reference == one.prediction and one.reference.volume_mm3 == 4 * 6 * 6
    assert found.translation is not None and found.translation.after == 1.0


def test_places_are_from_the_middle_of_the_image() -> None:
    found = measure_disagreement(blocks(BELOW, ABOVE), blocks(BELOW), TWO, SPACING_MM, 0)
    # rows 1 to 4 have their centre at 2.5, the image at 7.5; columns 3 to 8 at 5.5, of 14 at 6.5, of 12 at 5.5
    assert found.structures[0].reference.place_mm == (-10.0, -1.0, 0.0)
    assert found.structures[1].prediction.place_mm is None


def test_other_names() -> None:
    swapped = blocks((2, *BELOW[1:]), (1, *ABOVE[1:]))
    found = measure_disagreement(swapped, blocks(BELOW, ABOVE), TWO, SPACING_MM, 0)
    np.testing.assert_allclose(found.dice, [[0, 1], [1, 0]])
    lacks = measure_disagreement(blocks(BELOW), blocks(BELOW, ABOVE), TWO, SPACING_MM, 0)
    np.testing.assert_allclose(lacks.dice, [[1, 0], [np.nan, np.nan]])


def test_a_structure_that_the_mask_lacks() -> None:
    found = measure_disagreement(blocks(BELOW), blocks(BELOW, ABOVE), TWO, SPACING_MM, 0)
    one = found.structures[1]
    assert one.dice == 0 and one.translation is None
    assert one.lacking.volume_mm3 == 4 * 6 * 6 and not one.lacking.between
    other = measure_disagreement(blocks(BELOW, ABOVE), blocks(BELOW), TWO, SPACING_MM, 0).structures[1]
    assert other.surplus.volume_mm3 == 144 and other.lacking.volume_mm3 == 0


def test_a_piece_between_others_and_a_rim_that_is_none() -> None:
    middle, top = (1, (6, 9), (3, 9), (3, 9)), (2, (11, 15), (3, 9), (3, 9))
    prediction = blocks(BELOW, middle, top)
    one = measure_disagreement(blocks(BELOW, top), prediction, TWO, SPACING_MM, 0).structures[0]
    assert one.lacking.between and one.lacking.volume_mm3 == 3 * 6 * 6
    wider = blocks((1, (1, 5), (2, 10), (2, 10)), ABOVE)  # by a voxel all around: an outline drawn larger
    rim = measure_disagreement(blocks(BELOW, ABOVE), wider, TWO, SPACING_MM, 0).structures[0]
    assert rim.lacking.volume_mm3 == 0 and 0.5 < rim.dice < 1


def test_jumps_are_counted_across_each_axis() -> None:
    """A slice moved by a column: 6 voxels too many and 6 too few, in each of 6 rows."""
    smooth = blocks((1, (1, 8), (3, 9), (3, 9)))
    rough = smooth.copy()
    rough[4] = np.roll(rough[4], 1, axis=1)
    found = measure_disagreement(rough, smooth, ((1,),), SPACING_MM, 0).structures[0]
    # of Z: 12 voxels unlike both neighbours, over an outline of 7 slices with 6 + 6 edges along either axis
    assert found.reference.jumps[0] == pytest.approx(12 / (7 * 24))
    assert found.prediction.jumps == (0.0, 0.0, 0.0)
    assert found.reference.jumps[2] == 0.0  # along a row the outline lies elsewhere, without a jump


def test_pieces_that_are_one_or_several() -> None:
    apart = blocks((1, (1, 4), (3, 9), (3, 9)), (1, (6, 9), (3, 9), (3, 9)), (1, (11, 14), (3, 9), (3, 9)))
    joined = apart.copy()
    joined[3:7, 5:7, 5:7] = 1  # a bridge between the first two
    merged = measure_disagreement(joined, apart, ((1,),), SPACING_MM, 0).structures[0]
    assert merged.merged == pytest.approx(1 / 3) and merged.split == 0
    split = measure_disagreement(apart, joined, ((1,),), SPACING_MM, 0).structures[0]
    assert split.split == pytest.approx(1 / 3) and split.merged == 0
    assert split.reference.pieces_mm3 == (108.0, 108.0, 108.0)


def test_what_is_not_annotated_counts_for_nothing() -> None:
    reference, prediction = blocks(BELOW), blocks(BELOW, ABOVE)
    reference[7:13] = IGNORED
    found = measure_disagreement(reference, prediction, TWO, SPACING_MM, 0)
    assert found.structures[0].dice == 1.0 and math.isnan(found.structures[1].dice)


def test_regions_hold_several_classes() -> None:
    prediction = blocks(BELOW, (1, *ABOVE[1:]))
    found = measure_disagreement(blocks(BELOW, ABOVE), prediction, ((1, 2), (2,)), SPACING_MM, 0)
    assert found.structures[0].dice == 1.0 and found.structures[1].dice == 0.0
    np.testing.assert_allclose(found.dice[0], [1, np.nan])


def test_empty_maps_and_other_shapes() -> None:
    nothing = np.zeros((3, 4, 5), np.uint8)
    found = measure_disagreement(nothing, nothing, TWO, SPACING_MM, 0)
    assert all(math.isnan(one.dice) for one in found.structures) and found.translation is None
    with pytest.raises(ValueError, match="differ in shape"):
        measure_disagreement(nothing, nothing[:2], TWO, SPACING_MM, 0)


def test_many_structures_take_no_more_memory_than_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks of all of fifty structures would take a hundred bytes a voxel, where sixty are counted on."""
    monkeypatch.setattr(translations, "SEARCHED_VOXELS", 1 << 14)
    labels = np.zeros((60, 64, 64), np.uint8)
    for index in range(50):
        low, front = 12 * (index // 10) + 2, 6 * (index % 10) + 1
        labels[low : low + 7, front : front + 5, 5:60] = index + 1
    moved = np.roll(labels, 2, axis=0)
    tracemalloc.start()
    found = measure_disagreement(labels, moved, [(index,) for index in range(1, 51)], SPACING_MM, 2)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 60 * labels.size
    assert found.translation is not None and found.translation.millimetres == (4.0, 0.0, 0.0)
    assert {one.translation and one.translation.millimetres for one in found.structures} == {(4.0, 0.0, 0.0)}
