from __future__ import annotations

from pathlib import Path

import pytest

from autospine.data.disk.files import write_text
from autospine.errors import AutospineError, DataError, PlanError, Stopped
from autospine.report.page.study_file import STUDY_FILE, write_study_file
from autospine.workflow import report
from autospine.workflow.progress import Silent
from autospine.workflow.report import ReportRequest, report_at, report_study, report_training
from autospine.workflow.runs.folder import RunFolder
from tests.report.page.pages import Reader
from tests.report.page.test_studied import STUDY
from tests.workflow.predicting import Noting
from tests.workflow.trained_by_hand import put_fold


@pytest.fixture
def trained(run: RunFolder, toy_dataset: Path) -> RunFolder:
    put_fold(run, toy_dataset, "2d", 0)
    return run


def title(path: Path) -> str:
    return " ".join(Reader(path.read_text("utf-8")).text).split(" – ")[0].strip()


def test_a_run_a_configuration_or_a_fold_of_it(trained: RunFolder, tmp_path: Path) -> None:
    path = report_at(trained.root)
    assert path == trained.root / "2d" / "report.html" and title(path) == "toy"
    assert "toy_03" in path.read_text("utf-8") and str(tmp_path) not in path.read_text("utf-8")
    for place in (trained.root / "2d", trained.root / "2d" / "fold_0"):
        assert report._run_at(place, None) == (RunFolder(trained.root.resolve()), "2d")
    assert report._run_at(trained.root / "2d", "3d_fullres") == (RunFolder(trained.root.resolve()), "3d_fullres")
    assert report._run_at(trained.root / "prepared", None) == (None, None)


def test_a_study(tmp_path: Path) -> None:
    write_study_file(STUDY, tmp_path)
    report_study(STUDY, tmp_path, Silent())
    first = (tmp_path / "report.html").read_text("utf-8")
    path = report_at(tmp_path)
    assert title(path) == STUDY.title
    # but for the time it was made at, it is the same
    assert [line for line in path.read_text("utf-8").splitlines() if "autospine 0" not in line] == [
        line for line in first.splitlines() if "autospine 0" not in line
    ]


def test_segmentations(trained: RunFolder, toy_dataset: Path) -> None:
    place = trained.root / "2d" / "fold_0" / "validation"
    out = trained.root.parent / "out"
    place.rename(out)
    path = report_at(out, ReportRequest(images=toy_dataset / "imagesTr", cases=2))
    assert path == out / "report.html" and title(path) == "out"


@pytest.mark.parametrize("place", ["nowhere", "empty"])
def test_what_is_nothing_to_report_on(tmp_path: Path, place: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="a run folder, a study, or a folder of segmentations"):
        report_at(tmp_path / place)


def test_a_run_has_its_references(trained: RunFolder) -> None:
    with pytest.raises(PlanError, match="--ref"):
        report_at(trained.root, ReportRequest(reference=trained.root))


def test_after_a_training_a_fault_is_a_note(
    trained: RunFolder, toy_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noting = Noting()
    report_training(trained, "2d", toy_dataset, noting)
    assert (trained.root / "2d" / "report.html").is_file() and noting.notes == []
    write_text(trained.root / "selection.json", "no JSON")
    report_training(trained, "2d", toy_dataset, noting)
    assert len(noting.notes) == 1 and "report.html was not written (not a JSON file" in noting.notes[0]

    def fail(fault: Exception) -> None:
        def gather(*_: object) -> None:
            raise fault

        monkeypatch.setattr(report, "gather_run", gather)

    fail(ZeroDivisionError("a fault of ours"))
    report_training(trained, "2d", toy_dataset, noting)
    assert "a fault of ours" in noting.notes[1]
    fail(Stopped("asked to"))
    with pytest.raises(Stopped):
        report_training(trained, "2d", toy_dataset, noting)


def test_arms_of_a_study_have_none_of_their_own(trained: RunFolder, toy_dataset: Path) -> None:
    arm = RunFolder(trained.root, lender=trained.root)
    report_training(arm, "2d", toy_dataset, Silent())
    assert not (trained.root / "2d" / "report.html").exists()


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    write_study_file(STUDY, tmp_path)
    with pytest.raises(AutospineError, match="cannot be written"):
        report_at(tmp_path, ReportRequest(output=tmp_path / STUDY_FILE / "report.html"))
