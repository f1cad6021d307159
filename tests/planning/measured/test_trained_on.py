"""What a model learns from, in numbers worked out by hand."""

from __future__ import annotations

from autospine.planning.document.trained_on import TrainedOn
from autospine.planning.measured.fingerprint import CaseFingerprint, Fingerprint, IntensityFingerprint
from autospine.planning.measured.trained_on import shared_descriptions, trained_on


def case(name: str, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> CaseFingerprint:
    ones = ((1.0, 1.0, 1.0),)
    return CaseFingerprint(name, name, shape, spacing_mm, shape, (5,), ((1, 1, 1),), ones, ones, "")


def test_ranges_and_planes() -> None:
    cases = (
        case("a", (320, 320, 15), (0.6, 0.6, 4.0)),
        case("b", (256, 320, 17), (0.8, 0.6, 5.0)),
        case("c", (20, 512, 512), (4.0, 0.5, 0.5)),
    )
    fingerprint = Fingerprint("toy", ("T2",), (("L5", 1),), cases, (IntensityFingerprint(0, 1, 0, 0, 0, 0, 0),))
    assert trained_on(fingerprint, ["sag T2", "sag  T2 ", "ax T1"]) == TrainedOn(
        3,
        ((0.6, 0.5, 0.5), (0.8, 0.6, 4.0), (4.0, 0.6, 5.0)),
        ((20.0, 320.0, 15.0), (256.0, 320.0, 17.0), (320.0, 512.0, 512.0)),
        "sagittal",
        ("sag T2",),
    )


def test_what_one_series_alone_is_called_stays_behind() -> None:
    """A technologist may have typed a name there."""
    assert shared_descriptions(["Mr Smith sag", "t2", "t1", "t2", "t1", "t1", "", "", "\x1b", "\x1b"]) == ("t1", "t2")
    assert shared_descriptions(["x" * 300] * 2) == ()
    assert len(shared_descriptions([str(number) for number in range(200)] * 2)) == 100
