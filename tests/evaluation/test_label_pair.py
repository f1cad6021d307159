"""Two label maps: which values meet, and where each class is, against a plain comparison."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospine.evaluation.label_pair import Counts, LabelPair, Meeting


def test_meetings_by_hand() -> None:
    prediction = np.array([[0, 0, 7, 7, 1]], np.uint8)
    reference = np.array([[0, 2, 2, 7, 255]], np.int32)
    pair = LabelPair(prediction, reference, 255)
    assert set(pair.meetings) == {Meeting(0, 2, 1), Meeting(7, 2, 1), Meeting(7, 7, 1), Meeting(1, 255, 1)}
    assert pair.annotated == 4 and pair.axes == (1,)
    assert pair.counts(7) == Counts(1, 2, 1, 4)
    assert pair.counts((2, 7)) == Counts(2, 2, 3, 4)
    assert pair.counts(1) == Counts(0, 0, 0, 4) and pair.counts(9) == Counts(0, 0, 0, 4)
    masks = pair.masks(1)
    assert masks.predicted.tolist() == [[True]] and masks.judged.tolist() == [[False]]
    assert pair.masks(9).expected.size == 0
    assert pair.masks(7, 2).expected.tolist() == [[True, False]]


def test_nothing_anywhere() -> None:
    pair = LabelPair(np.zeros((2, 3, 4), np.uint8), np.zeros((2, 3, 4), np.uint8))
    assert pair.meetings == () and pair.annotated == 24 and pair.counts(1) == Counts(0, 0, 0, 24)
    assert pair.masks((1, 2)).predicted.shape == (0, 0, 0)


def test_shapes_have_to_be_the_same() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        LabelPair(np.zeros((2, 3, 4)), np.zeros((2, 3, 5)))


KINDS = [np.uint8, np.int16, np.int64]
"""Of numbers, with the values that a map of them may hold."""
VALUES = {np.uint8: (0, 1, 3, 255), np.int16: (0, 1, 3, 4000), np.int64: (0, 1, 3, 2**31 - 1)}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), first=st.sampled_from(KINDS), second=st.sampled_from(KINDS), share=st.floats(0, 1))
def test_as_a_plain_comparison_has_it(seed: int, first: type, second: type, share: float) -> None:
    rng, shape = np.random.default_rng(seed), (4, 5, 6)
    prediction, reference = (
        np.where(rng.random(shape) < share, 0, rng.choice(VALUES[kind], shape)).astype(kind) for kind in (first, second)
    )
    pair = LabelPair(prediction, reference, 3)
    for label in (1, (1, 255), (1, 4000, 2**31 - 1)):
        values = [label] if isinstance(label, int) else label
        mine, theirs, known = np.isin(prediction, values), np.isin(reference, values), reference != 3
        expected = Counts(
            int((mine & theirs).sum()), int((mine & known).sum()), int((theirs & known).sum()), int(known.sum())
        )
        assert pair.counts(label) == expected
        masks = pair.masks(label)
        assert masks.judged.sum() == expected.predicted and masks.expected.sum() == expected.expected
        assert masks.predicted.sum() == mine.sum() and (masks.predicted & masks.expected).sum() == expected.both
        either = np.argwhere(mine | theirs)
        size = tuple(np.ptp(either, axis=0) + 1) if len(either) else (0, 0, 0)
        assert masks.predicted.shape == size


def test_of_very_many_values_none_is_lost() -> None:
    values = np.arange(1, 5001).reshape(50, 100)
    pair = LabelPair(values * 70_000, values)
    assert len(pair.meetings) == 5000 and pair.counts(4321) == Counts(0, 0, 1, 5000)
    same = LabelPair(values, values)
    assert sum(one.voxels for one in same.meetings) == 5000 and same.counts(4321) == Counts(1, 1, 1, 5000)
