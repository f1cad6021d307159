"""Scores of two folders of mask files, or of two files.

The references decide which cases there are. Everything that keeps a pair from being scored is listed at once; what is
scored although it may not be meant so is noted with the scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from autospine.data.description import ORDER, SIDES, Declared, declared
from autospine.data.files import read_json
from autospine.data.layouts.dicom_tree import dicom_among
from autospine.data.layouts.masks import says_mask
from autospine.data.mask_files import mask_stem
from autospine.data.structures import is_structures
from autospine.data.volume import IMAGE_SUFFIXES
from autospine.errors import DataError
from autospine.evaluation.mask_pairs import MaskPairs
from autospine.evaluation.score import Labels, Scores, score_cases


def evaluate_folders(
    prediction_folder: Path,
    reference_folder: Path,
    labels: Labels | None = None,
    *,
    lesions: bool = False,
    progress: Callable[[str, int, int], None] = lambda case, done, total: None,
) -> Scores:
    """Scores of predicted mask files against reference mask files.

    The references decide which cases there are; files are paired by name without suffix. Both arguments may be
    single files, which are then a pair whatever their names. Values are those on disk; masks that name their structures
    (3D Slicer's, or a folder per case with a folder of one file per structure) go by the names.

    Args:
        prediction_folder: folder of masks, or one mask.
        reference_folder: folder of masks, or one mask.
        labels: (name, value on disk) of each class; None: those of a dataset.json (or labels.json)
            in or beside the reference folder, else what the references name, else every value above 0 in them,
            called `label_<value>`.
            Voxels of a label that is called `ignore` there count for nothing.
        lesions: count the connected components of each class as lesions, too.
        progress: called with a case, the cases done and their total.

    Raises:
        DataError: lists every missing prediction, unreadable file, file with values that are no labels and pair on
            different grids; or there is nothing to score: no class in the references, or none of them in any
            prediction, while these hold other values.
    """
    references = _mask_files(reference_folder)
    if not references:
        raise DataError(
            str(reference_folder),
            "no mask files here",
            f"masks ending in {', '.join(IMAGE_SUFFIXES)}",
            "check the path",
        )
    predictions = _mask_files(prediction_folder)
    problems: list[str] = []
    pairs: list[tuple[str, Path, Path]] = []
    both_files = prediction_folder.is_file() and reference_folder.is_file()
    for name, files in references.items():
        reference = files[0]
        if len(files) > 1:
            problems.append(f"{name}: several references: {', '.join(file.name for file in files)}")
        candidates = [prediction_folder] if both_files else predictions.get(name, [])
        same_suffix = [file for file in candidates if file.name == reference.name]
        chosen = same_suffix or candidates
        if not chosen:
            problems.append(f"{name}: no prediction in {prediction_folder}")
        elif len(chosen) > 1:
            problems.append(f"{name}: several predictions: {', '.join(file.name for file in chosen)}")
        else:
            pairs.append((name, chosen[0], reference))

    found = _declared_labels(reference_folder, strict=labels is None)
    masks = MaskPairs(pairs, found, labels, problems, progress)
    scores = score_cases(masks.read(), masks.labels, masks.ignored, lesions=lesions)
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


def _dicom_notes(*folders: Path) -> tuple[str, ...]:
    """Notes where DICOM files lie among the masks of a folder: a mask in DICOM is none that is scored."""
    held = ((folder, dicom_among(folder)) for folder in dict.fromkeys(folders) if folder.is_dir())
    return tuple(f"{said}, left aside: {folder}" for folder, said in held if said)


def _mask_files(path: Path) -> dict[str, list[Path]]:
    """Mask files by name without suffix, sorted; of the one file, if `path` is a file.

    Where there are none, folders of structures by the folder of their case (`s0001/segmentations/`).
    """
    if not path.exists():
        raise DataError(str(path), "does not exist", "a folder of masks, or one mask", "check the path")
    files = [path] if path.is_file() else sorted(path.iterdir())
    named: dict[str, list[Path]] = {}
    for file in files:
        # a link to nothing is a mask that cannot be read, not one fewer
        there = file.is_file() or (file.is_symlink() and not file.exists())
        if there and not file.name.startswith(".") and file.name.lower().endswith(IMAGE_SUFFIXES):
            named.setdefault(mask_stem(file), []).append(file)
    cases = [] if named else [file for file in files if file.is_dir() and not file.name.startswith(".")]
    for case in cases:
        held = [folder for folder in sorted(case.iterdir()) if says_mask(folder.name) and is_structures(folder)]
        if held:
            named[case.name] = held
    return named


def _declared_labels(reference: Path, *, strict: bool) -> Declared | None:
    """Labels that a dataset.json or labels.json in or beside the reference folder names.

    Both directions are read: {"L1": 5} and the older {"5": "L1"}; of regions, all their values.
    """
    folder = reference.parent if reference.is_file() else reference
    for file in (parent / name for parent in (folder, folder.parent) for name in ("dataset.json", "labels.json")):
        if not file.is_file():
            continue
        content = read_json(file)
        entries = content.get("labels") if file.name == "dataset.json" and isinstance(content, dict) else content
        if not isinstance(entries, dict):
            continue
        order = (content if file.name == "dataset.json" else entries).get(ORDER)
        try:
            values = {key: value for key, value in entries.items() if key not in (SIDES, ORDER)}
            known = declared(values, file, {ORDER: order})
        except DataError:
            lists = file.name == "dataset.json" and any(
                isinstance(value, list) and value and all(isinstance(one, int) for one in value)
                for value in entries.values()
            )
            if strict and (lists or order is not None):  # these are regions, wrongly declared
                raise
            continue  # whatever it describes, it is not these masks
        return known
    return None
