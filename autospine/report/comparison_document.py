"""A comparison as files: `comparison.md` to read, `.csv` and `.json` to go on with, `.png` to look at."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autospine.data.disk.files import write_json, write_text
from autospine.data.disk.tables import write_table
from autospine.data.wording import plural
from autospine.evaluation.comparison import CARRYING, Carried, Comparison, Disputed
from autospine.evaluation.metrics import EMPTY_RULE, METRICS
from autospine.evaluation.paired import Compared, Interval
from autospine.report.comparison import plot_comparison
from autospine.report.wording import (
    gain_cell,
    markdown_table,
    mean_cell,
    metric_name,
    number,
    p_value,
    signed,
    unit_of,
    verdict,
)

SCHEMA = 1
_SHOWN = 5
"""Subjects with the largest differences to either side that the text names."""
_LISTED = 40
"""Disputed structures that the text lists; all are in `comparison.json`."""
_METHOD = (
    "Paired over subjects: 95 % intervals are bootstrapped (BCa), p is of the two-sided Wilcoxon signed-rank test, "
    "corrected after Holm over the arms, and by class over all arms and classes. What another seed, other folds or "
    "other patients would change is in none of them."
)


def write_comparison(comparison: Comparison, folder: Path) -> Path:
    """Write the four files into `folder`; the Markdown file's path.

    Raises:
        OutputError: the folder cannot be written.
    """
    columns = ("case", "subject", "class", "arm", "reference_voxels", "predicted_voxels", *METRICS)
    write_table(folder / "comparison.csv", columns, _rows(comparison))
    write_json(folder / "comparison.json", comparison_json(comparison))
    picture = folder / "comparison.png"
    drawn = any(one.difference.subjects for one in comparison.overall)
    if drawn:
        plot_comparison(comparison, picture)
    path = folder / "comparison.md"
    write_text(path, comparison_markdown(comparison, picture.name if drawn else None))
    return path


def carried_text(carried: Carried, compared: Compared, metric: str) -> str:
    """What a difference rests on, in a sentence or two; empty where there are too few subjects to say it."""
    if carried.without is None or math.isnan(compared.difference.mean):
        return ""
    first = ", ".join(subject for subject, _ in carried.ordered[:CARRYING])
    rest = carried.without
    text = f"Without the {CARRYING} that speak most for it ({first}) the difference of {carried.arm} is "
    text += f"{gain_cell(rest.difference, metric)}{unit_of(metric)}, p = {p_value(rest.p)}."
    if carried.turned_by is not None:
        of = len(carried.ordered)
        text += f" Leaving out {plural(carried.turned_by, 'subject')} of {of} would turn its sign."
    return text


def comparison_markdown(comparison: Comparison, picture: str | None) -> str:
    """The text of `comparison.md`, with the picture of that name in it."""
    metric, scores = comparison.metric, comparison.by_subject
    counted = plural(scores.cases, "case")
    if len(scores.subjects) != scores.cases:
        counted += f" of {plural(len(scores.subjects), 'subject')}"
    lines = [f"# {' and '.join(comparison.arms[1:])} against {comparison.first}", ""]
    lines += [f"- **{arm}**: {place}" for arm, place in comparison.places.items()]
    lines += [f"- reference: {comparison.reference}" if comparison.reference else ""]
    lines += ["", f"{counted}, compared in {metric_name(metric)}.", ""]
    if comparison.left_out:
        lines += [f"**Left out**, since some arm lacks them: {', '.join(comparison.left_out)}.", ""]
    lines += ["## Result", ""]
    for one, carried in zip(comparison.overall, comparison.carried, strict=True):
        lines.append(f"- {verdict(one, metric)} {carried_text(carried, one, metric)}".rstrip())
    lines += ["", _METHOD, ""]
    lines += [f"![Subjects, and mean differences with their intervals]({picture})", ""] if picture else []
    lines += ["## Means", "", *_means(comparison), ""]
    lines += ["Means over subjects of the mean over classes; only what every arm has a number for is in them.", ""]
    lines += ["## By class", "", *_classes(comparison), ""]
    lines += ["## Which cases decide", "", *_deciding(comparison)]
    lines += ["## Found by one and missed by another", "", *_disputed(comparison.disputed), ""]
    lines += [
        EMPTY_RULE + " Where one arm finds a class that is not there, the arms that rightly find nothing count 1."
    ]
    lines += ["", *(f"- {note}" for note in comparison.notes)]
    return "\n".join(lines).rstrip() + "\n"


def _means(comparison: Comparison) -> list[str]:
    """A row for each figure, a column for each arm."""
    rows = [
        (
            f"{metric_name(metric)}{unit_of(metric)}",
            *(mean_cell(comparison.mean(arm, metric), metric) for arm in comparison.arms),
        )
        for metric in METRICS
    ]
    return markdown_table(("figure", *comparison.arms), rows)


def _classes(comparison: Comparison) -> list[str]:
    """A row for each class and arm, with what the arm gains on the first."""
    metric, rows = comparison.metric, []
    for label in comparison.classes:
        for place, arm in enumerate(comparison.arms):
            known = comparison.class_values(arm, label)
            mean = number(float(known.mean()) if len(known) else math.nan, metric)
            compared = comparison.by_class.get((label, arm))
            gain = (
                ("", "") if compared is None else (gain_cell(compared.difference, metric), p_value(compared.corrected))
            )
            rows.append((label if place == 0 else "", arm, len(known), mean, *gain))
    return markdown_table(("class", "arm", "subjects", metric_name(metric), "difference", "p (Holm)"), rows)


def _deciding(comparison: Comparison) -> list[str]:
    """The subjects with the largest differences to either side, for each arm."""
    lines = []
    for carried in comparison.carried:
        ordered = carried.ordered
        shown = ordered if len(ordered) <= 2 * _SHOWN else (*ordered[:_SHOWN], *ordered[-_SHOWN:])
        lines += [f"{carried.arm} minus {comparison.first}, from those that speak most for the mean difference on:", ""]
        rows: list[tuple[str, str]] = [(subject, signed(value, comparison.metric)) for subject, value in shown]
        if len(shown) < len(ordered):
            rows.insert(_SHOWN, (f"... {len(ordered) - len(shown)} more", ""))
        lines += [*markdown_table(("subject", "difference"), rows), ""]
    return lines


def _disputed(disputed: tuple[Disputed, ...]) -> list[str]:
    """The structures that arms disagree on."""
    if not disputed:
        return ["Every structure is found by all arms or by none."]
    rows = [
        (
            one.case,
            one.label,
            f"{one.reference_voxels} voxels" if one.reference_voxels else "not there",
            ", ".join(one.finding),
            ", ".join(one.missing),
        )
        for one in disputed[:_LISTED]
    ]
    lines = markdown_table(("case", "class", "reference", "found by", "not by"), rows)
    more = len(disputed) - len(rows)
    said = "Found: at least a tenth of its voxels; where nothing is, any voxel."
    return [*lines, "", f"... and {more} more in `comparison.json`. {said}" if more else said]


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The content of `comparison.json`; NaN becomes None."""
    metric, scores = comparison.metric, comparison.by_subject
    return {
        "schema": SCHEMA,
        "metric": metric,
        "arms": {arm: comparison.places.get(arm, "") for arm in comparison.arms},
        "reference": comparison.reference,
        "cases": scores.cases,
        "subjects": len(scores.subjects),
        "left_out": list(comparison.left_out),
        "means": {arm: {name: _interval(comparison.mean(arm, name)) for name in METRICS} for arm in comparison.arms},
        "comparisons": [
            {**_compared(one), "verdict": verdict(one, metric), "carried_by": _carried(carried)}
            for one, carried in zip(comparison.overall, comparison.carried, strict=True)
        ],
        "classes": [{"class": label, **_compared(one)} for (label, _), one in comparison.by_class.items()],
        "disputed": [
            {
                "case": one.case,
                "class": one.label,
                "reference_voxels": one.reference_voxels,
                "found_by": list(one.finding),
                "not_by": list(one.missing),
            }
            for one in comparison.disputed
        ],
        "notes": list(comparison.notes),
    }


