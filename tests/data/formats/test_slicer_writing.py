"""The segments of a `.seg.nrrd`, read back by the reader of such files and field by field."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autospine.data.codes.structures import structures_of
from autospine.data.formats.slicer import read_segments
from autospine.data.formats.slicer_writing import is_segment_field, segment_fields
from autospine.data.geometry import Geometry, Volume
from autospine.data.made_by import MadeBy
from autospine.data.segmentation_files import write_segmentation

GRID = Geometry((3, 4, 5), (2.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def labels() -> Volume:
    array = np.zeros((1, *GRID.shape), np.uint8)
    array[0, 1, 1:3] = 7
    return Volume(array, GRID)


def test_names_values_and_codes_of_each_segment() -> None:
    structures = structures_of([("L5", 7), ("odd\nname ~", 9)])
    fields = dict(segment_fields(labels(), structures))
    assert fields["Segment0_Name"] == "L5" and fields["Segment0_LabelValue"] == "7"
    assert fields["Segment0_Extent"] == "0 4 0 3 0 2" and len(fields["Segment0_Color"].split()) == 3
    code = structures[0].type
    assert f"{code.scheme}^{code.value}^{code.meaning}" in fields["Segment0_Tags"]
    # a name stays in its line, and parts no entry of a terminology
    assert fields["Segment1_Name"] == "odd name ~" and "odd name  " not in fields["Segment1_Tags"].split("~")[0]
    assert "\n" not in "".join(fields.values())
    assert all(map(is_segment_field, fields)) and not is_segment_field("my_field")


def test_our_own_reader_knows_them_again(tmp_path: Path) -> None:
    path = tmp_path / "a.seg.nrrd"
    write_segmentation(path, labels(), structures_of([("L5", 7), ("L4", 9)]), [None], MadeBy("2d", ""))
    assert [(one.name, one.value) for one in read_segments(path)] == [("L5", 7), ("L4", 9)]
