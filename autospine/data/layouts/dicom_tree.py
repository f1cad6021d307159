"""A folder of DICOM series per case: `case01/T2/*.dcm`, with a mask (NIfTI or DICOM-SEG) beside them or in `labels/`.

Who was imaged is told by the PatientID, which is compared and not kept: cases of one patient take the name of the first
of them as their subject. Channels are named by the series' folders, where these are called alike in every case.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from autospine.data.formats.dicom import Series, describe_series, holds_images
from autospine.data.formats.dicom_files import DIRECTORY, dicom_files, is_dicom, series_folders
from autospine.data.formats.dicom_seg import is_segmentation
from autospine.data.layouts.folders import IMAGES, MASKS
from autospine.data.layouts.shared.contents import Contents, described_beside
from autospine.data.layouts.shared.masks import PLAIN, Images, kind_to_read, says_mask
from autospine.data.layouts.shared.naming import no_images_note, walk
from autospine.data.structure import Case, Reading
from autospine.data.volume import stem, suffix_of
from autospine.data.wording import listed
from autospine.errors import DataError

HERE = "DICOM files"
"""Evidence of DICOM files in the folder itself."""


def evidence(root: Path) -> str | None:
    """What speaks for this layout: DICOM files."""
    found = next(series_folders(root), None)
    if found is None:
        return None
    return HERE if found == root else f"DICOM files in {found.relative_to(root).as_posix()}/"


def dicom_among(root: Path) -> str | None:
    """Where DICOM files lie at or below `root`, a folder of image files; None without any.

    What has an image's name is not opened: there may be thousands, and they are what is read.
    """
    for folder, _, names in walk(root):
        others = (folder / name for name in names if not name.startswith(".") and name.upper() != DIRECTORY)
        if any(not suffix_of(path) and is_dicom(path) for path in others):
            inner = folder.relative_to(root).as_posix()
            return HERE if inner == "." else f"{HERE} in {inner}/"
    return None


def read(root: Path, reading: Reading) -> Contents:
    """Cases by study, subjects by patient, channels by the names of the series' folders."""
    files = {folder: dicom_files(folder) for folder in series_folders(root)}
    base = _base(root, list(files))
    segmentations = [path for held in files.values() for path in held if is_segmentation(path)]
    apart = set(segmentations)
    # archives give reports and presentation states folders of their own
    others = [folder for folder, held in files.items() if not set(held) <= apart and not holds_images(folder)]
    series_of = {folder: held for folder, held in files.items() if folder not in others}
    cases, homes = _cases(root, base, series_of, apart)
    if not cases:
        raise DataError(str(root), "no DICOM image", "a folder with a DICOM series per case")
    # by what the folder of a series is called below its case, since of the others of that case some may be missing
    roles = {
        name: {
            one.folder.relative_to(homes[name]).as_posix()
            if reading.allow_missing and one.folder != homes[name]
            else _role(one.folder, series): one
            for one in series
        }
        for name, series in cases.items()
    }
    # a series that lies in its case's own folder does not say which of several it is
    nameless = sorted(name for name, series in cases.items() if any(one.folder == homes[name] for one in series))
    channels = _channels(root, roles, nameless, reading.allow_missing)
    masks, ignored = _masks(root, base, cases, homes, segmentations, reading)
    subjects, notes = _subjects(cases, {name: home.relative_to(base).parts[:1] for name, home in homes.items()})
    made = []
    for name, held in sorted(roles.items()):
        alone = len(channels) == 1 and len(held) == 1
        images = [
            next(iter(held.values())).folder if alone else held[role].folder if role in held else homes[name] / role
            for role in channels
        ]
        made.append(Case(name, tuple(images), masks.get(name), subjects[name]))
    if ignored:
        names = listed([path.relative_to(root).as_posix() for path in ignored])
        notes += (f"neither DICOM nor the mask of a case by their names, left aside: {names}",)
    if others:
        notes += (no_images_note(root, others),)
    return described_beside(root, Contents(channels, None, tuple(made), notes))


def _base(root: Path, folders: list[Path]) -> Path:
    """Where the folders of the cases lie: below a folder of images, where all series do."""
    tops = {folder.relative_to(root).parts[:1] for folder in folders if not _is_shared(root, folder)}
    only = next(iter(tops)) if len(tops) == 1 else ()
    return root / only[0] if only and only[0].lower() in IMAGES else root


def _is_shared(root: Path, path: Path) -> bool:
    """Whether a path lies in a folder of masks of all cases."""
    return path != root and path.relative_to(root).parts[0].lower() in MASKS


def _cases(
    root: Path, base: Path, files: dict[Path, list[Path]], segmentations: set[Path]
) -> tuple[dict[str, list[Series]], dict[str, Path]]:
    """Case -> its series; case -> the folder that is its own."""
    studies: dict[tuple[str, str], list[Series]] = {}
    for folder, objects in files.items():
        if not _is_shared(root, folder) and not set(objects) <= segmentations:
            series = describe_series(folder)
            top = root.resolve().name if folder == base else folder.relative_to(base).parts[0]
            studies.setdefault((top, series.study), []).append(series)
    tops = [top for top, _ in studies]
    named: dict[str, list[Series]] = {}
    homes: dict[str, Path] = {}
    for (top, _), held in studies.items():
        name, home = top, base if held[0].folder == base else base / top
        if tops.count(top) > 1:  # several studies of a folder: by the folder of each
            place = _common([one.folder for one in held])
            home = place.parent if len(held) == 1 and place.parent != base / top else place
            name = "_".join(home.relative_to(base).parts)
        if name in named:
            found = f"series of two studies in {name}"
            raise DataError(str(base / top), found, "a folder per study", "sort the series into folders")
        named[name], homes[name] = held, home
    return named, homes


