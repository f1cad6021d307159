"""What counts in which order where one of several images is chosen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autospine.data.geometry import Geometry
from autospine.data.series_choice import Candidate, Sought, check_asked, choose, doubts, is_thick
from autospine.data.weighting import Kind
from autospine.errors import DataError

UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
GRID = Geometry((300, 300, 15), (0.8, 0.8, 4.0), (0.0, 0.0, 0.0), UPRIGHT)
"""Canonical, of sagittal slices."""
SOUGHT = Sought(
    "sagittal",
    True,
    ((0.7, 0.7, 3.6), (0.9, 0.9, 4.4)),
    ((200.0, 200.0, 50.0), (280.0, 280.0, 70.0)),
    ("T2 TSE SAG",),
)
BEST = Candidate(Path("best"), "T2 TSE SAG", Kind("T2"), 1, "1.2", 15, "sagittal", GRID, "f")


def named(name: str, **changes: object) -> Candidate:
    return replace(BEST, path=Path(name), number=None, uid="", **changes)  # type: ignore[arg-type]


WORSE = [
    named("unknown", kind=Kind()),
    named("near axial", plane="axial", geometry=replace(GRID, spacing_mm=(0.9, 0.8, 0.8))),
    named("other words", called="T2 FRFSE"),
    named("suppressed", kind=Kind("T2", "", True)),
    named("after contrast agent", kind=Kind("T2", "", False, True)),
    named("coarse", geometry=replace(GRID, spacing_mm=(1.2, 1.2, 4.0), shape=(200, 200, 15))),
    named("small", geometry=replace(GRID, shape=(80, 80, 15))),
    named("computed", measured=False),
]
"""Each worse in one thing, the ones in front in what counts more."""


def chosen(*candidates: Candidate, sought: Sought = SOUGHT) -> str:
    (one,) = choose("case", candidates, ("T2",), (), sought).files
    assert one is not None
    return one.path.name


def test_each_agreement_counts_before_those_after_it() -> None:
    for place, one in enumerate(WORSE):
        assert chosen(one, BEST) == chosen(BEST, one) == "best"
        for other in WORSE[place + 1 :]:
            if {one.path.name, other.path.name} != {"suppressed", "after contrast agent"}:
                assert chosen(one, other) == other.path.name, (one.path, other.path)


def test_what_speaks_against_an_image_leaves_it_out() -> None:
    thick = Geometry((15, 300, 300), (4.0, 0.8, 0.8), (0.0, 0.0, 0.0), UPRIGHT)
    for one, said in (
        (named("a", kind=Kind("STIR")), "STIR, not T2"),
        (named("b", plane="axial", geometry=thick), "axial, not sagittal"),
        (named("c", aside="a localiser"), "a localiser"),
        (named("d", kind=Kind(), modality="CT"), "CT, not MR"),
    ):
        assert doubts(one, "T2", SOUGHT) == said
        with pytest.raises(DataError, match=said):
            choose("case", [one], ("T2",), (), SOUGHT)
    assert doubts(named("e", modality="MR"), "CT", SOUGHT) == "MR, not CT"
    assert (
        doubts(named("e", kind=Kind(), modality="CT"), "CT", SOUGHT)
        == doubts(named("e", modality="OT"), "T2", SOUGHT)
        == ""
    )
    # where slices are no thicker than their pixels, any plane can be made of any other
    cubes = replace(SOUGHT, thick=False)
    assert doubts(named("b", plane="axial", geometry=thick), "T2", cubes) == ""
    assert is_thick((4.0, 1.0, 1.0), "axial") and not is_thick((4.0, 1.0, 1.0), "sagittal")


def test_where_what_is_shown_is_not_sure_nothing_less_decides() -> None:
    one = named("a", called="x", kind=Kind())
    other = named("b", called="y", kind=Kind("", "", True), measured=False)
    with pytest.raises(DataError, match="2 images fit equally"):
        chosen(one, other)
    # of one kind, the finer, larger or measured one is the better of two
    assert chosen(one, replace(other, kind=Kind())) == "a"


def test_channels_are_taken_from_one_grid() -> None:
    elsewhere = replace(GRID, origin_mm=(0.0, 50.0, 0.0))
    water, fat = named("w", kind=Kind("", "water")), named("f", kind=Kind("", "fat"))
    others = [replace(one, path=Path(f"{one.path}2"), geometry=elsewhere, measured=False) for one in (water, fat)]
    choice = choose("case", [*others, fat, water], ("water", "fat"), (), SOUGHT)
    assert [one and one.path.name for one in choice.files] == ["w", "f"]
    # a frame of reference that differs is another position of the patient
    with pytest.raises(DataError, match="no images on one grid for water, fat"):
        choose("case", [water, replace(fat, frame_of_reference="g")], ("water", "fat"), (), SOUGHT)
    assert choose("case", [water, replace(fat, frame_of_reference="g")], ("water", "fat"), (1,), SOUGHT).files == (
        water,
        None,
    )


def test_two_channels_are_never_one_image() -> None:
    with pytest.raises(DataError, match="T2, T2w would all be read from"):
        choose("case", [BEST], ("T2", "T2w"), (), SOUGHT)


def test_a_channel_takes_from_descriptions_what_its_name_leaves_open() -> None:
    fat_saturated = replace(SOUGHT, descriptions=("t2 fs sag", "T2 FATSAT"))
    assert chosen(named("plain"), named("fs", kind=Kind("T2", "", True)), sought=fat_saturated) == "fs"
    mixed = replace(SOUGHT, descriptions=("t2 fs sag", "t2 sag"))
    assert chosen(named("plain"), named("fs", kind=Kind("T2", "", True)), sought=mixed) == "plain"


def test_what_a_user_names_goes_before_all_that_speaks_against_it() -> None:
    scout = named("scout", called="T2 scout", aside="a localiser")
    asked = replace(SOUGHT, series=("t2",))
    assert chosen(BEST, scout, sought=asked) == "best"
    assert chosen(scout, sought=asked) == "scout"
    choice = choose("case", [BEST, scout], ("T2",), (), replace(SOUGHT, series=("*scout",)))
    assert choice.why.endswith("--series *scout, T2, sagittal, a localiser; chosen of 2 images")


def test_a_number_is_a_number_and_no_part_of_a_description() -> None:
    numbered = [replace(BEST, number=number, path=Path(str(number)), called=f"T2 30{number}") for number in (3, 30)]
    assert chosen(*numbered, sought=replace(SOUGHT, series=("3",))) == "3"
    with pytest.raises(DataError, match="no image that --series 4 names"):
        chosen(*numbered, sought=replace(SOUGHT, series=("4",)))


def test_what_is_asked_is_checked_before() -> None:
    check_asked(("T2=3", "re:a=(b)", "*"), ("T2",))
    regex, nothing = "not a regular expression", "nothing"
    for text, said in (
        *(("T1=3", "T1 is no channel"), ("re:(", regex), ("T2=re:(", regex)),
        *((" ", nothing), ("T2=", nothing)),
    ):
        with pytest.raises(DataError, match=said):
            check_asked((text,), ("T2",))


def test_long_lists_are_cut() -> None:
    many = [named(str(place)) for place in range(40)]
    with pytest.raises(DataError, match="40 images fit equally") as fault:
        chosen(*many)
    assert fault.value.found.endswith("; ...") and len(fault.value.found) < 2000
