"""BIDS: images under `[rawdata/]sub-*/[ses-*/]anat/`, masks under `derivatives/<name>/` in folders of the same names.

Any folder whose name begins so holds derivatives (`derivatives_seg/`), each with masks of its own kinds.

A session (or a run in it) is a case. A mask that bears the name of an image (`sub-01_T2w_label-SC_seg`) segments that
image alone; one that names none (`sub-01_dseg`) segments all that lie on its grid.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autospine.data.description import Declared, declared
from autospine.data.geometry import same_grid
from autospine.data.layouts.shared.contents import Contents, described_beside
from autospine.data.layouts.shared.masks import Images, choose_kind, is_mask_name
from autospine.data.layouts.shared.naming import BIDS, image_files, unread_below
from autospine.data.structure import Case, Reading
from autospine.data.volume import read_geometry, stem, suffix_of
from autospine.data.wording import listed
from autospine.errors import DataError

DERIVATIVES = "derivatives"
_IMAGES = tuple(f"{home}sub-*/{place}" for home in ("", "rawdata/") for place in ("anat", "ses-*/anat"))
_FLAT = ("rawdata/sub-*", "rawdata/sub-*/ses-*")
"""Where images lie without a folder for their kind, as in VerSe."""
_OF_A_CASE = ("sub", "ses", "run")


@dataclass(frozen=True)
class _Image:
    """An image by its name."""

    path: Path
    case: str
    """`sub-01`, `sub-01_ses-2_run-1`."""
    shows: str
    """All else: `T2w`, `acq-sag_T2w`."""


@dataclass(frozen=True)
class _Mask:
    """A mask with the images it may belong to."""

    path: Path
    case: str
    shows: tuple[str, ...]
    """What the images show."""
    kind: str


def derivative_folders(root: Path) -> list[Path]:
    """The folders of derivatives in `root`, by name."""
    return sorted(folder for folder in root.glob(f"{DERIVATIVES}*") if folder.is_dir())


def evidence(root: Path) -> str | None:
    """What speaks for this layout."""
    found = next(_image_folders(root), None)
    return None if found is None else found.relative_to(root).as_posix() + "/"


def _image_folders(root: Path) -> Iterator[Path]:
    """The folders that images lie in."""
    return (folder for pattern in (*_IMAGES, *_FLAT) for folder in sorted(root.glob(pattern)) if folder.is_dir())


def _images(root: Path) -> tuple[list[Path], list[_Image]]:
    """All files in the folders of images, and those of them that are no masks by their names."""
    files = [path for folder in _image_folders(root) for path in image_files(folder, None)]
    images = [_image(path) for path in files if not is_mask_name(stem(path))]
    if not images:
        unread = unread_below(root)
        found = "no images under sub-*/anat/" + (f", but {listed(unread)}, which are not read" if unread else "")
        raise DataError(str(root), found, "a BIDS dataset", "convert them to NIfTI" if unread else "")
    return files, images


def _by_case(images: Sequence[_Image]) -> dict[str, dict[str, _Image]]:
    """Case, by name -> what is shown -> its image."""
    shown: dict[str, dict[str, _Image]] = {}
    for image in images:
        shown.setdefault(image.case, {})[image.shows] = image
    return dict(sorted(shown.items()))


def _case(name: str, shown: Mapping[str, _Image], channels: Sequence[str], mask: _Mask | None) -> Case:
    images = tuple(shown[one].path if one in shown else None for one in channels)
    return Case(name, images, None if mask is None else mask.path, name.split("_")[0])


def images_by_case(root: Path) -> dict[str, dict[str, Path]]:
    """Session, or run in it, by name -> what is shown (`acq-sag_T2w`) -> its image; masks are none."""
    by_case = _by_case(_images(root)[1])
    return {name: {shows: image.path for shows, image in held.items()} for name, held in by_case.items()}


def read_images(root: Path, channels: Sequence[str], allow_missing: bool) -> Contents:
    """Cases by session, without masks; channels are those wanted, or all that there are where none of these is."""
    shown = _by_case(_images(root)[1])
    called = {shows for held in shown.values() for shows in held}
    names = tuple(channels) if called & set(channels) else tuple(sorted(called))
    enough = any if allow_missing else all
    cases = tuple(
        _case(name, held, names, None) for name, held in shown.items() if enough(one in held for one in names)
    )
    if not cases:
        raise DataError(str(root), f"no session shows {' and '.join(names)}", "sessions that do")
    return Contents(names, None, cases)


def read(root: Path, reading: Reading) -> Contents:
    """Cases by session, channels by what the masks segment."""
    files, images = _images(root)
    beside = [path for path in files if is_mask_name(stem(path))]
    strangers: list[Path] = []
    masks = list(_masks(root, images, beside, reading.allow_missing, strangers))
    orphans = listed([path.relative_to(root).as_posix() for path in strangers])
    if not masks:
        remedy = "put them there under the names of their images, such as sub-01_T2w_seg.nii.gz"
        unread = unread_below(root)
        found = "no masks of these images" + (f", but masks of others: {orphans}" if strangers else "")
        found += f", and files of formats that are not read: {listed(unread)}" if unread else ""
        raise DataError(str(root / DERIVATIVES), found, f"masks under {DERIVATIVES}/", remedy)
    kinds = sorted({mask.kind for mask in masks})
    chosen = kinds[0] if len(kinds) == 1 and not reading.masks else choose_kind(kinds, reading.masks, root)
    masks = [mask for mask in masks if mask.kind == chosen]
    of_case: dict[str, _Mask] = {}
    for mask in masks:
        if mask.case in of_case:
            found = f"{mask.case} has two masks of the kind {chosen}: {of_case[mask.case].path.name}, {mask.path.name}"
            raise DataError(str(mask.path.parent), found, "one", "move one of them away")
        of_case[mask.case] = mask
    shown = _by_case(images)
    enough = any if reading.allow_missing else all
    channels, notes = _channels(shown, of_case, reading.allow_missing)
    whole = {name: held for name, held in shown.items() if enough(channel in held for channel in channels)}
    cases = tuple(_case(name, held, channels, of_case.get(name)) for name, held in whole.items())
    without = sorted(of_case.keys() - whole.keys())
    if without:
        found = f"masks without all of {', '.join(channels)}: {', '.join(without)}"
        remedy = "add the images, move these masks away, or use --allow-missing"
        raise DataError(str(root), found, "every channel of a case", remedy)
    unlabelled = [name for name in shown if name not in whole]
    if unlabelled:
        notes += (f"cases without all of {', '.join(channels)}, left aside: {', '.join(unlabelled)}",)
    if strangers:
        notes += (f"masks that belong to no image here, left aside: {orphans}",)
    return described_beside(root, Contents(channels, _named(root, masks[0].path), cases, notes))


def _channels(
    shown: Mapping[str, Mapping[str, _Image]], masks: Mapping[str, _Mask], allow_missing: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the masks segment, in every case that has one or (`allow_missing`) in any, and what is said of the rest."""
    of_masks = [set(mask.shows) for mask in masks.values()]
    candidates = set.union(*of_masks) if allow_missing else set.intersection(*of_masks)
    elsewhere: set[str] = set()
    for one in candidates if len(candidates) > 1 else ():
        name, mask = next((name, mask) for name, mask in sorted(masks.items()) if one in mask.shows)
        if same_grid(read_geometry(shown[name][one].path), read_geometry(mask.path)) is not None:
            elsewhere.add(one)
    channels = tuple(sorted(candidates - elsewhere))
    if not channels:
        kinds = sorted({one for mask in masks.values() for one in mask.shows})
        where, found = next(iter(masks.values())).path, f"no kind of image that all masks have ({', '.join(kinds)})"
        remedy = "write a manifest that names the images, or use --allow-missing where cases lack some"
        raise DataError(str(where), found, "one kind of image on the grid of its mask", remedy)
    left = Counter(one for held in shown.values() for one in held.keys() - set(channels))
    counts = ", ".join(f"{one} ({count})" for one, count in sorted(left.items()))
    return channels, (f"images that no chosen mask segments, left aside: {counts}",) if left else ()


