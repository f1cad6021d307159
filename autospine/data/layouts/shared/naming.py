"""Which files of a folder make a case: names, channel numbers and subjects.

    scan_0000.nii.gz  scan_0001.nii.gz   ->  scan: channels 0 and 1
    scan.nii.gz                          ->  scan: one file with all its channels

Nothing here opens an image, but to ask a lone file how many channels it holds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from pathlib import Path

from autospine.data.disk.files import check_name, unreadable
from autospine.data.volume import read_channels, stem, suffix_of
from autospine.data.wording import listed
from autospine.errors import DataError

CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
CHANNEL_NUMBERS = 100
"""Numbers from here on (years) are no channels."""
BIDS = "sub-"
_SEQUENCES = r"t1|t2|t1w|t2w|t2star|pd|stir|flair|dixon|water|fat|space|tse|tirm|dwi|adc|ct|mr|pre|post"
_SUBJECT = re.compile(
    rf"({BIDS}[a-zA-Z0-9]+)_.*"
    r"|(.+?)(?:[-_](?:ses|session|visit|tp|timepoint|fu)[-_]?|[-_]?(?:Ses|Session|Visit|TP|FU)[-_]?)\d+"
    rf"|(.+?)(?:[-_](?i:{_SEQUENCES}))+"
)
"""A BIDS name, one that ends in the number of a session (`p07_visit2`, `p07Ses2`), or in sequences (`p07_t2_SPACE`)."""
PREVIEW = ".png"
"""Format of pictures that programs put beside the volumes that they show."""
UNREAD = (
    *(".img", ".mat", ".npy", ".npz", ".par", ".rec", ".mnc", ".minc", ".vtk", ".vti", ".h5", ".hdf5", ".pt", ".zarr"),
    *(".dcm.gz", ".nii.bz2", ".nii.xz", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"),
)
"""Formats of images that are not read, and are told."""


def image_files(folder: Path, suffix: str | None) -> list[Path]:
    """Images of a folder by name, as `named_images`; raises `DataError` where two files have one name."""
    files = named_images(folder, suffix)
    previews = set(_previews(files))
    files = [file for file in files if file not in previews]
    refuse_twins(files)
    return files


def raise_fault(fault: DataError) -> None:
    """Raise it: where a fault of one file is one of all."""
    raise fault


def named_images(folder: Path, suffix: str | None, report: Callable[[DataError], None] = raise_fault) -> list[Path]:
    """What has an image's name in a folder; hidden files (`._case.nii.gz` of macOS, temporary ones) are not images.

    What has an image's name and is none (a link to nothing, a folder) stays, so that reading it says what it is.
    An image that could not be read for its name alone goes to `report`, and is left out where that returns.
    """
    try:
        names = sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".") and suffix_of(entry))
    except OSError as fault:
        raise unreadable(folder, fault) from fault
    named = []
    for entry in names:
        try:
            check_name(entry)
            named.append(entry)
        except DataError as fault:
            report(fault)
    return [entry for entry in named if suffix is None or suffix_of(entry) == suffix]


def _previews(files: Sequence[Path]) -> list[Path]:
    """Pictures of files beside them: `a.png` where there is an `a.nii.gz`."""
    others = {stem(file) for file in files if suffix_of(file) != PREVIEW}
    return [file for file in files if suffix_of(file) == PREVIEW and stem(file) in others]


def refuse_twins(files: Sequence[Path], report: Callable[[DataError], None] = raise_fault) -> list[Path]:
    """`files` without those of a folder that have one name but for their suffixes, which go to `report`."""
    stems: dict[str, Path] = {}
    twins = set()
    for file in files:
        first = stems.setdefault(stem(file), file)
        if first is not file:
            twins.add(stem(file))
            report(DataError(str(file), f"the same name as {first.name}", "one file of each name", "move one away"))
    return [file for file in files if stem(file) not in twins]


def unread_files(folder: Path, *, previews: bool = True) -> tuple[str, ...]:
    """Notes where images lie in `folder` whose format is not read or, with `previews`, pictures of others."""
    entries = {entry.name for entry in folder.iterdir()}
    # of Analyze's two files the header is the image's name
    names = sorted(name for name in entries if is_unread(name) and f"{name[:-4]}.hdr" not in entries)
    notes = [f"files of formats that are not read, left aside: {listed(names)} (convert them to NIfTI)"] * bool(names)
    pictures = [file.name for file in _previews(named_images(folder, None))] if previews else []
    notes += [f"previews of other images, left aside: {listed(pictures)}"] * bool(pictures)
    return tuple(notes)


def unread_below(root: Path) -> list[str]:
    """Files at and below `root` of formats that are not read, relative to it."""
    found = ((folder / name, name) for folder, folders, names in walk(root) for name in (*names, *folders))
    return sorted(path.relative_to(root).as_posix() for path, name in found if is_unread(name))


def walk(root: Path, onerror: Callable[[OSError], object] | None = None) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Folders at and below `root` that are not hidden, with the names of folders and of files in each, by name.

    Links to folders are not followed, and folders that are taken out of the list of their names are not gone into.
    """
    for place, folders, names in os.walk(root, onerror=onerror):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(place), folders, sorted(names)


