from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from autospine.planning.measured.anatomy import Anatomy
from autospine.planning.measured.column import CaseColumn
from autospine.planning.measured.fingerprint import Fingerprint


def levels_of(fingerprint: Fingerprint) -> tuple[int, tuple[int, ...]] | None:
    column = Anatomy.of(fingerprint).column
    return None if column is None else (column.axis, column.chain)


def test_vertebrae_are_levels_and_nested_or_paired_labels_are_not(make_fingerprint: Callable[..., Fingerprint]) -> None:
    grid = ([(20, 200, 90)] * 4, [(4.0, 1.0, 1.0)] * 4)

    def column(places: Sequence[float | None], extent: float, names: Sequence[str]) -> Fingerprint:
        fingerprint = make_fingerprint(*grid, tuple(names), voxels=(1000,) * len(names))
        centroids = tuple(None if place is None else (place, 10.0, 10.0) for place in places)
        extents = tuple((extent if place is not None else 0.0, 30.0, 30.0) for place in places)
        cases = [replace(case, class_centroids_mm=centroids, class_extents_mm=extents) for case in fingerprint.cases]
        return replace(fingerprint, cases=tuple(cases))

    plain, named = ("a", "b", "c", "d"), ("L1", "L2", "L3", "L4")
    for names in (plain, named):
        assert levels_of(column((130.0, 96.0, 64.0, 30.0), 26.0, names)) == (0, (3, 2, 1, 0))
        assert levels_of(column((130.0, 96.0, 64.0, 30.0), 60.0, names)) is None  # they overlap along the axis
        assert levels_of(column((50.0, 50.0, 50.0, 50.0), 26.0, names)) is None  # no order at all
    far = (230.0, 96.0, 64.0, 30.0)
    assert levels_of(column(far, 26.0, plain)) is None  # one stands far off
    assert levels_of(column(far, 26.0, named)) == (0, (3, 2, 1, 0))  # and is called what it is
    # by their names vertebrae are levels beside other classes, and where some are missing
    beside = ("canal", "L1", "L2", "L3", "L4", "sacrum")
    assert levels_of(column((80.0, 130.0, None, 64.0, 30.0, 5.0), 26.0, beside)) == (0, (4, 3, 2, 1))
    assert levels_of(column((80.0, 130.0, 96.0, 40.0, 64.0, 5.0), 26.0, beside)) is None  # L3 lies below L4
    two = make_fingerprint(*grid, ("anterior", "posterior"), voxels=(1000, 1000))
    assert levels_of(two) is None


def test_steps_go_from_level_to_level() -> None:
    whole = CaseColumn((10.0, 40.0, 68.0), (26.0, 28.0, 27.0))
    assert (whole.steps, whole.is_even) == ([30.0, 28.0], True)
    gap = CaseColumn((10.0, None, 68.0), (26.0, 27.0))
    assert (gap.steps, gap.is_even) == ([], False)
    # 46 is more than 1.5 x 30
    assert not CaseColumn((10.0, 40.0, 86.0), (26.0, 28.0, 27.0)).is_even


def test_labels_that_are_no_levels_are_not_counted(make_fingerprint: Callable[..., Fingerprint]) -> None:
    labels = make_fingerprint([(20, 200, 90)] * 4, [(4.0, 1.0, 1.0)] * 4, ("white", "grey"), voxels=(1000, 300))
    view = Anatomy.of(labels).view
    assert (view.countable, view.reason) == (False, "the labels are no levels of a column")
