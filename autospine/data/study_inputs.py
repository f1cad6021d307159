"""DICOM studies to predict: of each the series that the model is for.

    archive/p1/study/5/IM0001 ...   ->  the case p1_study_5, of the folder of its series
    export/IM0001 ... IM0412        ->  export_1f3a9c2e_5: of several series in a folder by study and SeriesNumber
    archive/p1/study/5, 7           ->  p1_study, of two channels

Names come from folders and numbers, and never from what a header says of a patient. A study in which no series fits, or
several do, is a fault that lists them; the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from autospine.data.formats.dicom_headers import Header
from autospine.data.layouts.dicom_studies import Found, Tree
from autospine.data.series_choice import Candidate, Choice, Sought, choose, doubts
from autospine.data.structure import Files
from autospine.data.weighting import COMPUTED, LOCALISER, kind_of_series, no_volume
from autospine.data.wording import listed
from autospine.errors import DataError

_TOKEN = 8
"""Letters of a token in a name (ours): two of 10 000 studies share them in one of 80 archives, which is told."""
_COMPUTED_TYPES = frozenset(
    {"ADC", "FA", "TRACEW", "MIP", "MIP_SUM", "MINIP", "PROJECTION IMAGE", "SUBTRACTION", "SUB", "SCREEN SAVE"}
    | {"FAT_FRACTION", "FF", "PHASE MAP", "FIELD_MAP", "SCREENSHOT"}
)
"""Values of ImageType of maps and pictures that scanners compute."""


@dataclass(frozen=True)
class _Study:
    """The series of a study, with what they are to be chosen by."""

    home: Path
    """The folder that holds all of it."""
    token: str
    series: tuple[tuple[Found, Candidate], ...]


def study_cases(
    root: Path,
    tree: Tree,
    channels: Sequence[str],
    optional: Collection[int],
    sought: Sought,
    tell: Callable[[str], None],
    report: Callable[[DataError], None],
) -> list[tuple[str, Files]]:
    """A case for each study of a `tree` below `root`, by name; what was chosen goes to `tell`, a line a study.

    Folders that are called as several `channels` are taken at their word. The only series that there is is taken as
    well, and what speaks against it is told. Faults of a study go to `report`; where that returns it is left out.
    """
    if len(tree.series) == 1 and len(channels) == 1 and not sought.series:
        return [_only(root, tree.series[0], channels[0], sought, tell)]
    named = _named_folders(tree.series, channels, optional) if len(channels) > 1 and not sought.series else {}
    taken = {one.path for held in named.values() for one in held.values()}
    cases: dict[str, list[Files]] = {}
    for home, held in named.items():
        files = tuple(held[channel].path if channel in held else None for channel in channels)
        cases.setdefault(_path_name(root, home), []).append(files)
    studies = _studies(root, [one for one in tree.series if one.path not in taken])
    homes = [study.home for study in studies]
    for study in studies:
        shared = homes.count(study.home) > 1
        shown = _study_name(root, study, shared=shared)
        try:
            chosen = choose(shown, [one for _, one in study.series], channels, optional, sought)
        except DataError as fault:
            report(fault)
            continue
        if len(study.series) > 1 or sought.series:
            tell(f"{shown}: {chosen.why}")
        name = shown if len(channels) > 1 else _series_name(root, _of(study, chosen))
        cases.setdefault(name, []).append(tuple(None if one is None else one.path for one in chosen.files))
    for name in [name for name, several in cases.items() if len(several) > 1]:
        found = f"the name of {len(cases[name])} cases ({listed([str(_first(files)) for files in cases.pop(name)])})"
        report(DataError(name, found, "one", "rename a folder"))
    return sorted((name, files) for name, (files,) in cases.items())


def _only(root: Path, one: Found, channel: str, sought: Sought, tell: Callable[[str], None]) -> tuple[str, Files]:
    """The case of the only series that there is: nobody can mean another."""
    name, candidate = _series_name(root, one), _candidate(root, one)
    if said := doubts(candidate, channel, sought):
        tell(f"{name}: {candidate} is not what the model was trained on ({said}), and is taken since there is no other")
    return name, (one.path,)


def _named_folders(
    series: Sequence[Found], channels: Sequence[str], optional: Collection[int]
) -> dict[Path, dict[str, Found]]:
    """Folders of cases that hold a folder for each channel, called like it -> channel -> its series."""
    homes: dict[Path, dict[str, Found]] = {}
    for one in series:
        if one.path == one.home:
            homes.setdefault(one.home.parent, {})[one.home.name] = one
    needed = {channel for index, channel in enumerate(channels) if index not in optional}
    return {home: held for home, held in homes.items() if needed <= held.keys() <= set(channels)}


def _studies(root: Path, series: Sequence[Found]) -> list[_Study]:
    """Series by study."""
    held: dict[tuple[str, str], list[Found]] = {}
    for one in series:
        held.setdefault((one.header.patient, one.study), []).append(one)
    return [
        _Study(_common([one.home for one in found]), token, tuple((one, _candidate(root, one)) for one in found))
        for (_, token), found in held.items()
    ]


def _candidate(root: Path, one: Found) -> Candidate:
    """What a series is chosen by."""
    header = one.header
    own = one.home.name if one.path == one.home != root else ""
    texts = [text for text in (*header.texts, own) if text]
    return Candidate(
        path=one.path,
        called=next(iter(texts), "without a description"),
        kind=kind_of_series(texts, header.image_type, header.timing, header.contrast),
        number=header.number,
        uid=header.series,
        slices=one.slices,
        plane=one.plane,
        geometry=one.geometry,
        frame_of_reference=header.frame_of_reference,
        modality=header.modality,
        measured="DERIVED" not in header.image_type,
        aside=one.aside or _aside(header),
    )


def _aside(header: Header) -> str:
    """Why nobody means a series by itself, by what its header says; empty where nothing is known."""
    if header.captured:
        return "a picture of a screen or in colour"
    if "LOCALIZER" in header.image_type:
        return LOCALISER
    return COMPUTED if _COMPUTED_TYPES & set(header.image_type) else no_volume(header.texts[0])


def _of(study: _Study, chosen: Choice) -> Found:
    """The series of the only channel."""
    return next(found for found, one in study.series if one is chosen.files[0])


def _series_name(root: Path, one: Found) -> str:
    """Of a case that is one series: its folder, or where that holds several its study and number as well."""
    name = _path_name(root, one.home)
    if one.path == one.home:
        return name
    number = one.header.number
    return f"{name}_{_short(one.study)}_{one.path.name[-_TOKEN:] if number is None else number}"


def _study_name(root: Path, study: _Study, *, shared: bool) -> str:
    """Of a case that is a study, where its folder may be `shared` with others."""
    name = _path_name(root, study.home)
    addressed = any(one.path != one.home == study.home for one, _ in study.series)
    return f"{name}_{_short(study.token)}" if shared or addressed else name


def _short(token: str) -> str:
    return token[:_TOKEN]


def _path_name(root: Path, folder: Path) -> str:
    return "_".join(folder.relative_to(root).parts) or root.resolve().name


def _common(folders: Sequence[Path]) -> Path:
    """The folder that holds them all; of one series that lies alone, the folder of that."""
    first = folders[0]
    return next(
        place for place in (first, *first.parents) if all(place == one or place in one.parents for one in folders)
    )


def _first(files: Files) -> Path:
    return next(path for path in files if path is not None)
