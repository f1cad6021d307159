"""Which cases are of one subject, and which files are slices of one: what intervals and scores of subjects go by.

As everywhere in autospine names decide (`p07_visit1` and `p07_visit2` are of p07), unless a pattern or a table does. Of
files with a single slice also those are of one subject whose names differ in a slice's number alone:

    p01_slice_012.png, p01_slice_013.png   p01-z3.nii.gz, p01-z4.nii.gz
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from autospine.data.disk.files import read_text
from autospine.data.layouts.manifest import CASE, SUBJECT, SUFFIXES
from autospine.data.layouts.shared.naming import subjects_of
from autospine.data.wording import listed
from autospine.errors import DataError

_SLICE = re.compile(r"(.+?)(?:[-_](?:slice|slc|sl|frame|z)[-_]?|[-_]?(?:Slice|Frame)[-_]?)\d+")
_FORM = f"a table with a column {CASE[0]} and a column {SUBJECT[0]}, separated by commas or tabs"


def subjects_asked(names: Sequence[str], asked: str) -> dict[str, str]:
    """Case -> subject, by a regular expression that finds it in the name, or by a table (a CSV or TSV file).

    Raises:
        DataError: the expression is none, or finds nothing in a name; the table cannot be read, or lacks a case.
    """
    if not asked.lower().endswith(SUFFIXES):
        return subjects_of(names, asked)
    path = Path(asked)
    held = _table(path)
    missing = [name for name in names if name not in held]
    if missing:
        raise DataError(str(path), f"no subject for {listed(missing)}", "a row for each case", "add them")
    return {name: held[name] for name in names}


def subjects_named(slices: Mapping[str, bool]) -> dict[str, str]:
    """Case -> subject, as names say it, of cases (-> whether its file has a single slice)."""
    matches = {name: _SLICE.fullmatch(name) if single else None for name, single in slices.items()}
    volumes = {name: match[1] if match else name for name, match in matches.items()}
    found = subjects_of(list(dict.fromkeys(volumes.values())), None)
    return {name: found[volume] for name, volume in volumes.items()}


def _table(path: Path) -> dict[str, str]:
    """Case -> subject in a file."""
    text = read_text(path, DataError)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))
    header = {name.strip().lower(): name for name in (rows[0] if rows else ()) if name}
    case, subject = (next((header[name] for name in known if name in header), None) for known in (CASE, SUBJECT))
    if case is None or subject is None:
        raise DataError(str(path), f"columns {', '.join(header) or 'of no name'}", _FORM)
    return {row[case]: row[subject] for row in rows if row[case] and row[subject]}