def _compared(one: Compared) -> dict[str, Any]:
    return {
        "arm": one.arm,
        "against": one.reference,
        "difference": _interval(one.difference),
        "p": _known(one.p),
        "p_holm": _known(one.corrected),
        "least_p_holm": _known(one.least),
        "beyond_noise": one.beyond_noise,
    }


def _carried(carried: Carried) -> dict[str, Any]:
    without = carried.without
    return {
        "differences": [{"subject": subject, "difference": value} for subject, value in carried.ordered],
        f"without_first_{CARRYING}": None
        if without is None
        else _interval(without.difference) | {"p": _known(without.p)},
        "subjects_that_turn_it": carried.turned_by,
    }


def _interval(found: Interval) -> dict[str, Any]:
    return {
        "mean": _known(found.mean),
        "low": _known(found.low),
        "high": _known(found.high),
        "subjects": found.subjects,
    }


def _known(value: float) -> float | None:
    """The value, or None for NaN, which JSON does not know."""
    return None if math.isnan(value) else float(value)


def _rows(comparison: Comparison) -> Iterator[dict[str, object]]:
    """A row for every case, class and arm."""
    shared = set(comparison.by_case.subjects)
    by_arm = {arm: {str(one["case"]): one["classes"] for one in cases} for arm, cases in comparison.tables.items()}
    for case in sorted(shared):
        for label in comparison.classes:
            for arm, cases in by_arm.items():
                named: dict[str, object] = {
                    "case": case,
                    "subject": comparison.subjects.get(case, case),
                    "class": label,
                    "arm": arm,
                }
                yield named | dict(cases[case][label])
