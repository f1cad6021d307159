from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from autospine.data.disk import files
from autospine.data.disk.files import (
    atomic_path,
    check_name,
    read_json,
    staged_path,
    unwritable,
    write_json,
    write_text,
)
from autospine.errors import DataError, OutputError, PlanError


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_the_temporary_file_keeps_folder_and_suffixes(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "new" / "case.nii.gz") as temporary:
        assert temporary.parent == tmp_path / "new"
        assert temporary.name.endswith("case.nii.gz") and temporary.name.startswith(".")
        temporary.write_bytes(b"whole")
        assert not (tmp_path / "new" / "case.nii.gz").exists()
    assert names(tmp_path / "new") == ["case.nii.gz"]


def test_a_file_that_belongs_to_another_gets_its_name_with_it(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_text(path, "old")
    for well in (False, True):
        with suppress(ZeroDivisionError), ExitStack() as stack:
            with staged_path(path, stack) as temporary:
                write_text(temporary, "new")
            assert path.read_text() == "old"
            if not well:
                raise ZeroDivisionError
        assert path.read_text() == ("new" if well else "old") and names(tmp_path) == ["a.png"]
    with pytest.raises(OutputError, match="No space left") as fault, ExitStack() as stack:
        with staged_path(path, stack):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert fault.value.where == str(path) and names(tmp_path) == ["a.png"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        write_text(tmp_path / "file" / "a.txt", "text")


def test_a_failed_write_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space"), atomic_path(tmp_path / "a"):
        raise OSError(28, "No space left on device")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError):
        write_text(tmp_path / "folder", "a folder bears that name")
    assert names(tmp_path) == ["folder"]


def test_a_fault_of_the_disk_that_a_library_hides(tmp_path: Path) -> None:
    """torch raises an error of its own after that of the disk; what has no such cause is a fault of ours."""
    with pytest.raises(OutputError, match="a: cannot be written .No space left.*free on its disk"):
        with atomic_path(tmp_path / "a"):
            try:
                raise OSError(28, "No space left on device")
            except OSError:
                raise RuntimeError("unexpected pos 576 vs 534")  # noqa: B904
    with pytest.raises(RuntimeError, match="unexpected pos"), atomic_path(tmp_path / "a"):
        raise RuntimeError("unexpected pos 576 vs 534")
    assert names(tmp_path) == []


def test_the_disk_has_it_before_the_name_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut finds the old file or the whole new one: content, name and folder are flushed in this order."""
    done: list[str] = []
    flush, rename = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "content")
        flush(descriptor)

    def replace(old: Path, new: Path) -> None:
        done.append("name")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_text(tmp_path / "a", "text")
    assert done == ["content", "name", "folder"]


def test_a_file_that_is_not_whole_is_not_there(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    with pytest.raises(OutputError, match="cut off"):
        with atomic_path(tmp_path / "a", whole=lambda written: written.stat().st_size == 5) as temporary:
            temporary.write_text("four")
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "old"


def test_a_writer_that_renames_in_its_turn(tmp_path: Path) -> None:
    """Its private file gets the mode that files have here."""
    before = os.umask(0o022)
    try:
        with atomic_path(tmp_path / "a") as temporary:
            private = tmp_path / "private"
            private.touch(0o600)
            private.rename(temporary)
    finally:
        os.umask(before)
    assert names(tmp_path) == ["a"] and (tmp_path / "a").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EDQUOT, "make room"),
        (None, "make room"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EROFS, "that you may write to"),
        (errno.EACCES, "that you may write to"),
    ],
)
def test_the_remedy_is_that_of_the_fault(tmp_path: Path, number: int | None, remedy: str) -> None:
    fault = OSError("4 requested and 3 written") if number is None else OSError(number, os.strerror(number))
    with pytest.raises(OutputError, match=r"are free on its disk") as raised, atomic_path(tmp_path / "a"):
        raise fault
    assert remedy in raised.value.remedy and (fault.strerror or str(fault)) in raised.value.found


def test_the_room_is_that_of_the_disk_where_a_link_leads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def usage(folder: Path) -> SimpleNamespace:
        if not folder.exists():
            raise FileNotFoundError(folder)
        return SimpleNamespace(free=12_345 if folder.name == "scratch" else 6_000_000)

    monkeypatch.setattr(files.shutil, "disk_usage", usage)
    (tmp_path / "scratch").mkdir()
    (tmp_path / "a").symlink_to(tmp_path / "scratch" / "b")
    for name, room in (("a", "12.3 kB"), ("c", "6 MB"), ("new/folder/c", "6 MB")):
        error = unwritable(tmp_path / name, OSError(errno.ENOSPC, "full"))
        assert error.found == f"cannot be written (full); {room} are free on its disk"


@pytest.mark.skipif(sys.platform == "win32", reason="no such pipes there")
def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="is no file"):
        write_text(tmp_path / "pipe", "text")
    assert (tmp_path / "pipe").is_fifo() and names(tmp_path) == ["pipe"]


def test_links_are_written_through(tmp_path: Path) -> None:
    """A link to a file on another disk stays one, and so does a link to nothing yet."""
    (tmp_path / "scratch").mkdir()
    write_text(tmp_path / "scratch" / "a", "old")
    (tmp_path / "a").symlink_to(Path("scratch") / "a")
    (tmp_path / "b").symlink_to(tmp_path / "scratch" / "new" / "b")
    for name in ("a", "b"):
        write_text(tmp_path / name, "new")
        assert (tmp_path / name).is_symlink() and (tmp_path / name).read_text() == "new"
    assert names(tmp_path / "scratch") == ["a", "new"] and names(tmp_path / "scratch" / "new") == ["b"]


def test_json_comes_back(tmp_path: Path) -> None:
    content = {"Wirbelkörper": [1, 2.5, None, True]}
    write_json(tmp_path / "a.json", content)
    assert read_json(tmp_path / "a.json") == content
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "b.json", float("nan"))
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00", b"", b"[" * 100_000])
def test_what_is_not_json_names_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(DataError, match="bad.json"):
        read_json(tmp_path / "bad.json")


def test_a_missing_file_raises_the_error_asked_for(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="no such file"):
        read_json(tmp_path / "none.json", PlanError)
    with pytest.raises(DataError, match="cannot be read"):
        read_json(tmp_path)


def test_names_that_are_no_utf_8_are_written_and_read_again(tmp_path: Path) -> None:
    name = os.fsdecode(b"M\xfcller")
    write_json(tmp_path / "a.json", {name: ["Müller"]})
    assert read_json(tmp_path / "a.json") == {name: ["Müller"]}
    write_text(tmp_path / "a.csv", f"{name},1\n")
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "M\ufffdller,1\n"


@pytest.mark.parametrize("name", [os.fsdecode(b"M\xfcller.nii.gz"), "a.Nii.Gz", "a.nii.GZ", "a.Nii"])
def test_names_that_images_cannot_have(name: str) -> None:
    with pytest.raises(OutputError, match="rename it"):
        check_name(Path(name), OutputError)


@pytest.mark.parametrize("name", ["Müller.nii.gz", "a.NII.GZ", "A.NII", "a.Mha", "Nii.Gz"])
def test_names_that_images_can_have(name: str) -> None:
    check_name(Path(name))