def closed_note(names: Collection[str]) -> str:
    """What is said of folders that may not be read."""
    return f"folders that cannot be read, passed over: {listed(names)}"


def is_open(folder: Path) -> bool:
    """Whether it may be read what a folder holds."""
    try:
        os.scandir(folder).close()
    except OSError:
        return False
    return True


def closed_below(root: Path) -> list[str]:
    """Folders below `root` that may not be read, such as `lost+found`, relative to it; hidden ones are left aside."""
    closed: list[str] = []
    for _ in walk(root, onerror=lambda fault: closed.append(fault.filename)):
        pass
    return [Path(path).relative_to(root).as_posix() for path in closed if Path(path) != root]


def is_unread(name: str) -> bool:
    """Whether a file of this name is an image in a format that is not read."""
    return not name.startswith(".") and name.lower().endswith(UNREAD) and not suffix_of(Path(name))


def no_images_note(root: Path, folders: Sequence[Path]) -> str:
    """What is said of `folders` at or below `root` whose DICOM objects are reports and the like."""
    names = [f"{folder.relative_to(root).as_posix()}/" for folder in folders]
    return f"DICOM objects that are no images, left aside: {listed(names)}"


def group_files(
    files: Sequence[Path], whole: Container[str] = (), numbered: bool = False
) -> dict[str, dict[int, Path]]:
    """Case name -> channel -> file, of the images of one folder.

    `scan_0000` is channel 0 of `scan`. Where no file is a channel 0, four digits are part of the name
    (`visit_2023`, `visit_2024`), unless channels are known to be `numbered`; so they are in names that stand in
    `whole`, and in all that differ from one of these in their number alone.
    """
    matches = [(file, CHANNEL.fullmatch(stem(file))) for file in files]
    counted = {match["case"] for file, match in matches if match and stem(file) in whole}
    split = [
        (file, None if stem(file) in whole or (match and match["case"] in counted) else match)
        for file, match in matches
    ]
    channelled = {match["case"] for _, match in split if match and match["channel"] == "0000"}
    groups: dict[str, dict[int, Path]] = {}
    for file, match in split:
        if match and (channelled or numbered) and int(match["channel"]) < CHANNEL_NUMBERS:
            groups.setdefault(match["case"], {})[int(match["channel"])] = file
        else:
            groups.setdefault(stem(file), {})[0] = file
    return dict(sorted(groups.items()))


