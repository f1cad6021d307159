"""Images and masks in one folder: `case.nii.gz` beside `case_seg.nii.gz`, `case-label.nrrd`, `case.seg.nrrd`."""

from __future__ import annotations

from pathlib import Path

from autospine.data.layouts.contents import Contents, described_beside
from autospine.data.layouts.folders import pair_masks
from autospine.data.layouts.naming import default_channels, expected_files, group_files, image_files, is_mask_name
from autospine.data.structure import Case, Reading
from autospine.data.volume import stem, suffix_of
from autospine.errors import DataError


def evidence(root: Path) -> str | None:
    """What speaks for this layout: image files, of which some are named as masks and some are not."""
    said = [is_mask_name(stem(path)) for path in image_files(root, None)]
    return f"{said.count(False)} images and {said.count(True)} masks side by side" if len(set(said)) == 2 else None


def read(root: Path, reading: Reading) -> Contents:
    """Cases by their names; an image without a mask is an unlabelled one."""
    files = image_files(root, None)
    masks = {stem(path): path for path in files if is_mask_name(stem(path))}
    images = [path for path in files if stem(path) not in masks]
    groups = group_files(images)
    if not groups:
        raise DataError(str(root), "no images", "images with their masks beside them")
    channels = default_channels(groups)
    paired = pair_masks(groups, masks, reading, root)
    cases = tuple(
        Case(
            name,
            expected_files(root, name, groups.get(name, {}), len(channels), suffix_of(files[0]), False),
            paired.get(name),
            "",
        )
        for name in sorted(groups.keys() | paired.keys())
    )
    return described_beside(root, Contents(channels, None, cases))
