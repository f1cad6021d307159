"""Series by what headers say: over folders, in one folder, and what they hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from autospine.data.formats import dicom_headers
from autospine.data.layouts import dicom_studies
from autospine.data.layouts.dicom_studies import Tree, find_series
from autospine.errors import DataError
from tests.data.dicom_files import write_enhanced
from tests.data.sagittal_series import ARRAY, GRID
from tests.data.studies import Study, whole_study


def tree(root: Path, faults: list[DataError] | None = None) -> Tree:
    return find_series(root, lambda note: None, ([] if faults is None else faults).append)


def test_a_tree_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole_study(Study.of(tmp_path), lambda name: f"p/{name}")
    opened: list[Path] = []

    def counted(path: Path) -> dicom_headers.Header | None:
        opened.append(path)
        return dicom_headers.read_header(path)

    monkeypatch.setattr(dicom_studies, "read_header", counted)
    found = tree(tmp_path)
    assert sorted(opened) == sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert [one.header.number for one in found.series] == [1, 4, 6, 2, 3, 5]
    assert [one.plane for one in found.series] == ["sagittal"] * 5 + ["axial"]
    assert len(found.folders) == 7 and [path.name for path in found.others] == ["sr"]
    t2 = found.series[4]
    assert t2.geometry is not None and t2.geometry.shape == (6, 5, 4)
    assert [round(size, 6) for size in t2.geometry.spacing_mm] == [0.7, 0.7, 4.4]


def test_an_enhanced_image_is_a_series(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "a" / "all", ARRAY, GRID, [3, 0, 1, 2, 5, 4])
    (one,) = tree(tmp_path).series
    assert (one.path, one.slices, one.plane, one.aside) == (tmp_path / "a", 6, "sagittal", "")
    assert one.geometry is not None and round(one.geometry.spacing_mm[2], 6) == 4.4


def test_series_without_uids(tmp_path: Path) -> None:
    def lose(index: int, header: object) -> None:
        for key in ("SeriesInstanceUID", "StudyInstanceUID"):
            delattr(header, key)

    study = Study.of(tmp_path)
    study.add("a", 1, "T1", change=lose)
    study.add("b", 2, "T2", change=lose)
    found = tree(tmp_path)
    assert [one.path.name for one in found.series] == ["a", "b"]
    assert found.series[0].study != found.series[1].study
    # among others nobody knows what belongs together
    study.add("a", 3, "STIR")
    faults: list[DataError] = []
    assert [one.header.number for one in tree(tmp_path, faults).series] == [3, 2]
    assert "no SeriesInstanceUID" in faults[0].found


def test_a_uid_that_is_no_name_of_a_file_leads_nowhere(tmp_path: Path) -> None:
    study = Study.of(tmp_path)
    study.add("a", 1, "T1", uid="../../etc/passwd")
    study.add("a", 2, "T2")
    faults: list[DataError] = []
    assert [one.header.number for one in tree(tmp_path, faults).series] == [2]
    assert len(faults) == 1
