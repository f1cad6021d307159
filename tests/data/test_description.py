"""What a dataset.json says of labels, channels and file ending."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autospine.data.dataset import open_dataset
from autospine.data.description import Declared, channel_names, counted, declared, file_ending
from autospine.data.structure import Label, Region
from autospine.errors import DataError
from tests.data.laid_out import nnunet
from tests.data.raw import raw
from tests.data.small import CONTENT, edit_json


@pytest.mark.parametrize("ending", ["nii.gz", ".nii.gz", ".NII.GZ", " nii.gz"])
def test_the_point_of_a_file_ending_may_be_missing(tmp_path: Path, ending: str) -> None:
    nnunet(tmp_path, CONTENT)
    edit_json(tmp_path / "dataset.json", file_ending=ending)
    assert len(open_dataset(tmp_path).cases) == 6
    for wrong in (".npz", "gz", 7, ""):
        edit_json(tmp_path / "dataset.json", file_ending=wrong)
        with pytest.raises(DataError, match='"file_ending" is'):
            open_dataset(tmp_path)


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "L4": 4, "L5": 1},
        {"0": "background", "1": "L5", "4": "L4"},
        {"L5": "1", "L4": "4"},
    ],
)
def test_labels_in_either_direction(tmp_path: Path, labels: dict[str, Any]) -> None:
    dataset = open_dataset(raw(tmp_path, labels=labels, channel_names=None, modality={"0": "MRI"}, file_ending=None))
    assert dataset.labels == (Label("L5", 1), Label("L4", 4))
    assert dataset.channels == ("MRI",)


def test_regions_and_what_they_are_written_as(tmp_path: Path) -> None:
    named = {"background": 0, "whole": [1, 4], "core": [4], "ignore": 7}
    dataset = open_dataset(raw(tmp_path, labels=named, regions_class_order=[1, 4]))
    assert dataset.regions == (Region("whole", (1, 4), 1), Region("core", (4,), 4))
    assert dataset.labels == (Label("label_1", 1), Label("core", 4))
    assert dataset.ignore == 7
    # KiTS: a tumour and a cyst in the mass, the mass in the organ
    kits = {"background": 0, "all": [1, 2, 3], "mass": [2, 3], "tumour": 2}
    regions = open_dataset(raw(tmp_path / "kits", labels=kits, regions_class_order=[1, 3, 2])).regions
    assert [region.written for region in regions] == [1, 3, 2]
    paired = {"left": [1, 2], "right": [3, 4]}
    sided = open_dataset(raw(tmp_path / "sided", labels=paired, regions_class_order=[1, 3], sides={"left": "right"}))
    assert sided.sides == (("left", "right"),)


@pytest.mark.parametrize(
    ("description", "found"),
    [
        ({"labels": {"background": 0, "L5": 1, "body": [1, 2]}}, '"regions_class_order" is None'),
        ({"labels": {"body": [1, 2], "L5": 1}, "regions_class_order": [1]}, "2 values, one for each of body, L5"),
        ({"labels": {"body": [1, 2], "L5": 1}, "regions_class_order": [1, 2]}, r"L5 = \[1\] is written as 2"),
        ({"labels": {"in": 2, "all": [1, 2]}, "regions_class_order": [2, 1]}, "in would not come back"),
        ({"labels": {"all": [1, 2], "in": 2}, "regions_class_order": [2, 2]}, "in would not come back"),
        ({"labels": {"a": [1, 2], "b": [2, 3]}, "regions_class_order": [1, 3]}, "a would not come back"),
        ({"labels": {"body": [1, 2], "L5": 1}, "regions_class_order": [1, True]}, "regions_class_order"),
        ({"labels": {"body": [1, 1], "L5": 2}, "regions_class_order": [1, 2]}, "labels"),
        ({"labels": {"body": [0, 1], "L5": 2}, "regions_class_order": [1, 2]}, "labels"),
        ({"labels": {"body": [], "L5": 2}}, r"'body' has the value \[\]"),
        ({"labels": {"body": [1, 2], "ignore": [2, 3]}, "regions_class_order": [1]}, '"ignore" is 2 or 3'),
        ({"labels": {"all": [1, 2], "label_2": 1}, "regions_class_order": [1, 1]}, "label_<value>"),
        ({"labels": {"background": 0, "L5": 1, "ignore": 1}}, '"ignore" is 1'),
        ({"labels": {"background": 0, "L5": 1, "ignore": 0}}, '"ignore" is 0'),
        ({"labels": {"background": 0, "L5": 1.5}}, "1.5"),
        ({"labels": {"background": 0, "L5": True}}, "True"),
        ({"labels": {"background": 0, "L5": -1}}, "-1"),
        ({"labels": {"L5": 1, "L4": 1}}, "labels"),
        ({"labels": {"background": 1, "L4": 2}}, "background 0"),
        ({"labels": {"background": 0}}, "0 classes"),
        ({"labels": {"background": 0} | {f"c{value}": value for value in range(1, 256)}}, "255 classes"),
        ({"labels": None}, "labels"),
        ({"channel_names": {"1": "T2"}}, "channel_names"),
        ({"channel_names": ["T2"]}, "channel_names"),
        ({"file_ending": ".npy"}, "file_ending"),
        ({"file_ending": 3}, "file_ending"),
        ({"file_ending": ".mha"}, "no images that end in .mha"),
    ],
)
def test_a_description_that_is_refused(tmp_path: Path, description: dict[str, Any], found: str) -> None:
    with pytest.raises(DataError, match=found):
        open_dataset(raw(tmp_path, names=("a",), **description))


HERE = Path("dataset.json")


def test_channels_stand_in_the_order_of_their_numbers() -> None:
    eleven = {str(number): f"c{number}" for number in (10, *range(10))}
    assert channel_names({"channel_names": eleven}, HERE) == tuple(f"c{number}" for number in range(11))
    assert channel_names({"modality": {"0": "T1"}}, HERE) == ("T1",)
    with pytest.raises(DataError, match=r'"channel_names" is {}'):
        channel_names({"channel_names": {}}, HERE)


def test_labels_by_hand() -> None:
    assert declared({"background": 0, "L4": 4, "L5": "1", "Ignore": 9}, HERE, {}) == Declared(
        (("L5", 1), ("L4", 4)), ignore=9
    )
    named = {"1": "left", "2": "right", "5": "cord"}
    assert declared(named, HERE, {"sides": {"left": "right"}}).sides == (("left", "right"),)
    whole = declared({"cord": [1, 2], "grey": 2}, HERE, {"regions_class_order": [1, 2]})
    assert whole.classes == (("label_1", 1), ("grey", 2))
    assert whole.regions == (Region("cord", (1, 2), 1), Region("grey", (2,), 2))


@pytest.mark.parametrize(("said", "meant"), [(None, None), ("NII.GZ", ".nii.gz"), (" .mha ", ".mha")])
def test_endings_in_any_spelling(said: str | None, meant: str | None) -> None:
    assert file_ending({"file_ending": said}, HERE) == meant


def test_classes_are_counted_in_a_byte() -> None:
    most = tuple((f"c{value}", value) for value in range(1, 255))
    assert counted(most, HERE) == most
    for wrong in ((), (*most, ("c255", 255))):
        with pytest.raises(DataError, match="1 to 254 classes"):
            counted(wrong, HERE)
