"""Lesions of the phantoms: their kinds, sizes and contrasts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from autospine.phantom.lesions import CHANNELS, LABELS
from autospine.phantom.scan import PhantomCase
from tests.phantom.phantoms import CORNERS, diameters, drawn

LYTIC, SCLEROTIC = (value for _, value in LABELS)
CASES = (0, 1, 2, 4)


def marrow(case: PhantomCase, channel: int) -> float:
    """Signal of the bone right around the lesions: the median of a shell 2 to 5 mm off them, without its dark rims."""
    off = ndimage.distance_transform_edt(case.label == 0, case.spacing_mm)
    shell = case.image[channel][(off > 2) & (off < 5)]
    return float(np.median(shell))


def test_every_case_holds_up_to_six_lesions_of_two_kinds() -> None:
    counts = [[len(diameters(drawn(number, "metastases"), value)) for value in (LYTIC, SCLEROTIC)] for number in CASES]
    assert all(sum(pair) <= 6 for pair in counts)
    assert sum(map(sum, counts)) >= 8
    # Five cases of six have both kinds, enough for five folds; every sixth has one lesion at most.
    assert all(min(pair) >= 1 for number, pair in zip(CASES, counts, strict=True) if number % 6 != 4)
    assert sum(counts[CASES.index(4)]) <= 1


def test_lesions_are_between_4_and_25_mm_and_half_of_them_small() -> None:
    sizes = [
        one for number in CASES for value in (LYTIC, SCLEROTIC) for one in diameters(drawn(number, "metastases"), value)
    ]
    assert 2.5 < min(sizes) < 7  # of 4 mm a voxel or two are left
    assert 12 < max(sizes) < 26
    assert sum(size < 12 for size in sizes) >= len(sizes) / 2


def test_lesions_lie_in_bodies_and_apart() -> None:
    """Dilated by a voxel they still do not meet: each is one component, of one kind."""
    for number in CASES:
        label = drawn(number, "metastases").label
        both, separate = (ndimage.label(mask, CORNERS)[1] for mask in (label > 0, label == LYTIC))
        assert both == separate + ndimage.label(label == SCLEROTIC, CORNERS)[1]


def contrast(case: PhantomCase, value: int, channel: int) -> float:
    """Mean signal of a kind of lesion over that of the bone around, less one."""
    mask = ndimage.binary_erosion(case.label == value)
    return float(case.image[channel][mask if mask.any() else case.label == value].mean()) / marrow(case, channel) - 1


@pytest.mark.parametrize("number", (0, 1, 2))
def test_sequences_show_what_they_should(number: int) -> None:
    case = drawn(number, "metastases")
    seen = {
        (channel, value): contrast(case, value, index)
        for index, channel in enumerate(CHANNELS)
        for value in (LYTIC, SCLEROTIC)
    }
    assert seen["T1", LYTIC] < -0.15 and seen["T1", SCLEROTIC] < -0.3
    assert seen["T2", LYTIC] > 0.2 and seen["T2", SCLEROTIC] < -0.3
    assert seen["STIR", LYTIC] > 1
    # STIR serves lytic lesions best, T1 sclerotic ones better than STIR.
    assert abs(seen["STIR", LYTIC]) > max(abs(seen[other, LYTIC]) for other in ("T1", "T2"))
    assert abs(seen["T1", SCLEROTIC]) > abs(seen["STIR", SCLEROTIC])


def test_the_sequences_show_one_patient() -> None:
    """Bone is bright in T1 and dark in STIR, fluid the other way round, at the same places."""
    t1, t2, stir = drawn(0, "metastases").image.astype(float)
    fluid = (stir > np.percentile(stir, 98)) & (t2 > np.percentile(t2, 90))
    assert fluid.mean() > 0.01
    assert np.median(t1[fluid]) < np.median(t1[t1 > np.percentile(t1, 30)])
