from __future__ import annotations

import csv
import os
from pathlib import Path

from autospine.data.codes.structures import structures_of
from autospine.data.label_tables import BIDS_TABLE, SNAP_TABLE, write_label_tables

STRUCTURES = structures_of([("L5", 2), ('a "quoted"\tname', 40), ("L3 spinous process", 300), ("right MF", 7)])


def test_the_table_of_bids_says_what_each_value_is(tmp_path: Path) -> None:
    write_label_tables(tmp_path, STRUCTURES)
    with (tmp_path / BIDS_TABLE).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert [row["index"] for row in rows] == ["2", "40", "300", "7"]
    assert rows[0]["name"] == "L5" and (rows[0]["coding_scheme"], rows[0]["code"]) == ("SCT", "49668003")
    assert rows[0]["color"] == "#{:02X}{:02X}{:02X}".format(*STRUCTURES[0].colour)
    assert rows[1]["name"] == 'a "quoted" name' and rows[2]["region"] == "L3 vertebra"
    assert rows[3]["side"] == "Right" and rows[0]["side"] == "n/a"


def test_the_labels_of_itk_snap_have_eight_columns(tmp_path: Path) -> None:
    write_label_tables(tmp_path, STRUCTURES)
    lines = [one for one in (tmp_path / SNAP_TABLE).read_text("utf-8").splitlines() if not one.startswith("#")]
    assert lines[0].split() == ["0", "0", "0", "0", "0", "0", "0", '"Clear', 'Label"']
    assert lines[1].split() == ["2", *map(str, STRUCTURES[0].colour), "1", "1", "1", '"L5"']
    assert lines[2].endswith("\"a 'quoted' name\"") and len(lines) == 5


def test_tables_that_say_the_same_are_left_and_others_are_replaced(tmp_path: Path) -> None:
    write_label_tables(tmp_path, STRUCTURES)
    os.utime(tmp_path / BIDS_TABLE, ns=(1, 1))
    write_label_tables(tmp_path, STRUCTURES)
    assert (tmp_path / BIDS_TABLE).stat().st_mtime_ns == 1
    write_label_tables(tmp_path, STRUCTURES[:1])
    assert len((tmp_path / BIDS_TABLE).read_text("utf-8").splitlines()) == 2
