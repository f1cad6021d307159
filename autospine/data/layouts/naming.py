"""Which files of a folder make a case: names, channel numbers, masks and subjects.

    scan_0000.nii.gz  scan_0001.nii.gz   ->  scan: channels 0 and 1
    scan.nii.gz                          ->  scan: one file with all its channels
    scan_seg.nii.gz  scan-label.nrrd     ->  masks of scan

Nothing here opens an image, but to ask a lone file how many channels it holds.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from autospine.data.volume import read_channels, stem, suffix_of
from autospine.errors import DataError

CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
_WORD = re.compile(
    r"seg|segs|segmentations?|masks?|msk|labels?|labelmap|gt|groundtruth|annotations?|dseg|roi|gmseg|wmseg|lesions?",
    re.IGNORECASE,
)
"""What masks are called."""
_BETWEEN = re.compile(r"[-_. ]")
_BIDS = "sub-"
_SUBJECT = re.compile(
    rf"({_BIDS}[a-zA-Z0-9]+)_(?:ses|run|acq|task|rec|ce|dir|echo|chunk|part)-.*"
    r"|(.+?)(?:[-_](?:ses|session|visit|tp|timepoint|fu)[-_]?|[-_]?(?:Ses|Session|Visit|TP|FU)[-_]?)\d+"
)
"""A BIDS name that goes on with an entity, or a name that ends in the number of a session: `p07_visit2`, `p07Ses2`."""


def image_files(folder: Path, suffix: str | None) -> list[Path]:
    """Images of a folder by name; hidden files (`._case.nii.gz` of macOS, temporary ones) are not images.

    What has an image's name and is none (a link to nothing, a folder) stays, so that reading it says what it is.
    """
    try:
        names = sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".") and suffix_of(entry))
    except OSError as fault:
        raise DataError(str(folder), f"cannot be read ({fault.strerror or fault})") from fault
    files = [entry for entry in names if suffix is None or suffix_of(entry) == suffix]
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


def group_files(files: Sequence[Path], whole: Container[str] = ()) -> dict[str, dict[int, Path]]:
    """Case name -> channel -> file, of the images of one folder.

    `scan_0000` is channel 0 of `scan`. Where no file is a channel 0, four digits are part of the name
    (`visit_2023`, `visit_2024`); so they are in names that stand in `whole`.
    """
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


def default_channels(groups: Mapping[str, Mapping[int, Path]]) -> tuple[str, ...]:
    """Names for as many channels as the cases have: what BIDS names show (`T2w`), else `channel_0` and so on."""
    count = max(len(files) for files in groups.values())
    if count == 1:
        firsts = (channels_in(next(iter(files.values()))) for files in groups.values())
        count = next(filter(None, firsts), 1)
    shown = {name.rpartition("_")[2] if name.startswith(_BIDS) else "" for name in groups}
    if count == 1 and len(shown) == 1 and (one := next(iter(shown))) and "-" not in one:
        return (one,)
    return tuple(f"channel_{index}" for index in range(count))


def channels_in(path: Path) -> int:
    """Channels that one file holds (3 for RGB), 0 where it cannot be read: that is left to the check."""
    try:
        return read_channels(path)
    except DataError:
        return 0


def is_mask_name(name: str) -> bool:
    """Whether a file name without suffix says that it is a mask: `scan_seg`, `scan-label`, `mask`, `sub-01_dseg`.

    Of BIDS names an entity `label-6` alone says nothing: it may tell two crops apart.
    """
    if name.startswith(_BIDS):
        parts = [part.split("-") for part in name.split("_")]
        said = [part[0] for part in parts if part[0] != "label"] + [parts[-1][0]]
        return any(_WORD.fullmatch(word) for word in said)
    first, *others = _BETWEEN.split(name)
    return any(_WORD.fullmatch(word) for word in others or [first])


def mask_kind(mask: str, image: str) -> str | None:
    """What tells the mask of this name from other masks of the image; None where it is not a mask of that image.

    Names are without suffix: (`scan_seg`, `scan`) -> `seg`, (`scan_seg`, `scan_T2`) -> `seg`,
    (`sub-1_seg-vert_run-2_msk`, `sub-1_run-2_T2w`) -> `seg-vert_msk`.
    """
    if mask == image:
        return ""
    if mask.startswith(image) and _BETWEEN.match(mask[len(image) :]):
        return mask[len(image) + 1 :]
    if not is_mask_name(mask):
        return None
    parts, own = mask.split("_"), image.split("_")
    if mask.startswith(_BIDS):
        # of the image's name only what it shows (T2w) may be missing in the mask's, which names no other
        shows = [part for part in parts if "-" not in part and not _WORD.fullmatch(part)]
        if parts[0] != own[0] or any("-" in part for part in own if part not in parts) or not set(shows) <= set(own):
            return None
        return "_".join(part for part in parts if part not in own)
    words = _BETWEEN.split(mask)
    kind = next((place for place, word in enumerate(words) if place and _WORD.fullmatch(word)), None)
    if kind is None:
        return None
    base = mask[: len("_".join(words[:kind]))]
    return mask[len(base) + 1 :] if re.match(rf"{re.escape(base)}[-_. ]", image) or base == image else None


class MaskKindError(DataError):
    """Images have masks of several kinds, and none was chosen."""

    def __init__(self, where: Path, kinds: Sequence[str], asked: str | None) -> None:
        """`kinds` are those that are there."""
        self.kinds = tuple(kinds)
        found = f"masks of {len(kinds)} kinds: {', '.join(kinds)}" + (f"; none is {asked!r}" if asked else "")
        super().__init__(str(where), found, "one kind", f"choose with --masks, such as --masks {kinds[0]}")


def choose_kind(kinds: Sequence[str], asked: str | None, where: Path) -> str:
    """The one of several kinds of masks that was asked for.

    Raises:
        MaskKindError: none was asked for, or one that is not there.
    """
    if asked is not None and asked in kinds:
        return asked
    alike = [kind for kind in kinds if asked and asked in kind]
    if len(alike) == 1:
        return alike[0]
    raise MaskKindError(where, kinds, asked)


def subjects_of(names: Sequence[str], pattern: str | None) -> dict[str, str]:
    """The subject of each case: by the user's regular expression, by the name of its session, else the case itself.

    Names that differ in the number of a session alone are the cases of somebody who came again, unless that would make
    all cases one.

    Raises:
        DataError: `pattern` is no regular expression, or finds nothing in a name.
    """
    if pattern is None:
        found = {name: match[1] or match[2] if (match := _SUBJECT.fullmatch(name)) else name for name in names}
        return found if len(set(found.values())) > 1 else {name: name for name in names}
    return {name: _matched(name, pattern) for name in names}


def _matched(name: str, pattern: str) -> str:
    try:
        match = re.search(pattern, name)
    except re.error as fault:
        raise DataError(f"subjects {pattern!r}", f"not a regular expression ({fault})") from fault
    subject = match and (match.group(1) if match.re.groups else match.group())
    if not subject:
        raise DataError(name, f"does not match subjects {pattern!r}", "a pattern that finds a subject in every case")
    return subject
