"""Images to predict: files or folders become named groups of files, one per channel."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from autospine.data import dicom
from autospine.data.layouts.naming import CHANNEL, channels_in, channels_text, group_files, image_files
from autospine.data.volume import IMAGE_SUFFIXES, is_series, read_channels, stem, suffix_of
from autospine.errors import DataError


def find_inputs(
    path: Path, channels: Sequence[str], optional: Collection[int] = ()
) -> list[tuple[str, tuple[Path | None, ...]]]:
    """Cases to predict in a folder, or the one case of a file: (name, its files in channel order), by name.

    Of the channels `optional`, from 0, a case may lack some or all, though not every channel that there is: None stands
    in their place.

    Files are `<case>_0000.ext`, `<case>_0001.ext`, ... or, for one channel, RGB or 4D, `<case>.ext`. A single file that
    is a channel brings the other channels beside it. DICOM is the folder of a series, a folder of such folders, and for
    several channels a folder per case that holds a series for each, in a folder called like it.

    Raises:
        DataError: nothing to predict, or a case with other channels than `channels`.
    """
    path = Path(path)
    count = len(channels)
    if path.is_file():
        if is_series(path):
            return [(path.stem, (path,))]
        if not suffix_of(path):
            raise DataError(str(path), "not an image format that is read", ", ".join(IMAGE_SUFFIXES))
        match = CHANNEL.fullmatch(stem(path))
        # With one channel `scan_2024.nii.gz` is that file alone; its neighbours are other images.
        beside = None
        if match and count > 1:
            beside = _grouped(image_files(path.parent, suffix_of(path)), count, optional).get(match["case"])
        numbered = match is not None and (beside is not None or match["channel"] == "0000")
        groups = {match["case"] if match and numbered else stem(path): beside or {0: path}}
    elif path.is_dir():
        groups = _grouped(image_files(path, None), count, optional)
    else:
        raise DataError(str(path), "no such file or folder", "an image or a folder of images")
    if not groups:
        series = _series_inputs(path, channels, optional)
        if not series:
            expected = f"files that end in {', '.join(IMAGE_SUFFIXES)}, or DICOM series"
            raise DataError(str(path), "no images", expected)
        return series
    found: list[tuple[str, tuple[Path | None, ...]]] = []
    for name, files in sorted(groups.items()):
        alone = len(files) == 1 and 0 in files
        held = read_channels(files[0]) if alone else len(files)
        # what is numbered as the first channel may be that alone, where the others may be missing
        first = alone and CHANNEL.fullmatch(stem(files[0])) is not None and stem(files[0]).endswith("_0000")
        whole = alone and (held == count or not (optional and first))
        lacking = set(range(count)) - files.keys()
        if (held != count) if whole else (bool(files.keys() - set(range(count))) or not lacking <= set(optional)):
            raise DataError(
                name,
                f"{channels_text(held)} ({', '.join(files[key].name for key in sorted(files))})",
                _wanted(channels, optional),
                "give " + ", ".join(f"{name}_{index:04d}{suffix_of(min(files.values()))}" for index in range(count)),
            )
        found.append((name, (files[0],) if whole else tuple(files.get(index) for index in range(count))))
    return found


def _grouped(files: Sequence[Path], count: int, optional: Collection[int]) -> dict[str, dict[int, Path]]:
    """Case -> channel -> file. Where channels may be missing, four digits are a channel without a first one, too.

    A file that holds all `count` channels is a case, whatever number it bears.
    """
    if not optional:
        return group_files(files)
    later = [file for file in files if CHANNEL.fullmatch(stem(file)) and not stem(file).endswith("_0000")]
    whole = {stem(file) for file in later if channels_in(file) == count}
    return group_files(files, whole=whole, numbered=True)


def _wanted(channels: Sequence[str], optional: Collection[int]) -> str:
    """Which channels a case is to have."""
    text = f"{channels_text(len(channels))} ({', '.join(channels)})"
    may = ", ".join(channels[index] for index in sorted(optional))
    return f"{text}, of which {may} may be missing" if may else text


def _series_inputs(
    path: Path, channels: Sequence[str], optional: Collection[int]
) -> list[tuple[str, tuple[Path | None, ...]]]:
    """DICOM cases at or below a folder."""
    folders = list(dicom.series_folders(path))
    if folders == [path]:
        cases = {path.resolve().name: folders}
    else:
        cases = {}
        for folder in folders:
            # a case of several channels is the folder that holds their folders
            home = folder.parent if len(channels) > 1 and folder != path else folder
            cases.setdefault("_".join(home.relative_to(path).parts) or path.resolve().name, []).append(folder)
    needed = {name for index, name in enumerate(channels) if index not in optional}
    found: list[tuple[str, tuple[Path | None, ...]]] = []
    for name, held in sorted(cases.items()):
        called = {folder.name: folder for folder in held}
        fits = needed <= set(called) <= set(channels) if len(channels) > 1 else True
        if len(called) != len(held) or len(held) > len(channels) or not fits:
            raise DataError(
                name,
                f"{channels_text(len(held))} ({', '.join(sorted(called))})",
                _wanted(channels, optional),
                "give a folder per case, with a folder per channel that is called like it",
            )
        found.append((name, tuple(called.get(channel) for channel in channels) if len(channels) > 1 else (held[0],)))
    return found
