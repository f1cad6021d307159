"""How far the levels of a fold's network can be trusted, measured on its validation cases, whole and in narrow views.

fold_<k>/levels.json     of each vertebra the probability of its level, and whether that is right
levels.json              from which probability a level has a name, by all folds (`planning.document.trust`)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from autospine.data.disk.files import read_json, write_json
from autospine.data.folds import Fold, FoldName
from autospine.errors import PlanError
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.trust import TRUST, TRUST_SCHEMA, UNLEARNT, LevelTrust, Named, Threshold, write_trust
from autospine.preprocessing.normalise import normalise
from autospine.preprocessing.prepare import PreparedCase
from autospine.preprocessing.store import Store, StoredCase
from autospine.workflow.progress import Progress, counted

if TYPE_CHECKING:
    import torch

    from autospine.inference.vertebral_levels import Renaming

SHOWN = (2, 3, 4)
"""Levels that a narrow view shows."""
VIEWS = 4
"""Narrow views of a case."""
MOST_MARGIN = 0.5
"""Of what a view shows beyond its last level, in lengths of a level."""
HELD = 0.25
"""Share of a vertebra's voxels that are of some level in the mask; with fewer it is where no vertebra is."""


@dataclass(frozen=True)
class FoldTrust:
    """What a fold's network has named."""

    ends: tuple[Named, ...]
    """In views that go on beyond an end of the column."""
    within: tuple[Named, ...]
    """In those that end within it."""

    def write(self, folder: Path) -> None:
        """Write it in the folder of the fold."""
        write_json(folder / TRUST, {"schema": TRUST_SCHEMA, **vars(self)})

    @staticmethod
    def read(folder: Path) -> FoldTrust | None:
        """Of the folder of a fold; None where nothing was measured, or by another version.

        Raises:
            PlanError: the file is there and is not what autospine writes.
        """
        path = folder / TRUST
        if not path.is_file():
            return None
        content: Any = read_json(path, PlanError)
        try:
            if content["schema"] != TRUST_SCHEMA:
                return None
            return FoldTrust(
                *(tuple((float(p), bool(right)) for p, right in content[key]) for key in ("ends", "within"))
            )
        except (KeyError, TypeError, ValueError) as fault:
            remedy = "remove it: `autospine train` measures it again"
            raise PlanError(str(path), f"no levels of a fold ({fault})", "the file that train wrote", remedy) from fault


def measure_trust(
    folder: Path, fold: FoldName, split: Fold, store: Store, device: torch.device, progress: Progress
) -> FoldTrust | None:
    """Name the levels of the validation cases of a fold, whole and in narrow views; None where labels are no levels.

    Raises:
        PlanError: a prepared file is missing or damaged.
    """
    from autospine.inference.loading import load_model

    model = load_model(folder, device, (str(fold),))
    if model.card.data.levels is None or model.card.configuration.previous is not None:
        return None
    views: dict[bool, list[Named]] = {True: [], False: []}
    with progress.task("Naming levels in narrow views of the validation cases") as update:
        tell = counted(update)
        for done, name in enumerate(split.validation, 1):
            case = store.open(name)
            seen: list[PreparedCase | StoredCase] = [case, *narrow_views(case, model.card)]
            for view in seen:
                found = model.find_column(view)
                if found is not None:
                    views[found.column.seen.shows_end] += named(found, np.asarray(view.label), model.card)
            tell(name, done, len(split.validation))
    return FoldTrust(tuple(views[True]), tuple(views[False]))


def narrow_views(case: StoredCase, card: ModelCard) -> Iterator[PreparedCase]:
    """Parts of a case along its column, each as if the image were no more than that; the same of a case always."""
    levels, configuration = card.data.levels, card.configuration
    assert levels is not None
    axis = configuration.axis_order.index(levels.axis)
    label, image = np.asarray(case.label), np.asarray(case.image)
    spans = [span for index in levels.classes if (span := _span(label == index, axis)) is not None]
    rng = np.random.default_rng([ord(letter) for letter in case.properties.name])
    shown = [(size, first) for size in SHOWN for first in range(len(spans) - size + 1)]
    for place in rng.permutation(len(shown))[:VIEWS]:
        size, first = shown[place]
        held = spans[first : first + size]
        length = float(np.mean([high - low for low, high in held]))
        below, above = (round(float(rng.uniform(0, MOST_MARGIN)) * length) for _ in range(2))
        low = max(0, min(one for one, _ in held) - below)
        high = min(label.shape[axis], max(one for _, one in held) + above)
        box: list[slice] = [slice(None)] * 3
        box[axis] = slice(low, high)
        part = normalise(image[(slice(None), *box)], configuration.normalisation, card.data.intensities)
        yield PreparedCase(part, label[tuple(box)], case.properties)


def named(found: Renaming, label: npt.NDArray[Any], card: ModelCard) -> list[Named]:
    """Of each vertebra the probability of its level, and whether the mask `label` (a0, a1, a2) says the same."""
    levels, said = card.data.levels, list[Named]()
    assert levels is not None
    column = found.column
    for vertebra, position, chance in zip(
        column.vertebrae, column.levels.best.tolist(), column.levels.best_chances.tolist(), strict=True
    ):
        if not 0 <= position < len(levels.classes):
            continue  # without a level nothing is named
        inside = np.isin(found.numbers, vertebra.pieces)
        counts = np.bincount(label[inside], minlength=256)[list(levels.classes)]
        right = counts.sum() >= HELD * vertebra.voxels and int(counts.argmax()) == position
        said.append((float(chance), bool(right)))
    return said


def fit_trust(folder: Path) -> LevelTrust | None:
    """Learn from all folds of a model folder from which probability a level has a name, and write it there.

    None, and no file, where nothing is known.

    Raises:
        PlanError: a fold's file is not as autospine writes it.
        OutputError: the folder cannot be written.
    """
    folds = [held for place in sorted(folder.glob("fold_*")) if (held := FoldTrust.read(place)) is not None]
    known = [[one for fold in folds for one in getattr(fold, kind)] for kind in ("ends", "within")]
    trust = LevelTrust(*map(Threshold.learn, known)) if any(known) else None
    if trust is None:
        (folder / TRUST).unlink(missing_ok=True)
    else:
        write_trust(folder, trust)
    return trust


def describe_trust(trust: LevelTrust | None) -> str:
    """A line on what was learnt, for the end of a training."""
    if trust is None:
        return f"Levels have a name from a probability of {UNLEARNT:g} on: no validation case shows a vertebra"
    told = ", ".join(
        f"from {one.certain:g} on where a view {where} ({one.named} of {one.known} vertebrae, {one.wrong} wrong)"
        for one, where in ((trust.ends, "goes on beyond an end of the column"), (trust.within, "ends within it"))
        if one.known
    )
    return f"Levels have a name by their probability: {told}"


def _span(mask: npt.NDArray[np.bool_], axis: int) -> tuple[int, int] | None:
    rows = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
    return (int(rows[0]), int(rows[-1]) + 1) if len(rows) else None
