from __future__ import annotations

import re
from importlib.resources import files

import numpy as np

from autospine.report.page import colours


def luminance(colour: tuple[int, ...]) -> float:
    """Relative luminance by WCAG 2."""
    parts = [part / 255 for part in colour]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def themes() -> list[dict[str, tuple[int, ...]]]:
    """Colours of the style sheet: light, then dark."""
    css = files("autospine.report.page").joinpath("templates", "page.css").read_text("utf-8")
    blocks = re.findall(r":root[^{]*\{([^}]*)\}", css)
    found = []
    for block in blocks[:3]:
        pairs = re.findall(r"--([\w-]+):\s*#([0-9a-f]{6})", block)
        found.append({name: tuple(int(value[at : at + 2], 16) for at in (0, 2, 4)) for name, value in pairs})
    return found


def test_structures_differ_from_their_neighbours_in_lightness_or_hue() -> None:
    shades = [colours.structure_colour(index) for index in range(28)]
    assert len(set(shades)) == 28
    for one, other in zip(shades[:6], shades[1:7], strict=True):
        assert contrast(one, other) > 1.3, (one, other)
    assert colours.css((0, 114, 178)) == "#0072b2"


def test_both_dark_themes_are_the_same() -> None:
    light, system, chosen = themes()
    assert system == chosen and set(light) == set(system) and len(light) > 15


def test_text_and_curves_stand_out_from_the_ground() -> None:
    for theme in themes():
        for ground in ("paper", "card", "warn-paper"):
            for text in ("ink", "soft", "link"):
                assert contrast(theme[text], theme[ground]) >= 4.5, (text, ground)
        for number in range(colours.SERIES):
            assert contrast(theme[f"series-{number}"], theme["paper"]) >= 3, number
        assert contrast(theme["bad"], theme["warn-paper"]) >= 3
