"""Pictures: drawn from short and gappy histories, right way up, right proportions, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from autospine.errors import DataError
from autospine.report.figures import _best_slice, class_colour, plot_history, side_by_side

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


def pixels(path: Path, index: int) -> np.ndarray:
    """Where the picture shows the colour of the class at `index` blended over black, (n, 2) rows and columns."""
    picture = imread(path)[..., :3]
    colour = np.array([int(class_colour(index)[at : at + 2], 16) for at in (1, 3, 5)]) / 255 * 0.55
    return np.argwhere(np.abs(picture - colour).max(axis=2) < 0.03)


def test_superior_is_up_posterior_is_right_and_voxels_keep_their_proportions(tmp_path: Path) -> None:
    # (Z, Y, X): 10 rows of 3 mm by 12 columns of 1 mm, superior and posterior; the same inferior and anterior.
    image = np.zeros((20, 24, 5), np.float32)
    reference = np.zeros(image.shape, np.uint8)
    reference[10:, 12:, 2] = 1
    reference[:10, :12, 2] = 2
    labels = (("back", 1), ("front", 2))
    side_by_side(image, reference, None, (3.0, 1.0, 8.0), tmp_path / "a.png", "case", labels, axis=2)
    back, front = pixels(tmp_path / "a.png", 0), pixels(tmp_path / "a.png", 1)
    height, width = np.ptp(back, axis=0) + 1
    assert height / width == pytest.approx(30 / 12, rel=0.03)
    assert back[:, 0].max() < front[:, 0].min() + 2  # higher up
    assert back[:, 1].min() > front[:, 1].max() - 2  # further right


@pytest.mark.parametrize(("axis", "above"), [(0, (0, 5)), (1, (5, 0))])
def test_axial_slices_show_anterior_up_and_coronal_ones_superior(
    tmp_path: Path, axis: int, above: tuple[int, int]
) -> None:
    image = np.zeros((10, 10, 10), np.float32)
    reference = np.zeros(image.shape, np.uint8)
    other = 1 - axis
    lines = np.moveaxis(reference, other, 0)
    lines[above[0] : above[0] + 5, :, :5] = 1  # the half that belongs above, to the patient's right
    lines[above[1] : above[1] + 5, :, 5:] = 2
    side_by_side(image, None, reference, (1.0, 1.0, 1.0), tmp_path / "a.png", "", (("a", 1), ("b", 2)), axis=axis)
    first, second = pixels(tmp_path / "a.png", 0), pixels(tmp_path / "a.png", 1)
    assert first[:, 0].max() < second[:, 0].min() + 2
    assert first[:, 1].max() < second[:, 1].min() + 2  # the patient's right is shown at the left


def test_the_slice_with_most_foreground_is_shown() -> None:
    reference = np.zeros((4, 5, 6), np.uint8)
    reference[1, 2, 3] = 2
    reference[3, :2, 4] = 1
    empty = np.zeros_like(reference)
    assert [_best_slice([reference], reference.shape[axis], axis) for axis in range(3)] == [3, 0, 4]
    assert _best_slice([empty, reference], 4, 0) == 3
    assert _best_slice([empty], 4, 0) == 2


def test_pictures_without_masks_labels_or_contrast(tmp_path: Path) -> None:
    image = np.full((4, 5, 6), np.nan, np.float32)
    side_by_side(image, None, None, (1.0, 1.0, 1.0), tmp_path / "a.png", "", (), axis=2)
    mask = np.arange(120).reshape(4, 5, 6).astype(np.uint8) % 14
    labels = tuple((f"label_{value}", value) for value in range(1, 14))
    side_by_side(np.ones((4, 5, 6)), mask, mask, (1.0, 1.0, 1.0), tmp_path / "new" / "b.png", "", labels, axis=1)
    assert imread(tmp_path / "a.png").any()
    assert imread(tmp_path / "new" / "b.png").any()
    with pytest.raises(ValueError, match="shape"):
        side_by_side(image, mask[:2], None, (1.0, 1.0, 1.0), tmp_path / "c.png", "", (), axis=2)


def test_colours_are_told_apart() -> None:
    colours = [tuple(int(class_colour(index)[at : at + 2], 16) for at in (1, 3, 5)) for index in range(30)]
    assert len(set(colours)) == 30
    # Neighbouring levels have neighbouring values.
    assert all(np.abs(np.subtract(a, b)).sum() > 100 for a, b in zip(colours[:9], colours[1:10], strict=True))
