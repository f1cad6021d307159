"""The temperature of a model folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autospine.errors import PlanError
from autospine.inference.calibration import read_temperature
from autospine.planning.document.model_file import CALIBRATION

HUGE = '{"temperature": ' + "9" * 400 + "}"
"""A whole number that no float holds."""


def test_a_temperature_is_read_or_refused(tmp_path: Path) -> None:
    assert read_temperature(tmp_path) == 1.0
    (tmp_path / CALIBRATION).write_text('{"temperature": 1.5, "of": "validation"}')
    assert read_temperature(tmp_path) == 1.5
    for text in ("[]", "{}", '{"temperature": 0}', '{"temperature": NaN}', '{"temperature": "1"}', HUGE):
        (tmp_path / CALIBRATION).write_text(text)
        with pytest.raises(PlanError, match="no temperature that can be used"):
            read_temperature(tmp_path)
    for text in ("", "[" * 50_000, '{"temperature": ' + "9" * 5000 + "}"):
        (tmp_path / CALIBRATION).write_text(text)
        with pytest.raises(PlanError, match="not a JSON file"):
            read_temperature(tmp_path)
    (tmp_path / CALIBRATION).write_text(" " * (5 << 20))
    with pytest.raises(PlanError, match="more than 4 MiB"):
        read_temperature(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    """A pipe would be waited for."""
    os.mkfifo(tmp_path / CALIBRATION)
    with pytest.raises(PlanError, match="not a file"):
        read_temperature(tmp_path)
