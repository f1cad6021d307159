from __future__ import annotations

from pathlib import Path

import pytest

from autospine.data.structure import Reading
from autospine.errors import DataError
from autospine.workflow.check import check_folder


def test_a_sound_dataset_has_no_error(toy_dataset: Path) -> None:
    checked = check_folder(toy_dataset, Reading())
    assert len(checked.dataset.cases) == 6 and checked.errors == 0


def test_errors_are_told_from_warnings(toy_dataset: Path, tmp_path: Path) -> None:
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
        for path in sorted((toy_dataset / folder).iterdir())[:2]:
            (tmp_path / folder / path.name).write_bytes(path.read_bytes())
    (tmp_path / "dataset.json").write_bytes((toy_dataset / "dataset.json").read_bytes())
    broken = tmp_path / "imagesTr" / "toy_01_0000.nii.gz"
    broken.write_bytes(broken.read_bytes()[:1000])
    checked = check_folder(tmp_path, Reading())
    assert checked.errors == sum(finding.severity == "error" for finding in checked.findings) >= 1
    assert any(finding.case == "toy_01" for finding in checked.findings)


def test_a_folder_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        check_folder(tmp_path, Reading())
