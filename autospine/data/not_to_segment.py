"""What lies in a folder of images to segment and is not to be segmented itself: masks, previews, other copies.

a.nii.gz  a_seg.nii.gz  a.png   ->  a.nii.gz; a mask and a preview are left aside, and that is said
IM0001 ... IM0038  a.nii.gz     ->  a question: the DICOM series or the file?
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from autospine.data.disk.files import hidden_name
from autospine.data.formats.dicom_files import DEEPEST, dicom_files
from autospine.data.layouts.folders import MASKS
from autospine.data.layouts.shared.masks import beginnings, masks_beside, surely_mask
from autospine.data.layouts.shared.naming import (
    CHANNEL,
    PREVIEW,
    named_images,
    raise_fault,
    refuse_twins,
    unread_files,
    walk,
)
from autospine.data.volume import IMAGE_SUFFIXES, stem, suffix_of
from autospine.data.wording import listed, plural
from autospine.errors import DataError

PREDICTED = "prediction.json"
"""In a folder of segmentations: which model made which file of which images."""
PROBABILITIES, UNCERTAINTY, STATISTICS, PREVIEWS, PROMISED, LEVELS, INSTANCES = SIDES = (
    *("probabilities", "uncertainty", "statistics", "preview"),
    *("promise", "levels", "instances"),
)
"""What a prediction writes beside segmentations: in folders of these names, or as `seg.preview.png` beside a file."""
_OWN = frozenset({PREDICTED, "plan.toml", "model.json"})
"""Files of ours that say that a folder, and what lies below it, holds results and no images."""


def record_beside(path: Path) -> Path:
    """Where a prediction into the single file `path` keeps account: hidden, since the folder may hold images."""
    return path.with_name(hidden_name(f".{path.name}.{PREDICTED}", path.name, PREDICTED))


def images_to_segment(
    folder: Path, tell: Callable[[str], None], report: Callable[[DataError], None] = raise_fault
) -> list[Path]:
    """The images in `folder` itself; what of the other files looks like one goes to `tell`.

    Files that cannot be told apart, or not be read for their names alone, go to `report`.
    """
    files = named_images(folder, None, report)
    shown = {stem(file) for file in files if suffix_of(file) != PREVIEW}
    shown |= {match["case"] for name in shown if (match := CHANNEL.fullmatch(name))}
    previews = [
        file
        for file in files
        if suffix_of(file) == PREVIEW and any(name in shown for name in (stem(file), *beginnings(stem(file))))
    ]
    files = [file for file in files if file not in previews]
    files = refuse_twins(files, report)
    made = [file for file in files if any(record.is_file() for record in _records(file))]
    if made:
        tell(f"segmentations that autospine made, left aside: {listed([file.name for file in made])}")
    files = [file for file in files if file not in made]
    masks = masks_beside({stem(file) for file in files})
    aside = [file.name for file in files if stem(file) in masks]
    if aside:
        tell(f"masks by their names, left aside: {listed(aside)}")
    if previews:
        tell(f"previews of other images, left aside: {listed([file.name for file in previews])}")
    for note in unread_files(folder, previews=False):
        tell(note)
    return [file for file in files if stem(file) not in masks]


def _records(file: Path) -> list[Path]:
    """Records of which one, where it is there, says that autospine made a file, or made it beside a segmentation."""
    made, _, kind = stem(file).rpartition(".")
    beside = [f"{made}{ending}" for ending in (*IMAGE_SUFFIXES, ".seg.nrrd", ".dcm")] if made and kind in SIDES else []
    return [record_beside(file.with_name(name)) for name in (file.name, *beside)]


def refuse_mixture(root: Path, files: Sequence[Path], folders: Sequence[Path], tell: Callable[[str], None]) -> None:
    """Raise `DataError` where DICOM files in `folders` and image files may both be meant; `tell` of what is not.

    `files` are the images in `root` itself. Of those below it masks are no images, and what lies in a case's folder
    around its series is a copy; a case that has image files alone would be left out.
    """
    below = list(image_files_below(root, tell))
    if not folders:
        if files and below:
            tell(f"images in folders below, left aside: {listed([_shown(root, file) for file in below])}")
        return
    slices = {stem(path) for folder in folders for path in dicom_files(folder)} if files or below else set()
    tops = {folder.relative_to(root).parts[0] for folder in folders if folder != root}
    rivals = []
    for file in (*files, *below):
        top = file.relative_to(root).parts[0]
        at_stake = file.parent in (root, *folders) or (top not in tops and top.lower() not in MASKS)
        preview = suffix_of(file) == PREVIEW and (stem(file) in slices or file.parent not in (root, *folders))
        if at_stake and not preview and not surely_mask(stem(file)):
            rivals.append(file)
    if rivals:
        count = sum(len(dicom_files(folder)) for folder in folders)
        names = listed([_shown(root, file) for file in rivals])
        found = f"{plural(count, 'DICOM file')} and {_counted(rivals)} ({names}): which are meant?"
        remedy = f"give {rivals[0]} by itself, or move what is not meant to another folder"
        raise DataError(str(root), found, "images of one kind", remedy)
    aside = [_shown(root, file) for file in (*files, *below)]
    if aside:
        tell(f"neither DICOM nor an image by their names and places, left aside: {listed(aside)}")


def image_files_below(root: Path, tell: Callable[[str], None] = lambda note: None) -> Iterator[Path]:
    """What has an image's name in folders below `root`, but for hidden folders and what autospine has made.

    Folders that lie too deep to be looked into go to `tell`.
    """
    deeper: list[str] = []
    for folder, folders, names in walk(root):
        if folder != root and _OWN & set(names):
            folders.clear()
            continue
        deep = len(folder.relative_to(root).parts)
        if deep >= DEEPEST:
            deeper += [_shown(root, folder / name) for name in folders]
            folders.clear()
        if folder != root:
            named = (name for name in names if not name.startswith(".") and suffix_of(Path(name)))
            yield from (folder / name for name in named if not any(one.name in names for one in _records(Path(name))))
    if deeper:
        tell(f"folders more than {DEEPEST} levels down, not looked into: {listed(deeper)}")


def _shown(root: Path, file: Path) -> str:
    return file.relative_to(root).as_posix()


def _counted(files: Sequence[Path]) -> str:
    """`1 NIfTI file`, `2 PNG files`, `3 image files`."""
    kinds = {"NIfTI" if suffix_of(file).startswith(".nii") else suffix_of(file)[1:].upper() for file in files}
    return plural(len(files), f"{kinds.pop() if len(kinds) == 1 else 'image'} file")