def _masks(
    root: Path, images: list[_Image], beside: list[Path], allow_missing: bool, strangers: list[Path]
) -> Iterator[_Mask]:
    """Masks under derivatives, and those beside the images, with what they segment; those of no image: `strangers`."""
    sources = [("", path) for path in beside]
    for home in derivative_folders(root):
        # derivatives/<pipeline>/sub-*, or derivatives/sub-* itself
        pipelines = sorted(folder for folder in home.glob("*") if folder.is_dir() and not folder.name.startswith(BIDS))
        for pipeline in (home, *pipelines):
            paths = pipeline.rglob(f"{BIDS}*") if pipeline != home else home.glob(f"{BIDS}*/**/*")
            folders = sorted({path.parent for path in paths if suffix_of(path)})
            files = [path for folder in folders for path in image_files(folder, None) if is_mask_name(stem(path))]
            called = [home.name] * (home.name != DERIVATIVES) + [pipeline.name] * (pipeline != home)
            sources += [("/".join(called), path) for path in files]
    by_name = {stem(image.path): image for image in images}
    known = Images(by_name)
    found: list[tuple[str, Path, str, tuple[str, ...], str]] = []
    for pipeline_name, path in sources:
        owners, kind = known.of(stem(path)) or ((), "")
        if not owners:
            strangers.append(path)
        of_cases: dict[str, list[str]] = {}
        for owner in owners:
            of_cases.setdefault(by_name[owner].case, []).append(by_name[owner].shows)
        found += [(pipeline_name, path, case, tuple(sorted(shows)), kind) for case, shows in of_cases.items()]
    kinds = {image.shows for image in images}
    several = len({pipeline_name for pipeline_name, *_ in found}) > 1
    for pipeline_name, path, case, shows, kind in found:
        # a mask that bears the name of one image is of that image; one that names none, of all
        bears = len(shows) == 1 and (not allow_missing or _singles_out(stem(path), shows[0], kinds))
        image = shows[0] if bears else ""
        said = "_".join(part for part in (image, kind) if part)
        yield _Mask(path, case, shows, f"{pipeline_name}/{said}" if several and pipeline_name else said)


