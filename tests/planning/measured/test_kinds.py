"""How many kinds of scan a data set has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from autospine.planning.measured.fingerprint import Fingerprint
from autospine.planning.measured.kinds import Scans, count_kinds


def seen(fingerprint: Fingerprint, *contrasts: tuple[float | None, ...]) -> Fingerprint:
    """The cases of a fingerprint, in which the labels of the one channel stand out so."""
    cases = [replace(case, contrasts=(held,)) for case, held in zip(fingerprint.cases, contrasts, strict=True)]
    return replace(fingerprint, cases=tuple(cases))


def test_voxel_sizes_slices_and_greys_tell_kinds_apart(make_fingerprint: Callable[..., Fingerprint]) -> None:
    spacings = [(1.0, 1.0, 4.0)] * 2 + [(1.05, 1.0, 4.2), (0.7, 0.7, 4.0), (4.0, 1.0, 1.0)]
    shapes = [(200, 200, 20)] * 4 + [(20, 200, 200)]
    scans = make_fingerprint(shapes, spacings, ("L5", "disc"))
    alike = seen(scans, *[(0.3, -0.5)] * 5)
    assert count_kinds(alike.cases) == 3
    assert count_kinds(alike.cases[:3]) == 1
    others = seen(scans, (0.3, -0.5), (0.1, None), (-1.1, 0.9), (0.3, -0.5), (0.3, -0.5))
    assert count_kinds(others.cases) == 4
    assert count_kinds(scans.cases[:2]) == 1, "nothing is known of their greys"


def test_what_is_no_anatomy_by_its_name_is_told(make_fingerprint: Callable[..., Fingerprint]) -> None:
    scans = make_fingerprint([(20, 20, 20)], [(1.0, 1.0, 4.0)], ("L5", "metastasis", "thing", "disc"))
    assert Scans.of(scans).unknown == ("metastasis", "thing")
