"""Which files of a folder make a case: names, channel numbers and subjects.

    scan_0000.nii.gz  scan_0001.nii.gz   ->  scan: channels 0 and 1
    scan.nii.gz                          ->  scan: one file with all its channels

Nothing here opens an image, but to ask a lone file how many channels it holds.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from pathlib import Path

from autospine.data.volume import read_channels, stem, suffix_of
from autospine.errors import DataError

CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


def image_files(folder: Path, suffix: str | None) -> list[Path]:
    """Images of a folder by name; hidden files (`._case.nii.gz` of macOS, temporary ones) are not images."""
    try:
        names = sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".") and suffix_of(entry))
    except OSError as fault:
        raise DataError(str(folder), f"cannot be read ({fault.strerror or fault})") from fault
    files = [entry for entry in names if entry.is_file() and (suffix is None or suffix_of(entry) == suffix)]
    stems: dict[str, Path] = {}
    for file in files:
        if stem(file) in stems:
            raise DataError(
                str(file),
                f"the same name as {stems[stem(file)].name}",
                "one file of each name",
                "move one of them away",
            )
        stems[stem(file)] = file
    return files


def group_files(folder: Path, suffix: str | None, whole: Container[str] = ()) -> dict[str, dict[int, Path]]:
    """Case name -> channel -> file.

    `scan_0000` is channel 0 of `scan`. Where no file of the folder is a channel 0, four digits are part of the name
    (`visit_2023`, `visit_2024`); so they are in names that stand in `whole`.
    """
    files = image_files(folder, suffix)
    split = [(file, None if stem(file) in whole else CHANNEL.fullmatch(stem(file))) for file in files]
    channelled = {match["case"] for _, match in split if match and match["channel"] == "0000"}
    groups: dict[str, dict[int, Path]] = {}
    for file, match in split:
        if match and (match["case"] in channelled or (channelled and int(match["channel"]) < 100)):
            groups.setdefault(match["case"], {})[int(match["channel"])] = file
        else:
            groups.setdefault(stem(file), {})[0] = file
    return dict(sorted(groups.items()))


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


def channels_in(path: Path) -> int:
    """Channels that one file holds (3 for RGB), 0 where it cannot be read: that is left to the check."""
    try:
        return read_channels(path)
    except DataError:
        return 0


def subject_of(name: str, pattern: str | None) -> str:
    """The subject of a case by the user's regular expression, else the case itself."""
    if pattern is None:
        return name
    try:
        match = re.search(pattern, name)
    except re.error as fault:
        raise DataError(f"subjects {pattern!r}", f"not a regular expression ({fault})") from fault
    subject = match and (match.group(1) if match.re.groups else match.group())
    if not subject:
        raise DataError(name, f"does not match subjects {pattern!r}", "a pattern that finds a subject in every case")
    return subject
