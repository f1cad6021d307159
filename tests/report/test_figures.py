"""Pictures of histories, short and gappy, and of the first cases of a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from autospine.data.codes.structures import structures_of
from autospine.errors import DataError
from autospine.report.figures import SheetRow, _best_slice, class_colour, contact_sheet, plot_history

HEADER = "epoch,step,seconds,learning_rate,train_loss,validation_loss,dice_L5,dice_L4,dice_mean\n"


@pytest.mark.parametrize(
    "rows",
    [
        "",
        "1,50,3.2,0.01,0.5,0.4,0.1,,0.1\n",
        "".join(
            f"{i},{i * 50},{i * 3.5},{0.01 / i},{1 / i},{1.2 / i},{1 - 1 / i},nan,{1 - 1 / i}\n" for i in range(1, 60)
        ),
    ],
    ids=["none", "one", "many"],
)
def test_history_of_any_length_is_drawn(tmp_path: Path, rows: str) -> None:
    (tmp_path / "history.csv").write_text(HEADER + rows)
    plot_history(tmp_path / "history.csv", tmp_path / "progress.png")
    assert imread(tmp_path / "progress.png").shape[0] > 300
    assert sorted(file.name for file in tmp_path.iterdir()) == ["history.csv", "progress.png"]


def test_a_history_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        plot_history(tmp_path / "history.csv", tmp_path / "progress.png")
    (tmp_path / "history.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="epoch"):
        plot_history(tmp_path / "history.csv", tmp_path / "progress.png")
    assert not (tmp_path / "progress.png").exists()


def test_the_slice_with_most_foreground_is_shown() -> None:
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[1, 2, 3] = 2
    mask[3, :2, 4] = 1
    assert [_best_slice(mask, mask.shape[axis], axis) for axis in range(3)] == [3, 0, 4]
    assert _best_slice(np.zeros_like(mask), 4, 0) == _best_slice(None, 4, 0) == 2


def test_a_contact_sheet_shows_cases_with_and_without_masks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image, mask = rng.random((2, 8, 9, 10)), np.zeros((8, 9, 10), np.uint8)
    mask[2:6, 2:6, 3:7] = 1
    rows = [
        SheetRow("a", image, mask, (1.0, 1.0, 1.0), 2),
        SheetRow(r"$\frac{$", image * 0, None, (1.0, 1.0, 1.0), 0, missing=(0,)),
    ]
    contact_sheet(rows, ("T1", "T2"), (("L5", 1),), tmp_path / "a.png", r"$\frac{$")
    picture = imread(tmp_path / "a.png")[..., :3]
    colour = np.array(structures_of([("L5", 1)])[0].colour) / 255
    assert (np.abs(picture - colour).max(axis=2) < 0.03).sum() > 200


def test_colours_are_told_apart() -> None:
    colours = [tuple(int(class_colour(index)[at : at + 2], 16) for at in (1, 3, 5)) for index in range(30)]
    assert len(set(colours)) == 30
    # Neighbouring levels have neighbouring values.
    assert all(np.abs(np.subtract(a, b)).sum() > 100 for a, b in zip(colours[:9], colours[1:10], strict=True))
