"""Figures of matplotlib as SVG that lies in the page: its text is the page's, its colours follow light and dark.

Figures are drawn in colours that stand for others (`INK`, `FAINT`, `SERIES`), which become `currentColor` and variables
of the style sheet. Text stays text, in the page's font. What matplotlib numbers is numbered anew for each figure, since
two figures share a page, and a mark that has a name gets it as its title.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

from autospine.report.canvas import new_figure
from autospine.report.page import colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, LINE = "#010203", "#010204", "#010205"
"""Text; axes; grid lines."""
SERIES = tuple(f"#0102{16 + number:02x}" for number in range(colours.SERIES))
"""Curves and points."""
_STANDS_FOR = {INK: "currentColor", FAINT: "var(--faint)", LINE: "var(--line)"} | {
    colour: f"var(--series-{number})" for number, colour in enumerate(SERIES)
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "autospine",
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # names may hold two dollar signs
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
}
_SPACE = re.compile(r"\{[^}]*\}")
_DROPPED = ("metadata", "style")


@contextmanager
def page_style() -> Iterator[None]:
    """A block in which figures are drawn for a page."""
    figure = new_figure(1, 1)  # loads matplotlib, in silence
    del figure
    from matplotlib import rc_context

    with rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the page's font has them
        yield


def to_svg(figure: Figure, key: str, label: str, names: Mapping[str, Sequence[str]] | None = None) -> Markup:
    """The figure, drawn inside `page_style`, as an element of a page.

    Args:
        figure: what to show.
        key: distinct on the page; begins what is numbered in it.
        label: what it shows, for who does not see it.
        names: of groups of points (the `gid` of a line drawn with markers), the names of their points in order.
    """
    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(text.getvalue())
    for element in root.iter():
        element.tag = _SPACE.sub("", element.tag)
        element.attrib = {_SPACE.sub("", name): value for name, value in element.attrib.items()}
        for dropped in [child for child in element if _SPACE.sub("", child.tag) in _DROPPED]:
            element.remove(dropped)
    for group, given in (names or {}).items():
        _name_points(root, group, given)
    for held in root.iter("g"):
        _share_style(held)
    for element in root.iter():
        element.attrib = {name: _anew(name, value, key) for name, value in element.attrib.items()}
    width = float(root.attrib.pop("width").removesuffix("pt"))
    del root.attrib["height"]
    root.attrib |= {"class": "plot", "role": "img", "aria-label": label, "style": f"max-width:{width * 4 / 3:.0f}px"}
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # every text in it was escaped by the tree


def grid(axes: Axes, along: str = "both") -> None:
    """Grid lines behind what is drawn."""
    if along == "both":
        axes.grid()
    else:
        axes.grid(axis="x" if along == "x" else "y")


def _name_points(root: ElementTree.Element, group: str, names: Sequence[str]) -> None:
    """Give the marks of a group their names; a mark is a `use` of the group's one shape."""
    held = next((element for element in root.iter("g") if element.get("id") == group), None)
    marks = [] if held is None else list(held.iter("use"))
    for mark, name in zip(marks, names, strict=False):
        mark.set("class", "point")
        ElementTree.SubElement(mark, "title").text = name


def _share_style(group: ElementTree.Element) -> None:
    """Say once, at the group, what all its marks look like: a thousand points say it a thousand times."""
    marks = group.findall("use")
    styles = {mark.get("style") for mark in marks}
    if len(marks) > 1 and len(styles) == 1 and group.get("style") is None:
        group.set("style", styles.pop() or "")
        for mark in marks:
            mark.attrib.pop("style", None)
            mark.attrib |= {name: f"{float(mark.attrib[name]):.2f}" for name in ("x", "y") if name in mark.attrib}


def _anew(attribute: str, value: str, key: str) -> str:
    """The value of an attribute with its names begun by `key` and its colours those of the page."""
    if attribute == "id":
        return f"{key}-{value}"
    if attribute == "href":
        return value.replace("#", f"#{key}-", 1)
    if attribute == "class":
        return value
    value = value.replace("url(#", f"url(#{key}-")
    if attribute == "style":
        value = re.sub(r"font:\s*([\d.]+px)[^;]*", r"font-size:\1", value)
        value = re.sub(r"font-family:[^;]*;?", "", value)
    for stands, colour in _STANDS_FOR.items():
        value = value.replace(stands, colour)
    return value
