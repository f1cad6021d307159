"""The drawings of a page: values case by case, curves, what was promised against what was reached, arms of a study."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from autospine.report.canvas import new_figure
from autospine.report.page.material import ClassGain, Comparison
from autospine.report.page.svg import INK, SERIES, grid, page_style, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 7.2
"""Inches."""
_LONGEST = 28
"""Letters of a name beside an axis."""
MOST_POINTS = 2500
"""That a drawing has: of more a part is drawn, the outermost ones always (ours)."""
MOST_CURVES = 12
"""Structures that have a curve of their own."""


@dataclass(frozen=True)
class Point:
    """A value with its name."""

    value: float
    name: str


def strips(
    rows: Mapping[str, Sequence[Point]], key: str, label: str, xlabel: str, *, log: bool = False, unit: bool = False
) -> Markup:
    """A row for each name, with all its points, their quartiles as a bar and their median as a stroke.

    Args:
        rows: name -> its points; NaN are left out.
        key: distinct on the page.
        label: what it shows, for who does not see it.
        xlabel: what the values are.
        log: a logarithmic axis; values from 0 down are left out.
        unit: the values end at 1.
    """
    with page_style():
        figure = new_figure(_WIDTH, 0.75 + 0.34 * max(len(rows), 1))
        axes = figure.subplots()
        names: dict[str, list[str]] = {}
        for place, points in enumerate(rows.values()):
            held = [one for one in points if math.isfinite(one.value) and (one.value > 0 or not log)]
            held = _part(held, MOST_POINTS // len(rows))
            if not held:
                continue
            values = np.array([one.value for one in held])
            low, median, high = np.percentile(values, (25, 50, 75))
            axes.plot([low, high], [-place, -place], color=SERIES[0], alpha=0.35, linewidth=9, solid_capstyle="butt")
            axes.plot([median, median], [-place - 0.3, -place + 0.3], color=INK, linewidth=2)
            group = f"points-{place}"
            axes.plot(
                values,
                -place + _beside(values),
                "o",
                markersize=4.5,
                color=SERIES[0],
                alpha=0.75,
                gid=group,
                markeredgewidth=0,
            )
            names[group] = [one.name for one in held]
        axes.set_yticks([-place for place in range(len(rows))], [shortened(name) for name in rows])
        axes.set_ylim(-len(rows) + 0.4, 0.6)
        if log:
            _logarithmic(axes)
        if unit and axes.get_xlim()[1] > 1:
            axes.set_xlim(right=1.005)
        axes.set_xlabel(xlabel)
        grid(axes, "x")
        return to_svg(figure, key, label, names)


def curves(history: Mapping[str, Sequence[float]], key: str, label: str) -> Markup:
    """Losses and Dice of a training over its epochs."""
    with page_style():
        figure = new_figure(_WIDTH, 5.2)
        loss_axes, dice_axes = figure.subplots(2, 1, sharex=True)
        epochs = list(history.get("epoch", ()))
        for name, title, style in (("train_loss", "training", "-"), ("validation_loss", "validation", "--")):
            _curve(loss_axes, epochs, history.get(name), title, color=SERIES[0], linestyle=style)
        loss_axes.set_ylabel("loss")
        structures = [name for name in history if name.startswith("dice_") and name != "dice_mean"]
        for place, name in enumerate(structures[:MOST_CURVES]):
            style = ("-", "--", ":")[place // len(SERIES) % 3]
            title = shortened(name.removeprefix("dice_"))
            _curve(
                dice_axes,
                epochs,
                history[name],
                title,
                color=SERIES[place % len(SERIES)],
                linewidth=1.2,
                linestyle=style,
            )
        _curve(dice_axes, epochs, history.get("dice_mean"), "mean", color=INK, linewidth=2.2)
        dice_axes.set_ylabel("Dice in patches")
        dice_axes.set_ylim(-0.02, 1.02)
        dice_axes.set_xlabel("epoch")
        dice_axes.xaxis.get_major_locator().set_params(integer=True)
        for axes in (loss_axes, dice_axes):
            grid(axes)
            if axes.get_legend_handles_labels()[1]:
                axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=8)
        return to_svg(figure, key, label)


def against(points: Sequence[tuple[float, float, str]], key: str, label: str, xlabel: str, bound: bool) -> Markup:
    """Dice that was reached over Dice that was said before, with the line on which both agree.

    Args:
        points: (said, reached, name).
        key: distinct on the page.
        label: what it shows, for who does not see it.
        xlabel: what was said.
        bound: whether it was a bound: what lies above the line has kept it.
    """
    with page_style():
        figure = new_figure(5.4, 4.6)
        axes = figure.subplots()
        there = [one for one in points if math.isfinite(one[0]) and math.isfinite(one[1])]
        groups = {
            "kept": [one for one in there if not bound or one[1] >= one[0]],
            "broken": [one for one in there if bound and one[1] < one[0]],
        }
        # each by itself: the broken ones are few, and what is looked for
        groups = {name: held[:: max(1, math.ceil(2 * len(held) / MOST_POINTS))] for name, held in groups.items()}
        low = min((min(said, reached) for said, reached, _ in there), default=0.0)
        start = max(0.0, math.floor(low * 10) / 10)
        axes.plot([start, 1], [start, 1], color=INK, linewidth=1, linestyle="--")
        for number, (group, held) in enumerate(groups.items()):
            if held:
                said, reached = [one[0] for one in held], [one[1] for one in held]
                colour, shape = SERIES[(0, 1)[number]], "oD"[number]
                axes.plot(said, reached, shape, markersize=5, color=colour, alpha=0.75, gid=group, markeredgewidth=0)
        margin = 0.02 * (1 - start)
        axes.set_xlim(start - margin, 1 + margin)
        axes.set_ylim(start - margin, 1 + margin)
        axes.set_xlabel(xlabel)
        axes.set_ylabel("Dice reached")
        grid(axes)
        return to_svg(figure, key, label, {group: [one[2] for one in held] for group, held in groups.items()})


def differences(comparisons: Sequence[Comparison], key: str, label: str) -> Markup:
    """Paired differences of the mean Dice: a point per subject, the mean and its interval, per arm."""
    with page_style():
        figure = differences_figure(comparisons, INK, lambda row: SERIES[row % len(SERIES)])
        names = {f"arm-{row}": [name for name, _ in one.differences] for row, one in enumerate(comparisons)}
        return to_svg(figure, key, label, names)


def sizes(gains: Sequence[ClassGain], reference: str, key: str, label: str) -> Markup:
    """Dice gained in each class over its size."""
    with page_style():
        figure = sizes_figure(gains, reference, INK, lambda row: SERIES[row % len(SERIES)])
        return to_svg(figure, key, label)


def differences_figure(comparisons: Sequence[Comparison], ink: str, colour: Callable[[int], str]) -> Figure:
    """As `differences`, in the colours that are given."""
    figure = new_figure(7.5, 1.4 + 0.7 * len(comparisons))
    axes = figure.subplots()
    for row, one in enumerate(comparisons):
        values = np.array([value for _, value in one.differences])
        height = -row + _beside(values)
        axes.plot(values, height, "o", markersize=4, alpha=0.6, color=colour(row), markeredgewidth=0, gid=f"arm-{row}")
        axes.plot([known(one.low), known(one.high)], [-row, -row], color=ink, linewidth=2)
        axes.plot([known(one.mean)], [-row], "D", color=ink, markersize=5)
    axes.axvline(0, color="grey", linewidth=1)
    axes.set_yticks([-row for row in range(len(comparisons))], [shortened(one.arm) for one in comparisons])
    axes.set_ylim(-len(comparisons) + 0.4, 0.6)
    reference = comparisons[0].reference if comparisons else ""
    axes.set_xlabel(f"mean Dice of a subject, minus that of {reference}", parse_math=False)
    grid(axes, "x")
    figure.suptitle("Points: subjects. Diamond and bar: their mean and its 95 % interval", fontsize=9)
    return figure


def sizes_figure(gains: Sequence[ClassGain], reference: str, ink: str, colour: Callable[[int], str]) -> Figure:
    """As `sizes`, in the colours that are given."""
    from matplotlib.lines import Line2D

    figure = new_figure(7.5, 4.6)
    axes = figure.subplots()
    arms = list(dict.fromkeys(one.arm for one in gains))
    sized = {one.label: one.voxels for one in gains if one.voxels}
    logs = [math.log(size) for size in sized.values()]
    # arms of a class stand side by side, near enough to see that their size is one
    beside = 0.012 * max(max(logs, default=0) - min(logs, default=0), 0.3)
    for place, arm in enumerate(arms):
        found = [one for one in gains if one.arm == arm and one.label in sized and one.subjects]
        x = [sized[one.label] * math.exp(beside * (place - (len(arms) - 1) / 2)) for one in found]
        mean = [known(one.mean) for one in found]
        below = [known(one.mean) - known(one.low) for one in found]
        above = [known(one.high) - known(one.mean) for one in found]
        spread = np.nan_to_num([below, above])
        axes.errorbar(x, mean, spread, fmt="o", markersize=4, capsize=2, color=colour(place))
    axes.axhline(0, color="grey", linewidth=1)
    _logarithmic(axes)
    axes.margins(x=0.06)
    _name_above(axes, sized, ink)
    axes.set_xlabel("voxels of the class in the reference, median over subjects")
    axes.set_ylabel(f"Dice minus that of {reference}", parse_math=False)
    grid(axes)
    # beside the axes, and as strokes: a marker in the plot would look like one more class
    handles = [Line2D([], [], color=colour(place), linewidth=5) for place in range(len(arms))]
    figure.legend(handles, [shortened(arm) for arm in arms], loc="outside right center", frameon=False, fontsize=8)
    return figure


def known(value: float | None) -> float:
    """The value; NaN for None, which is drawn nowhere."""
    return math.nan if value is None else value


def shortened(name: str) -> str:
    """A name as it fits beside an axis; one that begins with `_` would be left out of a legend.

    What cannot be printed is a space: of control characters no SVG can be read.
    """
    text = "".join(letter if letter.isprintable() else " " for letter in name.lstrip("_") or name.replace("_", " "))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _name_above(axes: Axes, sizes_of: Mapping[str, float], ink: str) -> None:
    """The classes' names above the plot, each with a stroke to its size; near ones are moved apart."""
    if not sizes_of:
        return
    order = sorted(sizes_of, key=lambda name: sizes_of[name])
    low, high = (math.log(limit) for limit in axes.get_xlim())
    wanted = [(math.log(sizes_of[name]) - low) / (high - low) for name in order]
    gap = min(0.032, 1 / max(len(order), 1))
    for name, place, x in zip(order, _apart(wanted, gap), wanted, strict=True):
        axes.annotate(
            shortened(name),
            xy=(x, 1),
            xytext=(place, 1.06),
            xycoords="axes fraction",
            textcoords="axes fraction",
            rotation=90,
            ha="center",
            va="bottom",
            fontsize=7,
            color=ink,
            arrowprops={"arrowstyle": "-", "color": "grey", "linewidth": 0.7, "shrinkA": 0, "shrinkB": 0},
        )


