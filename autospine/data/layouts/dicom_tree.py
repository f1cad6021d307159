"""A folder of DICOM series per case: `case01/T2/*.dcm`, with a mask (NIfTI or DICOM-SEG) beside them or in `labels/`.

Who was imaged is told by the PatientID, which is compared and not kept: cases of one patient take the name of the first
of them as their subject. Channels are named by the series' folders, where these are called alike in every case.
"""

from __future__ import annotations

from pathlib import Path

from autospine.data.dicom import Series, describe_series, dicom_files, series_folders
from autospine.data.layouts.contents import Contents, described_beside
from autospine.data.layouts.folders import MASKS
from autospine.data.layouts.naming import choose_kind, image_files, is_mask_name, mask_kind
from autospine.data.segmentation import is_segmentation
from autospine.data.structure import Case, Reading
from autospine.data.volume import stem
from autospine.errors import DataError


def evidence(root: Path) -> str | None:
    """What speaks for this layout: DICOM files."""
    found = next(series_folders(root), None)
    if found is None:
        return None
    return "DICOM files" if found == root else f"DICOM files in {found.relative_to(root).as_posix()}/"


def read(root: Path, reading: Reading) -> Contents:
    """Cases by study, subjects by patient, channels by the names of the series' folders."""
    cases, aside = _cases(root)
    if not cases:
        raise DataError(str(root), "no DICOM image", "a folder with a DICOM series per case")
    roles = {name: {_role(one.folder, series): one for one in series} for name, series in cases.items()}
    channels = _channels(root, roles)
    first: dict[str, str] = {}
    made, notes = [], []
    masks, ignored = _masks(root, cases, aside, reading)
    for name, held in sorted(roles.items()):
        patients = {one.patient for one in held.values()} - {""}
        subject = first.setdefault(min(patients), name) if patients else name
        alone = len(channels) == 1 and len(held) == 1
        base = _common([one.folder for one in held.values()])
        images = [
            next(iter(held.values())).folder if alone else held[role].folder if role in held else base / role
            for role in channels
        ]
        made.append(Case(name, tuple(images), masks.get(name), subject))
    if ignored:
        notes.append(f"neither DICOM nor named like a mask, left aside: {', '.join(path.name for path in ignored)}")
    return described_beside(root, Contents(channels, None, tuple(made), tuple(notes)))


def _cases(root: Path) -> tuple[dict[str, list[Series]], list[Path]]:
    """Case -> its series; and the DICOM-SEG objects that lie among them."""
    studies: dict[tuple[str, str], list[Series]] = {}
    segmentations: list[Path] = []
    for folder in series_folders(root):
        objects = [path for path in dicom_files(folder) if is_segmentation(path)]
        segmentations += objects
        if folder != root and folder.relative_to(root).parts[0].lower() in MASKS:
            continue
        if len(objects) < len(dicom_files(folder)):
            series = describe_series(folder)
            top = root.resolve().name if folder == root else folder.relative_to(root).parts[0]
            studies.setdefault((top, series.study), []).append(series)
    tops = [top for top, _ in studies]
    named: dict[str, list[Series]] = {}
    for (top, _), held in studies.items():
        name = top
        if tops.count(top) > 1:  # several studies of a folder: by the folder of each
            place = _common([one.folder for one in held])
            place = place.parent if len(held) == 1 and place.parent != root / top else place
            name = "_".join(place.relative_to(root).parts)
        if name in named:
            found = f"series of two studies in {name}"
            raise DataError(str(root / top), found, "a folder per study", "sort the series into folders")
        named[name] = held
    return named, segmentations


def _channels(root: Path, roles: dict[str, dict[str, Series]]) -> tuple[str, ...]:
    """Names of the series that each case has."""
    if all(len(held) == 1 for held in roles.values()):
        kinds = {one.modality for held in roles.values() for one in held.values()}
        return (next(iter(kinds)) if len(kinds) == 1 else "image",)
    in_all = set.intersection(*(set(held) for held in roles.values()))
    odd = sorted(name for name, held in roles.items() if set(held) != in_all)
    if odd:
        called = "; ".join(f"{name}: {', '.join(sorted(roles[name]))}" for name in sorted(roles)[:4])
        raise DataError(
            str(root),
            f"series that are not called alike in every case ({called})",
            "folders of the same names in each case, one per sequence",
            "rename them (T1, T2, ...), or write a manifest that names them",
        )
    return tuple(sorted(in_all))


def _masks(
    root: Path, cases: dict[str, list[Series]], segmentations: list[Path], reading: Reading
) -> tuple[dict[str, Path], list[Path]]:
    """Case -> its mask, in a folder of masks or in the case's own; and the images that are neither."""
    found: dict[str, dict[str, Path]] = {name: {} for name in cases}
    ignored: list[Path] = []
    shared = [entry for entry in sorted(root.iterdir()) if entry.is_dir() and entry.name.lower() in MASKS]
    for folder in shared:
        for path in [*image_files(folder, None), *(one for one in dicom_files(folder) if is_segmentation(one))]:
            owners = [name for name in cases if mask_kind(stem(path), name) is not None]
            if owners:
                found[max(owners, key=len)][folder.name if len(shared) > 1 else ""] = path
            else:
                ignored.append(path)
    for name, series in cases.items():
        home = _common([one.folder for one in series])
        home = home.parent if len(series) == 1 and home.parent != root and home != root else home
        for folder in sorted({home, *(one.folder for one in series)}):
            for path in image_files(folder, None):
                if is_mask_name(stem(path)) or stem(path) == name:
                    found[name][stem(path).removeprefix(name).lstrip("-_. ")] = path
                else:
                    ignored.append(path)
        for path in segmentations:
            if home in path.parents:
                found[name][stem(path)] = path
    kinds = sorted({kind for held in found.values() for kind in held})
    chosen = choose_kind(kinds, reading.masks, root) if any(len(held) > 1 for held in found.values()) else None
    paired = {name: path for name, held in found.items() for kind, path in held.items() if chosen in (None, kind)}
    return paired, ignored


def _role(folder: Path, series: list[Series]) -> str:
    """What a series is called within its case."""
    base = _common([one.folder for one in series])
    return folder.relative_to(base).as_posix() if folder != base else folder.name


def _common(folders: list[Path]) -> Path:
    """The folder that holds them all; a single one is itself."""
    parts = [folder.parts for folder in folders]
    shared = [names[0] for names in zip(*parts, strict=False) if len(set(names)) == 1]
    return Path(*shared)
