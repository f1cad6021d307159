"""What the values of label maps mean, in files beside them: for formats that have no place for names.

dseg.tsv              BIDS: index, name, colour, and what each structure is in SNOMED CT
labels.itksnap.txt    ITK-SNAP: Segmentation, Import label descriptions
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from autospine.data.codes.structures import Structure
from autospine.data.disk.files import write_text

BIDS_TABLE = "dseg.tsv"
SNAP_TABLE = "labels.itksnap.txt"
TABLES = (BIDS_TABLE, SNAP_TABLE)
_BIDS_COLUMNS = ("index", "name", "color", "coding_scheme", "code", "code_meaning", "side", "region")
_SNAP_HEAD = """\
################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################
"""


def write_label_tables(folder: Path, structures: Sequence[Structure]) -> None:
    """Write both tables to `folder`; one that says the same already is left as it is.

    Raises:
        OutputError: they cannot be written.
    """
    for name, text in label_tables(structures).items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != text.encode(errors="replace"):
            write_text(path, text)


def label_tables(structures: Sequence[Structure]) -> dict[str, str]:
    """Both tables by the names of their files."""
    return {BIDS_TABLE: bids_table(structures), SNAP_TABLE: snap_table(structures)}


def bids_table(structures: Sequence[Structure]) -> str:
    """The structures as BIDS' `dseg.tsv`."""
    text = io.StringIO()
    rows = csv.writer(text, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
    rows.writerow(_BIDS_COLUMNS)
    for one in structures:
        side, region = (code.meaning if code else "n/a" for code in (one.side, one.region))
        kind = (one.type.scheme, one.type.value, one.type.meaning)
        rows.writerow((one.value, _line(one.name), "#{:02X}{:02X}{:02X}".format(*one.colour), *kind, side, region))
    return text.getvalue()


def snap_table(structures: Sequence[Structure]) -> str:
    """The structures as a label description of ITK-SNAP."""
    lines = [_snap_line(0, (0, 0, 0), 0, "Clear Label")]
    lines += [_snap_line(one.value, one.colour, 1, _line(one.name).replace('"', "'")) for one in structures]
    return _SNAP_HEAD + "".join(lines)


def _snap_line(value: int, colour: tuple[int, int, int], shown: int, name: str) -> str:
    red, green, blue = colour
    return f'{value:5d} {red:5d} {green:4d} {blue:4d} {shown:8d} {shown:2d} {shown:2d}    "{name}"\n'


def _line(text: str) -> str:
    """A name in one line."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split()) or "_"
