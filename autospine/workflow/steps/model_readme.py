"""The card of a model for people, in Markdown: what it segments, how well, what it is not for, how to use it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from autospine.data.geometry import times
from autospine.planning.document.about import About, Validated
from autospine.planning.document.model_card import ModelCard

_UNKNOWN = "not known"


def model_readme(card: ModelCard, about: About) -> str:
    """The text of `README.md` of the model that has this `card`."""
    data, one = card.data, card.configuration
    parts = [
        f"# A model of autospine: {_plain(data.dataset)}, {one.name}",
        f"It segments {_plain(', '.join(data.targets))} in images of {_plain(', '.join(data.channels))}.",
        "## What it is not for\n\n" + "\n".join(f"- {_plain(one)}" for one in about.limits),
        "## Licence\n\n" + _licence(about),
        "## What it has learnt from\n\n" + _learnt_from(about),
        "## How well it did\n\n" + _validation(about.validation),
        "## Values in a segmentation\n\n" + _table(("value", "name"), ((value, name) for name, value in data.labels)),
        "## Versions\n\n" + _versions(about),
        "## How to use it\n\n"
        "With autospine installed, in the version above or a newer one:\n\n"
        "    autospine predict IMAGES OUT --model THIS_FILE.autospine\n\n"
        "The file is a ZIP archive: unzipped, the folder with `model.json` in it is a model for `--model` as well. "
        "Nothing in it is executed, and `manifest.json` has the SHA-256 of each part.",
    ]
    return "\n\n".join(parts) + "\n"


def _licence(about: About) -> str:
    if about.licence is None:
        return "None was given. Ask whoever gave you this model what you may do with it."
    return _plain(about.licence)


def _learnt_from(about: About) -> str:
    seen = about.trained_on
    if seen is None:
        return f"The number of cases, their grids and scanners are {_UNKNOWN}."
    rows = [("cases", seen.cases), ("slices of most of them", seen.slices)]
    for what, ranges in (("spacing Z, Y, X in mm", seen.spacing_mm), ("voxels Z, Y, X", seen.shape)):
        rows += [
            (f"{what}, {which}", times(tuple(map(float, values))))
            for which, values in zip(("smallest", "median", "largest"), ranges, strict=True)
        ]
    rows += [("DICOM series called", one) for one in seen.descriptions]
    return _table(("what", "in the data set of all folds"), rows)


def _validation(folds: Sequence[Validated]) -> str:
    if not folds:
        return f"How well it did on cases that it was not trained on is {_UNKNOWN}."
    parts = []
    for fold in folds:
        fast = "" if fold.fast_dice is None else f"; {_number(fold.fast_dice)} with `--fast`"
        head = f"Fold {fold.fold}, {fold.cases} cases that it was not trained on: mean Dice {_number(fold.dice)}{fast}."
        rows = (
            (one.structure, one.cases, *map(_number, (one.dice, one.precision, one.sensitivity, one.hd95_mm)))
            for one in fold.structures
        )
        parts.append(
            f"{head}\n\n" + _table(("structure", "cases", "Dice", "precision", "sensitivity", "HD95 mm"), rows)
        )
    return "\n\n".join(parts)


def _versions(about: About) -> str:
    rows = [("autospine", about.autospine), ("torch", about.torch), ("date of the training", about.date)]
    rows += [(f"SHA-256 of fold {one.fold}", one.sha256) for one in about.weights]
    return _table(("what", "which"), ((name, value or _UNKNOWN) for name, value in rows))


def _number(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.3f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(_plain(str(cell)).replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


def _plain(text: str) -> str:
    """A text that is not taken for HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;")
