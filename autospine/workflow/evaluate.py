"""`autospine evaluate`: segmentations scored against reference masks, the scores in a file, the worst in pictures."""

from __future__ import annotations

from pathlib import Path

from autospine.data.disk.files import write_json
from autospine.evaluation.folders import evaluate_folders
from autospine.evaluation.score import Scores
from autospine.workflow.progress import Progress, Silent, counted
from autospine.workflow.runs.folder import METRICS_FILE
from autospine.workflow.steps.pictures import Pictures, draw_worst


def evaluate_paths(
    prediction: Path,
    reference: Path,
    *,
    lesions: bool = False,
    pictures: Pictures | None = None,
    progress: Progress | None = None,
) -> Scores:
    """Scores of a folder of segmentations against one of references, or of one file; with `pictures` of the worst.

    Raises as `evaluate_folders`, `Pictures.find` and `draw_worst`.
    """
    progress = progress or Silent()
    images = {} if pictures is None else pictures.find(prediction, reference)
    with progress.task("Scoring") as update:
        scores = evaluate_folders(prediction, reference, lesions=lesions, progress=counted(update))
    if pictures is not None:
        folder = draw_worst(scores, prediction, reference, images, pictures.worst, progress)
        progress.note(f"Pictures: {folder}")
    return scores


def write_scores(scores: Scores, prediction: Path, output: Path | None) -> Path:
    """The file that holds `scores` now: `output`, or `metrics.json` in the folder of `prediction`.

    Raises:
        OutputError: it cannot be written.
    """
    path = output or (prediction if prediction.is_dir() else prediction.parent) / METRICS_FILE
    write_json(path, scores.to_json())
    return path
