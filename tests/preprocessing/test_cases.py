"""Cases of a training: as they are prepared, and only those that were planned for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.data.dataset import load_case
from autospine.data.structure import IGNORED, Dataset
from autospine.data.volume import read_volume, write_volume
from autospine.errors import DataError, PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.plan import Plan
from autospine.planning.measured.fingerprint import extract_fingerprint
from autospine.preprocessing.cases import prepare_dataset, without_unlabelled_slices
from autospine.preprocessing.keys import stored_key
from autospine.preprocessing.prepare import prepare_case
from autospine.preprocessing.store import Store

MakeConfiguration = Callable[..., Configuration]
MakePlan = Callable[..., Plan]
NAMES = ("a", "b", "store")


def test_a_stored_case_is_the_prepared_case(
    dataset: Dataset, tmp_path: Path, make_configuration: MakeConfiguration, make_plan: MakePlan
) -> None:
    configuration = make_configuration(axis_order=(0, 2, 1), spacing_mm=(2.0, 1.2, 1.1))
    plan = make_plan(configuration)
    reported: list[tuple[str, int, int]] = []
    store = prepare_dataset(
        dataset, plan, configuration, tmp_path / "s", workers=1, progress=lambda *report: reported.append(report)
    )
    assert store.names == NAMES
    assert store.key == stored_key(plan, configuration)
    assert reported == [("a", 1, 3), ("b", 2, 3), ("store", 3, 3)]
    for case in dataset.cases:
        loaded = load_case(dataset, case)
        expected = prepare_case(
            loaded.image.array,
            loaded.label,
            loaded.image.geometry.spacing_mm,
            configuration,
            plan.data.intensities,
            case.name,
        )
        stored = Store(tmp_path / "s").open(case.name)
        assert isinstance(stored.image, np.memmap)
        assert isinstance(stored.label, np.memmap)
        np.testing.assert_array_equal(stored.image, expected.image)
        np.testing.assert_array_equal(stored.label, expected.label)
        np.testing.assert_array_equal(stored.reference, loaded.label)
        assert (stored.image.dtype, stored.label.dtype, stored.reference.dtype) == (np.float32, np.uint8, np.uint8)
        assert stored.properties == expected.properties
        assert sorted(stored.locations) == [1, 2]
        for value, voxels in stored.locations.items():
            assert (stored.label[tuple(voxels.T)] == value).all()
    assert not [path for path in (tmp_path / "s").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("kind", ["imagesTr/b_0000", "labelsTr/b"])
def test_what_has_changed_since_it_was_planned_is_not_prepared(
    dataset: Dataset, tmp_path: Path, make_configuration: MakeConfiguration, make_plan: MakePlan, kind: str
) -> None:
    fingerprint = extract_fingerprint(dataset)
    path = tmp_path / "demo" / f"{kind}.nii.gz"
    volume = read_volume(path)
    changed = volume.array.copy()
    changed[0, 4, 5, 5] = 0
    write_volume(path, replace(volume, array=changed))
    plan, configuration = make_plan(), make_configuration()
    with pytest.raises(DataError, match=r"b: .*not the one that the plan was made from"):
        prepare_dataset(dataset, plan, configuration, tmp_path / "s", fingerprint=fingerprint, workers=1)
    store = prepare_dataset(
        dataset, plan, configuration, tmp_path / "s", fingerprint=extract_fingerprint(dataset), workers=1
    )
    assert store.names == NAMES


def test_unlabelled_cases_are_left_out(
    dataset: Dataset, tmp_path: Path, make_configuration: MakeConfiguration, make_plan: MakePlan
) -> None:
    cases = (dataset.cases[0], replace(dataset.cases[1], label=None), dataset.cases[2])
    store = prepare_dataset(replace(dataset, cases=cases), make_plan(), make_configuration(), tmp_path / "s", workers=1)
    assert store.names == ("a", "store")
    assert json.loads((tmp_path / "s" / "store.json").read_text())["cases"] == {"a": True, "b": False, "store": True}
    with pytest.raises(PlanError, match="'b'"):
        store.open("b")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_without_labels_count_as_not_annotated(axis: int) -> None:
    label = np.zeros((4, 5, 6), np.uint8)
    label[1:3, 1:3, 1:3] = 1
    label[0, 0, 0] = IGNORED  # of itself it annotates nothing
    left = without_unlabelled_slices(label, axis)
    held = np.isin(np.arange(label.shape[axis]), (1, 2))
    assert (left.swapaxes(0, axis)[~held] == IGNORED).all()
    np.testing.assert_array_equal(left.swapaxes(0, axis)[held], label.swapaxes(0, axis)[held])
    empty = np.zeros((4, 5, 6), np.uint8)
    np.testing.assert_array_equal(without_unlabelled_slices(empty, axis), empty)
