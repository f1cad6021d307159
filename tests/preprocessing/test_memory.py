"""How many workers: bounded by cores, cases and free memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import write_volume
from autospine.planning.document.configuration import Configuration
from autospine.preprocessing import memory
from autospine.preprocessing.memory import bounded_workers, case_bytes

Make = Callable[..., Configuration]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    geometry = Geometry((10, 20, 30), (4.0, 1.0, 2.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), 3)
    path = tmp_path / "a_0000.nii.gz"
    write_volume(path, Volume(np.ones((1, 10, 20, 30), np.float32), geometry, ()))
    return path


def test_bytes_of_a_case_by_hand(image: Path, make_configuration: Make) -> None:
    # 6000 voxels of 8 cubic mm become 48 000 of 1
    assert case_bytes((image,), make_configuration()) == 12 * 6000 + 16 * 48_000 + 8 * 48_000
    # slices of 4 mm stay: 6000 * 8 / (4 * 0.5 * 1)
    flat = make_configuration(spacing_mm=(0.5, 1.0))
    assert case_bytes((image,), flat) == 12 * 6000 + 16 * 24_000 + 8 * 24_000


def test_an_unreadable_header_is_left_to_the_worker(tmp_path: Path, make_configuration: Make) -> None:
    assert case_bytes((tmp_path / "gone.nii.gz",), make_configuration()) == 0


def test_workers_are_bounded(image: Path, make_configuration: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = make_configuration()
    monkeypatch.setattr(memory, "available_cores", lambda: 8)
    monkeypatch.setattr(memory, "free_bytes", lambda: 10**15)
    cases = [(image,)] * 20
    assert bounded_workers(cases, configuration) == 8
    assert bounded_workers(cases[:3], configuration) == 3
    assert bounded_workers(cases[:1], configuration) == 1
    assert bounded_workers([], configuration) == 1
    each = case_bytes((image,), configuration) + memory._PROCESS_BYTES
    monkeypatch.setattr(memory, "free_bytes", lambda: int(3.5 * each / memory._SHARE))
    assert bounded_workers(cases, configuration) == 3
    monkeypatch.setattr(memory, "free_bytes", lambda: 0)
    assert bounded_workers(cases, configuration) == 1
