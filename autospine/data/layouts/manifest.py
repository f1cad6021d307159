"""A table of files, CSV or TSV: `case, subject, <channel> ..., label`, paths relative to the table.

Columns that hold no images (age, centre) are left aside. An image or a mask may be a folder with a DICOM series.
"""

from __future__ import annotations

import csv
from pathlib import Path

from autospine.data.layouts.shared.contents import Contents, described_beside
from autospine.data.layouts.shared.masks import kind_to_read
from autospine.data.layouts.shared.naming import is_unread
from autospine.data.structure import Case, Reading
from autospine.data.volume import IMAGE_SUFFIXES, is_series
from autospine.data.wording import listed
from autospine.errors import DataError

NAMES = ("manifest.csv", "manifest.tsv")
SUFFIXES = (".csv", ".tsv")
CASE = ("case", "case_id", "id", "name")
SUBJECT = ("subject", "subject_id", "patient", "patient_id", "participant_id")
LABEL = ("label", "mask", "segmentation", "seg")
_FORM = "a header case, subject, a column per channel, label; then a row per case"


def evidence(root: Path) -> str | None:
    """What speaks for this layout: the dataset is such a file, or a folder that holds a `manifest`."""
    table = find_table(root)
    return None if table is None else table.name


def find_table(root: Path) -> Path | None:
    """The table of a dataset."""
    if root.is_file():
        return root if root.suffix.lower() in SUFFIXES else None
    return next((root / name for name in NAMES if (root / name).is_file()), None)


def read(root: Path, reading: Reading, *, labelled: bool = True) -> Contents:
    """Cases by the rows of the table; every fault of the table at once. Masks need a column where `labelled` is on."""
    table = find_table(root)
    assert table is not None
    rows = _rows(table)
    header = {name: name.strip().lower() for name in rows[0]}
    case, kinds = _column(header, CASE), [name for name, plain in header.items() if plain in LABEL]
    label = kind_to_read(kinds, reading.masks, table, clash=len(kinds) > 1) or next(iter(kinds), None)
    subject = _column(header, SUBJECT)
    if case is None or (label is None and labelled):
        missing = " and ".join(word for word, column in (("case", case), ("label", label)) if column is None)
        raise DataError(str(table), f"no column {missing} in {', '.join(header)}", _FORM)
    others = [name for name in header if name not in (case, subject, *kinds)]
    unread = sorted({row[name] for row in rows for name in (*others, *kinds) if is_unread(Path(row[name]).name)})
    if unread:
        found = f"files of formats that are not read: {listed(unread)}"
        raise DataError(str(table), found, ", ".join((*IMAGE_SUFFIXES, "DICOM")), "convert them to NIfTI")
    channels = [name for name in others if any(_is_image(table, row[name]) for row in rows)]
    if not channels:
        raise DataError(str(table), "no column with images", _FORM, "give paths relative to the table's folder")
    wrong = []
    names = [row[case] for row in rows]
    for number, row in enumerate(rows, start=2):
        empty = [] if row[case] else [case]
        empty += [] if any(row[name] for name in channels) else channels
        wrong += [f"row {number} has no {', '.join(empty)}"] if empty else []
    twice = sorted({name for name in names if name and names.count(name) > 1})
    wrong += [f"cases listed more than once: {', '.join(twice)}"] if twice else []
    if wrong:
        raise DataError(str(table), "; ".join(wrong), _FORM)
    left = [name for name in others if name not in channels]
    folder = table.parent
    cases = tuple(
        Case(
            row[case],
            # an empty cell says that the case lacks that channel
            tuple(folder / row[name] if row[name] else None for name in channels),
            folder / row[label] if label is not None and row[label] else None,
            row[subject] if subject else "",
        )
        for row in sorted(rows, key=lambda row: row[case])
    )
    notes = (f"columns without images, left aside: {', '.join(left)}",) if left else ()
    return described_beside(folder, Contents(tuple(name.strip() for name in channels), None, cases, notes))


def _rows(table: Path) -> list[dict[str, str]]:
    """Rows as column -> cell, stripped; `DataError` where it is no table."""
    try:
        text = table.read_text(encoding="utf-8-sig")
        lines = text.splitlines()
        between = max("\t;,", key=(lines[0] if lines else "").count)
        reader = csv.reader(lines, delimiter=between, strict=True)
        header, *rows = [[cell.strip() for cell in row] for row in reader if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise DataError(str(table), f"cannot be read as a table ({fault})", "CSV or TSV in UTF-8") from fault
    except ValueError:
        raise DataError(str(table), "an empty table", _FORM) from None
    if not rows or len({name.lower() for name in header}) < len(header) or "" in header:
        raise DataError(str(table), f"{len(rows)} rows under the columns {', '.join(header)}", _FORM)
    long = [number for number, row in enumerate(rows, start=2) if len(row) != len(header)]
    if long:
        found = f"row {', '.join(map(str, long[:8]))} has another number of cells than the header ({len(header)})"
        raise DataError(str(table), found, _FORM)
    return [dict(zip(header, row, strict=True)) for row in rows]


def _column(header: dict[str, str], wanted: tuple[str, ...]) -> str | None:
    """The column that bears one of the wanted names, the first of them that is there."""
    return next((name for word in wanted for name, plain in header.items() if plain == word), None)


def _is_image(table: Path, cell: str) -> bool:
    """Whether a cell names an image: by its suffix, or a folder or a DICOM file that is there."""
    return bool(cell) and (cell.lower().endswith((*IMAGE_SUFFIXES, ".dcm")) or is_series(table.parent / cell))
