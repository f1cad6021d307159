"""Images and masks in one folder: `case.nii.gz` beside `case_seg.nii.gz`, `case-label.nrrd`, `case.seg.nrrd`.

The masks may lie in a folder `derivatives...` of it, where SPINEPS puts those of single images (`derivatives_seg/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from autospine.data.layouts.bids import derivative_folders
from autospine.data.layouts.shared.contents import Contents, described_beside
from autospine.data.layouts.shared.masks import Images, beginnings, is_mask_name, masks_among, pair_masks
from autospine.data.layouts.shared.naming import (
    default_channels,
    expected_files,
    group_files,
    image_files,
    unread_files,
)
from autospine.data.structure import Case, Reading
from autospine.data.volume import stem, suffix_of
from autospine.errors import DataError


def evidence(root: Path) -> str | None:
    """What speaks for this layout: image files, of which some are named as masks and some are not."""
    masks, images = _apart(root)
    return f"{len(images)} images and {len(masks)} masks side by side" if masks and images else None


def read(root: Path, reading: Reading) -> Contents:
    """Cases by their names; an image without a mask is an unlabelled one."""
    masks, images = _apart(root)
    if not images:
        raise DataError(str(root), "no images", "images with their masks beside them")
    groups = group_files(images, whole={begin for name in masks for begin in beginnings(name)})
    channels = default_channels(groups)
    paired = pair_masks(groups, masks, reading.masks, root)
    ending = suffix_of(images[0])
    cases = tuple(
        Case(
            name,
            expected_files(root, _image_name(name, groups, masks), groups.get(name, {}), len(channels), ending, False),
            paired.get(name),
        )
        for name in sorted(groups.keys() | paired.keys())
    )
    return described_beside(root, Contents(channels, None, cases, unread_files(root)))


def _image_name(name: str, groups: Mapping[str, object], masks: Mapping[str, Path]) -> str:
    """What the image of a case is called; of a mask without one, what stands before the word that masks have."""
    alone = name in masks and name not in groups
    return next(beginnings(name), f"{name}_image") if alone else name


def _apart(root: Path) -> tuple[dict[str, Path], list[Path]]:
    """Masks by name, and images. `seg_scan` is a mask where there is a `scan`."""
    held = (path for home in derivative_folders(root) for path in image_files(home, None))
    derived = [path for path in held if is_mask_name(stem(path))]
    files = {stem(path): path for path in (*derived, *image_files(root, None))}
    said = masks_among(files)
    others = Images([name for name in files if name not in said])
    masks = {name: path for name, path in files.items() if name in said or others.led(name) is not None}
    return masks, [path for name, path in files.items() if name not in masks]
