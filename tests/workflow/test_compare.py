"""Folders of segmentations compared: what the arms are called, who is compared, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import write_volume
from autospine.errors import DataError
from autospine.workflow.compare import CompareRequest, compare_paths, name_arms, parse_arm

GRID = Geometry((2, 3, 4), (4.0, 2.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))


def put(folder: Path, **voxels: int) -> Path:
    """A mask for each case, with so many voxels of value 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in voxels.items():
        mask = np.zeros(GRID.shape, np.uint8)
        mask.flat[:count] = 1
        write_volume(folder / f"{name}.nii.gz", Volume(mask[None], GRID))
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """References of 8 voxels; `base` finds half of them, `new` all in the first two cases."""
    return {
        "ref": put(tmp_path / "labels", p1_visit1=8, p1_visit2=8, p2_visit1=8),
        "base": put(tmp_path / "base", p1_visit1=4, p1_visit2=4, p2_visit1=4, other=3),
        "new": put(tmp_path / "new", p1_visit1=8, p1_visit2=8, p2_visit1=4),
    }


def test_arms_are_compared_on_the_cases_of_the_references(folders: dict[str, Path]) -> None:
    """Dice is 2 * 4 / 12 in `base`: p1 gains a third, p2 nothing."""
    arms = name_arms([("", folders["base"]), ("", folders["new"])])
    found = compare_paths(arms, folders["ref"], CompareRequest())
    assert found.arms == ("base", "new") and found.by_case.cases == 3
    assert found.by_subject.subjects == ("p1", "p2")
    assert found.overall[0].difference.mean == pytest.approx((1 / 3 + 0) / 2)
    assert found.places["new"] == str(folders["new"])
    alone = compare_paths(arms, folders["ref"], CompareRequest(subjects=r".+"))
    assert len(alone.by_subject.subjects) == 3


def test_a_case_that_is_missing_is_an_error_or_left_out(folders: dict[str, Path]) -> None:
    (folders["base"] / "p1_visit2.nii.gz").unlink()
    (folders["new"] / "p2_visit1.nii.gz").unlink()
    arms = {"old": folders["base"], "new": folders["new"]}
    with pytest.raises(DataError) as caught:
        compare_paths(arms, folders["ref"], CompareRequest())
    assert "old lacks 1: p1_visit2" in str(caught.value) and "new lacks 1: p2_visit1" in str(caught.value)
    assert "--common" in caught.value.remedy
    found = compare_paths(arms, folders["ref"], CompareRequest(common=True))
    assert found.left_out == ("p1_visit2", "p2_visit1") and found.by_case.subjects == ("p1_visit1",)


def test_arms_without_a_case_in_common_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    arms = {"a": put(tmp_path / "a", p1_visit1=4), "b": put(tmp_path / "b", p1_visit2=4)}
    with pytest.raises(DataError, match="a lacks 2") as caught:
        compare_paths(arms, folders["ref"], CompareRequest(common=True))
    assert "--common" not in caught.value.remedy


def test_a_model_folder_is_what_its_folds_have_segmented(folders: dict[str, Path], tmp_path: Path) -> None:
    model = tmp_path / "runs" / "spines" / "2d"
    put(model / "fold_0" / "validation", p1_visit1=8, p1_visit2=8)
    put(model / "fold_1" / "validation", p2_visit1=8)
    found = compare_paths({"base": folders["base"], "2d": model}, folders["ref"], CompareRequest())
    assert found.mean("2d").mean == 1.0 and found.by_case.cases == 3
    put(model / "fold_1" / "validation", p1_visit1=8)
    with pytest.raises(DataError, match="p1_visit1: several predictions"):
        compare_paths({"base": folders["base"], "2d": model}, folders["ref"], CompareRequest())


def test_an_unknown_figure_is_refused_with_those_there_are(folders: dict[str, Path]) -> None:
    with pytest.raises(DataError, match="dice, iou"):
        compare_paths({"a": folders["base"], "b": folders["new"]}, folders["ref"], CompareRequest("dise"))


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (("out/a", "out/b"), ["a", "b"]),
        (("out/a/predictions", "out/b/predictions"), ["a", "b"]),
        (("runs/x/2d/fold_0/validation", "runs/x/3d/fold_0/validation"), ["2d", "3d"]),
        (("runs/x/2d", "runs/y/3d"), ["x/2d", "y/3d"]),
        (("out", "out/b"), ["out", "out/b"]),
        (("a/out", "b/c/out"), ["a", "b/c"]),
    ],
)
def test_arms_are_called_by_what_tells_their_places_apart(paths: tuple[str, ...], names: list[str]) -> None:
    arms = name_arms([parse_arm(path) for path in paths])
    assert list(arms) == names and [str(path) for path in arms.values()] == list(paths)


def test_arms_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "lr=0.01").mkdir()
    assert parse_arm("old=out/a") == ("old", Path("out/a"))
    assert parse_arm(str(tmp_path / "lr=0.01")) == ("", tmp_path / "lr=0.01")
    assert list(name_arms([("old", Path("out/a")), ("", Path("out/b"))])) == ["old", "b"]


@pytest.mark.parametrize(
    ("words", "said"),
    [(("a",), "1 folder"), (("a", "b/../a"), "two of one place"), (("x=a", "x=b"), "two of one name among x=a, x=b")],
)
def test_what_is_no_comparison_is_refused(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(DataError, match=said):
        name_arms([parse_arm(word) for word in words])