def numbered_cases(files: Sequence[Path]) -> frozenset[str]:
    """Names in a folder of images of one channel that end in four digits and are cases; none where those are a channel.

    vol_0000  vol_0001  vol_0002        ->  three cases: one channel has one number
    a_0000  b_0000                      ->  a and b, of channel 0
    a_0000  a_0001  b_0000  b_0001      ->  a and b, of two channels: as many as there should not be
    """
    numbers: dict[str, set[int]] = {}
    names = [stem(file) for file in files if CHANNEL.fullmatch(stem(file))]
    for name in names:
        case, _, number = name.rpartition("_")
        if int(number) < CHANNEL_NUMBERS:
            numbers.setdefault(case, set()).add(int(number))
    sets = {frozenset(held) for held in numbers.values()}
    channels = len(numbers) > 1 and len(sets) == 1 and all(held == set(range(len(held))) for held in sets)
    if channels or not any(len(held) > 1 for held in sets):
        return frozenset()
    return frozenset(names)


def expected_files(
    folder: Path, name: str, files: Mapping[int, Path], channels: int, suffix: str, numbered: bool
) -> tuple[Path, ...]:
    """The image files a case should have: its own, the missing ones under the names they would bear."""
    if channels == 1 and not files:
        return (folder / f"{name}{'_0000' * numbered}{suffix}",)
    if sorted(files) == [0] and (
        channels == 1 or not CHANNEL.fullmatch(stem(files[0])) or channels_in(files[0]) == channels
    ):
        return (files[0],)
    indices = sorted({*range(channels), *files})
    return tuple(files.get(index, folder / f"{name}_{index:04d}{suffix}") for index in indices)


def default_channels(groups: Mapping[str, Mapping[int, Path]]) -> tuple[str, ...]:
    """Names for as many channels as the cases have: what BIDS names show (`T2w`), else `channel_0` and so on."""
    count = max(max(files) for files in groups.values()) + 1
    if count == 1:
        firsts = (channels_in(next(iter(files.values()))) for files in groups.values())
        count = next(filter(None, firsts), 1)
    shown = {name.rpartition("_")[2] if name.startswith(BIDS) else "" for name in groups}
    if count == 1 and len(shown) == 1 and (one := next(iter(shown))) and "-" not in one:
        return (one,)
    return tuple(f"channel_{index}" for index in range(count))


def channels_in(path: Path) -> int:
    """Channels that one file holds (3 for RGB), 0 where it cannot be read: that is left to the check."""
    try:
        return read_channels(path)
    except DataError:
        return 0


def subjects_of(names: Sequence[str], pattern: str | None) -> dict[str, str]:
    """The subject of each case: by the user's regular expression, by the name of its session, else the case itself.

    Names that differ in a session or a sequence alone are the cases of one subject, unless that would make all cases
    one.

    Raises:
        DataError: `pattern` is no regular expression, or finds nothing in a name.
    """
    if pattern is None:
        matches = {name: _SUBJECT.fullmatch(name) for name in names}
        found = {name: next(filter(None, match.groups())) if match else name for name, match in matches.items()}
        return found if len(set(found.values())) > 1 else {name: name for name in names}
    return {name: _matched(name, pattern) for name in names}


def subject_names(name: str, subject: str, pattern: str | None) -> tuple[str, ...]:
    """All that the subject of a case may be called, in lower case: `subject`, what its session is of, the `pattern`'s.

    `p01_visit3` alone in a folder is a subject of its own; beside `p01_visit1` elsewhere it is not. For what must not
    be mixed up, rather one name too many.
    """
    match = _SUBJECT.fullmatch(name)
    names = [subject, *(filter(None, match.groups()) if match else ())]
    if pattern is not None:
        names.append(_found(pattern, name))
    return tuple(dict.fromkeys(one.casefold() for one in names if one))


def _found(pattern: str, name: str) -> str | None:
    """What the pattern finds in a name: its first group, else the whole match."""
    match = re.search(pattern, name)
    return match and (match.group(1) if match.re.groups else match.group())


def _matched(name: str, pattern: str) -> str:
    try:
        subject = _found(pattern, name)
    except re.error as fault:
        raise DataError(f"subjects {pattern!r}", f"not a regular expression ({fault})") from fault
    if not subject:
        raise DataError(name, f"does not match subjects {pattern!r}", "a pattern that finds a subject in every case")
    return subject
