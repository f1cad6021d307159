from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.data.codes.structures import structures_of
from autospine.data.geometry import Volume
from autospine.data.made_by import MadeBy
from autospine.data.volume import read_volume
from autospine.workflow.steps.case_folders import ACCOUNT, CaseFolder, remove_older, write_case_folder
from tests.data.dicom_files import write_series
from tests.data.sagittal_series import ARRAY
from tests.data.sagittal_series import GRID as SERIES
from tests.workflow.predicting import GRID, put_image

FILES = ["dseg.tsv", "image.nii.gz", "labels.itksnap.txt", "mask.nii.gz", "mask.seg.nrrd"]


@pytest.fixture
def folder(tmp_path: Path) -> CaseFolder:
    return made(tmp_path, 1)


def made(place: Path, value: int) -> CaseFolder:
    image = place / "image.nii.gz"
    if not image.exists():
        put_image(image)
    labels = Volume(np.full((1, *GRID.shape), value, np.uint8), GRID)
    structures = structures_of([("L5", 1), ("L4", 2)])
    return CaseFolder(place / "cases" / "a", (image, None), {"mask": labels}, structures, MadeBy("m", ""))


def names(folder: CaseFolder) -> list[str]:
    return sorted(path.name for path in folder.path.iterdir() if path.name != ACCOUNT)


def test_what_lies_in_a_folder(folder: CaseFolder) -> None:
    assert write_case_folder(folder) == ()
    assert names(folder) == FILES
    assert (folder.path / "image.nii.gz").is_symlink()
    assert read_volume(folder.path / "mask.seg.nrrd").array.max() == 1


def test_a_disk_without_links_has_a_copy(folder: CaseFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    write_case_folder(folder)
    copy = folder.path / "image.nii.gz"
    assert not copy.is_symlink() and copy.read_bytes() == folder.images[0].read_bytes()  # type: ignore[union-attr]


def test_what_is_ours_is_replaced_and_what_was_changed_stays(folder: CaseFolder, tmp_path: Path) -> None:
    write_case_folder(folder)
    (folder.path / "mask.nii.gz").write_bytes(b"corrected")
    assert write_case_folder(made(tmp_path, 2)) == ("mask.nii.gz",)
    assert (folder.path / "mask.nii.gz").read_bytes() == b"corrected"
    assert read_volume(folder.path / "mask.seg.nrrd").array.max() == 2


def test_a_killed_process_leaves_what_is_known_to_be_ours(folder: CaseFolder, tmp_path: Path) -> None:
    """The digest is kept before the file has its name: of one that never got it, the earlier one is known as well."""
    write_case_folder(folder)
    account = folder.path / ACCOUNT
    content = json.loads(account.read_text())
    content["files"]["mask.nii.gz"].append("0" * 64)
    account.write_text(json.dumps(content))
    assert write_case_folder(made(tmp_path, 2)) == ()
    account.write_text("nonsense")
    assert write_case_folder(folder) == ("mask.seg.nrrd", "mask.nii.gz", "dseg.tsv", "labels.itksnap.txt")


def test_folders_of_earlier_cases_go_unless_somebody_worked_there(folder: CaseFolder, tmp_path: Path) -> None:
    write_case_folder(folder)
    root = folder.path.parent
    (root / "mine").mkdir()
    assert remove_older(root, {"a"}) == () and names(folder) == FILES
    (folder.path / "mask.nii.gz").write_bytes(b"corrected")
    assert remove_older(root, ()) == ("a",) and names(folder) == FILES
    (folder.path / "mask.nii.gz").unlink()
    assert remove_older(root, ()) == () and not folder.path.exists() and (root / "mine").is_dir()
    assert remove_older(tmp_path / "nowhere", ()) == ()
    assert (tmp_path / "image.nii.gz").is_file()


def test_the_series_of_a_folder_is_shown_as_it_is(tmp_path: Path) -> None:
    write_series(tmp_path / "series", ARRAY, SERIES)
    labels = Volume(np.ones((1, *SERIES.shape), np.uint8), SERIES)
    place = CaseFolder(
        tmp_path / "out", (tmp_path / "series",), {"mask": labels}, structures_of([("L5", 1)]), MadeBy("m", "")
    )
    assert write_case_folder(place) == ()
    assert (tmp_path / "out" / "series").resolve() == (tmp_path / "series").resolve()


def test_channels_whose_files_have_one_name_are_all_there(folder: CaseFolder, tmp_path: Path) -> None:
    first, second = (put_image(tmp_path / name / "scan.nii.gz", seed) for seed, name in enumerate(("T1", "T2")))
    both = replace(folder, images=(first, None, second))
    assert write_case_folder(both) == () == write_case_folder(both)
    shown = [(both.path / f"channel_{number}" / "scan.nii.gz").resolve() for number in (0, 2)]
    assert shown == [first.resolve(), second.resolve()]
    assert remove_older(both.path.parent, ()) == () and not both.path.exists() and first.is_file()


def test_a_table_that_was_changed_stays(folder: CaseFolder) -> None:
    write_case_folder(folder)
    table = folder.path / "labels.itksnap.txt"
    table.write_text("mine")
    other = replace(folder, structures=structures_of([("L3", 1)]))
    assert write_case_folder(other) == ("labels.itksnap.txt",) and table.read_text() == "mine"
    assert "L3" in (folder.path / "dseg.tsv").read_text()
    assert remove_older(folder.path.parent, ()) == ("a",) and table.read_text() == "mine"
