"""What weights have learnt from, by the record beside them: none of it may be what a fold is judged by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autospine.data.folds import Fold
from autospine.errors import PlanError
from autospine.planning.fingerprint import Fingerprint
from autospine.workflow.runs import read_record


def seen_images(folder: Path) -> list[dict[str, Any]]:
    """The images that weights in `folder` were pretrained on, or that those were which they started from.

    Each has `dataset`, `case`, `subject` and `digest`; none where the record names none.
    """
    images = (read_record(folder) or {}).get("images", [])
    return [dict(image) for image in images] if isinstance(images, list) else []


def check_unseen(folder: Path, dataset: str, split: Fold, fingerprint: Fingerprint | None) -> None:
    """Nothing, where the weights in `folder` have not learnt from what the fold `split` of `dataset` is judged by.

    Cases count that are validated, and every image with the voxels of one or, within `dataset`, of its subject. Without
    the `fingerprint`, which knows voxels and subjects, their names alone.

    Raises:
        PlanError: they have.
    """
    record = read_record(folder) or {}
    trained = record.get("split", {}).get("train", []) if record.get("data", {}).get("dataset") == dataset else []
    shared = set(trained) & set(split.validation)
    cases = () if fingerprint is None else fingerprint.cases
    judged = [case for case in cases if case.case in split.validation]
    digests, subjects = ({case.digest for case in judged}, {case.subject.casefold() for case in judged})
    for image in seen_images(folder):
        own = image.get("dataset") == dataset
        named = own and (image.get("case") in split.validation or str(image.get("subject")).casefold() in subjects)
        if named or image.get("digest") in digests:
            shared.add(str(image.get("case")) if own else f"{image.get('dataset')}/{image.get('case')}")
    if shared:
        listed = ", ".join(sorted(shared)[:6])
        found = f"these weights were trained on {listed}, which this fold is to be judged by"
        raise PlanError(str(folder), found, "weights that have not seen them", "take those of the same fold")
