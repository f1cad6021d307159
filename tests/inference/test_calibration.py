"""The temperature of a model folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from autospine.errors import PlanError
from autospine.inference.calibration import CALIBRATION, read_temperature


def test_a_temperature_is_read_or_refused(tmp_path: Path) -> None:
    assert read_temperature(tmp_path) == 1.0
    (tmp_path / CALIBRATION).write_text('{"temperature": 1.5, "of": "validation"}')
    assert read_temperature(tmp_path) == 1.5
    for text in ("", "[]", "{}", '{"temperature": 0}', '{"temperature": NaN}', '{"temperature": "1"}', "[" * 50_000):
        (tmp_path / CALIBRATION).write_text(text)
        with pytest.raises(PlanError, match="no temperature that can be used"):
            read_temperature(tmp_path)
