"""Images without masks: of datasets, of plain folders, of series; and those that are there to be tested on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autospine.data.geometry import Geometry, Volume
from autospine.data.images import Images, open_images
from autospine.data.structure import Reading
from autospine.data.volume import write_volume
from autospine.errors import DataError


def write(path: Path, channels: int = 1, label: bool = False) -> None:
    shape = (4, 5, 6)
    array = np.zeros((1, *shape), np.uint8) if label else np.ones((channels, *shape), np.float32)
    write_volume(path, Volume(array, Geometry(shape, (2.0, 1.0, 1.5), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel())), ()))


def found(root: Path, channels: tuple[str, ...] = ("T2",), optional: tuple[int, ...] = ()) -> Images:
    return open_images(root, channels, optional, Reading(allow_missing=bool(optional)))


def names(images: Images) -> list[str]:
    return [case.name for case in images.dataset.cases]


def nnunet(root: Path, channels: tuple[str, ...], cases: tuple[str, ...] = ("a", "b")) -> Path:
    for case in cases:
        for index in range(len(channels)):
            write(root / "imagesTr" / f"{case}_{index:04}.nii.gz")
        write(root / "labelsTr" / f"{case}.nii.gz", label=True)
    named = {str(index): name for index, name in enumerate(channels)}
    content = {"channel_names": named, "labels": {"background": 0, "L1": 1}, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def without_masks(root: Path) -> Path:
    shutil.rmtree(nnunet(root, ("T2",)) / "labelsTr")
    return root


def plain(root: Path) -> Path:
    for name in ("a", "b"):
        write(root / f"{name}.nii.gz")
    return root


def beside(root: Path) -> Path:
    for name in ("a", "b"):
        write(root / f"{name}.nii.gz")
        write(root / f"{name}_seg.nii.gz", label=True)
        write(root / f"{name}_mask.nii.gz", label=True)
    return root


def table(root: Path) -> Path:
    plain(root / "scans")
    (root / "manifest.csv").write_text("case,T2\na,scans/a.nii.gz\nb,scans/b.nii.gz\n")
    return root


@pytest.mark.parametrize(
    "make",
    [
        lambda root: nnunet(root, ("T2",)),
        without_masks,
        plain,
        beside,
        table,
        lambda root: plain(root / "images").parent,
    ],
)
def test_masks_are_not_needed(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    """Nor is one of several kinds of them chosen."""
    images = found(make(tmp_path / "mine"))
    assert names(images) == ["a", "b"]
    assert (images.dataset.name, images.order, images.test) == ("mine", (0,), frozenset())


def test_sessions_that_show_what_is_wanted(tmp_path: Path) -> None:
    for session in ("sub-1/anat/sub-1_T2w", "sub-1/anat/sub-1_T1w", "sub-2/anat/sub-2_T2w", "sub-3/anat/sub-3_T1w"):
        write(tmp_path / "mine" / f"{session}.nii.gz")
    images = found(tmp_path / "mine", ("T2w",))
    assert [(case.name, case.subject) for case in images.dataset.cases] == [("sub-1", "sub-1"), ("sub-2", "sub-2")]
    assert [len(case.files) for case in found(tmp_path / "mine", ("T1w", "T2w")).dataset.cases] == [2]
    with pytest.raises(DataError, match="2 channels"):
        found(tmp_path / "mine", ("STIR",), optional=(0,))


def test_no_mask_is_opened(tmp_path: Path) -> None:
    root = beside(tmp_path / "mine")
    for path in root.glob("*_*"):
        path.write_bytes(b"no image")
    assert names(found(root)) == ["a", "b"]


def test_channels_of_the_same_names_come_in_the_order_wanted(tmp_path: Path) -> None:
    root = nnunet(tmp_path / "mine", ("t2", "T1"))
    images = found(root, ("T1", "T2"))
    assert (images.order, images.in_order_given) == ((1, 0), False)
    images = found(root, ("PD", "STIR"))
    assert (images.order, images.in_order_given) == ((0, 1), True)
    assert found(nnunet(tmp_path / "other", ("T1",)), ("T2",)).in_order_given


def test_names_that_agree_in_part_are_an_error(tmp_path: Path) -> None:
    """T1 and T2 in the other order beside FLAIR for STIR: taken as they stand, T1 would be taught as T2."""
    root = nnunet(tmp_path / "mine", ("T2", "T1", "FLAIR"))
    with pytest.raises(DataError, match="of which some are the plan's and others not"):
        found(root, ("T1", "T2", "STIR"))


def test_of_more_channels_those_of_the_wanted_names_are_read(tmp_path: Path) -> None:
    root = nnunet(tmp_path / "mine", ("PD", "t2", "T1"))
    write(root / "imagesTs" / "x_0000.nii.gz")
    for number in (1, 2):
        write(root / "imagesTs" / f"x_{number:04}.nii.gz")
    images = found(root, ("T1", "T2"))
    assert images.dataset.channels == ("t2", "T1") and images.order == (1, 0)
    held = {case.name: [path.name for path in case.files] for case in images.dataset.cases}
    assert held["a"] == ["a_0001.nii.gz", "a_0002.nii.gz"] and held["x"] == ["x_0001.nii.gz", "x_0002.nii.gz"]
    assert images.test == {"x"}


def test_test_images_of_a_plan_for_some_channels(tmp_path: Path) -> None:
    root = nnunet(tmp_path / "mine", ("T1", "T2"))
    for number in (0, 1):
        write(root / "imagesTs" / f"x_{number:04}.nii.gz")
    images = open_images(root, ("T2",), (), Reading(channels=("T2",)))
    held = {case.name: [path.name for path in case.files] for case in images.dataset.cases}
    assert held == {"a": ["a_0001.nii.gz"], "b": ["b_0001.nii.gz"], "x": ["x_0001.nii.gz"]}


def test_a_channel_that_may_be_missing_may_be(tmp_path: Path) -> None:
    root = nnunet(tmp_path / "mine", ("T2", "T1"))
    (root / "imagesTr" / "b_0000.nii.gz").unlink()
    images = found(root, ("T1", "T2"), optional=(1,))
    assert [case.missing for case in images.dataset.cases] == [(), (0,)]
    with pytest.raises(DataError, match="no T2 in b"):
        found(root, ("T1", "T2"), optional=(0,))
    with pytest.raises(DataError, match="no such files: .*b_0000"):
        found(root, ("T1", "T2"))


def test_another_number_of_channels_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2 channels \(PD, T1\)[\s\S]*the 1 of the plan \(T2\)"):
        found(nnunet(tmp_path / "mine", ("PD", "T1")))


def test_test_images_are_told(tmp_path: Path) -> None:
    root = nnunet(tmp_path / "mine", ("T2",))
    for name in ("b", "t"):
        write(root / "imagesTs" / f"{name}_0000.nii.gz")
    images = found(root)
    assert names(images) == ["a", "b", "imagesTs-b", "t"]
    assert images.test == {"imagesTs-b", "t"}
    named = found(root / "imagesTs")
    assert names(named) == ["b", "t"]
    assert named.test == {"b", "t"}
    # a link to one is one
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "x.nii.gz").symlink_to(root / "imagesTs" / "t_0000.nii.gz")
    assert found(linked).test == {"x"}


def test_what_is_no_image_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "nowhere"):
        with pytest.raises(DataError, match=name):
            found(tmp_path / name)
