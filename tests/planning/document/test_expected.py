from __future__ import annotations

from pathlib import Path

import pytest

from autospine.data.disk.files import write_text
from autospine.errors import PlanError
from autospine.planning.document.expected import EXPECTED, Expected, read_expected, write_expected

KNOWN = {
    "2d": Expected(1.25, "CPU, 2 cores", 0.1 + 0.2, 9, "0123456789ab", "it was counted"),
    "3d_fullres": Expected(7.5, made_for="ba9876543210"),
}


def test_it_comes_back_as_it_was_written(tmp_path: Path) -> None:
    assert read_expected(tmp_path / EXPECTED) == {}
    write_expected(tmp_path / EXPECTED, KNOWN)
    assert read_expected(tmp_path / EXPECTED) == KNOWN


@pytest.mark.parametrize(
    ("text", "where", "found"),
    [
        ("{", "", "not a JSON file"),
        ("[]", "", "found []"),
        ('{"2d": 1}', ", key 2d", "found 1"),
        ('{"2d": {"memory_gb": 0, "why": ""}}', ", key 2d.memory_gb", "found 0.0"),
        ('{"2d": {"memory_gb": 1, "why": "", "step": 3}}', ", key 2d", "there is no key `step`"),
        ('{"2d": {"memory_gb": 1, "why": "", "seconds_per_step": -1}}', ", key 2d.seconds_per_step", "found -1.0"),
    ],
)
def test_what_it_cannot_hold_is_named(tmp_path: Path, text: str, where: str, found: str) -> None:
    path = tmp_path / EXPECTED
    write_text(path, text)
    with pytest.raises(PlanError) as caught:
        read_expected(path)
    assert caught.value.where == f"{path}{where}"
    assert found in caught.value.found


@pytest.mark.parametrize("text", ['{"2d": {"memory_gb": "much", "why": ""}}', '{"2d": '])
def test_a_wrong_value_is_no_loss(tmp_path: Path, text: str) -> None:
    write_text(tmp_path / EXPECTED, text)
    with pytest.raises(PlanError) as caught:
        read_expected(tmp_path / EXPECTED)
    assert caught.value.remedy == "remove this file: it is estimated anew"
