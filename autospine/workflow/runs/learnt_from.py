"""What weights have learnt from, or are about to: none of it may be what a fold is judged by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autospine.data.folds import Fold, FoldName, check_folds, group_cases
from autospine.data.layouts.shared.naming import subject_names
from autospine.errors import PlanError
from autospine.planning.document.plan import Plan
from autospine.planning.measured.absent import Shown, shown_by_cases, unseen_in_folds
from autospine.planning.measured.fingerprint import Fingerprint
from autospine.preprocessing.store import Store
from autospine.workflow.progress import Progress
from autospine.workflow.runs.folder import RECORD, RunFolder, read_record


def seen_images(folder: Path) -> list[dict[str, Any]]:
    """The images that weights in `folder` have learnt from, and those that these weights started from.

    Each has `dataset`, `case`, `subject` and `digest`, and `masks` where it was learnt with its mask; none where there
    is no record.
    """
    images = (read_record(folder) or {}).get("images", [])
    return [dict(image) for image in images] if isinstance(images, list) else []


def trained_images(dataset: str, split: Fold, fingerprint: Fingerprint | None) -> list[dict[str, Any]]:
    """The images that a fold trains on, for its record; without the fingerprint by their names alone."""
    cases = () if fingerprint is None else fingerprint.cases
    known = {case.case: {"subject": case.subject, "digest": case.digest} for case in cases}
    return [{"dataset": dataset, "case": name, **known.get(name, {}), "masks": True} for name in split.train]


def shown_by_store(store: Store, cases: Sequence[str], channels: int) -> dict[str, Shown]:
    """What each of the prepared `cases` shows of so many channels, where no fingerprint says it."""
    found = {}
    for name in cases:
        case = store.open(name)
        found[name] = Shown(frozenset(range(channels)) - frozenset(case.properties.missing), frozenset(case.locations))
    return found


def check_unseen(folder: Path, dataset: str, split: Fold, fingerprint: Fingerprint | None) -> tuple[str, ...]:
    """What is to be said of the weights in `folder`, which have not learnt from what the fold `split` is judged by.

    Cases of `dataset` count that are validated, every image with the voxels of one, and every image of its subject:
    within `dataset`, and of images that were pretrained on wherever they lay, since `pretrain` would have left them
    out too. A namesake in another data set that was learnt with masks is told. Without the `fingerprint`, which knows
    voxels and subjects, case names count alone.

    Raises:
        PlanError: they have.
    """
    if read_record(folder) is None:
        return (f"What the weights in {folder} have learnt from is not known: no {RECORD} lies beside them",)
    judged = [] if fingerprint is None else [case for case in fingerprint.cases if case.case in split.validation]
    digests = {case.digest for case in judged}
    people = {name for case in judged for name in subject_names(case.case, case.subject, None)}
    shared, namesakes = set(), set()
    for image in seen_images(folder):
        own, case = image.get("dataset") == dataset, str(image.get("case"))
        shown = case if own else f"{image.get('dataset')}/{case}"
        names = {*subject_names(case, str(image.get("subject", "")), None), *image.get("names", ())}
        same = image.get("digest") in digests or (own and case in split.validation)
        if same or (names & people and (own or not image.get("masks"))):
            shared.add(shown)
        elif names & people:
            namesakes.add(shown)
    some = ", ".join(sorted(shared or namesakes)[:6])
    if shared:
        found = f"these weights were trained on {some}, which this fold is to be judged by"
        raise PlanError(str(folder), found, "weights that have not seen them", "take those of the same fold")
    if not namesakes:
        return ()
    return (f"These weights were trained on {some}, called like those whom this fold is judged by: the same people?",)


def check_cases(
    run: RunFolder,
    plan: Plan,
    fold: FoldName,
    split: Fold,
    store: Store,
    weights: Path | None,
    progress: Progress,
) -> list[dict[str, Any]]:
    """The images that a training of the fold will have seen, as `seen_images` has them; notes what may be amiss.

    Those count, too, that the weights in the folder `weights` have seen, which the training starts from.

    Raises:
        DataError: the fold, which the user may have edited, does not fit the prepared cases and subjects.
        PlanError: these weights have seen what the fold is judged by.
    """
    # a machine that got the prepared cases alone may be without the fingerprint
    fingerprint = run.read_fingerprint() if run.fingerprint.is_file() else None
    _check_split(run, split, store, fingerprint)
    if fingerprint is None:
        unknown = "whether a person or an image stands on both sides of"
        progress.note(f"{run.fingerprint} is not there: {unknown} fold {fold} cannot be checked")
    for note in _never_seen(plan, fold, split, store, fingerprint):
        progress.note(note)
    seen = trained_images(plan.data.dataset, split, fingerprint)
    if weights is not None:
        seen += seen_images(weights)
        for note in check_unseen(weights, plan.data.dataset, split, fingerprint):
            progress.note(note)
    return seen


def _check_split(run: RunFolder, split: Fold, store: Store, fingerprint: Fingerprint | None) -> None:
    """Raise `DataError` where a fold, which the user may have edited, does not fit the prepared cases and subjects."""
    groups = {name: name for name in store.names}
    if fingerprint is not None:
        groups |= group_cases(fingerprint.subjects, fingerprint.digests)
    check_folds((split,), store.names, groups, str(run.splits))


def _never_seen(
    plan: Plan, number: FoldName, split: Fold, store: Store, fingerprint: Fingerprint | None
) -> tuple[str, ...]:
    """A sentence for each channel and class that no training case of the fold has."""
    if fingerprint is not None:
        shown = shown_by_cases(fingerprint)
    else:
        shown = shown_by_store(store, split.train, len(plan.data.channels))
    return unseen_in_folds(shown, plan.data.channels, plan.data.names, [(number, split)])
