"""The Medical Segmentation Decathlon's layout: 4D images with all channels, listed in `dataset.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autospine.data.description import DATASET_FILE, channel_names, declared
from autospine.data.disk.files import read_json
from autospine.data.layouts.shared.contents import Contents
from autospine.data.structure import Case, Reading
from autospine.data.volume import stem
from autospine.errors import DataError

_FORM = '[{"image": "./imagesTr/case.nii.gz", "label": "./labelsTr/case.nii.gz"}]'


def evidence(root: Path) -> str | None:
    """What speaks for this layout: a list of images, and the first of them there.

    nnU-Net's first version kept the list and renamed the images.
    """
    try:
        content = read_json(root / DATASET_FILE) if (root / DATASET_FILE).is_file() else None
    except DataError:
        return None  # the reader of that file says what is wrong with it
    listed = _training(content)
    first = listed[0].get("image") if isinstance(listed, list) and listed and isinstance(listed[0], dict) else None
    if isinstance(first, str) and (root / first).is_file():
        return f'{DATASET_FILE} with a list of images under "training"'
    return None


def read(root: Path, reading: Reading) -> Contents:
    """Cases by the list."""
    path = root / DATASET_FILE
    content = read_json(path)
    listed = _training(content)
    if not isinstance(listed, list) or not all(_is_entry(entry) for entry in listed) or not listed:
        raise DataError(str(path), '"training" is no list of files', _FORM)
    cases = [
        Case(stem(Path(entry["image"])), (root / entry["image"],), root / entry["label"])
        for entry in listed
        if not Path(entry["image"]).name.startswith(".")
    ]
    names = [case.name for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(str(path), f"listed more than once: {', '.join(twice)}", "every image once")
    found = declared(content.get("labels"), path, content)
    return Contents(channel_names(content, path), found, tuple(sorted(cases, key=lambda case: case.name)))


def tested_on(root: Path) -> tuple[Path, ...]:
    """The images that the description lists under "test", in its order; none where it lists none.

    Raises:
        DataError: what is listed are no files.
    """
    path = root / DATASET_FILE
    content = read_json(path)
    listed = content.get("test") if isinstance(content, dict) else None
    if not listed:
        return ()
    files: list[Any] = [entry.get("image") if isinstance(entry, dict) else entry for entry in listed]
    if not isinstance(listed, list) or not all(isinstance(file, str) for file in files):
        raise DataError(str(path), '"test" is no list of files', '["./imagesTs/case.nii.gz"]')
    return tuple(root / file for file in files if not Path(file).name.startswith("."))


def _training(content: Any) -> Any:
    """What a description lists to train on."""
    return content.get("training") if isinstance(content, dict) else None


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("image"), str) and isinstance(entry.get("label"), str)
