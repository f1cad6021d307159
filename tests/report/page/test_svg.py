from __future__ import annotations

import re
from xml.etree import ElementTree

from autospine.report.canvas import new_figure
from autospine.report.page.svg import FAINT, INK, SERIES, grid, page_style, to_svg

NAMES = ("one", "<script>two</script>", 'thr"ee')


def drawn(key: str = "plot-a", label: str = "what") -> str:
    with page_style():
        figure = new_figure(3, 2)
        axes = figure.subplots()
        axes.plot([1, 2, 3], [3, 1, 2], "o", color=SERIES[0], gid="points")
        axes.plot([1, 3], [1, 1], color=INK, label="a $ b $ <i>")
        axes.set_xlabel("x of $c$ & d")
        axes.legend()
        grid(axes)
        return str(to_svg(figure, key, label, {"points": NAMES}))


def test_colours_become_those_of_the_page() -> None:
    text = drawn()
    assert INK not in text and FAINT not in text and not any(colour in text for colour in SERIES)
    assert "currentColor" in text and "var(--series-0)" in text and "var(--faint)" in text
    assert "font-family" not in text and "<style" not in text and "metadata" not in text and "http" not in text


def test_points_have_names_that_stay_text() -> None:
    root = ElementTree.fromstring(drawn())
    points = [element for element in root.iter("use") if element.get("class") == "point"]
    assert [point.findtext("title") for point in points] == list(NAMES)
    assert [float(point.get("x", 0)) for point in points] == sorted(float(point.get("x", 0)) for point in points)
    words = "".join(root.itertext())
    assert "x of $c$ & d" in words and "a $ b $ <i>" in words


def test_what_all_points_look_like_is_said_once() -> None:
    root = ElementTree.fromstring(drawn())
    group = next(element for element in root.iter("g") if element.find("use[@class='point']") is not None)
    assert "fill: var(--series-0)" in group.get("style", "")
    assert all(point.get("style") is None for point in group.findall("use"))


def test_two_figures_of_a_page_share_no_name() -> None:
    texts = drawn("plot-a"), drawn("plot-b")
    ids = [set(re.findall(r' id="([^"]+)"', text)) for text in texts]
    assert ids[0] and not ids[0] & ids[1]
    for held, text in zip(ids, texts, strict=True):
        pointed = set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text))
        assert pointed <= held


def test_who_does_not_see_it_is_told_what_it_shows() -> None:
    root = ElementTree.fromstring(drawn(label='Dice of "L1" <b>'))
    assert root.get("role") == "img" and root.get("aria-label") == 'Dice of "L1" <b>'
    assert root.get("viewBox") and root.get("width") is None and root.get("height") is None


def test_the_same_figure_is_the_same_text() -> None:
    assert drawn() == drawn()
