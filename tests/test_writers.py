"""What every writer promises: a file is whole or not there, an earlier one stays, its mode is that of the umask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from autospine.data.disk.files import write_json, write_text
from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import write_volume
from autospine.errors import OutputError
from autospine.preprocessing.arrays import write_array, write_arrays
from autospine.report.canvas import new_figure, save_figure
from autospine.training.checkpoint import EARLIER, Checkpoint, load_checkpoint, save_checkpoint, save_weights
from autospine.training.identity import Identity

resource = pytest.importorskip("resource")

SHAPE = (24, 60, 70)
LIMIT = 20_000
"""Bytes, fewer than any of these writers needs."""


def noise(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Bytes that cannot be packed, and nothing in the last third, as a label map ends."""
    values = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    values[-(shape[0] // 3) :] = 0
    return values


def volume(path: Path, seed: int) -> None:
    shape = (1, 300, 340) if path.suffix == ".png" else SHAPE
    grid = Geometry(shape, (4.0, 1.5, 0.7), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    values = noise(seed, shape[1:])[None] if path.suffix == ".png" else noise(seed)
    write_volume(path, Volume(values[None], grid))


def figure(path: Path, seed: int) -> None:
    drawn = new_figure(4, 4)
    drawn.subplots().imshow(noise(seed, (300, 300)))
    save_figure(drawn, path)


def checkpoint(path: Path, seed: int) -> None:
    network = {"weights": torch.from_numpy(noise(seed))}
    save_checkpoint(path.parent, Checkpoint(network, {}, {}, seed, 1.0, (), torch.zeros(()), 0, "a training"))


def weights(path: Path, seed: int) -> None:
    network = torch.nn.Linear(200, 200)
    torch.nn.init.constant_(network.weight, seed)
    save_weights(path.parent, network)


WRITERS: dict[str, Callable[[Path, int], None]] = {
    **{f"case{suffix}": volume for suffix in (".nii", ".nii.gz", ".mha", ".nrrd", ".png", ".tif", ".mgz", ".mgh")},
    "table.csv": lambda path, seed: write_text(path, f"{seed} Wirbelkörper," * 5000),
    "scores.json": lambda path, seed: write_json(path, list(range(seed, seed + 5000))),
    "case.image.npy": lambda path, seed: write_array(path, noise(seed)),
    "case.npy": lambda path, seed: write_array(path, noise(seed)),
    "case.npz": lambda path, seed: write_arrays(path, {"1": noise(seed), "2": noise(seed + 1)}),
    "progress.png": figure,
    "training.ckpt": checkpoint,
    "model.safetensors": weights,
}
every_writer = pytest.mark.parametrize("name", WRITERS)


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """A block in which no file can grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty disk of 1.5 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path, spare: int) -> Path:
    """A file that leaves so many bytes of the disk."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        room = shutil.disk_usage(disk).free - spare
        file.write(bytes(room))
    assert shutil.disk_usage(disk).free <= spare
    return filler


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@every_writer
@pytest.mark.parametrize("spare", [0, 16384])
def test_a_full_disk(small_disk: Path, name: str, spare: int) -> None:
    """The message names the file and the room; the file before it stays; nothing is left over; room mends it."""
    folder, write = small_disk / "results", WRITERS[name]
    folder.mkdir()
    filler = fill(small_disk, spare)
    with pytest.raises(OutputError, match=rf"{name}.*cannot be written \(.*(bytes|kB) are free on its disk"):
        write(folder / name, 1)
    assert content(folder) == {}
    filler.unlink()
    write(folder / name, 1)
    before = content(folder)
    filler = fill(small_disk, spare)
    with pytest.raises(OutputError, match="free on its disk"):
        write(folder / name, 2)
    assert content(folder) == before and list(before) == [name]
    filler.unlink()
    write(folder / name, 2)
    assert content(folder).keys() - {EARLIER} == {name} and content(folder) != before


@every_writer
def test_a_file_that_may_not_grow(tmp_path: Path, name: str) -> None:
    """The same without a disk of its own: the system's limit of a file's size."""
    write = WRITERS[name]
    write(tmp_path / name, 1)
    before = content(tmp_path)
    assert len(before[name]) > LIMIT
    with files_up_to(LIMIT), pytest.raises(OutputError, match=rf"{name}.*cannot be written") as raised:
        write(tmp_path / name, 2)
    assert ".tmp-" not in str(raised.value)
    assert content(tmp_path) == before
    write(tmp_path / name, 2)
    assert content(tmp_path).keys() - {EARLIER} == {name} and content(tmp_path) != before


@every_writer
@pytest.mark.parametrize("missing", [1, 3, 9, 200, 5000])
def test_a_file_that_lacks_its_last_bytes(tmp_path: Path, name: str, missing: int) -> None:
    """ITK's writers do not tell; the end of a label map is empty, and reads as itself where it is cut off."""
    write = WRITERS[name]
    write(tmp_path / name, 1)
    size = (tmp_path / name).stat().st_size
    (tmp_path / name).unlink()
    with files_up_to(size - missing), pytest.raises(OutputError, match=name):
        write(tmp_path / name, 1)
    assert content(tmp_path) == {}
    with files_up_to(size):
        write(tmp_path / name, 1)
    assert content(tmp_path).keys() - {EARLIER} == {name}


def test_the_message_says_what_a_training_goes_on_from(tmp_path: Path) -> None:
    with files_up_to(LIMIT), pytest.raises(OutputError, match="there is no checkpoint yet"):
        checkpoint(tmp_path / "training.ckpt", 7)
    checkpoint(tmp_path / "training.ckpt", 7)
    for write in (checkpoint, weights):
        with files_up_to(LIMIT), pytest.raises(OutputError, match="the last checkpoint, of step 7, is whole"):
            write(tmp_path / "training.ckpt", 8)
    resumed = load_checkpoint(tmp_path, Identity("a training", ""), torch.device("cpu"))
    assert resumed is not None and resumed.step == 7
    np.testing.assert_array_equal(resumed.network["weights"], noise(7))


@every_writer
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_the_mode_is_that_of_the_umask(tmp_path: Path, name: str, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        WRITERS[name](tmp_path / "new" / name, 1)
    finally:
        os.umask(before)
    assert (tmp_path / "new" / name).stat().st_mode & 0o777 == mode
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o777 & ~umask


def test_weights_come_back(tmp_path: Path) -> None:
    weights(tmp_path / "model.safetensors", 3)
    assert load_file(tmp_path / "model.safetensors")["weight"].unique().tolist() == [3]
