"""The phantom: the same for the same seed, another for each case, oblique, labelled in anatomical order."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from autospine.data.dataset import open_dataset
from autospine.data.geometry import to_canonical
from autospine.data.structure import Reading
from autospine.data.volume import read_volume
from autospine.errors import OutputError
from autospine.phantom import dataset as phantom
from autospine.phantom.dataset import (
    SCENARIOS,
    Scenario,
    channels_and_labels,
    draw_case,
    missing_channel,
    write_phantom,
)
from tests.phantom.phantoms import drawn


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("phantom"), cases=2, test_cases=1, seed=7)


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written was drawn before: the test is about the files."""
    monkeypatch.setattr(phantom, "draw_case", lambda seed, number, scenario: drawn(number, scenario))


def test_the_layout_is_nnunet_raw(folder: Path) -> None:
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    assert files == [
        "dataset.json",
        "imagesTr/phantom_001_0000.nii.gz",
        "imagesTr/phantom_002_0000.nii.gz",
        "imagesTs/phantom_003_0000.nii.gz",
        "labelsTr/phantom_001.nii.gz",
        "labelsTr/phantom_002.nii.gz",
        "labelsTs/phantom_003.nii.gz",
    ]
    content = json.loads((folder / "dataset.json").read_text())
    assert content["labels"] == {"background": 0, "L5": 1, "L4": 2, "L3": 3, "L2": 4, "L1": 5, "disc": 6, "canal": 7}
    assert content["numTraining"] == 2
    assert content["file_ending"] == ".nii.gz"
    assert "synthetic" in content["description"]


def test_files_hold_the_drawn_case_in_oblique_sagittal_order(folder: Path) -> None:
    case = draw_case(7, 0)
    image = read_volume(folder / "imagesTr" / "phantom_001_0000.nii.gz")
    label = read_volume(folder / "labelsTr" / "phantom_001.nii.gz")
    _, z, y, x = case.image.shape
    assert image.array.shape == (1, x, z, y)
    np.testing.assert_array_equal(to_canonical(image).array, case.image)
    np.testing.assert_array_equal(to_canonical(label).array[0], case.label)
    assert to_canonical(image).geometry.spacing_mm == pytest.approx(case.spacing_mm, rel=1e-5)


def test_the_spine_is_what_it_was() -> None:
    """SHA-256 of a case as the phantom drew it before there were other scenarios."""
    case = draw_case(7, 3)
    assert case.image.shape == (1, 99, 84, 11)
    assert hashlib.sha256(case.image.tobytes()).hexdigest()[:20] == "306580048545caedb732"
    assert hashlib.sha256(case.label.tobytes()).hexdigest()[:20] == "43f813337f3e750d890c"
    assert hashlib.sha256(repr(case.geometry).encode()).hexdigest()[:16] == "31f6b9e05c7411c8"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_same_seed_gives_the_same_voxels(scenario: Scenario) -> None:
    first, again, other = drawn(0, scenario), draw_case(0, 0, scenario), drawn(1, scenario)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.label.tobytes() == again.label.tobytes()
    assert first.geometry == again.geometry
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)


def test_cases_differ_in_size_and_spacing_and_no_two_axes_agree() -> None:
    cases = [draw_case(0, number) for number in range(5)]
    assert len({case.image.shape for case in cases}) > 1
    assert len({case.spacing_mm for case in cases}) == 5
    for case in cases:
        assert len(set(case.label.shape)) == 3
        assert len({round(spacing, 3) for spacing in case.spacing_mm}) == 3
        assert case.spacing_mm[2] > 3.8


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_is_written_as_it_is_drawn(scenario: Scenario, tmp_path: Path, once: None) -> None:
    write_phantom(tmp_path, scenario=scenario, cases=1, test_cases=1)
    channels, labels = channels_and_labels(scenario)
    content = json.loads((tmp_path / "dataset.json").read_text())
    assert content["channel_names"] == {str(index): name for index, name in enumerate(channels)}
    assert content["labels"] == {"background": 0} | dict(labels)
    case = drawn(1, scenario)
    for index in range(len(channels)):
        image = read_volume(tmp_path / "imagesTs" / f"phantom_002_{index:04d}.nii.gz")
        np.testing.assert_array_equal(to_canonical(image).array[0], case.image[index])
    label = read_volume(tmp_path / "labelsTs" / "phantom_002.nii.gz")
    np.testing.assert_array_equal(to_canonical(label).array[0], case.label)
    assert set(np.unique(case.label)) <= {0, *(value for _, value in labels)}


def test_some_metastases_lack_a_sequence_and_the_first_of_each_split_none(tmp_path: Path, once: None) -> None:
    # of twelve, four: each sequence at least once
    assert [missing_channel("metastases", place) for place in range(12)] == [
        *(None, 2, None, None, 1, None),
        *(None, 0, None, None, 2, None),
    ]
    assert all(missing_channel(other, place) is None for other in ("spine", "lumbar", "tumour") for place in range(9))
    write_phantom(tmp_path, scenario="metastases", cases=2, test_cases=1)
    held = {
        suffix: [
            {int(file.name[12:16]) for file in (tmp_path / f"images{suffix}").glob(f"phantom_{number:03d}_*.nii.gz")}
            for number in numbers
        ]
        for suffix, numbers in {"Tr": (1, 2), "Ts": (3,)}.items()
    }
    assert held == {"Tr": [{0, 1, 2}, {0, 1}], "Ts": [{0, 1, 2}]}
    dataset = open_dataset(tmp_path, Reading(allow_missing=True))
    assert [case.missing for case in dataset.cases] == [(), (2,)]


def test_another_scenario_replaces_what_was_there(tmp_path: Path, once: None) -> None:
    write_phantom(tmp_path, scenario="metastases", cases=1, test_cases=0)
    write_phantom(tmp_path, scenario="tumour", cases=1, test_cases=0)
    assert [file.name for file in (tmp_path / "imagesTr").iterdir()] == ["phantom_001_0000.nii.gz"]


def test_a_phantom_replaces_a_larger_one_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    write_phantom(tmp_path, cases=2, test_cases=0)
    write_phantom(tmp_path, cases=1, test_cases=0, progress=lambda *step: seen.append(step))
    assert [file.name for file in (tmp_path / "imagesTr").iterdir()] == ["phantom_001_0000.nii.gz"]
    assert seen == [("phantom_001", 1, 1)]
    (tmp_path / "dataset.json").write_text('{"name": "patients"}')
    with pytest.raises(OutputError, match="not a phantom"):
        write_phantom(tmp_path)
