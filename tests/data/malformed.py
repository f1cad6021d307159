"""Datasets that cannot be used, each broken in one way: a generator of as many as are wanted."""

from __future__ import annotations

import gzip
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import read_volume, write_volume
from tests.data.laid_out import LAID_OUT, Content

GRID = Geometry((4, 6, 7), (4.0, 1.5, 0.75), (-12.5, 30.0, 7.25), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
NAMES = ("sub-01", "sub-02", "sub-03")
Random = np.random.Generator


def content(rng: Random) -> Content:
    cases = {}
    for name in NAMES:
        mask = np.zeros((1, *GRID.shape), np.uint8)
        mask[0, 1:3, 1:4, 1:5], mask[0, 2, 4:6, 2:4] = 1, 4
        image = rng.integers(1, 900, (1, *GRID.shape)).astype(np.uint16)
        cases[name] = (Volume(image, GRID), Volume(mask, GRID))
    return Content(cases, {"L5": 1, "L4": 4})


def files(root: Path, *suffixes: str) -> list[Path]:
    """Files that a dataset reads, by name."""
    found = [path for path in sorted(root.rglob("*")) if path.is_file() and path.name.endswith(suffixes)]
    # of nnU-Net's list of files the images lie beside the folder
    return [*found, *sorted((root.parent / "elsewhere").rglob("*.nrrd"))]


def any_image(root: Path, rng: Random) -> Path:
    found = files(root, ".nii.gz", ".nii", ".nrrd", ".mha", ".dcm")
    return found[int(rng.integers(len(found)))]


def cut_off(root: Path, rng: Random) -> None:
    path = any_image(root, rng)
    path.write_bytes(path.read_bytes()[: int(rng.uniform(0.01, 0.9) * path.stat().st_size)])


def emptied(root: Path, rng: Random) -> None:
    any_image(root, rng).write_bytes(b"")


def other_bytes(root: Path, rng: Random) -> None:
    any_image(root, rng).write_bytes(rng.bytes(int(rng.integers(1, 3000))))


def a_page(root: Path, rng: Random) -> None:
    any_image(root, rng).write_text("<html><body>404 Not Found</body></html>")


def a_folder_in_its_place(root: Path, rng: Random) -> None:
    path = nifti(root, rng)
    path.unlink()
    path.mkdir()


def a_link_to_nothing(root: Path, rng: Random) -> None:
    path = nifti(root, rng)
    path.unlink()
    path.symlink_to(root / "nothing.nii.gz")


def a_link_to_itself(root: Path, rng: Random) -> None:
    path = nifti(root, rng)
    path.unlink()
    path.symlink_to(path)


def nifti(root: Path, rng: Random) -> Path:
    found = files(root, ".nii.gz")
    return found[int(rng.integers(len(found)))]


def header(form: str, offset: int, *values: Any) -> Callable[[Path, Random], None]:
    """A field of a NIfTI header overwritten."""

    def change(root: Path, rng: Random) -> None:
        path = nifti(root, rng)
        held = bytearray(gzip.decompress(path.read_bytes()))
        struct.pack_into("<" + form, held, offset, *values)
        path.write_bytes(gzip.compress(bytes(held)))

    return change


def a_mask(root: Path, rng: Random) -> Path:
    masks = [path for path in files(root, ".nii.gz", ".nrrd", ".mha") if is_mask(path)]
    return masks[int(rng.integers(len(masks)))]


def is_mask(path: Path) -> bool:
    return int(read_volume(path).array.max()) == 4


def undeclared(root: Path, rng: Random) -> None:
    path = a_mask(root, rng)
    volume = read_volume(path)
    volume.array[0, 0, 0, 0] = 9
    write_volume(path, volume)


def fractions(root: Path, rng: Random) -> None:
    path = a_mask(root, rng)
    volume = read_volume(path)
    write_volume(path, replace(volume, array=volume.array.astype(np.float32) * 0.7))


def shifted(root: Path, rng: Random) -> None:
    path = a_mask(root, rng)
    volume = read_volume(path)
    origin = tuple(value + 5 for value in volume.geometry.origin_mm)
    write_volume(path, replace(volume, geometry=replace(volume.geometry, origin_mm=origin)))


def smaller(root: Path, rng: Random) -> None:
    path = a_mask(root, rng)
    volume = read_volume(path)
    shape = volume.geometry.shape
    geometry = replace(volume.geometry, shape=(shape[0], shape[1] - 1, shape[2]))
    write_volume(path, Volume(volume.array[:, :, :-1], geometry))


def no_masks_at_all(root: Path, rng: Random) -> None:
    for path in files(root, ".nii.gz", ".nrrd", ".mha"):
        if is_mask(path):
            path.unlink()


def nothing_left(root: Path, rng: Random) -> None:
    for entry in root.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def images_gone(root: Path, rng: Random) -> None:
    for path in files(root, ".nii.gz", ".nii", ".nrrd", ".mha", ".dcm"):
        if path.suffix == ".dcm" or not is_mask(path):
            path.unlink()


def not_there(root: Path, rng: Random) -> None:
    shutil.rmtree(root)


def a_file_in_its_place(root: Path, rng: Random) -> None:
    shutil.rmtree(root)
    root.write_text("a file")


DESCRIPTIONS: tuple[Any, ...] = (
    "{",
    "",
    "[]",
    "null",
    '{"labels": {"background": 0}}',
    '{"channel_names": {"0": "T2"}, "labels": {"L5": "one"}}',
    '{"channel_names": {"0": "T2"}, "labels": {"L5": 1, "L4": 1}}',
    '{"channel_names": {"0": "T2"}, "labels": []}',
    '{"channel_names": {"1": "T2"}, "labels": {"L5": 1}}',
    '{"channel_names": {"0": "T2", "1": "T1"}, "labels": {"L5": 1, "L4": 4}}',
    '{"channel_names": {"0": "T2"}, "labels": {"L5": 1, "L4": 4}, "file_ending": ".npz"}',
    '{"channel_names": {"0": "T2"}, "labels": {"L5": 1, "L4": 4}, "file_ending": ".png"}',
    '{"channel_names": {"0": "T2"}, "labels": {"L5": 1, "L4": 4}, "dataset": 3}',
    '{"channel_names": {"0": "T2"}, "labels": {"L5": 1, "L4": 4}, "dataset": {"a": {"images": ["x.nii.gz"]}}}',
    '{"channel_names": {"0": "T2"}, "labels": {"L5": 1, "L4": 4}, "overwrite_image_reader_writer": "os.system"}',
    "[" * 5000,
)


def described(text: str) -> Callable[[Path, Random], None]:
    def change(root: Path, rng: Random) -> None:
        (root / "dataset.json").write_text(text)

    return change


def not_text(root: Path, rng: Random) -> None:
    name = "dataset.json" if (root / "dataset.json").is_file() else "manifest.csv"
    (root / name).write_bytes(b"\xff\xfe\x00" + rng.bytes(50))


def tabled(text: str) -> Callable[[Path, Random], None]:
    def change(root: Path, rng: Random) -> None:
        (root / "manifest.csv").write_text(text)

    return change


TABLES = (
    "",
    "\n\n",
    "case,T2,label\n",
    "case,T2\nsub-01,a/0.nii.gz\n",
    "T2,label\na/0.nii.gz,b/0.nii.gz\n",
    "case,T2,label\nsub-01,a/0.nii.gz\n",
    "case,T2,label\nsub-01,,b/0.nii.gz\n",
    "case,T2,label\nsub-01,a/9.nii.gz,b/0.nii.gz\n",
    "case,T2,label\nsub-01,a/0.nii.gz,b/9.nii.gz\n",
    "case,T2,label\nsub-01,a,b/0.nii.gz\n",
    "case,T2,label\nsub-01,a/0.nii.gz,b/0.nii.gz\nsub-01,a/1.nii.gz,b/1.nii.gz\n",
    "case,T2,label\n../sub-01,a/0.nii.gz,b/0.nii.gz\n",
    'case,T2,label\n"sub-01,a/0.nii.gz,b/0.nii.gz\n',
    "case,T2,T2,label\nsub-01,a/0.nii.gz,a/0.nii.gz,b/0.nii.gz\n",
)


def a_slice_gone(root: Path, rng: Random) -> None:
    files(root, ".dcm")[1].unlink()


def two_series(root: Path, rng: Random) -> None:
    first, *_, last = sorted({path.parent for path in files(root, ".dcm")})
    for path in files(last, ".dcm"):
        shutil.copy(path, first / f"other_{path.name}")


ANYWHERE = (cut_off, emptied, other_bytes, a_page, no_masks_at_all, images_gone, nothing_left, not_there)
EVERY_LAYOUT = (*ANYWHERE, a_file_in_its_place)
WITH_NIFTI = (
    a_folder_in_its_place,
    a_link_to_nothing,
    a_link_to_itself,
    header("8h", 40, 3, 30000, 30000, 30000, 1, 1, 1, 1),
    header("8h", 40, 3, -5, 6, 4, 1, 1, 1, 1),
    header("8h", 40, 7, 7, 6, 4, 2, 2, 2, 2),
    header("12f", 280, *(0.0,) * 12),
    header("12f", 280, *(float("nan"),) * 12),
    header("h", 70, 32),
    header("h", 70, 9999),
    header("i", 0, 77),
)
WITH_MASKS = (undeclared, fractions, shifted, smaller)
OF_LAYOUT: dict[str, tuple[Callable[[Path, Random], None], ...]] = {
    "nnunet": (*map(described, DESCRIPTIONS), not_text),
    "manifest": (*map(tabled, TABLES), not_text),
    "dicom": (a_slice_gone, two_series),
}
PLACES = ("spine", "Wirbelsäule köpfe", "脊柱 (new)", "a 'quoted' name")


def malformed(folder: Path, count: int, seed: int = 0) -> Iterator[tuple[str, Path]]:
    """`count` datasets below `folder`, (what was done, path), each gone when the next is made."""
    kinds = [
        (name, change)
        for name in LAID_OUT
        for change in (
            *EVERY_LAYOUT,
            *(WITH_NIFTI if name not in ("nnunet with a file list", "folders of other names") else ()),
            *WITH_MASKS,
            *OF_LAYOUT.get(name, ()),
        )
    ]
    rng = np.random.default_rng(seed)
    for index in range(count):
        name, change = kinds[index % len(kinds)]
        root = folder / str(index) / PLACES[index % len(PLACES)]
        LAID_OUT[name][1](root, content(rng))
        change(root, rng)
        yield f"{index} {name}: {getattr(change, '__qualname__', change)}", root
        shutil.rmtree(folder / str(index))
