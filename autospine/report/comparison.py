"""The picture of a comparison: each subject in every arm, the paired differences, and the differences class by class.

Colours are those of Okabe and Ito (2008), which people with any vision of colours tell apart; arms have a mark of their
own, too. Diamonds and bars are means with their 95 % intervals. Names stand at the axes alone.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autospine.data.wording import plural
from autospine.evaluation.comparison import Comparison
from autospine.evaluation.paired import Floats, Interval
from autospine.report.canvas import new_figure, save_figure
from autospine.report.panels import shortened
from autospine.report.wording import metric_name, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")
_MARKS = ("o", "s", "^", "v", "P", "X")
_CLASS_INCH = 0.24
"""Height that a class takes for each arm."""
_SWARM = 24
"""Parts of the range of values in which points that lie together are set side by side."""


def plot_comparison(comparison: Comparison, path: Path) -> None:
    """Write the picture of a comparison of two arms or more, with at least one subject.

    Raises:
        OutputError: it cannot be written.
    """
    arms, classes = comparison.arms, comparison.classes
    # a class of which no arm has a number has no row
    shown = [label for label in classes if any(comparison.by_class[label, arm].difference.subjects for arm in arms[1:])]
    several = len(shown) > 1
    low = 0.7 + _CLASS_INCH * len(shown) * max(1.0, 0.7 * (len(arms) - 1)) if several else 0.0
    figure = new_figure(max(8.0, 2.6 + 1.5 * len(arms)), 4.2 + low)
    parts = figure.subfigures(1 + several, 1, squeeze=False, height_ratios=(4.2, low) if several else (1,))[:, 0]
    if several:
        _draw_classes(parts[1].subplots(), comparison, shown)
    left, right = parts[0].subplots(1, 2, width_ratios=(len(arms) + 0.5, len(arms) - 0.3))
    _draw_subjects(left, comparison)
    _draw_differences(right, comparison)
    parts[0].suptitle("Points: subjects. Diamonds and bars: means with their 95 % intervals", fontsize=9)
    save_figure(figure, path)


def _draw_subjects(axes: Axes, comparison: Comparison) -> None:
    """A point per subject and arm, those of a subject joined; beside them the mean of the arm."""
    values = np.stack([comparison.means(arm) for arm in comparison.arms])
    axes.plot(range(len(values)), values, color="#999999", linewidth=0.6, alpha=0.6, zorder=1)
    for place, (arm, column) in enumerate(zip(comparison.arms, values, strict=True)):
        axes.plot(np.full(len(column), place), column, _mark(place), **_point(place))
        _draw_mean(axes, place + 0.2, comparison.mean(arm))
    axes.set_xticks(range(len(values)), [_name(arm) for arm in comparison.arms], fontsize=8)
    axes.set_xlim(-0.5, len(values) - 0.3)
    axes.set_ylabel(f"{metric_name(comparison.metric)}{_unit(comparison)}, mean over classes")
    axes.set_title(plural(len(values[0]), "subject"), fontsize=9)
    axes.grid(alpha=0.3, axis="y")


def _draw_differences(axes: Axes, comparison: Comparison) -> None:
    """A point per subject: each arm minus the first; beside them the mean difference."""
    base = comparison.means(comparison.first)
    for row, one in enumerate(comparison.overall):
        differences = comparison.means(one.arm) - base
        known = differences[~np.isnan(differences)]
        place = comparison.arms.index(one.arm)
        axes.plot(row + _swarm(known, 0.22), known, _mark(place), **_point(place))
        _draw_mean(axes, row + 0.34, one.difference)
    axes.axhline(0, color="#555555", linewidth=1, zorder=1)
    axes.set_xticks(range(len(comparison.overall)), [_name(one.arm) for one in comparison.overall], fontsize=8)
    axes.set_xlim(-0.5, len(comparison.overall) - 0.4)
    axes.set_ylabel(f"difference{_unit(comparison)}")
    axes.set_title(f"minus {shortened(comparison.first)}", fontsize=9, parse_math=False)
    axes.grid(alpha=0.3, axis="y")


def _draw_classes(axes: Axes, comparison: Comparison, shown: list[str]) -> None:
    """The mean difference of each class and arm, the first class above."""
    others = comparison.arms[1:]
    for place, arm in enumerate(others, start=1):
        apart = 0.0 if len(others) == 1 else 0.6 * ((place - 1) / (len(others) - 1) - 0.5)
        for row, label in enumerate(shown):
            found = comparison.by_class[label, arm].difference
            if found.subjects:
                axes.plot([found.low, found.high], [row + apart] * 2, color=_colour(place), linewidth=1.6)
                name = arm if row == 0 else "_"
                axes.plot([found.mean], [row + apart], _mark(place), color=_colour(place), markersize=5, label=name)
    axes.axvline(0, color="#555555", linewidth=1, zorder=1)
    axes.set_yticks(range(len(shown)), [_plain(shortened(label, 36)) for label in shown], fontsize=8)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    name = f"difference in {metric_name(comparison.metric)}{_unit(comparison)}, minus {shortened(comparison.first)}"
    axes.set_xlabel(name, parse_math=False)
    axes.grid(alpha=0.3, axis="x")
    if len(others) > 1:
        from matplotlib.lines import Line2D

        handles = [
            Line2D([], [], color=_colour(place), marker=_mark(place), label=_plain(shortened(arm)))
            for place, arm in enumerate(others, start=1)
        ]
        axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)


def _draw_mean(axes: Axes, x: float, found: Interval) -> None:
    """The mean as a diamond, its interval as a bar."""
    axes.plot([x, x], [found.low, found.high], color="black", linewidth=2, zorder=3)
    axes.plot([x], [found.mean], "D", color="black", markersize=5, zorder=3)


def _swarm(values: Floats, width: float) -> Floats:
    """Where the points of a column stand across, up to `width` to either side: those of about one height apart."""
    if not len(values):
        return values
    part = np.floor(_SWARM * (values - values.min()) / max(float(np.ptp(values)), 1e-12)).astype(int)
    beside = np.zeros(len(values), int)
    for one in np.unique(part):
        inside = np.flatnonzero(part == one)
        beside[inside] = np.arange(len(inside))
    steps = np.where(beside % 2, 1, -1) * ((beside + 1) // 2)
    most = max(4, int(np.abs(steps).max()))
    across: Floats = width * steps / most
    return across


def _point(place: int) -> dict[str, Any]:
    return {"color": _colour(place), "markersize": 4.5, "alpha": 0.75, "markeredgewidth": 0, "zorder": 2}


def _colour(place: int) -> str:
    return _COLOURS[place % len(_COLOURS)]


def _mark(place: int) -> str:
    return _MARKS[place % len(_MARKS)]


def _name(arm: str) -> str:
    """An arm's name at an axis, in short lines."""
    return _plain("\n".join(textwrap.wrap(shortened(arm, 40), 14)))


def _plain(text: str) -> str:
    """A text as it stands: matplotlib reads what is between `$` as a formula."""
    return text.replace("$", r"\$")


def _unit(comparison: Comparison) -> str:
    unit = unit_of(comparison.metric).strip()
    return f" ({unit})" if unit else ""
