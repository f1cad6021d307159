"""`autospine describe`: what was understood of a folder, in words and in a picture."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from autospine.data.dataset import open_dataset, read_case
from autospine.data.geometry import orient_geometry, times
from autospine.data.layouts.shared.masks import MaskKindError
from autospine.data.slices import slices_of
from autospine.data.structure import Dataset, Reading
from autospine.data.volume import read_geometry
from autospine.errors import DataError
from autospine.workflow.progress import Progress, Silent, counted
from autospine.workflow.runs.folder import RunFolder

CASES_SHOWN = 6
"""Cases in the picture: as many are read whole, of the others the headers."""


@dataclass(frozen=True)
class Description:
    """What a folder holds."""

    datasets: tuple[tuple[str, Dataset], ...]
    """The dataset; where its images have masks of several kinds, (kind, dataset) of each."""
    grids: tuple[tuple[str, int], ...]
    """Canonical grid of the images, and how many cases have it; the most frequent first."""
    faults: tuple[str, ...]
    """What could not be read, a line each."""
    picture: Path | None
    """Contact sheet of the first cases; None where none could be read."""

    @property
    def dataset(self) -> Dataset:
        """The dataset, with the first kind of masks."""
        return self.datasets[0][1]


def describe_dataset(path: Path, runs: Path, reading: Reading, *, progress: Progress | None = None) -> Description:
    """Read the headers of all cases and the first of them whole; write their contact sheet into the run folder.

    Raises:
        DataError: no layout fits, or several.
        OutputError: the run folder cannot be written.
    """
    progress = progress or Silent()
    folder = RunFolder.of(runs, path)
    folder.check_writable()
    datasets = _open(path, reading)
    dataset = datasets[0][1]
    faults: list[str] = []
    grids: Counter[str] = Counter()
    with progress.task("Reading headers") as update:
        tell = counted(update)
        for done, case in enumerate(dataset.cases, start=1):
            try:
                geometry = read_geometry(case.files[0])
            except DataError as fault:
                faults.append(f"{fault.where}: {fault.found}")
                continue
            canonical = orient_geometry(geometry)
            grids[f"{times(canonical.shape)} voxels of {times(canonical.spacing_mm)} mm"] += 1
            tell(case.name, done, len(dataset.cases))
    picture = _picture(dataset, folder.contact_sheet, faults, progress)
    return Description(datasets, tuple(grids.most_common()), tuple(dict.fromkeys(faults)), picture)


def _open(path: Path, reading: Reading) -> tuple[tuple[str, Dataset], ...]:
    """The dataset, once for each kind of masks."""
    try:
        return (("", open_dataset(path, reading)),)
    except MaskKindError as fault:
        if reading.masks is not None:
            raise
        opened = []
        for kind in fault.kinds:
            with suppress(DataError):  # a kind that cannot be read so is none to choose
                opened.append((kind, open_dataset(path, replace(reading, masks=kind))))
        if not opened:
            raise
        return tuple(opened)


def _picture(dataset: Dataset, path: Path, faults: list[str], progress: Progress) -> Path | None:
    """The contact sheet of the first cases that can be read."""
    from autospine.report.figures import SheetRow, contact_sheet

    rows = []
    first = sorted(dataset.cases, key=lambda case: case.label is None)[:CASES_SHOWN]  # those with a mask first
    with progress.task("Reading the first cases") as update:
        tell = counted(update)
        for done, case in enumerate(first, start=1):
            loaded = read_case(dataset, case, lambda fault: faults.append(f"{fault.where}: {fault.found}"))
            if loaded is not None:
                geometry = loaded.image.geometry
                where = geometry.spacing_mm, slices_of(geometry)
                rows.append(SheetRow(case.name, loaded.image.array, loaded.label, *where, case.missing))
            tell(case.name, done, len(first))
    if not rows:
        return None
    labels = tuple((label.name, index) for index, label in enumerate(dataset.labels, start=1))
    contact_sheet(rows, dataset.channels, labels, path, dataset.name)
    return path
