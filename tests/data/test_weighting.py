"""What descriptions, image types and times of sequences say of an image."""

from __future__ import annotations

import pytest

from autospine.data.weighting import (
    COMPUTED,
    LOCALISER,
    Kind,
    Timing,
    contradiction,
    kind_of_series,
    kind_of_text,
    no_volume,
    weighting_of_timing,
)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("t2_tse_sag_384", Kind("T2")),
        ("sT2W_TSE", Kind("T2")),
        ("acq-sag_T2w", Kind("T2")),
        ("AX T2 FRFSE", Kind("T2")),
        ("SAG T2 STIR", Kind("STIR")),
        ("t2_tirm_sag", Kind("STIR")),
        ("T2*", Kind("T2*")),
        ("T2star", Kind("T2*")),
        ("t2_me2d_tra", Kind("T2*")),
        ("eT1W_SE", Kind("T1")),
        ("SAG T1 FLAIR", Kind("T1")),
        ("T2 FLAIR", Kind("FLAIR")),
        ("FLAIR", Kind("FLAIR")),
        ("T1W_TSE fs KM", Kind("T1", "", True, True)),
        ("t1_tse_sag +C", Kind("T1", "", False, True)),
        ("CE-T1", Kind("T1", "", False, True)),
        ("T1 post Gd", Kind("T1", "", False, True)),
        ("T1 native", Kind("T1")),
        ("T1 pre-contrast", Kind("T1")),
        ("Sag T2 FSEfs", Kind("T2", "", True)),
        ("FAT SAT T2", Kind("T2", "", True)),
        ("PD_fs", Kind("PD", "", True)),
        ("t2_tse_dixon_sag_W", Kind("T2", "water")),
        ("t2_tse_dixon_sag_F", Kind("T2", "fat")),
        ("mDIXON in-phase", Kind("", "in phase")),
        ("water", Kind("", "water")),
        ("fat", Kind("", "fat")),
        ("water excitation T1", Kind("T1")),
        ("ep2d_diff_trace", Kind("DWI")),
        # levels of the spine are no weightings
        ("sag T2 T1-T12", Kind("T2")),
        ("T2 C7-T1", Kind("T2")),
        ("sag T2 T11", Kind("T2")),
        # of both nobody knows
        ("T1 T2 registered", Kind()),
        ("MR", Kind()),
        ("channel_0", Kind()),
        ("", Kind()),
    ],
)
def test_descriptions(text: str, kind: Kind) -> None:
    assert kind_of_text(text) == kind


def test_the_first_text_that_says_anything_counts() -> None:
    assert kind_of_text("sag lumbar", "T1 fs", "T2") == Kind("T1", "", True)


@pytest.mark.parametrize(
    ("timing", "weighting"),
    [
        (Timing(12, 560, None, True), "T1"),
        (Timing(102, 3500, None, True), "T2"),
        (Timing(15, 2500, None, True), "PD"),
        (Timing(60, 4000, 160, True), "STIR"),
        (Timing(100, 9000, 2500, True), ""),
        # between the two, of a gradient echo, or without times nothing is told
        (Timing(45, 2500, None, True), ""),
        (Timing(12, 1400, None, True), ""),
        (Timing(80, 600, None, True), ""),
        (Timing(12, 560, None, False), ""),
        (Timing(None, 560, None, True), ""),
    ],
)
def test_times_of_spin_echoes(timing: Timing, weighting: str) -> None:
    assert weighting_of_timing(timing) == weighting


def test_a_series_is_told_by_words_before_times() -> None:
    t1 = Timing(12, 560, None, True)
    assert kind_of_series(("sag T2",), (), t1, False) == Kind("T2")
    assert kind_of_series(("sag",), (), t1, True) == Kind("T1", "", False, True)
    dixon = ("DERIVED", "PRIMARY", "DIXON", "WATER")
    assert kind_of_series(("T2 sag",), dixon, Timing(), False) == Kind("T2", "water")
    # the first two values say how an image came to be
    assert kind_of_series(("T2 sag",), ("W", "F", "M"), Timing(), False) == Kind("T2")


@pytest.mark.parametrize(
    ("wanted", "found", "said"),
    [
        (Kind("T2"), Kind("T1"), "T1, not T2"),
        (Kind("T2"), Kind("STIR"), "STIR, not T2"),
        (Kind("T2"), Kind("T2", "fat"), "fat, not T2"),
        (Kind("", "water"), Kind("T2"), "T2, not water"),
        (Kind("", "water"), Kind("T2", "fat"), "fat, not water"),
        (Kind("", "water"), Kind("T2", "water"), ""),
        (Kind("T2"), Kind("T2", "in phase"), ""),
        (Kind("T2"), Kind("T2", "", True, True), ""),
        (Kind("T2"), Kind(), ""),
        (Kind("", "water"), Kind(), ""),
        (Kind(), Kind("T1"), ""),
    ],
)
def test_what_speaks_against_an_image(wanted: Kind, found: Kind, said: str) -> None:
    assert contradiction(wanted, found) == said


def test_kinds_in_words() -> None:
    assert str(Kind("T1", "water", True, True)) == "T1, water, fat-suppressed, after contrast agent"
    assert str(Kind()) == "of no known weighting" and not Kind("", "", True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        *((text, LOCALISER) for text in ("localizer", "Localiser", "3-plane loc", "Survey_32", "T2 scout")),
        *((text, COMPUTED) for text in ("ADC (10^-6)", "T2 MIP", "SUB t1", "T2map", "Fat Fraction", "PDFF")),
        *((text, "") for text in ("T2 sag", "t2_tse_sag_local", "subject 3 T2", "lumbar")),
    ],
)
def test_what_is_no_volume_of_its_own(text: str, why: str) -> None:
    assert no_volume(text) == why
