"""nnU-Net's raw layout: `dataset.json`, `imagesTr/<case>_0000.nii.gz`, `labelsTr/<case>.nii.gz`.

Where `dataset.json` lists its files under `dataset`, those are taken instead of the folders' content.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autospine.data.description import DATASET_FILE, channel_names, declared, file_ending
from autospine.data.disk.files import read_json
from autospine.data.layouts import decathlon
from autospine.data.layouts.folders import pair_folders
from autospine.data.layouts.shared.contents import Contents
from autospine.data.structure import Case, Reading
from autospine.errors import DataError

READERS = (
    *("SimpleITKIO", "SimpleITKIOWithReorient", "NibabelIO", "NibabelIOWithReorient", "NaturalImage2DIO", "Tiff3DIO"),
    "None",
)
"""Of nnU-Net v2.8, under `overwrite_image_reader_writer`, where `None` in quotes names none as well; all their formats
are read the same way here."""


def evidence(root: Path) -> str | None:
    """What speaks for this layout."""
    if not (root / DATASET_FILE).is_file() or decathlon.evidence(root):
        return None
    return f"{DATASET_FILE} and imagesTr/" if (root / "imagesTr").is_dir() else DATASET_FILE


def read(root: Path, reading: Reading) -> Contents:
    """Cases by `dataset.json`."""
    path = root / DATASET_FILE
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(str(path), "not a JSON object", 'keys "channel_names", "labels", "file_ending"')
    channels = channel_names(content, path)
    found = declared(content.get("labels"), path, content)
    reader = content.get("overwrite_image_reader_writer")
    if reader is not None and reader not in READERS:
        said = f'"overwrite_image_reader_writer" is {reader!r}'
        raise DataError(str(path), said, ", ".join(READERS), "convert the images to NIfTI and take the key out")
    if "dataset" in content:
        return Contents(channels, found, _listed(root, content["dataset"], len(channels)))
    suffix = file_ending(content, path)
    paired = pair_folders(root / "imagesTr", root / "labelsTr", reading, suffix=suffix, channels=channels)
    return Contents(channels, found, paired.cases, paired.notes)


def _listed(root: Path, listed: Any, channels: int) -> tuple[Case, ...]:
    """The cases of a `dataset` table: {"case": {"images": [...], "label": "..."}}, paths relative to the folder."""
    path = root / DATASET_FILE
    form = '{"case": {"images": ["imagesTr/case_0000.nii.gz"], "label": "labelsTr/case.nii.gz"}}'
    if not isinstance(listed, Mapping) or not listed:
        raise DataError(str(path), f'"dataset" is {listed!r}'[:200], form)
    cases = []
    for name, entry in sorted(listed.items()):
        images = entry.get("images") if isinstance(entry, Mapping) else None
        label = entry.get("label") if isinstance(entry, Mapping) else None
        images = [images] if isinstance(images, str) else images
        if not isinstance(images, list) or not all(isinstance(file, str) for file in images) or not images:
            raise DataError(str(path), f'case {name!r} of "dataset" is {entry!r}'[:200], form)
        if label is not None and not isinstance(label, str):
            raise DataError(str(path), f'case {name!r} of "dataset" has the label {label!r}', form)
        if len(images) not in (1, channels):
            raise DataError(str(path), f"case {name!r} lists {len(images)} images", f"{channels}, one per channel")
        files = tuple(root / file for file in images)
        cases.append(Case(str(name), files, None if label is None else root / label))
    return tuple(cases)
