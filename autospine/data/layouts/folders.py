"""Two folders, one with images and one with masks: `images/<case>.nii.gz`, `labels/<case>.nii.gz` and the like.

A mask has the name of its image, or that name with `_seg`, `-label`, `_mask` and so on behind it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from autospine.data.layouts.shared.contents import Contents, described_beside
from autospine.data.layouts.shared.masks import beginnings, choose_kind, pair_masks
from autospine.data.layouts.shared.naming import (
    default_channels,
    expected_files,
    group_files,
    image_files,
    is_unread,
    unread_files,
)
from autospine.data.masks.files import mask_stem
from autospine.data.masks.structures import is_structures
from autospine.data.structure import Case, Reading
from autospine.data.volume import stem, suffix_of
from autospine.data.wording import listed
from autospine.errors import DataError

IMAGES = ("images", "image", "imgs", "img", "scans", "scan", "volumes", "volume", "imagestr")
MASKS = (
    *("labels", "label", "labelstr", "masks", "mask", "segmentations", "segmentation", "segs", "seg"),
    *("annotations", "gt", "ground_truth", "groundtruth", "rois"),
)
_REMEDY = "put the masks there, each with the name of its image"


def evidence(root: Path) -> str | None:
    """What speaks for this layout: a folder that is called as folders of images are."""
    # one that holds folders alone has something else in it, such as DICOM series
    images = [folder for folder in _folders(root, IMAGES) if image_files(folder, None) or not any(folder.iterdir())]
    return " and ".join(f"{folder.name}/" for folder in (*images, *_folders(root, MASKS))) if images else None


def read(root: Path, reading: Reading) -> Contents:
    """Cases by the names in the two folders."""
    images, masks = image_folder(root), _folders(root, MASKS)
    if len(masks) > 1:
        chosen = choose_kind([folder.name for folder in masks], reading.masks, root)
        masks = [folder for folder in masks if folder.name == chosen]
        reading = replace(reading, masks=None)
    if not masks:
        raise DataError(str(root / "labels"), "no such folder", "a folder of masks beside that of the images", _REMEDY)
    paired = pair_folders(images, masks[0], reading)
    return described_beside(root, Contents(paired.channels, None, paired.cases, paired.notes))


def image_folder(root: Path) -> Path:
    """The folder of images in `root`; `DataError` where there are several."""
    images = _folders(root, IMAGES)
    if len(images) != 1:
        found = f"{len(images)} folders of images ({', '.join(folder.name for folder in images)})"
        raise DataError(str(root), found, "one, such as images/", "move the others away")
    return images[0]


def pair_folders(
    images: Path,
    masks: Path,
    reading: Reading,
    *,
    suffix: str | None = None,
    channels: tuple[str, ...] | None = None,
) -> Contents:
    """The images of one folder with the masks of another.

    With `channels` (nnU-Net's layout) names are taken at their word and channels are numbered; else what is there
    decides.
    """
    strict = channels is not None
    for folder in (images, masks):
        if not folder.is_dir():
            raise DataError(str(folder), "no such folder", "a folder of images and one of masks", _REMEDY)
    called = mask_stem if strict else stem  # names that are taken at their word bear no `.seg`
    found = {called(path): path for path in image_files(masks, suffix)}
    if not strict:  # a case's mask may be a folder of one file per structure
        entries = sorted(entry for entry in masks.iterdir() if not entry.name.startswith("."))
        found |= {entry.name: entry for entry in entries if entry.name not in found and is_structures(entry)}
    # In a plain folder an image and a mask of one name belong together, whatever digits that name ends in.
    whole = {begin for name in found for begin in (name, *beginnings(name))}
    files = image_files(images, suffix)
    if strict:
        # one channel, and labels with the very names of images, numbers and all: these are no numbers of channels
        there = {stem(file) for file in files}
        whole = {name for name in found if name in there and f"{name}_0000" not in there and len(channels or ()) == 1}
    groups = group_files(files, whole=whole)
    if not groups:
        expected = f"files that end in {suffix}" if suffix else "images"
        unread = [file.name for file in images.iterdir() if is_unread(file.name)]
        if unread:
            found_there = f"no images but files of formats that are not read: {listed(unread)}"
            raise DataError(str(images), found_there, expected, "convert them to NIfTI")
        raise DataError(str(images), f"no images{f' that end in {suffix}' if suffix else ''}", expected)
    named = dict(found) if strict else pair_masks(groups, found, reading.masks, masks)
    if channels is None:
        channels = default_channels(groups)
    ending = suffix or suffix_of(next(iter(next(iter(groups.values())).values())))
    cases = tuple(
        Case(
            name,
            expected_files(images, name, groups.get(name, {}), len(channels), ending, strict),
            named.get(name, masks / f"{name}{ending}"),
        )
        for name in sorted(groups.keys() | named.keys())
    )
    return Contents(channels, None, cases, (*unread_files(images), *unread_files(masks)))


def _folders(root: Path, names: tuple[str, ...]) -> list[Path]:
    """Subfolders of `root` with one of these names, whatever their case."""
    return [entry for entry in sorted(root.iterdir()) if entry.name.lower() in names and entry.is_dir()]
