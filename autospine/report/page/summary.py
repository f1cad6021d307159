"""What a reader in a hurry reads: the data, what was trained, the figures that matter, and what to beware of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from autospine.data.folds import FULL
from autospine.data.wording import listed, plural
from autospine.evaluation.levels import KINDS
from autospine.report.page.blocks import Block, Card, Cards, Notes, Prose, Section
from autospine.report.page.chosen import suspected
from autospine.report.page.material import FoldMaterial, RunMaterial
from autospine.report.page.scoreboard import Scoreboard, number, span

FEW_SUBJECTS = 10
"""Below so many an interval says little about others, and that is said (ours)."""


def summary_section(run: RunMaterial) -> Section:
    """The beginning of the page of a training."""
    data, scores = run.estimated.plan.data, run.scores
    names = [fold.name for fold in _judged(run)]
    folds = f"{'fold' if len(names) == 1 else 'folds'} {', '.join(names) or 'none'} of {run.planned_folds}"
    folds += ", and a network on every case" if len(names) < len(run.folds) else ""
    seen = "" if run.fingerprint is None else f" {plural(len(run.fingerprint.cases), 'case')} with masks."
    text = (
        f"A network ({run.configuration}) that segments {listed_in_order(data.targets)} in images of "
        f"{', '.join(data.channels)}.{seen} Trained: {folds}. A fold keeps some cases out of "
        "its training and segments them afterwards: all figures here are of cases that the network had not seen."
    )
    blocks: list[Block] = [Prose(text), Cards(tuple(_cards(run)))]
    warnings = tuple(_warnings(run))
    if warnings:
        blocks.append(Notes(warnings, "Beware", "bad"))
    if not scores.cases:
        blocks.append(Prose("No case has been scored yet."))
    return Section("summary", "In short", tuple(blocks))


def score_cards(scores: Scoreboard) -> Iterator[Card]:
    """The figures that matter of what was scored."""
    overall = scores.overall
    if not math.isnan(overall.mean):
        yield Card(
            "Mean Dice", number(overall.mean), f"{span(overall)}, {plural(overall.subjects, 'subject')}".lstrip(", ")
        )
    worst = scores.worst_structure
    if worst is not None:
        yield Card("Weakest structure", worst, f"mean Dice {number(scores.structure_mean(worst))}")
    if scores.ranked:
        case = scores.ranked[0]
        yield Card("Worst case", case.case, f"mean Dice {number(case.mean)}")
    distances = [scores.mean(name) for name in ("hd95_mm",) if name in scores.metrics]
    if distances and not math.isnan(distances[0]):
        yield Card("Mean HD95", f"{distances[0]:.2f} mm", "where both have the structure")
    yield from level_cards(scores.levels)


def level_cards(levels: Iterable[Mapping[str, Any]]) -> Iterator[Card]:
    """How many vertebrae were called by their level, over all folds."""
    counts: dict[str, int] = dict.fromkeys(("vertebrae", *KINDS), 0)
    for counted in levels:
        for key in counts:
            value = counted.get(key)
            counts[key] += value if isinstance(value, int) else 0
    whole, right = counts.pop("vertebrae"), counts.pop("right")
    if whole:
        others = ", ".join(f"{value} {key}" for key, value in counts.items() if value) or "none wrong"
        yield Card("Levels called rightly", f"{right} of {whole}", others, "good" if right == whole else "plain")


def score_warnings(scores: Scoreboard) -> Iterator[str]:
    """What to beware of in what was scored."""
    if 0 < scores.subjects < FEW_SUBJECTS:
        many = plural(scores.subjects, "subject")
        yield f"Only {many} were scored: on others it may do better or worse than it seems."
    for structure in scores.structures:
        values = scores.values(structure)
        missed = [case.case for case, value in zip(scores.cases, values, strict=True) if value == 0]
        if missed:
            yield f"{structure} was missed altogether, or found where it is not, in {len(missed)}: {listed(missed)}."
        if scores.cases and all(math.isnan(value) for value in values):
            yield f"{structure} was in none of the scored cases: nothing is known of how well it is segmented."
    yield from scores.notes


def listed_in_order(names: tuple[str, ...]) -> str:
    """The first names in their own order: `L5, L4, L3 and 17 more`."""
    most = 8
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _cards(run: RunMaterial) -> Iterator[Card]:
    yield from score_cards(run.scores)
    if first := suspected(run)[:1]:
        said = f"{first[0]['reason']}, score {first[0].get('score', '')} of 1; see the worklist"
        yield Card("Mask to look at first", first[0].get("case", ""), said)
    seconds = [float(fold.record.get("result", {}).get("seconds", math.nan)) for fold in _judged(run)]
    known = [one for one in seconds if not math.isnan(one)]
    if known:
        yield Card("Training", f"{sum(known) / len(known) / 60:.1f} min", f"a fold{_device(run)}")


def _judged(run: RunMaterial) -> list[FoldMaterial]:
    """The folds, without a training on every case."""
    return [fold for fold in run.folds if fold.name != FULL]


def _device(run: RunMaterial) -> str:
    """On which devices the folds were trained, as the end of a sentence."""
    names = dict.fromkeys(str(one.record.get("hardware", {}).get("device", "")) for one in run.folds)
    known = "; ".join(name for name in names if name)
    return f", on {known}" if known else ""


def _warnings(run: RunMaterial) -> Iterator[str]:
    yield from score_warnings(run.scores)
    if len(_judged(run)) == 1 and run.planned_folds > 1:
        yield (
            "One fold alone is trained: the figures are of its cases only, and predictions are not averaged over "
            "several networks."
        )
    for fold in run.folds:
        if fold.fast is not None and fold.fast[0] - fold.fast[1] > 0.01:
            usual, fast = map(number, fold.fast)
            yield f"Fold {fold.name} predicted with --fast has a mean Dice of {fast}, not {usual}."
