"""Scores that are kept, in memory or in a file: what is put comes back."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from autospine.errors import OutputError
from autospine.inference import rows
from autospine.inference.rows import Rows

SHAPE = (3, 7, 6, 5)


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("slab", [1, 900, 10**6])
def test_what_is_put_comes_back(on_disk: bool, slab: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "SLAB_BYTES", slab)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    values = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    with Rows(SHAPE, on_disk=on_disk) as kept:
        for columns in (slice(0, 4), slice(4, 6)):
            for first in (0, 3, 4):
                end = {0: 3, 3: 4, 4: 7}[first]
                kept.put(first, columns, values[:, first:end, columns])
        for _ in range(2):  # as often as they are asked for
            found = list(kept.slabs())
            assert [first for first, _ in found] == {1: list(range(7)), 900: [0, 2, 4, 6], 10**6: [0]}[slab]
            np.testing.assert_array_equal(np.concatenate([part for _, part in found], 1), values)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_said_before_and_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(rows.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2519))
    with pytest.raises(OutputError, match=r"2\.52e-06 GB free[\s\S]*TMPDIR"):
        Rows(SHAPE, on_disk=True)
    monkeypatch.setattr(rows.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2520))

    class Full:
        def seek(self, place: int) -> None: ...

        def write(self, data: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    with Rows(SHAPE, on_disk=True) as kept:
        kept._file = Full()  # type: ignore[assignment]
        with pytest.raises(OutputError, match="no room is left"):
            kept.put(0, slice(0, 6), np.zeros((3, 1, 6, 5), np.float32))