def _subjects(
    cases: dict[str, list[Series]], tops: dict[str, tuple[str, ...]]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Case -> the first case of its patient; a note where the headers cannot tell patients apart.

    `tops` are the folders directly below that of all cases: one for each patient, most often.
    """
    first: dict[str, str] = {}
    subjects = {}
    for name, series in sorted(cases.items()):
        patients = {one.patient for one in series} - {""}
        subjects[name] = first.setdefault(min(patients), name) if patients else name
    if len(set(tops.values())) > 1 and len(set(subjects.values())) == 1:
        note = "all headers name one patient, as anonymised ones do: each case counts as a subject of its own, unless"
        return dict.fromkeys(cases, ""), (f"{note} --subjects says otherwise",)
    return subjects, ()


def _channels(
    root: Path, roles: dict[str, dict[str, Series]], nameless: list[str], allow_missing: bool
) -> tuple[str, ...]:
    """Names of the series that each case has or (`allow_missing`) some have; not of those that are `nameless`."""
    alone = all(len(held) == 1 for held in roles.values())
    called = {role for held in roles.values() for role in held}
    # names that come again are those of sequences, of which each case has one
    if alone and not (allow_missing and not nameless and 1 < len(called) < len(roles)):
        kinds = {one.modality for held in roles.values() for one in held.values()}
        return (next(iter(kinds)) if len(kinds) == 1 else "image",)
    if allow_missing and not nameless:
        return tuple(sorted(called))
    in_all = set.intersection(*(set(held) for held in roles.values()))
    odd = sorted(name for name, held in roles.items() if set(held) != in_all)
    if odd:
        listed = "; ".join(f"{name}: {', '.join(sorted(roles[name]))}" for name in sorted(roles)[:4])
        found = f"series that are not called alike in every case ({listed})"
        remedy = "rename them (T1, T2, ...), or write a manifest that names them"
        if allow_missing:
            found += f", and of which no folder says what they are ({', '.join(nameless[:4])})"
        else:
            remedy += "; where some cases lack one, use --allow-missing"
        raise DataError(str(root), found, "folders of the same names in each case, one per sequence", remedy)
    return tuple(sorted(in_all))


def _masks(
    root: Path,
    base: Path,
    cases: dict[str, list[Series]],
    homes: dict[str, Path],
    segmentations: list[Path],
    reading: Reading,
) -> tuple[dict[str, Path], list[Path]]:
    """Case -> its mask, in a folder of masks of all or in its own; and the images that are neither."""
    known = Images(cases)
    held: dict[str, dict[str, list[Path]]] = {name: {} for name in cases}
    ignored: list[Path] = []
    files = [*_image_files(root), *segmentations]
    shared = {path.relative_to(root).parts[0] for path in files if _is_shared(root, path)}
    for path in files:
        name, kind = "", ""
        if _is_shared(root, path):
            owners, kind = known.of(stem(path)) or ((), "")
            name = owners[0] if len(owners) == 1 else ""
            kind = f"{path.relative_to(root).parts[0]}/{kind}" if len(shared) > 1 else kind
        else:
            name = max((one for one, home in homes.items() if home in path.parents), key=len, default="")
            kind = stem(path).removeprefix(name).lstrip("-_. ") or PLAIN
            meant = path in segmentations or says_mask(kind) or path.parent.name.lower() in MASKS
            name = name if meant or stem(path) == name else ""
        if name:
            held[name].setdefault(kind, []).append(path)
        else:
            ignored.append(path)
    kinds = sorted({kind for of_case in held.values() for kind in of_case})
    chosen = kind_to_read(kinds, reading.masks, root, clash=any(len(of_case) > 1 for of_case in held.values()))
    paired: dict[str, Path] = {}
    for name, of_case in held.items():
        for kind, paths in of_case.items():
            if len(paths) > 1:
                said = f"{name} has {len(paths)} masks: {', '.join(path.name for path in paths)}"
                raise DataError(str(homes[name]), said, "one", "move the others away")
            if chosen in (None, kind):
                paired[name] = paths[0]
    return paired, ignored


def _image_files(root: Path) -> Iterator[Path]:
    """What has an image's name at and below `root` and is not hidden; links to folders are not followed."""
    for folder, folders, names in walk(root):
        named = sorted(name for name in (*names, *folders) if not name.startswith(".") and suffix_of(Path(name)))
        yield from (folder / name for name in named)


def _role(folder: Path, series: list[Series]) -> str:
    """What a series is called within its case."""
    base = _common([one.folder for one in series])
    return folder.relative_to(base).as_posix() if folder != base else folder.name


def _common(folders: list[Path]) -> Path:
    """The folder that holds them all; a single one is itself."""
    parts = [folder.parts for folder in folders]
    shared = [names[0] for names in takewhile(lambda names: len(set(names)) == 1, zip(*parts, strict=False))]
    return Path(*shared)
