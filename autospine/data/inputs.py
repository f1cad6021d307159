"""Images to predict: files or folders become named groups of files, one per channel."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from autospine.data.dataset_inputs import DatasetInputs
from autospine.data.disk.files import file_digest, unreadable
from autospine.data.formats.dicom import holds_images
from autospine.data.formats.dicom_files import DIRECTORY, series_files, series_folders, slices_beside
from autospine.data.layouts.dicom_studies import find_series
from autospine.data.layouts.shared.naming import (
    CHANNEL,
    channels_in,
    closed_note,
    group_files,
    image_files,
    no_images_note,
    numbered_cases,
    raise_fault,
    unread_below,
)
from autospine.data.not_to_segment import image_files_below, images_to_segment, refuse_mixture
from autospine.data.series_choice import Sought, check_asked, refuse_asked
from autospine.data.structure import Files
from autospine.data.study_inputs import study_cases
from autospine.data.volume import IMAGE_SUFFIXES, files_of, is_series, read_channels, stem, suffix_of
from autospine.data.wording import listed, plural
from autospine.errors import DataError

H = TypeVar("H")


def find_inputs(
    path: Path,
    channels: Sequence[str],
    optional: Collection[int] = (),
    *,
    sought: Sought | None = None,
    tell: Callable[[str], None] = lambda note: None,
    report: Callable[[DataError], None] = raise_fault,
) -> list[tuple[str, Files]]:
    """Cases to predict, of images, a data set, DICOM or a file: (name, its files in channel order), by name.

    Of the channels `optional`, from 0, a case may lack some or all, though not every channel that there is: None stands
    in their place.

    By what is `sought` for a model one is chosen of the images of a DICOM study (`study_inputs`) or of a session, and
    data sets are read in all their layouts (`dataset_inputs`). Without it each DICOM series is a case, and a folder one
    of images.

    Files are `<case>_0000.ext`, `<case>_0001.ext`, ... or, for one channel, RGB or 4D, `<case>.ext`. A single file that
    is a channel brings the other channels beside it. DICOM is the folder of a series, a folder of such folders, and for
    several channels a folder per case that holds a series for each, in a folder called like it. What is left aside in a
    folder (masks, previews, reports) goes to `tell`, a line for each kind. What is wrong with one case (other channels
    than `channels`, a header that cannot be read, a name that is no case's alone) goes to `report`; where that returns,
    the case is left out and the others come back.

    Raises:
        DataError: nothing to predict, or DICOM files and others in one folder, of which nobody knows which are meant.
    """
    path, wanted = Path(path), _Wanted(channels, optional)
    if path.name.upper() == DIRECTORY and path.is_file():
        path = path.parent  # a table of contents stands for what it lists
    if sought is not None:
        check_asked(sought.series, channels)

        def plain(folder: Path, own: Sequence[str], lacking: Collection[int]) -> list[tuple[str, Files]]:
            return _of_folder(folder, _Wanted(own, lacking), None, tell, report)

        cases = DatasetInputs(channels, optional, sought, plain, tell, report).find(path)
        if cases is not None:
            return cases
    if path.is_dir():
        return _of_folder(path, wanted, sought, tell, report)
    if not path.is_file():
        raise DataError(str(path), "no such file or folder", "an image or a folder of images")
    refuse_asked(path, () if sought is None else sought.series)
    if not is_series(path):
        return _each(_of_file(path, wanted), partial(_channel_files, wanted), report)
    slices = slices_beside(path)
    if slices > 1:
        tell(f"{path.name} is one slice of a series of {slices} in its folder: give the folder for all of them")
    # 1.2.840.99.7 is a whole name, of which the last number is no suffix
    return [(path.stem if path.suffix[1:].isalpha() else path.name, (path,))]


@dataclass(frozen=True)
class _Wanted:
    """The channels that each case is to have."""

    channels: Sequence[str]
    optional: Collection[int]
    """Those that a case may lack, from 0."""

    def __str__(self) -> str:
        """As messages say it."""
        text = f"{plural(len(self.channels), 'channel')} ({', '.join(self.channels)})"
        may = ", ".join(self.channels[index] for index in sorted(self.optional))
        return f"{text}, of which {may} may be missing" if may else text


def _each(
    cases: Mapping[str, H], files: Callable[[str, H], Files], report: Callable[[DataError], None]
) -> list[tuple[str, Files]]:
    """What `files` gives of each case; faults go to `report`, and where that returns the case is left out."""
    found = []
    for name, held in sorted(cases.items()):
        try:
            found.append((name, files(name, held)))
        except DataError as fault:
            report(fault)
    return found


def _of_file(path: Path, wanted: _Wanted) -> dict[str, dict[int, Path]]:
    """The case of an image file: name -> channel -> file."""
    if not suffix_of(path):
        raise DataError(str(path), "not an image format that is read", f"{', '.join(IMAGE_SUFFIXES)}, or DICOM")
    match = CHANNEL.fullmatch(stem(path))
    # With one channel `scan_2024.nii.gz` is that file alone; its neighbours are other images.
    beside = None
    if match and len(wanted.channels) > 1:
        beside = _grouped(image_files(path.parent, suffix_of(path)), wanted).get(match["case"])
    numbered = match is not None and (beside is not None or match["channel"] == "0000")
    return {match["case"] if match and numbered else stem(path): beside or {0: path}}


def _of_folder(
    path: Path,
    wanted: _Wanted,
    sought: Sought | None,
    tell: Callable[[str], None],
    report: Callable[[DataError], None],
) -> list[tuple[str, Files]]:
    """The cases of a folder of image files, or of DICOM series at and below it."""
    faults: list[DataError] = []

    def count_fault(fault: DataError) -> None:
        faults.append(fault)
        report(fault)

    files = images_to_segment(path, tell, count_fault)
    closed: list[str] = []
    tree = None if sought is None else find_series(path, closed.append, count_fault)
    folders = list(series_folders(path, tell=closed.append)) if tree is None else list(tree.folders)
    if closed:
        tell(closed_note(closed))
    refuse_mixture(path, files, folders, tell)
    if tree is not None and sought is not None and folders:
        if not tree.series and not faults:
            raise _no_dicom_images(path)
        for note in tree.notes(path):
            tell(note)
        return study_cases(path, tree, wanted.channels, wanted.optional, sought, tell, report)
    refuse_asked(path, () if sought is None else sought.series)
    if folders:
        series = _series_of_cases(path, folders, tell, several=len(wanted.channels) > 1)
        return _each(series, partial(_series_files, wanted), report)
    one = len(wanted.channels) == 1
    # a channel that cannot be taken is none that its case lacks
    names = {stem(Path(fault.where)) for fault in faults}
    names |= {match["case"] for name in names if not one and (match := CHANNEL.fullmatch(name))}
    groups = {name: held for name, held in _grouped(files, wanted).items() if name not in names}
    if one and (numbers := {stem(file) for file in files} & numbered_cases(files)):
        tell(f"numbers at the end of names are those of cases, since the model takes one channel: {listed(numbers)}")
    if not groups and not faults:
        raise _no_images(path)
    return _each(groups, partial(_channel_files, wanted), report)


def _channel_files(wanted: _Wanted, name: str, files: dict[int, Path]) -> Files:
    """The files of a case in the order of the channels; `DataError` where they are others."""
    count, optional = len(wanted.channels), wanted.optional
    alone = len(files) == 1 and 0 in files
    held = read_channels(files[0]) if alone else len(files)
    # what is numbered as the first channel may be that alone, where the others may be missing
    first = alone and CHANNEL.fullmatch(stem(files[0])) is not None and stem(files[0]).endswith("_0000")
    whole = alone and (held == count or not (optional and first))
    lacking = set(range(count)) - files.keys()
    if (held != count) if whole else (bool(files.keys() - set(range(count))) or not lacking <= set(optional)):
        remedy = "give " + ", ".join(f"{name}_{index:04d}{suffix_of(min(files.values()))}" for index in range(count))
        if count == 1 and len(files) > 1:
            remedy += "; where each number is a case, rename the files so that no name ends in four digits"
        found = f"{plural(held, 'channel')} ({', '.join(files[key].name for key in sorted(files))})"
        raise DataError(name, found, str(wanted), remedy)
    return (files[0],) if whole else tuple(files.get(index) for index in range(count))


def _no_images(path: Path) -> DataError:
    """The error of a folder without images in it, which names what is there instead."""
    expected = f"files that end in {', '.join(IMAGE_SUFFIXES)}, or DICOM series"
    below = [file.relative_to(path).as_posix() for file in image_files_below(path)]
    if below:
        found = f"no images in the folder itself, {len(below)} in folders below it ({listed(below)})"
        return DataError(str(path), found, expected, "give the folder that holds the images")
    unread = unread_below(path)
    if unread:
        found = f"no images but files of formats that are not read: {listed(unread)}"
        return DataError(str(path), found, expected, "convert them to NIfTI")
    return DataError(str(path), "no images", expected)


def _no_dicom_images(root: Path) -> DataError:
    """The error of a folder whose DICOM files are reports and the like."""
    return DataError(str(root), "DICOM objects that are no images", "DICOM series", "give the folder of the images")


def _grouped(files: Sequence[Path], wanted: _Wanted) -> dict[str, dict[int, Path]]:
    """Case -> channel -> file. Where channels may be missing, four digits are a channel without a first one, too.

    A file that holds all channels is a case, whatever number it bears.
    """
    count, numbered = len(wanted.channels), bool(wanted.optional)
    if count == 1:
        return group_files(files, whole=numbered_cases(files), numbered=numbered)
    later = [file for file in files if CHANNEL.fullmatch(stem(file)) and not stem(file).endswith("_0000")]
    whole = {stem(file) for file in later if channels_in(file) == count}
    return group_files(files, whole=whole, numbered=numbered)


def _series_of_cases(
    root: Path, folders: Sequence[Path], tell: Callable[[str], None], *, several: bool
) -> dict[str, list[tuple[Path, Path]]]:
    """Case -> (its own folder below `root`, that of the series) of each series in `folders`.

    A case of `several` channels is the folder that holds their folders.
    """
    # a folder in which a file is damaged may hold images: reading its case says what is wrong
    others = [folder for folder in folders if not _may_hold_images(folder)]
    images = [folder for folder in folders if folder not in others]
    if not images:
        raise _no_dicom_images(root)
    if others:
        tell(no_images_note(root, others))
    cases: dict[str, list[tuple[Path, Path]]] = {}
    for folder in images:
        home = (folder.parent if several and folder != root else folder).relative_to(root)
        cases.setdefault("_".join(home.parts) or root.resolve().name, []).append((home, folder))
    return cases


def _series_files(wanted: _Wanted, name: str, held: list[tuple[Path, Path]]) -> Files:
    """The series of a case in the order of the channels, by the names of their folders where these are several."""
    channels, homes = wanted.channels, {home.as_posix() for home, _ in held}
    if len(homes) > 1:
        found = f"the name of {len(homes)} folders' cases ({listed(homes)})"
        raise DataError(name, found, "one", "rename a folder")
    called = {folder.name: folder for _, folder in held}
    needed = {channel for index, channel in enumerate(channels) if index not in wanted.optional}
    fits = len(channels) == 1 or needed <= called.keys() <= set(channels)
    if len(called) != len(held) or len(held) > len(channels) or not fits:
        found = f"{plural(len(held), 'channel')} ({', '.join(sorted(called))})"
        remedy = "give a folder per case, with a folder per channel that is called like it"
        raise DataError(name, found, str(wanted), remedy)
    return tuple(called.get(channel) for channel in channels) if len(channels) > 1 else (held[0][1],)


def _may_hold_images(folder: Path) -> bool:
    """Whether a DICOM object in `folder` is an image, or cannot be read."""
    try:
        return holds_images(folder)
    except DataError:
        return True


def images_digest(images: Sequence[Path | None]) -> str:
    """SHA-256 of all that a case's image is read from, whatever its files are called and wherever they lie.

    Raises:
        DataError: a file cannot be read, or the one that a header names is not there.
    """
    digest = hashlib.sha256()
    for path in images:
        if path is None:
            digest.update(b"none;")
            continue
        try:
            if is_series(path):  # the slices of a DICOM series stand in the order of their positions
                parts = sorted(file_digest(file) for file in series_files(path))
            else:
                parts = [file_digest(file) for file in files_of(path)]
        except OSError as fault:
            raise unreadable(path, fault) from fault
        digest.update(f"{','.join(parts)};".encode())
    return digest.hexdigest()
