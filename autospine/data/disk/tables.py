"""Tables as CSV: what a spreadsheet opens, written in one way everywhere."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from autospine.data.disk.files import read_text, write_text
from autospine.errors import AutospineError


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object] | Mapping[str, object]]) -> str:
    """A head of `columns`, then the rows: cells in their order, or by the names of the columns; None is left empty."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    for row in rows:
        table.writerow([row.get(name) for name in columns] if isinstance(row, Mapping) else row)
    return text.getvalue()


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object] | Mapping[str, object]]) -> None:
    """Write `csv_text` as a file, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    write_text(path, csv_text(columns, rows))


def read_rows(path: Path, error: type[AutospineError]) -> tuple[dict[str, str], ...]:
    """The rows of such a table by its columns; none where it is not there.

    Raises:
        error: it cannot be read.
    """
    if not path.is_file():
        return ()
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path, error), newline="")))
    except csv.Error as fault:
        raise error(str(path), f"cannot be read ({fault})", "a table as CSV", "make it again") from fault
    return tuple({str(key): str(value or "") for key, value in row.items() if key is not None} for row in rows)
