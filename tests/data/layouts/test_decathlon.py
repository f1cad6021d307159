"""The Medical Segmentation Decathlon's layout: one file with all channels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autospine.data.dataset import load_case, open_dataset
from autospine.data.layouts.decathlon import evidence
from autospine.data.volume import write_volume
from autospine.errors import DataError
from tests.data.small import edit_json, image, mask, put, write_four


def test_decathlon_images_hold_all_channels(tmp_path: Path) -> None:
    both = np.concatenate([image(1).array, image(2).array])
    write_four(tmp_path / "imagesTr" / "BRATS_001.nii.gz", both)
    write_volume(tmp_path / "labelsTr" / "BRATS_001.nii.gz", mask(0, 1, 4))
    described = {
        "modality": {"0": "FLAIR", "1": "T1w"},
        "labels": {"0": "background", "1": "L5", "4": "L4"},
        "training": [{"image": "./imagesTr/BRATS_001.nii.gz", "label": "./labelsTr/BRATS_001.nii.gz"}],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    dataset = open_dataset(tmp_path)
    assert dataset.layout == "decathlon" and dataset.channels == ("FLAIR", "T1w")
    np.testing.assert_array_equal(load_case(dataset, dataset.cases[0]).image.array, both)
    edit_json(tmp_path / "dataset.json", training=described["training"] * 2)
    with pytest.raises(DataError, match="listed more than once: BRATS_001"):
        open_dataset(tmp_path)
    edit_json(tmp_path / "dataset.json", training=[*described["training"], {"image": 3}])
    with pytest.raises(DataError, match='"training" is no list of files'):
        open_dataset(tmp_path)


def test_a_list_speaks_for_it_where_its_first_image_is_there(tmp_path: Path) -> None:
    """nnU-Net's first version kept the list and renamed the images."""
    assert evidence(tmp_path) is None
    put(tmp_path, "imagesTr/a.nii.gz")
    listed = [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}]
    for content, said in (
        ({"training": listed}, 'dataset.json with a list of images under "training"'),
        ({"training": [{"image": "./imagesTr/b.nii.gz"}, *listed]}, None),
        ({"training": ["imagesTr/a.nii.gz"]}, None),
        ({"training": []}, None),
        ([], None),
    ):
        (tmp_path / "dataset.json").write_text(json.dumps(content))
        assert evidence(tmp_path) == said, content
    (tmp_path / "dataset.json").write_text("{")
    assert evidence(tmp_path) is None
