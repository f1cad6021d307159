"""A model as one file: written the same each time, taken out for as long as it is needed.

What a stranger puts into such a file is tried in `tests/inference/test_strangers.py`.
"""

from __future__ import annotations

import os
import stat
import tempfile
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from autospine.data.disk.files import file_digest
from autospine.errors import OutputError, PlanError
from autospine.planning.document import model_archive as module
from autospine.planning.document.model_archive import opened_model, write_archive

MEMBERS: dict[str, Path | bytes] = {
    "3d_fullres/model.json": b"{}",
    "3d_fullres/fold_0/model.safetensors": b"weights",
    "3d_fullres/fold_1/model.safetensors": b"others",
    "README.md": b"# A model",
}


pytestmark = pytest.mark.usefixtures("temporary")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "a.autospine"
    write_archive(path, "3d_fullres", MEMBERS, {})
    return path


def test_what_is_taken_out_is_what_was_put_in(archive: Path, temporary: Path) -> None:
    with opened_model(archive) as folder:
        assert folder.name == "3d_fullres" and folder.parent.parent == temporary.resolve()
        assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
        held = {name: (folder.parent / name).read_bytes() for name in MEMBERS}
    assert held == MEMBERS
    assert not list(temporary.iterdir())


def test_of_folds_those_that_are_asked_for(archive: Path) -> None:
    with opened_model(archive, ("1",)) as folder:
        assert [path.name for path in folder.glob("fold_*")] == ["fold_1"]
    with pytest.raises(PlanError, match="no fold 2") as fault, opened_model(archive, ("2",)):
        pass
    assert fault.value.expected == "one of 0, 1"


def test_the_same_members_are_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    """Whatever their order, and whether they are files or content."""
    files: dict[str, Path | bytes] = {}
    for number, (name, content) in enumerate(reversed(MEMBERS.items())):
        files[name] = tmp_path / str(number)
        (tmp_path / str(number)).write_bytes(content)  # type: ignore[arg-type]
    write_archive(tmp_path / "b.autospine", "3d_fullres", files, {})
    assert (tmp_path / "b.autospine").read_bytes() == archive.read_bytes()
    with zipfile.ZipFile(archive) as opened:
        assert {one.compress_type for one in opened.infolist()} == {zipfile.ZIP_STORED}


def test_a_member_that_has_changed_is_not_written(tmp_path: Path) -> None:
    digest = "0" * 64
    with pytest.raises(PlanError, match="has changed while it was exported"):
        write_archive(tmp_path / "b.autospine", "2d", {"2d/model.json": b"{}"}, {"2d/model.json": digest})
    assert not (tmp_path / "b.autospine").exists()


def test_a_folder_is_the_model_itself(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing here"):
        with opened_model(path) as folder:
            assert folder == path


@pytest.mark.parametrize("name", ["a" * 300, "a" * 300 + ".autospine", "a\0b"])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(PlanError, match="cannot be read"), opened_model(tmp_path / name):
        pass


def test_errors_name_the_file_and_not_where_it_was_taken_out(archive: Path, temporary: Path) -> None:
    with pytest.raises(PlanError) as fault, opened_model(archive) as folder:
        raise PlanError(str(folder / "model.json"), f"{folder} is odd", "x", f"look into {folder}")
    parts = (fault.value.where, fault.value.found, fault.value.remedy)
    assert all(str(archive) in part and str(temporary) not in part for part in parts)


def test_a_full_disk(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda place: usage(9, 9, 3))
    with pytest.raises(OutputError, match="are to be taken out") as fault, opened_model(archive):
        pass
    assert "TMPDIR" in fault.value.remedy


@pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")
def test_what_a_killed_process_left_goes(archive: Path, temporary: Path) -> None:
    dead = temporary / "autospine-model-dead"
    dead.mkdir()
    (dead / ".lock").write_text('{"process": 1}')
    (dead / "weights").write_bytes(b"x")
    with opened_model(archive) as folder:
        assert not dead.exists()
        with opened_model(archive) as other:
            assert file_digest(folder / "model.json") == file_digest(other / "model.json")
    assert not list(temporary.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_a_temporary_folder_behind_a_link(
    archive: Path, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(temporary)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "link"))
    with pytest.raises(PlanError, match="odd") as fault, opened_model(archive) as folder:
        raise PlanError(str(folder), "odd")
    assert fault.value.where == f"{archive}{os.sep}3d_fullres"
