"""`about.json`: what the one who uses a model has to know of it, and nothing of any patient.

A training writes it beside `model.json`, with what the model has learnt from and what made it. An export adds how it
did on the validation cases, the licence and the digests of the weights. Models that were trained before have none.

No case is named here, nor any file: numbers of whole folds alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autospine.data.disk.files import write_json
from autospine.planning.document.convert import Checks
from autospine.planning.document.limits import AtLeast0, Count, Part
from autospine.planning.document.plain import PLAIN, are_plain, is_plain
from autospine.planning.document.trained_on import TrainedOn
from autospine.planning.document.versioned import read_versioned, versioned_table

ABOUT = "about.json"
ABOUT_SCHEMA = 1
LONGEST_TEXT = 10_000
"""Letters of a licence, say (ours)."""
_REMEDY = "copy the model again, ask who gave it, or remove this file: a model predicts without it"


@dataclass(frozen=True)
class Figures:
    """How well one structure was segmented, in the mean over the validation cases that have a number; None: none has.

    Defined as in `evaluation.metrics`.
    """

    structure: str
    """Name of the class or region."""
    cases: Count
    """That show it, in the reference or in the prediction."""
    dice: Part | None
    iou: Part | None
    precision: Part | None
    sensitivity: Part | None
    specificity: Part | None
    hd95_mm: AtLeast0 | None

    def __post_init__(self) -> None:
        """Check the ranges."""
        with Checks(self):
            pass


@dataclass(frozen=True)
class Validated:
    """A fold on the cases that it was not trained on."""

    fold: str
    cases: Count
    dice: Part | None
    """Mean over the structures."""
    fast_dice: Part | None
    """The same as `--fast` predicts them; None where that was not measured."""
    structures: tuple[Figures, ...]

    def __post_init__(self) -> None:
        """Check the ranges."""
        with Checks(self):
            pass


@dataclass(frozen=True)
class WeightsOf:
    """Which weights a fold has."""

    fold: str
    sha256: str


@dataclass(frozen=True)
class About:
    """A model, for who uses it."""

    trained_on: TrainedOn | None = None
    """None where nobody knows."""
    autospine: str | None = None
    """Version that trained it."""
    torch: str | None = None
    """Version that trained it."""
    date: str | None = None
    """Of the training, as in 2026-11-30."""
    licence: str | None = None
    """Under which it may be used, as whoever exports it says."""
    limits: tuple[str, ...] = ()
    """Sentences on what it is not for."""
    validation: tuple[Validated, ...] = ()
    """Of the exported folds that have been scored."""
    weights: tuple[WeightsOf, ...] = ()
    """Of the exported folds."""

    def __post_init__(self) -> None:
        """Check the lengths of texts, which may come from a stranger."""
        with Checks(self) as check:
            for name in ("autospine", "torch", "date", "licence"):
                check(len(getattr(self, name) or "") <= LONGEST_TEXT, name, f"at most {LONGEST_TEXT} letters")
            check(sum(map(len, self.limits)) <= LONGEST_TEXT, "limits", f"at most {LONGEST_TEXT} letters together")
            words = (self.autospine or "", self.torch or "", self.date or "")
            check(are_plain(words), "autospine", f"versions and a date, {PLAIN}", "control characters")
            check(is_plain(self.licence or "", lines=True), "licence", PLAIN, "control characters")
            check(all(is_plain(one, lines=True) for one in self.limits), "limits", PLAIN, "control characters")
            for fold in self.validation:
                names = (fold.fold, *(one.structure for one in fold.structures))
                check(are_plain(names), "validation", f"names, {PLAIN}", "control characters")
            held = [one.fold for one in self.weights] + [one.sha256 for one in self.weights]
            check(are_plain(held), "weights", PLAIN, "control characters")


def write_about(folder: Path, about: About) -> None:
    """Write `about.json` in a model folder."""
    write_json(folder / ABOUT, about_table(about))


def about_table(about: About) -> dict[str, Any]:
    """The content of its file."""
    return versioned_table(ABOUT_SCHEMA, about)


def read_about(folder: Path) -> About | None:
    """What a model folder says of its model; None where it says nothing.

    Raises:
        PlanError: the file is there and is not one that autospine writes.
    """
    path = folder / ABOUT
    return read_versioned(About, path, ABOUT_SCHEMA, _REMEDY) if path.exists() else None


def limits_of(trained_on: TrainedOn | None, channels: Iterable[str]) -> tuple[str, ...]:
    """Sentences on what a model that takes these `channels` is not for."""
    seen = f"images of {', '.join(channels)}"
    if trained_on is not None:
        seen += f", {trained_on.cases} cases, most of them in {trained_on.slices} slices"
    return (
        "It is not a medical device: no diagnosis and no treatment may rest on it without a person who checks each "
        "segmentation.",
        f"It has learnt from {seen}. On other sequences, orientations, field strengths, scanners, ages or diseases "
        "than these its errors are unknown.",
        "It names one of its structures in every voxel that it does not call background, also where something else is "
        "there: an implant, a fracture, a further vertebra.",
        "The validation figures are means over cases of the data set that it was trained on, which other hospitals' "
        "images need not resemble.",
    )
