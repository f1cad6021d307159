"""Masks of small columns are made wrong; the reason is found, in words, before any case that is only hard."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from autospine.evaluation.disagreement import CaseDisagreement
from autospine.evaluation.suspicion import JudgedCase, RankedCase, rank_cases
from tests.columns import NAMES, SLICES, SPACING_MM, Labels, column, disagreement, predicted
from tests.wrong_masks import spoil

CASES = 12


@cache
def right(number: int) -> CaseDisagreement:
    return disagreement(column(number), number)


def ranked(**wrong: CaseDisagreement) -> tuple[RankedCase, ...]:
    """All cases, of which those of these names have another disagreement."""
    named = {f"c{number}": right(number) for number in range(CASES)} | wrong
    return rank_cases([JudgedCase(name, name, one) for name, one in named.items()], NAMES)


def of_mask(mask: Labels, number: int) -> CaseDisagreement:
    return disagreement(mask, number, column(number))


def test_right_masks_have_low_scores() -> None:
    found = ranked()
    assert len(found) == CASES and max(one.score for one in found) < 0.3
    assert sorted(one.case for one in found) == sorted(f"c{number}" for number in range(CASES))


def test_exchanged_levels() -> None:
    mask = column(4)
    table = np.array([0, 1, 3, 2], np.uint8)
    first = ranked(c4=of_mask(table[mask], 4))[0]
    assert first.case == "c4" and first.score > 0.6
    assert first.suspicions[0].reason == "swapped"
    assert first.suspicions[0].detail == "L2 and L1 are exchanged" and first.suspicions[0].structures == ("L2", "L1")
    assert first.dice == 0.0


def test_levels_that_are_named_one_too_high() -> None:
    mask = column(4)
    moved = np.array([0, 2, 3, 0], np.uint8)[mask]
    first = ranked(c4=of_mask(moved, 4))[0]
    assert first.case == "c4" and first.suspicions[0].reason == "swapped"
    assert first.suspicions[0].detail == "L2 and L1 lie where L3 and L2 are predicted"


def test_a_mask_that_lies_half_a_level_higher() -> None:
    first = ranked(c7=of_mask(np.roll(column(7), 7, axis=0), 7))[0]
    assert first.case == "c7" and first.suspicions[0].reason == "shifted"
    assert first.suspicions[0].structures == NAMES and first.score > 0.5
    assert first.suspicions[0].detail.startswith("L3 to L1 lie 7 mm higher")


def test_a_level_that_was_forgotten() -> None:
    mask = column(2)
    mask[mask == 2] = 0
    first = ranked(c2=of_mask(mask, 2))[0]
    assert first.case == "c2" and first.suspicions[0].reason == "missing" and first.score > 0.5
    assert first.suspicions[0].detail.startswith("L2 is not in the mask, and 2.")


def test_outlines_that_waver() -> None:
    made = spoil(column(5), "ragged", SLICES, np.random.default_rng(0))
    assert made is not None
    first = ranked(c5=of_mask(made[0], 5))[0]
    assert first.case == "c5" and first.suspicions[0].reason == "ragged" and first.score > 0.3


def test_half_of_a_level_and_a_blob() -> None:
    mask = column(3)
    half = mask.copy()
    half[:31][half[:31] == 2] = 0
    lacks = ranked(c3=of_mask(half, 3))[0]
    assert lacks.case == "c3" and "L2" in {name for one in lacks.suspicions for name in one.structures}
    blob = mask.copy()
    blob[54:62, 2:8, 2:6][blob[54:62, 2:8, 2:6] == 0] = 1
    extra = ranked(c3=of_mask(blob, 3))[0]
    assert extra.case == "c3" and "extra" in {one.reason for one in extra.suspicions}


def test_a_network_that_miscounts_is_no_fault_of_the_mask() -> None:
    """The same disagreement, once with the mask out of order and once with the prediction."""
    table = np.array([0, 1, 3, 2], np.uint8)
    wrong_mask = ranked(c4=of_mask(table[column(4)], 4))[0].score
    from autospine.evaluation.disagreement import measure_disagreement

    swapped = table[predicted(column(4), 4)]
    wrong_network = measure_disagreement(column(4), swapped, ((1,), (2,), (3,)), SPACING_MM, SLICES)
    found = {one.case: one.score for one in ranked(c4=wrong_network)}
    assert found["c4"] < 0.4 * wrong_mask


def test_an_unsure_network_counts_less() -> None:
    mask = column(2)
    mask[mask == 2] = 0
    cases = [JudgedCase(f"c{number}", f"c{number}", right(number), (0.9, 0.9, 0.9)) for number in range(CASES)]
    cases[2] = JudgedCase("c2", "c2", of_mask(mask, 2), (0.9, 0.9, 0.9))
    sure = rank_cases(cases, NAMES)[0].suspicions[0]
    cases[2] = JudgedCase("c2", "c2", of_mask(mask, 2), (0.9, 0.45, 0.9))
    unsure = next(one for one in rank_cases(cases, NAMES) if one.case == "c2")
    score = next(one.score for one in unsure.suspicions if one.reason == "missing")
    assert score == pytest.approx(sure.score / 4)


def test_a_structure_that_is_always_bad_is_not_suspicious() -> None:
    """L1 is predicted badly in every case: none stands out."""
    from autospine.evaluation.disagreement import measure_disagreement

    def bad(number: int) -> CaseDisagreement:
        found = predicted(column(number), number)
        found[found == 3] = 0
        found[50:58, 4:8, 3:5] = 3
        return measure_disagreement(column(number), found, ((1,), (2,), (3,)), SPACING_MM, SLICES)

    named = {f"c{number}": bad(number) for number in range(CASES)}
    found = rank_cases([JudgedCase(name, name, one) for name, one in named.items()], NAMES)
    assert max(one.score for one in found) < 0.3


def test_nothing_to_rank() -> None:
    assert rank_cases([], NAMES) == ()
    one = rank_cases([JudgedCase("a", "a", right(0))], NAMES)
    assert one[0].score == 0.0 and one[0].suspicions == () and one[0].dice > 0.8
