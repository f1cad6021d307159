"""Values that do not mean the same in predictions and references: told with both sets and the likely cause."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import write_volume
from autospine.errors import DataError
from autospine.evaluation.folders import evaluate_folders
from autospine.evaluation.value_sets import likely_cause

GRID = Geometry((3, 4, 5), (4.0, 1.5, 0.75), (-12.5, 30.0, 7.25), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def drawn() -> np.ndarray:
    """8 voxels of 1, 2 voxels of 2, 1 voxel of 3."""
    labels = np.zeros(GRID.shape, np.uint8)
    labels[1, 1:3, 0:4], labels[2, 2, 3:5], labels[0, 0, 0] = 1, 2, 3
    return labels


def score(tmp_path: Path, values: tuple[int, ...]) -> tuple[str, ...]:
    """Notes on predictions that hold `values` in the place of the references' 0, 1, 2 and 3."""
    table = np.array(values, np.uint16)
    for name in "ab":
        write_volume(tmp_path / "ref" / f"{name}.nii.gz", Volume(drawn()[None], GRID))
        write_volume(tmp_path / "pred" / f"{name}.nii.gz", Volume(table[drawn()][None], GRID))
    (tmp_path / "labels.json").write_text('{"L5": 1, "L4": 2, "L3": 3}')
    return evaluate_folders(tmp_path / "pred", tmp_path / "ref").notes


@pytest.mark.parametrize(
    ("predicted", "classes", "cause"),
    [
        ({10, 20}, {1, 2}, "they are those of the classes times 10"),
        ({10, 30}, {1, 2, 3}, "they are those of the classes times 10"),
        ({1, 2}, {50, 100}, "they are those of the classes divided by 50"),
        ({14, 21}, {6, 9}, "they are those of the classes times 2.33333"),
        ({2, 3}, {1, 2}, "they are those of the classes plus 1"),
        ({4, 5, 6}, {11, 12, 13}, "they are those of the classes minus 7"),
        ({255}, {1}, "255 may stand for 1"),
        ({1, 2}, {1, 2, 3}, ""),
        ({10}, {1, 2}, ""),  # times 10, times 5, plus 9, plus 8
        ({1, 7}, {1, 2}, ""),
        (set(), {1, 2}, ""),
    ],
)
def test_causes_by_the_sets(predicted: set[int], classes: set[int], cause: str) -> None:
    assert likely_cause(predicted, classes) == cause


def test_values_times_ten_are_refused_with_both_sets_and_the_cause(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"10 \(in a.*20 \(in .*30 \(in .*those of the classes times 10") as error:
        score(tmp_path, (0, 10, 20, 30))
    assert error.value.expected == "L5 = 1, L4 = 2, L3 = 3"


def test_shifted_values_are_named(tmp_path: Path) -> None:
    assert score(tmp_path, (0, 2, 3, 4))[1:] == (
        "the predictions hold 2, 3, 4: they are those of the classes plus 1",
        "values may mean other classes in the predictions: L5 = 1 lies where they hold 2 (100% of its voxels), "
        "L4 = 2 lies where they hold 3 (100% of its voxels)",
    )


def test_exchanged_values_are_named_and_a_class_that_is_missed_is_not(tmp_path: Path) -> None:
    assert score(tmp_path, (0, 2, 1, 3)) == (
        "values may mean other classes in the predictions: L5 = 1 lies where they hold 2 (100% of its voxels), "
        "L4 = 2 lies where they hold 1 (100% of its voxels)",
    )
    assert score(tmp_path, (0, 1, 2, 0)) == ()
