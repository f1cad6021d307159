"""What lies in a folder, as the command line says it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import read_volume, write_volume
from tests.cli.calling import call, refused


@pytest.fixture
def spoiled(toy_dataset: Path, tmp_path: Path) -> Path:
    """A copy of the dataset to break."""
    return Path(shutil.copytree(toy_dataset, tmp_path / "spoiled"))


def test_all_problems_of_a_dataset_are_listed_at_once(spoiled: Path, tmp_path: Path) -> None:
    (spoiled / "labelsTr" / "toy_00.nii.gz").unlink()
    broken = spoiled / "imagesTr" / "toy_01_0000.nii.gz"
    broken.write_bytes(broken.read_bytes()[:2000])
    other = read_volume(spoiled / "labelsTr" / "toy_03.nii.gz")
    write_volume(spoiled / "labelsTr" / "toy_02.nii.gz", other)
    mask = read_volume(spoiled / "labelsTr" / "toy_04.nii.gz")
    mask.array[0, 0, 0, 0] = 9
    write_volume(spoiled / "labelsTr" / "toy_04.nii.gz", mask)
    names = ("toy_00", "toy_01_0000.nii.gz", "toy_02", "toy_04")
    refused(call("check", spoiled), *names)
    refused(call("plan", spoiled, "--runs", tmp_path / "runs"), *names)
    assert not list((tmp_path / "runs").glob("spoiled/*"))


def test_check_of_a_sound_dataset(toy_dataset: Path) -> None:
    result = call("check", toy_dataset)
    assert result.exit_code == 0
    assert "6 cases: 0 error(s)" in result.output


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("name", ["Müller".encode(), "Ωμέγα".encode(), b"M\xfcller"])
def test_a_name_that_the_terminal_cannot_show(tmp_path: Path, encoding: str, name: bytes) -> None:
    """The last is no UTF-8, for which ITK would end the process: it is refused by name."""
    case, unread = os.fsdecode(name), b"\xfc" in name
    values = np.arange(60, dtype=np.uint8).reshape(1, 3, 4, 5)
    grid = Geometry((3, 4, 5), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    for folder, array in (("images", values), ("labels", np.minimum(values, 1))):
        write_volume(tmp_path / "set" / folder / "a.nii.gz", Volume(array, grid))
        shutil.move(tmp_path / "set" / folder / "a.nii.gz", tmp_path / "set" / folder / f"{case}.nii.gz")
    (tmp_path / "set" / "images" / f"{case}.mnc").write_bytes(b"")  # so that its name is shown
    environment = os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": "300"}
    for command in ("check", "describe"):
        words = [sys.executable, "-m", "autospine", command, tmp_path / "set"]
        done = subprocess.run(words, env=environment, capture_output=True, cwd=tmp_path)
        said = (done.stdout + done.stderr).decode(encoding, "strict")
        assert "Traceback" not in said and done.returncode == unread, said
        assert ("a name that is not UTF-8" in said) == unread
        shown = case.encode(encoding, "backslashreplace").decode(encoding)
        assert f"{shown}." in "".join(said.split())
