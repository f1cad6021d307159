"""What an audit writes: the table of all cases, and pictures and folders of the first, to be looked at one by one."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autospine.data.codes.structures import structures_of
from autospine.data.dataset import load_label, read_images
from autospine.data.description import IGNORE
from autospine.data.disk.tables import write_table
from autospine.data.geometry import Volume, canonical_orientation, restore, to_canonical
from autospine.data.layouts.shared.naming import raise_fault
from autospine.data.made_by import MadeBy
from autospine.data.slices import slices_of
from autospine.data.structure import IGNORED, Case, Dataset
from autospine.errors import DataError
from autospine.evaluation.suspicion import RankedCase
from autospine.machine.jobs import share_out
from autospine.planning.document.data import DataPlan
from autospine.preprocessing.restore import as_written
from autospine.report.cases import write_case_picture
from autospine.workflow.progress import Progress, counted
from autospine.workflow.steps.case_folders import CaseFolder, remove_older, write_case_folder

AUDIT = "audit"
"""Folder of a run that an audit writes."""
WORKLIST = "worklist.csv"
PICTURES, CASES = "pictures", "cases"
COLUMNS = ("rank", "case", "structure", "reason", "score", "dice", "promised_dice", "detail", "picture")
REASONS_SHOWN = 3
"""Suspicions of a case that are put into words."""


@dataclass(frozen=True)
class ShownCase:
    """A case that is to be looked at."""

    ranked: RankedCase
    dataset: Dataset
    """Its labels; of its cases none is needed."""
    data: DataPlan
    """What of these the network segments."""
    case: Case
    prediction: Path
    """The file of its segmentation."""
    folder: Path
    """That of the audit."""
    made_by: MadeBy

    @property
    def picture(self) -> Path:
        """Where it is drawn."""
        return self.folder / PICTURES / f"{self.case.name}.png"


def write_worklist(
    folder: Path, ranked: Sequence[RankedCase], pictured: Collection[str], promised: Mapping[tuple[str, str], float]
) -> None:
    """Write the table: a row for each case, the most suspicious first.

    Args:
        folder: that of the audit.
        ranked: the cases in their order.
        pictured: those that have a picture.
        promised: (case, structure) -> the Dice that the network's promise says, where it is known.

    Raises:
        OutputError: it cannot be written.
    """
    rows = []
    for rank, one in enumerate(ranked, 1):
        first = one.suspicions[0] if one.suspicions else None
        held = [promised[key] for name in first.structures if (key := (one.case, name)) in promised] if first else []
        rows.append(
            (
                rank,
                one.case,
                ", ".join(first.structures) if first else "",
                first.reason if first else "",
                f"{one.score:.3f}",
                "" if math.isnan(one.dice) else f"{one.dice:.4f}",
                f"{sum(held) / len(held):.4f}" if held else "",
                said(one),
                f"{PICTURES}/{one.case}.png" if one.case in pictured else "",
            )
        )
    write_table(folder / WORKLIST, COLUMNS, rows)


def said(one: RankedCase) -> str:
    """What may be wrong with a mask, in a sentence; empty where nothing is."""
    return "; ".join(suspicion.detail for suspicion in one.suspicions[:REASONS_SHOWN])


def write_shown(folder: Path, shown: Sequence[ShownCase], workers: int, progress: Progress) -> set[str]:
    """Write pictures and folders of these cases, and remove those of cases that an earlier audit has shown.

    What was changed in them since stays, and is said. So is a case whose image cannot be read: it is not drawn.

    Returns:
        The cases that were drawn.

    Raises:
        OutputError: a file cannot be written.
    """
    wanted = {one.case.name for one in shown}
    kept = remove_older(folder / CASES, wanted)
    for picture in sorted((folder / PICTURES).glob("*.png")):
        if picture.stem not in wanted:
            picture.unlink(missing_ok=True)
    changed, drawn = list[str](), set[str]()
    with progress.task("Drawing the first of them") as update:
        tell, done = counted(update), 0
        named = [(one.case.name, one) for one in shown]
        with closing(share_out(_write_case, named, workers, tell=progress.note)) as results:
            for place, found in results:
                done, one = done + 1, shown[place]
                tell(one.case.name, done, len(shown))
                if isinstance(found, str):
                    one.picture.unlink(missing_ok=True)
                    progress.note(f"{one.case.name} is not drawn: {found}")
                    continue
                drawn.add(one.case.name)
                changed += [f"{one.case.name}/{name}" for name in found]
    if kept or changed:
        files = ", ".join([*kept, *sorted(changed)])
        progress.note(f"changed since they were written, left as they are in {folder / CASES}: {files}")
    return drawn


def _write_case(one: ShownCase) -> tuple[str, ...] | str:
    """Write picture and folder of a case; the files in that which somebody has changed, or why it cannot be drawn."""
    try:
        return _drawn(one)
    except DataError as fault:
        return f"{fault.where}: {fault.found}"


def _drawn(one: ShownCase) -> tuple[str, ...]:
    assert one.case.label is not None
    image = read_images(one.case.images, raise_fault)
    assert image is not None  # None only after a fault, and a fault has been raised
    grid = image.geometry
    maps = {
        "mask": load_label(one.dataset, one.case, one.case.label),
        "prediction": load_label(one.dataset, one.case, one.prediction),
    }
    canonical = to_canonical(image)
    channel = next((held for held in canonical.array if held.any()), canonical.array[0])
    labels = tuple((label.name, index) for index, label in enumerate(one.dataset.labels, 1))
    axis, title = slices_of(canonical.geometry), f"{one.case.name}: {said(one.ranked)}"
    pair = as_written(maps["mask"], one.data), maps["prediction"]
    write_case_picture(one.picture, channel, *pair, canonical.geometry.spacing_mm, labels, axis, title, ignored=IGNORED)
    values = np.zeros(256, np.int64)
    values[1 : len(one.dataset.labels) + 1] = [label.value for label in one.dataset.labels]
    values[IGNORED] = one.dataset.ignore or 0
    turned = canonical_orientation(grid)
    volumes = {name: Volume(restore(values[held], turned)[None], grid) for name, held in maps.items()}
    ignored = [] if one.dataset.ignore is None else [(IGNORE, one.dataset.ignore)]
    structures = structures_of([*((label.name, label.value) for label in one.dataset.labels), *ignored])
    place = one.folder / CASES / one.case.name
    return write_case_folder(CaseFolder(place, one.case.images, volumes, structures, one.made_by))
