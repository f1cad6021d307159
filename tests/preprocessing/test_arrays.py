"""Arrays are written whole or not at all, and a full disk is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autospine.errors import OutputError
from autospine.preprocessing.arrays import write_array, write_arrays


def test_arrays_come_back_whatever_their_strides(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)[::-1]
    write_array(tmp_path / "new" / "a.npy", array)
    back = np.load(tmp_path / "new" / "a.npy", mmap_mode="r")
    np.testing.assert_array_equal(back, array)
    assert back.flags.c_contiguous
    write_arrays(tmp_path / "b.npz", {"1": array, "offsets_1": np.arange(3)})
    with np.load(tmp_path / "b.npz") as archive:
        assert sorted(archive.files) == ["1", "offsets_1"]
        np.testing.assert_array_equal(archive["1"], array)


def test_a_disk_that_numpy_finds_full_leaves_what_stood_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npy"
    write_array(path, np.zeros(3))

    def short(*_: object, **__: object) -> None:
        raise OSError("100 requested and 10 written")  # as numpy says it: no number of an error

    monkeypatch.setattr(np, "save", short)
    with pytest.raises(OutputError):
        write_array(path, np.ones(3))
    np.testing.assert_array_equal(np.load(path), np.zeros(3))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.npy"]