def _apart(wanted: Sequence[float], gap: float) -> list[float]:
    """Places at least `gap` apart, in order, about where they are `wanted`: groups that touch keep their middle.

    0.5, 0.5, 0.9 with a gap of 0.1 become 0.45, 0.55, 0.9.
    """
    groups: list[tuple[float, int]] = []
    for place in wanted:
        groups.append((place, 1))
        while len(groups) > 1:
            (left, some), (right, more) = groups[-2:]
            if right - left >= gap * (some + more) / 2 - 1e-9:
                break
            groups[-2:] = [((left * some + right * more) / (some + more), some + more)]
    return [middle + gap * (place - (count - 1) / 2) for middle, count in groups for place in range(count)]


def _logarithmic(axes: Axes) -> None:
    """A logarithmic axis of what is drawn, with plain numbers: 1, 10, 100, or more where it spans less."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    spans = high / low
    steps = (1,) if spans > 300 else (1, 2, 5) if spans > 6 else (1, 2, 3, 4, 5, 6, 8)
    axes.xaxis.set_major_locator(LogLocator(subs=steps))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _part(points: list[Point], most: int) -> list[Point]:
    """At most so many of the points, evenly by their ranks, the smallest and the largest among them."""
    if len(points) <= most:
        return points
    ranked = sorted(points, key=lambda one: one.value)
    return [ranked[round(place)] for place in np.linspace(0, len(ranked) - 1, max(most, 2))]


def _beside(values: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[Any]]:
    """Heights that part points with about the same value: by their ranks, so that the same data look the same."""
    ranks = np.argsort(np.argsort(values))
    return np.asarray(0.26 * np.where(ranks % 2, 1, -1) * (ranks % 5) / 5)


def _curve(axes: Axes, epochs: list[float], values: Sequence[float] | None, title: str, **style: Any) -> None:
    """A curve, with points while they are few; nothing where there is no number to draw."""
    if values is not None and any(math.isfinite(value) for value in values):
        axes.plot(epochs, values, label=title, marker="o" if len(values) <= 30 else "", markersize=3, **style)
