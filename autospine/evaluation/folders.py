"""Scores of two folders of mask files, or of two files.

The references decide which cases there are. Everything that keeps a pair from being scored is listed at once; what is
scored although it may not be meant so is noted with the scores.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from autospine.data.description import DATASET_FILE, LABELS_FILE, ORDER, SIDES, Declared, declared
from autospine.data.disk.files import read_json
from autospine.data.disk.tables import read_rows
from autospine.data.layouts.dicom_tree import dicom_among
from autospine.data.layouts.shared.masks import says_mask
from autospine.data.masks.files import mask_stem
from autospine.data.masks.structures import is_structures
from autospine.data.not_to_segment import LEVELS
from autospine.data.volume import IMAGE_SUFFIXES
from autospine.errors import DataError
from autospine.evaluation.levels import chains_named, chains_of, unnamed_rows
from autospine.evaluation.mask_pairs import MaskPairs
from autospine.evaluation.metrics import TOLERANCE_MM
from autospine.evaluation.score import Asked, Scores, score_case, scores_of
from autospine.evaluation.subjects import subjects_asked


def evaluate_folders(
    prediction_folder: Path,
    reference_folder: Path,
    *,
    lesions: bool = False,
    only: Collection[str] | None = None,
    parts: Sequence[Path] = (),
    distances: bool = True,
    tolerance_mm: float = TOLERANCE_MM,
    subjects: str | None = None,
    levels: Sequence[Sequence[str]] = (),
    progress: Callable[[str, int, int], None] = lambda case, done, total: None,
) -> Scores:
    """Scores of predicted mask files against reference mask files.

    Files are paired by name without suffix; two single files are a pair whatever their names. Values are those on disk;
    masks that name their structures (3D Slicer's, or a folder per case with one file per structure) go by the names.
    Classes are those of a dataset.json (or labels.json) in or beside the reference folder, else what the references
    name, else every value above 0 in them, called `label_<value>`. Voxels of a label that is called `ignore` there
    count for nothing.

    Args:
        prediction_folder: folder of masks, or one mask.
        reference_folder: folder of masks, or one mask.
        lesions: count the connected components of each class as lesions, too.
        only: names of the cases to score; None: all that have a reference.
        parts: folders of which the prediction folder is made, where the masks do not lie in itself.
        distances: measure surfaces, too; overlaps alone are much faster.
        tolerance_mm: distance up to which surfaces count as the same in the surface Dice.
        subjects: a regular expression that finds the subject in a case's name, or a table with a column `case` and a
            column `subject`; None: as the cases' names say it.
        levels: names of the labels that are levels of a column, chain by chain, where the labels' names do not say it.
        progress: called with a case, the cases done and their total.

    Raises:
        DataError: lists every missing prediction, unreadable file, file with values that are no labels and pair on
            different grids; or there is nothing to score: no class in the references, or none of them in any
            prediction, while these hold other values. Or `subjects` finds none of a case.
    """
    pairs, problems = _paired(prediction_folder, reference_folder, only, parts)
    known = None if subjects is None else subjects_asked([case for case, _, _ in pairs], subjects)
    masks = MaskPairs(pairs, _declared_labels(reference_folder), problems, progress)
    chains = chains_named(masks.labels) or chains_of(levels, masks.labels)
    unnamed = _unnamed(prediction_folder)
    asked = Asked(masks.labels, masks.ignored, lesions, distances, tolerance_mm, chains, unnamed)
    cases = masks.measure(lambda case, pair: score_case(case, asked, pair))
    scores = scores_of(cases, asked, known)
    masks.check()
    if problems:
        unique = list(dict.fromkeys(problems))
        raise DataError(
            str(prediction_folder),
            f"{len(unique)} problem(s) against {reference_folder}:\n  " + "\n  ".join(unique),
            "for every reference one readable mask of the same name on the same grid",
            "correct these files; predict missing cases again, on the images the references belong to",
        )
    return replace(scores, notes=(*masks.notes(), *_dicom_notes(prediction_folder, reference_folder)))


def predicted_cases(
    prediction_folder: Path, reference_folder: Path, parts: Sequence[Path] = ()
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Cases with a reference that have a prediction, and those that lack one; arguments as of `evaluate_folders`.

    Raises:
        DataError: a folder that does not exist.
    """
    references, predictions = _mask_files(reference_folder), _mask_files(prediction_folder, parts)
    if prediction_folder.is_file() and reference_folder.is_file():
        return tuple(references), ()
    held = tuple(name for name in references if name in predictions)
    return held, tuple(name for name in references if name not in predictions)


def open_pairs(prediction_folder: Path, reference_folder: Path, only: Collection[str]) -> MaskPairs:
    """The pairs of some cases, to be read by `MaskPairs.laid`; arguments and errors as of `evaluate_folders`."""
    pairs, problems = _paired(prediction_folder, reference_folder, only)
    return MaskPairs(pairs, _declared_labels(reference_folder), problems, lambda case, done, total: None)


def _paired(
    prediction_folder: Path, reference_folder: Path, only: Collection[str] | None = None, parts: Sequence[Path] = ()
) -> tuple[list[tuple[str, Path, Path]], list[str]]:
    """(case, prediction, reference) of each reference that has one prediction, and what is wrong with the others."""
    references = _mask_files(reference_folder)
    if only is not None:
        references = {name: files for name, files in references.items() if name in only}
    if not references:
        expected = f"masks ending in {', '.join(IMAGE_SUFFIXES)}"
        raise DataError(str(reference_folder), "no mask files here", expected, "check the path")
    predictions = _mask_files(prediction_folder, parts)
    both_files = prediction_folder.is_file() and reference_folder.is_file()
    pairs, problems = [], []
    # of a DICOM series autospine writes a DICOM-SEG object, unless it is told otherwise
    there = dicom_among(prediction_folder) if not predictions and prediction_folder.is_dir() else None
    dicom = f" but {there}, which are not scored: predict with --format nifti" if there else ""
    for name, files in references.items():
        if len(files) > 1:
            problems.append(f"{name}: several references: {', '.join(file.name for file in files)}")
        candidates = [prediction_folder] if both_files else predictions.get(name, [])
        same_suffix = [file for file in candidates if file.name == files[0].name]
        chosen = same_suffix or candidates
        if not chosen:
            problems.append(f"{name}: no prediction in {prediction_folder}{dicom}")
        elif len(chosen) > 1:
            problems.append(f"{name}: several predictions: {', '.join(file.name for file in chosen)}")
        else:
            pairs.append((name, chosen[0], files[0]))
    return pairs, problems


def _dicom_notes(*folders: Path) -> tuple[str, ...]:
    """Notes where DICOM files lie among the masks of a folder: a mask in DICOM is none that is scored."""
    held = ((folder, dicom_among(folder)) for folder in dict.fromkeys(folders) if folder.is_dir())
    return tuple(f"{said}, left aside: {folder}" for folder, said in held if said)


def _mask_files(path: Path, parts: Sequence[Path] = ()) -> dict[str, list[Path]]:
    """Mask files by name without suffix, sorted: of the one file, if `path` is a file; of its `parts`, if it has any.

    Where there are none, folders of structures by the folder of their case (`s0001/segmentations/`).
    """
    if not path.exists():
        raise DataError(str(path), "does not exist", "a folder of masks, or one mask", "check the path")
    folders = parts or (path,)
    files = [path] if path.is_file() else [file for folder in folders for file in sorted(folder.iterdir())]
    named: dict[str, list[Path]] = {}
    for file in files:
        # a link to nothing is a mask that cannot be read, not one fewer
        there = file.is_file() or (file.is_symlink() and not file.exists())
        if there and not file.name.startswith(".") and file.name.lower().endswith(IMAGE_SUFFIXES):
            named.setdefault(mask_stem(file), []).append(file)
    if named:
        return named
    cases = [file for file in files if file.is_dir() and not file.name.startswith(".")]
    held = {
        case.name: [folder for folder in sorted(case.iterdir()) if says_mask(folder.name) and is_structures(folder)]
        for case in cases
    }
    return {name: folders for name, folders in held.items() if folders}


def _declared_labels(reference: Path) -> Declared | None:
    """Labels that a dataset.json or labels.json in or beside the reference folder names.

    Both directions are read: {"L1": 5} and the older {"5": "L1"}; of regions, all their values.
    """
    folder = reference.parent if reference.is_file() else reference
    for file in (parent / name for parent in (folder, folder.parent) for name in (DATASET_FILE, LABELS_FILE)):
        content = read_json(file) if file.is_file() else None
        nested = file.name == DATASET_FILE
        entries = content.get("labels") if nested and isinstance(content, dict) else content
        if not isinstance(content, dict) or not isinstance(entries, dict):
            continue
        order = content.get(ORDER)
        try:
            values = {key: value for key, value in entries.items() if key not in (SIDES, ORDER)}
            return declared(values, file, {ORDER: order})
        except DataError:
            lists = (value for value in entries.values() if isinstance(value, list) and value)
            regions = nested and any(all(isinstance(one, int) for one in value) for value in lists)
            if regions or order is not None:  # wrongly declared
                raise
            # whatever it describes, it is not these masks
    return None


def _unnamed(predictions: Path) -> dict[str, set[str]]:
    """Case -> levels that are not certain, as `levels.csv` in a folder of predictions says; empty without that file.

    Raises:
        DataError: it cannot be read.
    """
    found = dict[str, set[str]]()
    for row in unnamed_rows(read_rows(predictions / f"{LEVELS}.csv", DataError)):
        found.setdefault(row.get("case", ""), set()).add(row["level"])
    return found
