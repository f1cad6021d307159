from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from autospine.data.disk.locks import locked
from autospine.serve.private import PREFIX, private_folder, remove_stale, request_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_nobody_else_may_look_into_it(temporary: Path) -> None:
    with private_folder() as folder, request_folder(folder) as own:
        assert folder.parent == temporary
        assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(own.stat().st_mode) == 0o700


def test_nothing_stays(temporary: Path) -> None:
    with pytest.raises(KeyError), private_folder() as folder, request_folder(folder) as own:
        (own / "upload").write_bytes(b"image")
        raise KeyError
    assert not list(temporary.iterdir())


def test_what_a_killed_server_left_goes_and_what_one_uses_stays(temporary: Path) -> None:
    dead, unlocked, other = (temporary / name for name in (f"{PREFIX}dead", f"{PREFIX}new", "another-program"))
    for folder in (dead, unlocked, other):
        folder.mkdir()
        (folder / "image").write_bytes(b"image")
    (dead / ".lock").write_bytes(b"")
    with private_folder() as used:
        assert not dead.exists()
        assert unlocked.exists() and other.exists()  # one may be about to take its lock
        remove_stale(temporary)
        assert used.exists()
    os.utime(unlocked, (1, 1))
    remove_stale(temporary)
    assert not unlocked.exists() and other.exists()


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_a_link_that_another_user_planted_is_not_followed(temporary: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / ".lock").write_bytes(b"")
    (precious / "file").write_bytes(b"")
    (temporary / f"{PREFIX}planted").symlink_to(precious)
    remove_stale(temporary)
    assert (precious / "file").exists()


def test_a_lock_that_is_held_keeps_the_folder(temporary: Path) -> None:
    folder = temporary / f"{PREFIX}other"
    folder.mkdir()
    with locked(folder / ".lock", folder):
        remove_stale(temporary)
        assert folder.exists()
    remove_stale(temporary)
    assert not folder.exists()
