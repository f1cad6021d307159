"""What is written of a model into what it made."""

from __future__ import annotations

from datetime import datetime

from autospine import __version__
from autospine.data.made_by import MadeBy


def test_the_moment_is_that_of_its_use_to_the_second() -> None:
    assert MadeBy("2d", "", when=datetime(2026, 1, 2, 3, 4, 5, 678)).moment == datetime(2026, 1, 2, 3, 4, 5)
    before = datetime.now().replace(microsecond=0)
    assert before <= MadeBy("2d", "").moment <= datetime.now()
    assert MadeBy("2d", "").version == __version__
