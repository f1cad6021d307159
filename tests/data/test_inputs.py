"""What is predicted: the cases of a folder, or of a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autospine.data.geometry import Volume
from autospine.data.inputs import find_inputs
from autospine.data.volume import write_volume
from autospine.errors import DataError
from tests.data.dicom_files import write_series
from tests.data.raw import CHANNELS, GRID, plain, voxels


def test_find_inputs_in_a_folder(tmp_path: Path) -> None:
    plain(
        tmp_path, {"b_0000.nii": voxels(0), "b_0001.nii": voxels(0), "a_0000.mha": voxels(0), "a_0001.mha": voxels(0)}
    )
    assert find_inputs(tmp_path, CHANNELS[:2]) == [
        ("a", (tmp_path / "a_0000.mha", tmp_path / "a_0001.mha")),
        ("b", (tmp_path / "b_0000.nii", tmp_path / "b_0001.nii")),
    ]
    with pytest.raises(DataError, match=r"a: 2 channels[\s\S]*Expected: 1 channel \(T1\)\n"):
        find_inputs(tmp_path, CHANNELS[:1])
    (tmp_path / "b_0001.nii").unlink()
    with pytest.raises(DataError, match=r"b: 1 channel \(b_0000\.nii\)[\s\S]*b_0000\.nii, b_0001\.nii"):
        find_inputs(tmp_path, CHANNELS[:2])
    (tmp_path / "b_0000.nii").rename(tmp_path / "b_0001.nii")
    with pytest.raises(DataError, match="b: 1 channel"):
        find_inputs(tmp_path, CHANNELS[:2])


def test_find_inputs_of_a_file(tmp_path: Path) -> None:
    plain(tmp_path, {f"{name}.nii.gz": voxels(0) for name in ("a", "b_0000", "b_0001", "visit_2023", "visit_2024")})
    assert find_inputs(tmp_path / "a.nii.gz", CHANNELS[:1]) == [("a", (tmp_path / "a.nii.gz",))]
    assert find_inputs(tmp_path / "b_0000.nii.gz", CHANNELS[:1]) == [("b", (tmp_path / "b_0000.nii.gz",))]
    assert find_inputs(tmp_path / "visit_2024.nii.gz", CHANNELS[:1]) == [
        ("visit_2024", (tmp_path / "visit_2024.nii.gz",))
    ]
    both = [("b", (tmp_path / "b_0000.nii.gz", tmp_path / "b_0001.nii.gz"))]
    assert (
        find_inputs(tmp_path / "b_0000.nii.gz", CHANNELS[:2])
        == find_inputs(tmp_path / "b_0001.nii.gz", CHANNELS[:2])
        == both
    )
    with pytest.raises(DataError, match="a: 1 channel"):
        find_inputs(tmp_path / "a.nii.gz", CHANNELS[:2])


def test_find_inputs_that_may_lack_a_channel(tmp_path: Path) -> None:
    names = ("a_0000", "a_0001", "a_0002", "b_0000", "c_0001", "c_0002", "d_0002")
    plain(tmp_path, {f"{name}.nii": voxels(0) for name in names})

    def held(*optional: int, path: Path = tmp_path) -> dict[str, tuple[str | None, ...]]:
        found = find_inputs(path, CHANNELS, optional)
        return {name: tuple(path and path.name for path in files) for name, files in found}

    assert held(0, 1, 2) == {
        "a": ("a_0000.nii", "a_0001.nii", "a_0002.nii"),
        "b": ("b_0000.nii", None, None),
        "c": (None, "c_0001.nii", "c_0002.nii"),
        "d": (None, None, "d_0002.nii"),
    }
    for name in ("c_0001", "c_0002"):
        assert held(0, path=tmp_path / f"{name}.nii") == {"c": (None, "c_0001.nii", "c_0002.nii")}
    with pytest.raises(
        DataError, match=r"b: 1 channel[\s\S]*3 channels \(T1, T2, PD\), of which T1, PD may be missing"
    ):
        held(0, 2)
    # a channel that may be missing is never taken for the first one, which may not
    for name in ("g_0001", "visit_2023"):
        plain(tmp_path / name, {f"{name}.nii": voxels(0)})
        for path in (tmp_path / name, tmp_path / name / f"{name}.nii"):
            with pytest.raises(DataError, match="of which T2, PD may be missing"):
                held(1, 2, path=path)
    # a file without a number does not say which channel it is
    plain(tmp_path / "more", {"e.nii": voxels(0)})
    with pytest.raises(DataError, match=r"e: 1 channel[\s\S]*e_0000\.nii, e_0001\.nii"):
        held(0, 1, 2, path=tmp_path / "more")
    whole = np.stack([voxels(0)] * 3)
    write_volume(tmp_path / "whole/f_0000.nii", Volume(whole, GRID))
    assert held(0, 1, 2, path=tmp_path / "whole") == {"f": ("f_0000.nii",)}
    for number in (1, 2, 3):
        write_volume(tmp_path / f"numbered/case_{number:04d}.nii", Volume(whole, GRID))
    every = {f"case_{number:04d}": (f"case_{number:04d}.nii",) for number in (1, 2, 3)}
    for optional in ((), (1,), (0, 1, 2)):
        assert held(*optional, path=tmp_path / "numbered") == every
        assert held(*optional, path=tmp_path / "numbered/case_0002.nii") == {"case_0002": ("case_0002.nii",)}


def test_dicom_to_predict_may_lack_a_channel(tmp_path: Path) -> None:
    for name in ("p1/T1", "p1/T2", "p2/T2"):
        write_series(tmp_path / name, voxels(0), GRID)
    assert find_inputs(tmp_path, ("T1", "T2"), (0,)) == [
        ("p1", (tmp_path / "p1/T1", tmp_path / "p1/T2")),
        ("p2", (None, tmp_path / "p2/T2")),
    ]
    with pytest.raises(DataError, match=r"2 channels \(T1, T2\), of which T2 may be missing"):
        find_inputs(tmp_path, ("T1", "T2"), (1,))
    assert find_inputs(tmp_path / "p2/T2", ("T1", "T2"), (0,)) == [("T2", (None, tmp_path / "p2/T2"))]
    with pytest.raises(DataError, match=r"p2: 1 channel \(T2\)"):
        find_inputs(tmp_path, ("T1", "T2"), (1,))


def test_find_inputs_where_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    for path, found in ((tmp_path / "none", "no such file or folder"), (tmp_path, "no images")):
        with pytest.raises(DataError, match=found):
            find_inputs(path, CHANNELS[:1])
    with pytest.raises(DataError, match="not an image format"):
        find_inputs(tmp_path / "notes.txt", CHANNELS[:1])


def test_dicom_series_to_predict(tmp_path: Path) -> None:
    for case in ("p1", "p2"):
        for channel in ("T2", "T1"):
            write_series(tmp_path / "in" / case / channel, voxels(1).astype(np.uint16), GRID)
    both = [(name, (tmp_path / "in" / name / "T1", tmp_path / "in" / name / "T2")) for name in ("p1", "p2")]
    assert find_inputs(tmp_path / "in", ("T1", "T2")) == both
    assert find_inputs(tmp_path / "in" / "p1", ("T1", "T2")) == both[:1]
    assert find_inputs(tmp_path / "in" / "p1" / "T1", ("T1",)) == [("T1", both[0][1][:1])]
    assert [name for name, _ in find_inputs(tmp_path / "in", ("T1",))] == ["p1_T1", "p1_T2", "p2_T1", "p2_T2"]
    one = tmp_path / "in" / "p1" / "T1" / "IM0000.dcm"
    assert find_inputs(one, ("T1",)) == [("IM0000", (one,))]
    with pytest.raises(DataError, match=r"p1: 2 channels \(T1, T2\)[\s\S]*2 channels \(T1, fat\)"):
        find_inputs(tmp_path / "in", ("T1", "fat"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images"):
        find_inputs(tmp_path / "empty", ("T1",))
