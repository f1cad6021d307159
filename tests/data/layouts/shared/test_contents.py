"""Labels that stand beside what a layout has found."""

from __future__ import annotations

from pathlib import Path

import pytest

from autospine.data.description import Declared
from autospine.data.layouts.shared.contents import Contents, described_beside
from autospine.data.structure import Case, Region
from autospine.errors import DataError

FOUND = Contents(("T2",), Declared((("found", 3),)), (Case("a", (Path("a.nii"),), None),), ("a note",))


def test_without_a_file_nothing_changes(tmp_path: Path) -> None:
    assert described_beside(tmp_path, FOUND) is FOUND


def test_its_names_go_before_those_that_were_found(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('{"L4": 4, "L5": 1, "sides": {"L5": "L4"}}')
    contents = described_beside(tmp_path, FOUND)
    assert contents.labels == Declared((("L5", 1), ("L4", 4)), sides=(("L5", "L4"),))
    assert (contents.channels, contents.cases, contents.notes) == (FOUND.channels, FOUND.cases, FOUND.notes)


def test_regions_have_their_order_in_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('{"cord": [1, 2], "grey": 2, "regions_class_order": [1, 2]}')
    labels = described_beside(tmp_path, FOUND).labels
    assert labels is not None and labels.regions == (Region("cord", (1, 2), 1), Region("grey", (2,), 2))


@pytest.mark.parametrize(("text", "found"), [("[1]", "not a JSON object"), ('{"L5": -1}', "has the value -1")])
def test_what_names_no_labels(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(DataError, match=rf"labels\.json: .*{found}"):
        described_beside(tmp_path, FOUND)
