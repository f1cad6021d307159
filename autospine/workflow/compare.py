"""`autospine compare`: several sets of segmentations against one set of references, paired case by case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autospine.errors import DataError
from autospine.evaluation.comparison import Comparison
from autospine.evaluation.folders import evaluate_folders, predicted_cases
from autospine.evaluation.metrics import METRICS
from autospine.evaluation.score import Scores
from autospine.workflow.progress import Progress, Silent, counted
from autospine.workflow.runs.folder import VALIDATION


@dataclass(frozen=True)
class CompareRequest:
    """What the user asked for."""

    metric: str = "dice"
    """One of `METRICS`."""
    subjects: str | None = None
    """Regular expression that finds the subject in a case's name, or a table; None: as names of sessions say."""
    common: bool = False
    """Compare the cases that all arms have, and say which are left out; else a case that is missing is an error."""


def parse_arm(word: str) -> tuple[str, Path]:
    """(name, folder) of an arm as it was typed: `PATH`, then without a name, or `NAME=PATH`."""
    name, equals, place = word.partition("=")
    # a path may hold an equals sign itself
    named = equals and name and place and not Path(word).exists()
    return (name, Path(place)) if named else ("", Path(word))


def name_arms(given: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    """Arms by their names; without one they are called by what tells the paths apart.

    out/a/predictions            out/b/predictions            ->  a, b
    runs/x/2d/fold_0/validation  runs/x/3d/fold_0/validation  ->  2d, 3d

    Raises:
        DataError: fewer than two, or two of one name or one place.
    """
    if len(given) < 2:
        expected = "two folders of segmentations or more"
        raise DataError("compare", f"{len(given)} folder to compare", expected, "give the others as well")
    called = _told_apart([path for _, path in given])
    arms = {name or own: path for (name, path), own in zip(given, called, strict=True)}
    places = {path.resolve() for _, path in given}
    if len(arms) < len(given) or len(places) < len(given):
        shown = ", ".join(f"{name}={path}" if name else str(path) for name, path in given)
        found = f"two of one {'place' if len(places) < len(given) else 'name'} among {shown}"
        raise DataError("compare", found, "different ones", "give names of your own: NAME=FOLDER")
    return arms


def _told_apart(paths: Sequence[Path]) -> list[str]:
    """What each path is called: the parts from the first to the last that not all paths share."""
    parts = [path.resolve().parts for path in paths]
    if len(set(parts)) < 2:
        return [path.name for path in paths]
    shortest = min(map(len, parts))
    before = next((place for place in range(shortest) if len({one[place] for one in parts}) > 1), shortest - 1)
    after = next((place for place in range(shortest - before) if len({one[-1 - place] for one in parts}) > 1), 0)
    return ["/".join(one[min(before, len(one) - 1 - after) : len(one) - after]) for one in parts]


def compare_paths(
    arms: Mapping[str, Path], reference: Path, request: CompareRequest, *, progress: Progress | None = None
) -> Comparison:
    """Score each arm against the references and compare it with the first, paired over subjects.

    An arm is a folder of masks, or a model folder, whose folds have segmented their validation cases: these are one set
    of segmentations by networks that have not seen them.

    Args:
        arms: name -> folder.
        reference: folder of reference masks.
        request: what is compared, and over whom.
        progress: told the share that is done.

    Raises:
        DataError: no such metric; a case that some arm lacks, all of them listed; or what `evaluate_folders` raises.
    """
    progress = progress or Silent()
    if request.metric not in METRICS:
        raise DataError("--metric", f"{request.metric!r}", f"one of {', '.join(METRICS)}", "correct the name")
    parts = {arm: _parts(path) for arm, path in arms.items()}
    held = {arm: predicted_cases(path, reference, parts[arm]) for arm, path in arms.items()}
    left_out = tuple(sorted({case for _, lacking in held.values() for case in lacking}))
    shared = set.intersection(*(set(found) for found, _ in held.values())) if held else set()
    if left_out and not (request.common and shared):
        lines = [f"{arm} lacks {len(lacking)}: {', '.join(lacking)}" for arm, (_, lacking) in held.items() if lacking]
        remedy = "predict these cases" + (", or compare those that all have with --common" if shared else "")
        expected = "every case of the references in every arm"
        raise DataError(str(reference), "cases that not all arms have:\n  " + "\n  ".join(lines), expected, remedy)
    scores: dict[str, Scores] = {}
    for arm, path in arms.items():
        with progress.task(f"Scoring {arm}") as update:
            only = shared if left_out else None
            scores[arm] = evaluate_folders(
                path, reference, only=only, parts=parts[arm], subjects=request.subjects, progress=counted(update)
            )
    first = next(iter(scores.values()))
    return Comparison(
        tables={arm: one.to_json()["cases"] for arm, one in scores.items()},
        classes=first.classes,
        subjects={case.case: subject for subject, cases in first.by_subject.items() for case in cases},
        metric=request.metric,
        places={arm: str(path) for arm, path in arms.items()},
        reference=str(reference),
        left_out=left_out,
        notes=tuple(f"{arm}: {note}" for arm, one in scores.items() for note in one.notes),
    )


def _parts(path: Path) -> tuple[Path, ...]:
    """Of a model folder, where its folds have segmented their validation cases; none of any other folder."""
    return tuple(sorted(path.glob(f"fold_*/{VALIDATION}")))
