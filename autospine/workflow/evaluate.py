"""`autospine evaluate`: segmentations scored against reference masks, the scores in a file, the worst in pictures."""

from __future__ import annotations

from pathlib import Path

from autospine.data.disk.files import read_json, write_json
from autospine.data.not_to_segment import PREDICTED, record_beside
from autospine.errors import AutospineError
from autospine.evaluation.folders import evaluate_folders
from autospine.evaluation.metrics import TOLERANCE_MM
from autospine.evaluation.score import Scores
from autospine.planning.document.model_file import read_model
from autospine.workflow.progress import Progress, Silent, counted
from autospine.workflow.runs.folder import METRICS_FILE
from autospine.workflow.runs.selection import choose_models
from autospine.workflow.steps.pictures import Pictures, draw_worst


def evaluate_paths(
    prediction: Path,
    reference: Path,
    *,
    lesions: bool = False,
    distances: bool = True,
    tolerance_mm: float = TOLERANCE_MM,
    subjects: str | None = None,
    pictures: Pictures | None = None,
    progress: Progress | None = None,
) -> Scores:
    """Scores of a folder of segmentations against one of references, or of one file; with `pictures` of the worst.

    Levels that the labels' names do not tell are those of the model that made the segmentations, where it is at hand.
    Raises as `evaluate_folders`, `Pictures.find` and `draw_worst`.
    """
    progress = progress or Silent()
    images = {} if pictures is None else pictures.find(prediction, reference)
    levels = levels_of_model(prediction)
    with progress.task("Scoring") as update:
        scores = evaluate_folders(
            prediction,
            reference,
            lesions=lesions,
            distances=distances,
            tolerance_mm=tolerance_mm,
            subjects=subjects,
            levels=levels,
            progress=counted(update),
        )
    if pictures is not None:
        folder = draw_worst(scores, prediction, reference, images, pictures.worst, progress)
        progress.note(f"Pictures: {folder}")
    return scores


def levels_of_model(prediction: Path) -> tuple[tuple[str, ...], ...]:
    """Names of the labels that are levels of a column, as the model that made a folder (or file) has them.

    Empty where no record names the model, where it is not there any more, or where it knows of no levels.
    """
    record = record_beside(prediction) if prediction.is_file() else prediction / PREDICTED
    try:
        content = read_json(record) if record.is_file() else None
        folder = content.get("folder") if isinstance(content, dict) else None
        if not isinstance(folder, str) or not Path(folder).is_dir():
            return ()
        # of an ensemble the folder is that of the run; its members are of one plan
        data = read_model(choose_models(Path(folder)).folders[0]).data
    except (AutospineError, OSError, ValueError):  # the scores do not depend on it
        return ()
    return () if data.levels is None else (tuple(data.names[index - 1] for index in data.levels.classes),)


def write_scores(scores: Scores, prediction: Path, output: Path | None) -> Path:
    """The file that holds `scores` now: `output`, or `metrics.json` in the folder of `prediction`.

    Raises:
        OutputError: it cannot be written.
    """
    path = output or (prediction if prediction.is_dir() else prediction.parent) / METRICS_FILE
    write_json(path, scores.to_json())
    return path
