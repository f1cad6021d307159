from __future__ import annotations

import math
import re

import pytest

from autospine.report.page.material import ClassGain, Comparison
from autospine.report.page.plots import (
    MOST_POINTS,
    Point,
    _apart,
    against,
    curves,
    differences,
    differences_figure,
    shortened,
    sizes_figure,
    strips,
)


def titles(svg: str) -> list[str]:
    return re.findall(r"<title>(.*?)</title>", svg)


def test_every_case_is_a_point_with_its_name() -> None:
    rows = {"L1": [Point(0.9, "a"), Point(0.8, "b"), Point(math.nan, "c")], "L2": [Point(0.7, "d & e")], "L3": []}
    svg = strips(rows, "k", "what", "Dice", unit=True)
    assert titles(svg) == ["a", "b", "d &amp; e"]
    assert all(f">{name}<" in svg for name in ("L1", "L2", "L3"))


def test_logarithmic_axes_leave_out_what_they_cannot_show() -> None:
    svg = strips({"L1": [Point(0.0, "none"), Point(10.0, "ten"), Point(1000.0, "more")]}, "k", "what", "ml", log=True)
    assert titles(svg) == ["ten", "more"]


def test_of_very_many_points_a_part_is_drawn() -> None:
    points = [Point(number / 10_000, str(number)) for number in range(10_000)]
    found = titles(strips({"L1": points}, "k", "what", "Dice"))
    assert len(found) <= MOST_POINTS and {"0", "9999"} <= set(found)


def test_curves_of_gaps_many_structures_and_one_epoch() -> None:
    svg = curves({"epoch": [0.0], "train_loss": [math.nan], "dice_L1": [0.5], "dice_mean": [0.5]}, "k", "what")
    assert "<svg" in svg and ">L1<" in svg and ">training<" not in svg
    many = {"epoch": [0.0, 1.0], **{f"dice_{number}": [0.1, 0.2] for number in range(30)}}
    assert "<svg" in curves(many, "k", "what")


def test_promises_that_are_kept_and_broken_are_told_apart() -> None:
    svg = against(
        [(0.8, 0.9, "kept"), (0.8, 0.7, "broken"), (math.nan, 0.5, "none")], "k", "what", "promised", bound=True
    )
    assert titles(svg) == ["kept", "broken"]
    groups = re.findall(r'<g id="k-(kept|broken)"', svg)
    assert groups == ["kept", "broken"]
    assert 'id="k-broken"' not in against([(0.8, 0.7, "x")], "k", "what", "expected", bound=False)


def test_of_very_many_promises_the_broken_ones_are_drawn() -> None:
    points = [(0.8, 0.7 if place % 1000 == 1 else 0.9, str(place)) for place in range(10_000)]
    found = titles(against(points, "k", "what", "promised", bound=True))
    assert len(found) <= MOST_POINTS and {str(1000 * place + 1) for place in range(10)} <= set(found)


def test_names_that_cannot_be_printed() -> None:
    svg = strips({"a\x01b\udcff": [Point(0.5, "c\x02\udcff")]}, "k", "what", "Dice")
    assert ">a b <" in svg


def test_names_that_would_lie_on_each_other_are_moved_apart() -> None:
    assert _apart([0.5, 0.5, 0.9], 0.1) == pytest.approx([0.45, 0.55, 0.9])
    assert _apart([0.1, 0.2], 0.05) == pytest.approx([0.1, 0.2])
    assert _apart([0.5, 0.5, 0.55], 0.1) == pytest.approx([0.51667 - 0.1, 0.51667, 0.51667 + 0.1], abs=1e-4)
    assert _apart([], 0.1) == []


def gains(count: int = 6) -> list[ClassGain]:
    return [
        ClassGain(f"L{number}", 300.0 + number, arm, 0.01, -0.05, 0.05, 5)
        for number in range(count)
        for arm in ("first", "second")
    ]


def test_no_name_lies_on_what_is_drawn_and_the_legend_is_beside_it() -> None:
    figure = sizes_figure(gains(), "base", "black", lambda place: f"C{place}")
    figure.canvas.draw()
    axes = figure.axes[0]
    inside = axes.get_window_extent()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 6 and all(box.y0 >= inside.y1 for box in boxes)
    order = sorted(boxes, key=lambda box: box.x0)
    assert all(one.x1 <= other.x0 for one, other in zip(order, order[1:], strict=False))
    (legend,) = figure.legends
    assert legend.get_window_extent().x0 >= inside.x1 and axes.get_legend() is None
    assert all(handle.get_marker() == "None" for handle in legend.get_lines())


def test_arms_against_the_first() -> None:
    one = Comparison("better", "base", (("s1", -0.1), ("s2", 0.2)), 0.05, None, None, "")
    assert titles(differences([one], "k", "what")) == ["s1", "s2"]
    figure = differences_figure([one], "black", lambda place: "C0")
    assert list(figure.axes[0].lines[0].get_xdata()) == [-0.1, 0.2]


def test_names_beside_an_axis() -> None:
    assert shortened("a" * 40) == "a" * 27 + "…" and shortened("_hidden") == "hidden" and shortened("L5") == "L5"
