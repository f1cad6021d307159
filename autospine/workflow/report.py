"""`autospine report`: a run, a study or a folder of segmentations as one HTML file that opens offline."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autospine.data.wording import said
from autospine.errors import AutospineError, DataError, PlanError, Stopped
from autospine.planning.document.model_file import MODEL
from autospine.report.page.document import made_now, write_page
from autospine.report.page.material import StudyMaterial
from autospine.report.page.pages import prediction_page, run_page
from autospine.report.page.shown import MOST_CASES
from autospine.report.page.studied import study_page
from autospine.report.page.study_file import STUDY_FILE, read_study_file
from autospine.workflow.progress import Progress, Silent
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.steps.reported_prediction import gather_prediction
from autospine.workflow.steps.reported_run import gather_run

REPORT = "report.html"


@dataclass(frozen=True)
class ReportRequest:
    """What the user asked for."""

    reference: Path | None = None
    """Of segmentations: the reference masks, by which they are scored."""
    images: Path | None = None
    """Of segmentations the folder of their images, of a run its data set."""
    configuration: str | None = None
    """Of a run: which; None: the one that was chosen, else the plan's default."""
    cases: int = MOST_CASES
    """That can be scrolled through, at most."""
    output: Path | None = None
    """The file; None: `report.html` in the folder that it is of."""


def report_at(place: Path, request: ReportRequest = ReportRequest(), *, progress: Progress | None = None) -> Path:
    """Write the report of what lies at `place`; its path.

    `place` is a run folder (`runs/<dataset>`), a configuration in it, a study, or a folder of segmentations.

    Raises:
        DataError: there is nothing to report on, or references do not fit.
        PlanError: a document there cannot be read, or nothing is trained.
        OutputError: the file cannot be written.
    """
    progress = progress or Silent()
    if not place.is_dir():
        expected = "a run folder, a study, or a folder of segmentations"
        raise DataError(str(place), "no such folder", expected, "check the path")
    if (place / STUDY_FILE).is_file():
        study = read_study_file(place)
        return write_page(study_page(study, made_now()), request.output or place / REPORT)
    run, configuration = _run_at(place, request.configuration)
    if run is None:
        with progress.task("Gathering what there is to say") as update:
            found = gather_prediction(place, request.reference, request.images, request.cases, update)
        return write_page(prediction_page(found, made_now()), request.output or place / REPORT)
    if request.reference is not None:
        remedy = "give the data set as --images, or the folder of segmentations as what to report on"
        raise PlanError("--ref", "a training has its references", "no --ref for a run", remedy)
    with progress.task("Gathering what there is to say") as update:
        trained = gather_run(run, configuration, request.images, request.cases, update)
    path = request.output or run.model(trained.configuration) / REPORT
    return write_page(run_page(trained, made_now()), path)


def report_training(run: RunFolder, configuration: str, dataset: Path, progress: Progress) -> None:
    """Write the report of a configuration after one of its folds was trained; a fault of it is a note.

    Arms of a study have none of their own: the study has one.
    """
    if run.lender is None:
        with _told(progress):
            found = gather_run(run, configuration, dataset, MOST_CASES, lambda doing, share: None)
            write_page(run_page(found, made_now()), run.model(configuration) / REPORT)


def report_study(study: StudyMaterial, folder: Path, progress: Progress) -> None:
    """Write the report of a study into its folder; a fault of it is a note."""
    with _told(progress):
        write_page(study_page(study, made_now()), folder / REPORT)


@contextmanager
def _told(progress: Progress) -> Iterator[None]:
    """A block of which a fault is a note: what has been trained is worth more than its report."""
    try:
        yield
    except Stopped:
        raise
    except Exception as fault:
        why = fault.found if isinstance(fault, AutospineError) else said(fault)
        progress.note(f"{REPORT} was not written ({why}); `autospine report` says more")


def _run_at(place: Path, configuration: str | None) -> tuple[RunFolder | None, str | None]:
    """The run folder at `place`, which may be that of a configuration or of a fold in it; None where there is none."""
    for up, folder in enumerate((place, *place.resolve().parents[:2])):
        if (folder / "plan.toml").is_file():
            run = RunFolder(folder)
            named = place.resolve().relative_to(folder.resolve()).parts[:1] if up else ()
            inside = [name for name in named if (run.model(name) / MODEL).is_file()]
            if up and not inside:
                return None, None
            return run, configuration or (inside[0] if inside else None)
    return None, None
