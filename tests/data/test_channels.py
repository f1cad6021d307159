"""Some of the channels of a dataset, chosen by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autospine.data.dataset import load_case, open_dataset
from autospine.data.structure import Reading
from autospine.data.volume import write_volume
from autospine.errors import DataError
from tests.data.lacking import LEVEL, nnunet
from tests.data.small import image, mask, write_four


def test_channels_by_name_in_the_data_sets_order(tmp_path: Path) -> None:
    root = nnunet(tmp_path / "set")
    whole = open_dataset(root, Reading(allow_missing=True))
    both = open_dataset(root, Reading(allow_missing=True, channels=("T2", "T1")))
    assert both.channels == ("T1", "T2") and both.cases == whole.cases

    second = open_dataset(root, Reading(allow_missing=True, channels=("T2",)))
    assert second.channels == ("T2",)
    assert [case.name for case in second.cases] == ["sub-1", "sub-2", "sub-4"]
    assert second.notes[-1] == "cases without T2, left out: sub-3"
    for case in second.cases:
        loaded = load_case(second, case)
        assert loaded.image.array.shape == (1, *load_case(whole, whole.cases[0]).image.array.shape[1:])
        assert case.missing == () and loaded.image.array.min() >= LEVEL["T2"]


def test_absent_files_are_faults_unless_they_may_be_missing(tmp_path: Path) -> None:
    dataset = open_dataset(nnunet(tmp_path / "set"), Reading(channels=("T2",)))
    absent = next(case for case in dataset.cases if case.name == "sub-3")
    with pytest.raises(DataError, match="no such file"):
        load_case(dataset, absent)


@pytest.mark.parametrize(("names", "found"), [(("T1", "FLAIR"), "FLAIR"), ((), "none")])
def test_channels_that_there_are_not(tmp_path: Path, names: tuple[str, ...], found: str) -> None:
    with pytest.raises(DataError, match=rf"--channels names {found}\nExpected: some of T1, T2"):
        open_dataset(nnunet(tmp_path / "set"), Reading(channels=names))


def test_nobody_has_the_channel(tmp_path: Path) -> None:
    root = nnunet(tmp_path / "set")
    for path in root.glob("imagesTr/*_0001.nii.gz"):
        path.unlink()
    (root / "labelsTr" / "sub-2.nii.gz").unlink()  # a case without any image would be a fault of its own
    with pytest.raises(DataError, match="no case has T2"):
        open_dataset(root, Reading(allow_missing=True, channels=("T2",)))


def test_channels_of_one_file(tmp_path: Path) -> None:
    both = np.concatenate([image(1).array, image(2).array])
    write_four(tmp_path / "imagesTr" / "a.nii.gz", both)
    write_volume(tmp_path / "labelsTr" / "a.nii.gz", mask(0, 1))
    described = {
        "modality": {"0": "T1", "1": "T2"},
        "labels": {"0": "background", "1": "a"},
        "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    dataset = open_dataset(tmp_path, Reading(channels=("T2",)))
    assert dataset.channels == ("T2",)
    np.testing.assert_array_equal(load_case(dataset, dataset.cases[0]).image.array, both[1:])


def test_a_file_with_other_channels_than_it_should_have_is_a_fault(tmp_path: Path) -> None:
    """Of two channels where three are declared nobody knows which are there."""
    both = np.concatenate([image(1).array, image(2).array])
    write_four(tmp_path / "imagesTr" / "a.nii.gz", both)
    write_volume(tmp_path / "labelsTr" / "a.nii.gz", mask(0, 1))
    described = {
        "modality": {"0": "T1", "1": "T2", "2": "STIR"},
        "labels": {"0": "background", "1": "a"},
        "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    for names in (("T1", "STIR"), ("T1", "T2"), ("T1",)):
        dataset = open_dataset(tmp_path, Reading(channels=names))
        with pytest.raises(DataError, match="2 channels"):
            load_case(dataset, dataset.cases[0])
