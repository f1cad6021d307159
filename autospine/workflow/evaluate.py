"""`autospine evaluate`: segmentations scored against reference masks, and the scores in a file."""

from __future__ import annotations

from pathlib import Path

from autospine.data.disk.files import write_json
from autospine.evaluation.folders import evaluate_folders
from autospine.evaluation.score import Scores
from autospine.workflow.progress import Progress, Silent, counted
from autospine.workflow.runs.folder import METRICS_FILE


def evaluate_paths(
    prediction: Path, reference: Path, *, lesions: bool = False, progress: Progress | None = None
) -> Scores:
    """Scores of a folder of segmentations against one of references, or of one file; raises as `evaluate_folders`."""
    with (progress or Silent()).task("Scoring") as update:
        return evaluate_folders(prediction, reference, lesions=lesions, progress=counted(update))


def write_scores(scores: Scores, prediction: Path, output: Path | None) -> Path:
    """The file that holds `scores` now: `output`, or `metrics.json` in the folder of `prediction`.

    Raises:
        OutputError: it cannot be written.
    """
    path = output or (prediction if prediction.is_dir() else prediction.parent) / METRICS_FILE
    write_json(path, scores.to_json())
    return path