def _singles_out(mask: str, shows: str, kinds: set[str]) -> bool:
    """Whether a mask's name says that it segments this of all `kinds` of images.

    Where cases lack images, a mask of the one that is left may be called as those of all.
    """
    shared = set(shows.split("_")) & set(mask.split("_"))
    return len(kinds) > 1 and not any(shared <= set(other.split("_")) for other in kinds - {shows})


def _image(path: Path) -> _Image:
    parts = stem(path).split("_")
    of_case = [part for part in parts if part.split("-")[0] in _OF_A_CASE]
    return _Image(path, "_".join(of_case), "_".join(part for part in parts if part not in of_case))


def _named(root: Path, mask: Path) -> Declared | None:
    """The labels of the `dseg.tsv` (index, name) nearest to a mask, up to the root."""
    for folder in (mask.parent, *mask.parent.parents):
        for path in sorted(folder.glob("*dseg.tsv")):
            try:
                rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines(), delimiter="\t"))
            except (OSError, UnicodeDecodeError, csv.Error) as fault:
                raise DataError(str(path), f"cannot be read ({fault})", "columns index and name") from fault
            if any(not row.get("name") or not re.fullmatch(r"\d+", row.get("index") or "") for row in rows) or not rows:
                raise DataError(str(path), "not a table of labels", "columns index and name, a row per label")
            values = {str(row["name"]): int(row["index"]) for row in rows}
            return declared(values, path, {})
        if folder == root:
            break
    return None
