from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from autospine.data.disk.locks import locked
from autospine.data.disk.private import folder_within, private_folder, remove_stale

PREFIX = "autospine-upload-"


pytestmark = pytest.mark.usefixtures("temporary")


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_nobody_else_may_look_into_it(temporary: Path) -> None:
    with private_folder(PREFIX) as folder, folder_within(folder, "one-") as own:
        assert folder.parent == temporary
        assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(own.stat().st_mode) == 0o700


def test_nothing_stays(temporary: Path) -> None:
    with pytest.raises(KeyError), private_folder(PREFIX) as folder, folder_within(folder, "one-") as own:
        (own / "upload").write_bytes(b"image")
        raise KeyError
    assert not list(temporary.iterdir())


def test_what_a_killed_server_left_goes_and_what_one_uses_stays(temporary: Path) -> None:
    names = (f"{PREFIX}dead", f"{PREFIX}new", f"{PREFIX}newer", "another-program")
    dead, unlocked, about_to_lock, other = (temporary / name for name in names)
    for folder in (dead, unlocked, about_to_lock, other):
        folder.mkdir()
        (folder / "image").write_bytes(b"image")
    (dead / ".lock").write_text('{"process": 1}')
    (about_to_lock / ".lock").touch()
    with private_folder(PREFIX) as used:
        assert not dead.exists()
        assert unlocked.exists() and about_to_lock.exists() and other.exists()
        remove_stale(temporary, PREFIX)
        assert used.exists()
    for folder in (unlocked, about_to_lock):
        os.utime(folder, (1, 1))
    remove_stale(temporary, PREFIX)
    assert not unlocked.exists() and not about_to_lock.exists() and other.exists()


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_a_link_that_another_user_planted_is_not_followed(temporary: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / ".lock").write_text("{}")
    (precious / "file").write_bytes(b"")
    (temporary / f"{PREFIX}planted").symlink_to(precious)
    remove_stale(temporary, PREFIX)
    assert (precious / "file").exists()


def test_a_lock_that_is_held_keeps_the_folder(temporary: Path) -> None:
    folder = temporary / f"{PREFIX}other"
    folder.mkdir()
    with locked(folder / ".lock", folder):
        remove_stale(temporary, PREFIX)
        assert folder.exists()
    remove_stale(temporary, PREFIX)
    assert not folder.exists()
