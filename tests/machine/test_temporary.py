"""Where temporary files lie."""

from __future__ import annotations

import os
import tempfile

import pytest

from autospine.errors import OutputError
from autospine.machine.temporary import find_temporary_folder


def test_temporary_files_lie_in_shared_memory_where_nothing_else_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/proc/none")
    usable = {"/dev/shm"}

    def find() -> str:
        if os.environ["TMPDIR"] not in usable:
            raise FileNotFoundError(2, "No usable temporary directory found")
        return os.environ["TMPDIR"]

    monkeypatch.setattr(tempfile, "gettempdir", find)
    find_temporary_folder()
    assert os.environ["TMPDIR"] == "/dev/shm"
    usable.clear()
    with pytest.raises(OutputError, match="set TMPDIR"):
        find_temporary_folder()
