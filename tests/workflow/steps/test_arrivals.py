"""A folder into which images arrive, looked at with a clock of the test's."""

from __future__ import annotations

from pathlib import Path

import pytest

from autospine.errors import DataError
from autospine.workflow.steps.arrivals import Arrivals, Watch


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def arrivals(tmp_path: Path, clock: Clock) -> Arrivals:
    (tmp_path / "in" / "out").mkdir(parents=True)
    return Arrivals(tmp_path / "in", tmp_path / "in" / "out", Watch(2.0, 5.0, 30.0), clock, lambda seconds: None)


def test_a_file_is_whole_when_it_has_not_changed_for_long_enough(arrivals: Arrivals, clock: Clock) -> None:
    image = arrivals.folder / "a.nii.gz"
    image.write_bytes(b"1")
    assert arrivals.look() and not arrivals.is_due("a", (image,))
    clock.now += 4.0
    image.write_bytes(b"12")
    assert arrivals.look()
    clock.now += 4.0
    assert not arrivals.look() and not arrivals.is_due("a", (image,))
    clock.now += 1.0
    assert arrivals.look() and arrivals.is_due("a", (image,))
    arrivals.handle("a", (image,))
    assert not arrivals.is_due("a", (image,))
    clock.now += 100.0
    assert arrivals.look()  # old enough now for one of a series
    clock.now += 100.0
    assert not arrivals.look()
    image.write_bytes(b"another")
    assert arrivals.look() and not arrivals.is_due("a", (image,))
    clock.now += 5.0
    assert arrivals.look() and arrivals.is_due("a", (image,))


def test_a_series_is_whole_when_nothing_has_come_for_longer(arrivals: Arrivals, clock: Clock) -> None:
    series = arrivals.folder / "study" / "series"
    series.mkdir(parents=True)
    for number in range(3):
        (series / f"IM{number}").write_bytes(b"slice")
        arrivals.look()
        clock.now += 20.0
    assert not arrivals.is_due("study", (series,))
    clock.now += 9.0
    arrivals.look()
    assert not arrivals.is_due("study", (series,))
    clock.now += 2.0
    assert arrivals.look() and arrivals.is_due("study", (series,))
    arrivals.handle("study", (series,))
    (series / "IM9").write_bytes(b"late")
    assert arrivals.look() and not arrivals.is_due("study", (series,))


def test_what_is_made_or_hidden_is_no_news(arrivals: Arrivals) -> None:
    arrivals.look()
    (arrivals.apart / "a.nii.gz").write_bytes(b"made")
    (arrivals.folder / ".part").write_bytes(b"of a copy")
    (arrivals.folder / ".hidden").mkdir()
    (arrivals.folder / ".hidden" / "a.nii.gz").write_bytes(b"1")
    assert not arrivals.look()


def test_all_channels_and_what_lies_beside_a_header_have_to_be_there(arrivals: Arrivals, clock: Clock) -> None:
    header, voxels, other = (arrivals.folder / name for name in ("a_0000.mhd", "a_0000.raw", "a_0001.mha"))
    header.write_text("ObjectType = Image\nNDims = 3\nElementDataFile = a_0000.raw\n")
    voxels.write_bytes(b"1")
    arrivals.look()
    clock.now += 6.0
    voxels.write_bytes(b"12")
    other.write_bytes(b"1")
    arrivals.look()
    assert not arrivals.is_due("a", (header, None))
    clock.now += 6.0
    arrivals.look()
    assert arrivals.is_due("a", (header, other))
    assert not arrivals.is_due("b", (header, arrivals.folder / "elsewhere" / "none.nii"))


def test_what_is_wrong_is_certain_after_a_while_and_told_once(arrivals: Arrivals, clock: Clock) -> None:
    fault = DataError("a.nii.gz", "damaged or cut off")
    assert not arrivals.is_certain(fault)
    clock.now += 3.0
    assert arrivals.look() and not arrivals.is_certain(fault)
    clock.now += 3.0
    assert arrivals.look() and arrivals.is_certain(fault)
    assert not arrivals.is_certain(fault) and not arrivals.look()
    arrivals.forget_faults([])
    assert not arrivals.is_certain(fault)  # wrong again, which may be another copy in coming


def test_looking_takes_a_small_part_of_the_time(tmp_path: Path) -> None:
    times, slept = iter((0.0, 3.0)), list[float]()
    arrivals = Arrivals(tmp_path, tmp_path / "out", Watch(2.0), lambda: next(times), slept.append)
    arrivals.look()
    arrivals.pause()
    assert slept == [60.0]


def test_the_record_is_put_together_in_a_small_part_of_the_time(arrivals: Arrivals, clock: Clock) -> None:
    assert arrivals.is_time()
    with arrivals.timed():
        clock.now += 3.0
    for seconds, due in ((0.0, False), (59.0, False), (1.0, True)):
        clock.now += seconds
        assert arrivals.is_time() is due
