"""A folder per case: `case01/T2.nii.gz`, `case01/T1.nii.gz`, `case01/seg.nii.gz`, with the case's name or without.

A mask may be a folder of one file per structure, as of TotalSegmentator: `case01/segmentations/vertebrae_L5.nii.gz`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from autospine.data.description import LABELS_FILE
from autospine.data.formats.dicom_files import dicom_files
from autospine.data.layouts.folders import IMAGES, MASKS
from autospine.data.layouts.shared.contents import Contents, described_beside
from autospine.data.layouts.shared.masks import is_mask_word, kind_to_read, masks_among, says_mask
from autospine.data.layouts.shared.naming import PREVIEW, image_files, is_open, unread_files
from autospine.data.masks.structures import is_structures, structure_files
from autospine.data.structure import Case, Reading
from autospine.data.volume import stem, suffix_of
from autospine.data.wording import listed
from autospine.errors import DataError

ONE = "channel_0"


def evidence(root: Path) -> str | None:
    """What speaks for this layout: folders that hold an image and a mask."""
    # what is called as a folder of all images or all masks is no case
    for folder in (folder for folder in _folders(root) if folder.name.lower() not in (*IMAGES, *MASKS)):
        roles = _roles(folder)
        masks = _masks(folder, roles)
        if masks and len(masks) < len(roles):
            return f"images and masks in {folder.name}/ and other folders"
    return None


def read(root: Path, reading: Reading) -> Contents:
    """Cases by folder, channels by what the files are called in every one of them."""
    held = {folder: _roles(folder) for folder in _folders(root)}
    without = [folder.name for folder, roles in held.items() if not roles]
    held = {folder: roles for folder, roles in held.items() if roles}
    if not held:
        raise DataError(str(root), "no folders with images", "a folder per case, with its images and its mask")
    of_masks = {folder: _masks(folder, roles) for folder, roles in held.items()}
    kinds = sorted(set[str]().union(*of_masks.values()))
    clash = any(len(masks) > 1 for masks in of_masks.values())
    chosen = kind_to_read(kinds, reading.masks, root, clash=clash)
    images = {folder: [role for role in roles if role not in of_masks[folder]] for folder, roles in held.items()}
    roles_in_all = sorted({role for roles in images.values() for role in roles})
    alone = all(len(roles) <= 1 for roles in images.values())
    # names that come again are those of sequences, of which each case has one
    alone = alone and not (reading.allow_missing and 1 < len(roles_in_all) < len(images))
    channels = (ONE,) if alone and len(roles_in_all) != 1 else tuple(roles_in_all)
    if not channels:
        raise DataError(str(root), "masks alone", "an image in each folder")
    suffix = next((suffix_of(path) for roles in held.values() for path in roles.values() if suffix_of(path)), ".nii.gz")
    cases = []
    for folder, roles in held.items():
        masks = [path for role, path in roles.items() if role in of_masks[folder] and chosen in (None, role)]
        files = (
            [roles[role] for role in images[folder]] or [folder / f"image{suffix}"]
            if alone
            else [roles.get(role, folder / f"{role}{suffix}") for role in channels]
        )
        cases.append(Case(folder.name, tuple(files), masks[0] if masks else None))
    notes = [f"folders without images in them, left aside: {', '.join(without)}"] if without else []
    notes += [note for folder in held for note in unread_files(folder)]
    contents = described_beside(root, Contents(channels, None, tuple(cases), tuple(notes)))
    return replace(contents, notes=(*contents.notes, *_unnamed(contents)))


def images_by_case(root: Path) -> dict[str, dict[str, Path]]:
    """Case, by name -> what its files are called -> its image; masks are none, and a folder without images no case."""
    roles = {folder: _roles(folder) for folder in _folders(root)}
    masks = {folder: _masks(folder, held) for folder, held in roles.items()}
    images = {
        folder.name: {role: path for role, path in held.items() if role not in masks[folder]}
        for folder, held in roles.items()
    }
    return {name: held for name, held in images.items() if held}


def _unnamed(contents: Contents) -> tuple[str, ...]:
    """A note where the labels that are named are not all structures that the cases have a file for."""
    if contents.labels is None:
        return ()
    folders = [case.label for case in contents.cases if case.label is not None and case.label.is_dir()]
    named = {name for name, _ in contents.labels.classes}
    left = sorted({name for folder in folders for name in structure_files(folder)} - named)
    return (f"structures that {LABELS_FILE} does not name, left aside: {listed(left)}",) if left else ()


def _folders(root: Path) -> Iterator[Path]:
    """The subfolders of `root` that are not hidden and may be read."""
    entries = (entry for entry in sorted(root.iterdir()) if not entry.name.startswith("."))
    return (entry for entry in entries if entry.is_dir() and is_open(entry))


def _roles(folder: Path) -> dict[str, Path]:
    """What each file of a case is called, without the name of the case before it."""
    files = image_files(folder, None)
    volumes = [path for path in files if suffix_of(path) != PREVIEW]
    if volumes or (files and dicom_files(folder)):  # beside volumes a picture is a preview
        files = volumes
    found = {_role(folder, stem(path)): path for path in files}
    for entry in _folders(folder):
        if says_mask(entry.name) and is_structures(entry):
            found.setdefault(entry.name, entry)
    return found


def _role(folder: Path, name: str) -> str:
    """A file's name without suffix and without the name of the case, unless that is all that it has."""
    return name.removeprefix(folder.name).lstrip("-_. ") or name


def _masks(folder: Path, roles: Mapping[str, Path]) -> frozenset[str]:
    """Those of the roles in a case that masks have; the name of the case itself says nothing.

    A role that is nothing but a word of masks is one where there is any other image: `lesion` beside `T2`.
    """
    masks = masks_among(
        {stem(path) for path in roles.values()},
        says=lambda name: name != folder.name and says_mask(_role(folder, name)),
    )
    images = {role for role, path in roles.items() if stem(path) not in masks}
    single = {role for role in images if role != folder.name and is_mask_word(role)}
    return frozenset(roles.keys() - images | (single if single < images else set()))
