from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from autospine.data.geometry import Geometry, Volume
from autospine.data.statistics import combine_statistics, measure_structures, write_statistics
from autospine.errors import OutputError

GRID = Geometry((2, 2, 3), (4.0, 0.5, 0.25), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
STRUCTURES = {"L5": (20,), "L4": (3,), "absent": (5,)}
LABELS = Volume(np.array([[[[20, 20, 0], [0, 3, 0]], [[0, 0, 20], [0, 0, 0]]]], np.uint8), GRID)
IMAGE = Volume(np.stack([np.arange(12.0).reshape(2, 2, 3), np.full((2, 2, 3), -1.0)]).astype(np.float32), GRID)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_volumes_and_means_are_those_counted_by_hand() -> None:
    first, second, absent = measure_structures(LABELS, STRUCTURES, IMAGE, missing=(1,))
    assert (first.structure, first.values, first.voxels, first.volume_mm3) == ("L5", (20,), 3, 1.5)
    assert first.means == (pytest.approx((0 + 1 + 8) / 3), None)  # the second channel is missing
    assert (second.voxels, second.volume_mm3, second.means) == (1, 0.5, (4.0, None))
    assert (absent.voxels, absent.volume_mm3, absent.means) == (0, 0.0, (None, None))
    assert measure_structures(LABELS, STRUCTURES)[0].means == ()
    with pytest.raises(ValueError, match="on an image of"):
        measure_structures(LABELS, STRUCTURES, Volume(IMAGE.array[:, :1], GRID))


def test_a_region_is_all_that_it_is_made_of(tmp_path: Path) -> None:
    whole, part = measure_structures(LABELS, {"whole": (3, 20), "part": (3,)}, IMAGE)
    assert (whole.voxels, whole.volume_mm3, part.voxels) == (4, 2.0, 1)
    assert whole.means == (pytest.approx((0 + 1 + 8 + 4) / 4), -1.0)
    write_statistics(tmp_path / "a.csv", "a", (whole, part), ("T1", "T2"))
    assert [row["value"] for row in rows(tmp_path / "a.csv")] == ["3 20", "3"]


def test_tables_of_cases_become_one_whoever_wrote_them(tmp_path: Path) -> None:
    measured = measure_structures(LABELS, STRUCTURES, IMAGE)
    write_statistics(tmp_path / "statistics" / "b.csv", "b", measured, ("T1", "T2, fat"))
    write_statistics(tmp_path / "statistics" / "a.csv", "a", measured[:1], ("T1", "T2, fat"))
    combine_statistics(tmp_path / "statistics", tmp_path / "statistics.csv")
    found = rows(tmp_path / "statistics.csv")
    assert [(row["case"], row["structure"]) for row in found] == [
        ("a", "L5"),
        ("b", "L5"),
        ("b", "L4"),
        ("b", "absent"),
    ]
    assert found[0]["volume_mm3"] == "1.5" and found[0]["mean_T1"] == "3" and found[0]["mean_T2, fat"] == "-1"
    assert found[3]["mean_T1"] == "" and found[3]["voxels"] == "0"
    write_statistics(tmp_path / "statistics" / "a.csv", "a", measured, ("T1", "T2, fat"))  # made anew
    combine_statistics(tmp_path / "statistics", tmp_path / "statistics.csv")
    assert len(rows(tmp_path / "statistics.csv")) == 6


@pytest.mark.parametrize(
    "text",
    [
        "case;structure;value;voxels;volume_mm3;mean_T2\na;L5;1;2;1,5;70,25\n",  # as a spreadsheet saves it
        "case,structure,value,voxels,volume_mm3\na,L5,1,2,1,5\n",
        "case,structure,value,voxels,volume_mm3\na,L5\n",
        "",
    ],
)
def test_a_table_that_was_saved_otherwise_is_named(tmp_path: Path, text: str) -> None:
    write_statistics(tmp_path / "statistics" / "b.csv", "b", measure_structures(LABELS, STRUCTURES), ())
    (tmp_path / "statistics" / "a.csv").write_text(text)
    with pytest.raises(OutputError, match=r"a\.csv.*not a table as a prediction writes it"):
        combine_statistics(tmp_path / "statistics", tmp_path / "statistics.csv")


def test_without_tables_there_is_none_of_all(tmp_path: Path) -> None:
    combine_statistics(tmp_path / "statistics", tmp_path / "statistics.csv")
    (tmp_path / "statistics").mkdir()
    (tmp_path / "statistics.csv").write_text("of cases that are no more")
    combine_statistics(tmp_path / "statistics", tmp_path / "statistics.csv")
    assert not (tmp_path / "statistics.csv").exists()
