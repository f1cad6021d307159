"""Segmentations of 3D Slicer: names, layers, cropped extents, and headers that cannot be understood."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autospine.data.dataset import load_case, open_dataset
from autospine.data.formats.slicer import Segment, read_segments
from autospine.data.masks.files import mask_stem, read_mask
from autospine.data.structure import Label
from autospine.data.volume import write_volume
from autospine.errors import DataError
from tests.data.slicer_files import GRID, IMAGE, drawn, write_slicer


def test_segments_of_a_header(tmp_path: Path) -> None:
    layers = np.zeros((2, *GRID.shape), np.uint8)
    path = write_slicer(tmp_path / "a.seg.nrrd", layers, GRID, [("Wirbelkörper L4", 1, 3), ("L5", 0, 1)])
    assert read_segments(path) == (Segment("Wirbelkörper L4", 1, 3), Segment("L5", 0, 1))
    write_volume(tmp_path / "plain.seg.nrrd", IMAGE)
    assert read_segments(tmp_path / "plain.seg.nrrd") == ()
    assert mask_stem(path) == "a" and mask_stem(tmp_path / "a.nii.gz") == "a"
    assert mask_stem(tmp_path / "a.seg.nii.gz") == "a.seg"


def test_classes_go_by_names_whatever_order_values_and_layers(tmp_path: Path) -> None:
    labels = drawn()
    five, four = labels == 1, labels == 2
    write_slicer(tmp_path / "a.seg.nrrd", labels[None], GRID, [("L5", 0, 1), ("L4", 0, 2)])
    write_slicer(
        tmp_path / "b.seg.nrrd", (five * 7 + four * 3)[None].astype(np.uint8), GRID, [("L4", 0, 3), ("L5", 0, 7)]
    )
    layers = np.stack([four * 5, five * 5]).astype(np.uint8)
    write_slicer(tmp_path / "c.seg.nrrd", layers, GRID, [("L5", 1, 5), ("L4", 0, 5)])
    # as versions before 4.11 wrote it: a layer for each segment in their order
    layers = np.stack([four, five]).astype(np.uint8)
    write_slicer(
        tmp_path / "d.seg.nrrd", layers, GRID, [("L4", 0, 0), ("L5", 0, 0)], without=("Layer", "LabelValue", "Color")
    )
    for name in "abcd":
        write_volume(tmp_path / f"{name}.nii.gz", IMAGE)
    dataset = open_dataset(tmp_path)
    assert dataset.layout == "beside" and dataset.labels == (Label("L5", 1), Label("L4", 2))
    assert [case.name for case in dataset.cases] == list("abcd")
    for case in dataset.cases:
        np.testing.assert_array_equal(load_case(dataset, case).label, labels)


def test_labels_json_names_the_segments_of_every_mask(tmp_path: Path) -> None:
    write_slicer(tmp_path / "a.seg.nrrd", drawn()[None] * 3, GRID, [("L4", 0, 6), ("L5", 0, 3), ("unused", 0, 9)])
    write_volume(tmp_path / "a.nrrd", IMAGE)
    (tmp_path / "labels.json").write_text(json.dumps({"L4": 40, "L5": 50}))
    dataset = open_dataset(tmp_path)
    assert dataset.labels == (Label("L4", 40), Label("L5", 50))
    np.testing.assert_array_equal(load_case(dataset, dataset.cases[0]).label, np.array([0, 2, 1])[drawn()])
    (tmp_path / "labels.json").write_text(json.dumps({"L4": 40, "L3": 50}))
    dataset = open_dataset(tmp_path)
    with pytest.raises(DataError, match="structures called 'L5'") as raised:
        load_case(dataset, dataset.cases[0])
    assert raised.value.expected == "those called L4, L3"


def test_a_segment_called_ignore_is_what_is_not_annotated(tmp_path: Path) -> None:
    write_slicer(tmp_path / "a.seg.nrrd", drawn()[None], GRID, [("L5", 0, 1), ("Ignore", 0, 2)])
    write_volume(tmp_path / "a.nrrd", IMAGE)
    dataset = open_dataset(tmp_path)
    assert dataset.labels == (Label("L5", 1),)
    np.testing.assert_array_equal(load_case(dataset, dataset.cases[0]).label, np.array([0, 1, 255])[drawn()])


def test_a_segment_called_background_is_none(tmp_path: Path) -> None:
    labels = drawn() + 1
    write_slicer(
        tmp_path / "a.seg.nrrd", labels[None], GRID, [("Background", 0, 1), ("L5", 0, 2), ('L4 "[b]" = ü', 0, 3)]
    )
    write_volume(tmp_path / "a.nrrd", IMAGE)
    dataset = open_dataset(tmp_path)
    assert dataset.labels == (Label("L5", 1), Label('L4 "[b]" = ü', 2))
    np.testing.assert_array_equal(load_case(dataset, dataset.cases[0]).label, drawn())


def test_segments_that_overlap_are_refused_by_name(tmp_path: Path) -> None:
    layers = np.zeros((2, *GRID.shape), np.uint8)
    layers[0, 1], layers[1, 1, 2] = 1, 1
    path = write_slicer(tmp_path / "a.seg.nrrd", layers, GRID, [("canal", 0, 1), ("cord", 1, 1)])
    with pytest.raises(DataError, match=r"structures that overlap: canal and cord \(5 voxels\)"):
        read_mask(path)
    # what bears one name is one structure
    path = write_slicer(tmp_path / "b.seg.nrrd", layers, GRID, [("cord", 0, 1), ("cord", 1, 1)])
    assert int((read_mask(path).values > 0).sum()) == 20


@pytest.mark.parametrize(
    ("segments", "change", "found"),
    [
        ([("L5", 0, 1), ("L4", 0, 1)], {}, "'L5' and 'L4' both as 1 in layer 0"),
        ([("L5", 0, 1), ("L4", 2, 2)], {}, "'L4' in layer 2"),
        ([("L5", 0, 1)], {}, r"values of no segment in layer 0: 2 \(1 voxels\)"),
        ([("L5", 0, 0), ("L4", 0, 2)], {}, "Segment0_LabelValue is '0'"),
        ([("L5", 0, -1), ("L4", 0, 2)], {}, "Segment0_LabelValue is '-1'"),
        ([("L5", 0, 1), ("L4", -1, 2)], {}, "Segment1_Layer is '-1'"),
        ([("L5", 0, 1), ("L4", 0, 2)], {"Segment1_LabelValue": "two"}, "Segment1_LabelValue is 'two'"),
        (
            [("L5", 0, 1), ("L4", 0, 2)],
            {"Segmentation_MasterRepresentation": "Fractional labelmap"},
            "a segmentation stored as 'Fractional labelmap'",
        ),
        ([(f"s{value}", 0, value) for value in range(1, 300)], {}, "299 segments"),
    ],
)
def test_headers_that_do_not_fit_their_voxels_are_refused(
    tmp_path: Path, segments: list[tuple[str, int, int]], change: dict[str, str], found: str
) -> None:
    path = write_slicer(tmp_path / "a.seg.nrrd", drawn()[None], GRID, segments, said=change)
    with pytest.raises(DataError, match=found):
        read_mask(path)


def lines(edit: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        head, voxels = content.split(b"\n\n", 1)
        return edit(head) + b"\n\n" + voxels

    return change


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lines(lambda head: head + b"\nSegment0_Name:=L4"), "Duplicate header field"),
        (lines(lambda head: head + b"\nno field at all"), "a header that cannot be understood"),
        (lines(lambda head: head.replace(b"Segment0_Name:=L5", b"Segment0_Name:=K\xf6rper")), "cannot be understood"),
        (
            lines(lambda head: head.replace(b"Segment0_Name:=L5", b"Segment0_Name:=\x1b[31mL5")),
            "Segment0_Name is empty",
        ),
        (lines(lambda head: head.replace(b"sizes: 5 4 3", b"sizes: five")), "cannot be understood"),
        (lines(lambda head: head.replace(b"NRRD0004", b"NRRD0099")), "cannot be"),
        (lambda content: content[: len(content) // 2], "cannot be|cut off|damaged"),
        (lambda content: content.split(b"\n\n")[0], "cannot be|cut off|damaged"),
        (lambda content: b"NRRD0005\nSegment0_Name:=" + b"a" * 100_000, "cannot be|cut off|damaged"),
    ],
)
def test_damaged_headers_are_refused(tmp_path: Path, change: Callable[[bytes], bytes], found: str) -> None:
    path = write_slicer(tmp_path / "a.seg.nrrd", drawn()[None], GRID, [("L5", 0, 1), ("L4", 0, 2)])
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=found):
        read_mask(path)
