from __future__ import annotations

from autospine.serve.limits import Limits


def test_what_is_on_this_machine_at_once_is_bounded() -> None:
    limits = Limits(upload_bytes=1000, waiting=2)
    assert limits.places == 3  # two that wait, and one that is predicted
    assert limits.expanded_bytes == 4000
