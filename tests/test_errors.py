"""What an error says, of which kind each is, and that it comes back from another process as it was."""

from __future__ import annotations

import pickle

import pytest

from autospine.errors import AutospineError, DataError, DeviceError, OutputError, PlanError, Stopped

KINDS = (DataError, PlanError, DeviceError, OutputError)


def test_what_is_known_is_said_line_by_line() -> None:
    whole = DataError("a.nii", "no such file", "an image", "copy it")
    assert str(whole) == "a.nii: no such file\nExpected: an image\nWhat to do: copy it"
    assert (whole.where, whole.found, whole.expected, whole.remedy) == ("a.nii", "no such file", "an image", "copy it")
    assert str(DataError("a.nii", "no such file")) == "a.nii: no such file"
    assert str(DataError("a.nii", "no such file", remedy="copy it")) == "a.nii: no such file\nWhat to do: copy it"


@pytest.mark.parametrize("kind", KINDS)
def test_one_handler_takes_what_the_user_can_mend(kind: type[AutospineError]) -> None:
    with pytest.raises(AutospineError, match="plan.toml: nothing"):
        raise kind("plan.toml", "nothing")
    assert not any(issubclass(kind, other) for other in KINDS if other is not kind)


def test_who_stops_a_run_made_no_error() -> None:
    assert not issubclass(Stopped, AutospineError)


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_s_error_arrives_whole(kind: type[AutospineError]) -> None:
    back = pickle.loads(pickle.dumps(kind("case 1", "this", "that", "do so")))
    assert type(back) is kind
    assert (back.where, back.found, back.expected, back.remedy) == ("case 1", "this", "that", "do so")
