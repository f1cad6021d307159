"""What a page is made of: sections of blocks, each a frozen dataclass that one macro of the template shows.

Texts are plain: the template escapes them. `Markup` is what this package has made itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

from markupsafe import Markup

MOST_ROWS = 1500
"""That a table shows: a browser scrolls more, nobody reads them, and the page is to stay small (ours)."""
MOST_NOTES = 200
"""The same of sentences in a list."""
Tone = Literal["plain", "good", "bad"]


@dataclass(frozen=True)
class Prose:
    """A paragraph."""

    kind: ClassVar[str] = "prose"
    text: str


@dataclass(frozen=True)
class Notes:
    """Sentences that a reader should not miss, or a plain list."""

    kind: ClassVar[str] = "notes"
    items: tuple[str, ...]
    title: str = ""
    tone: Tone = "plain"
    """`bad` for warnings."""

    def cut(self) -> Self:
        """The notes with as many as a page shows; where there are more, the last says so."""
        if len(self.items) <= MOST_NOTES:
            return self
        return replace(self, items=(*self.items[:MOST_NOTES], f"and {len(self.items) - MOST_NOTES} more"))


@dataclass(frozen=True)
class Card:
    """One figure that matters."""

    label: str
    value: str
    detail: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True)
class Cards:
    """The figures that matter, side by side."""

    kind: ClassVar[str] = "cards"
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Facts:
    """Terms with what is true of them."""

    kind: ClassVar[str] = "facts"
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    numeric: bool = False
    """Right aligned, and sorted as numbers."""
    help: str = ""
    """What it is, for who points at it."""


@dataclass(frozen=True)
class Cell:
    """A cell with what it is sorted by, where that is not its text."""

    text: str
    sort: float | None = None
    """None: by the text; of a numeric column such cells come last."""


@dataclass(frozen=True)
class Table:
    """Rows that a reader can sort."""

    kind: ClassVar[str] = "table"
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    sortable: bool = True
    last: tuple[Cell, ...] = ()
    """A row that stays at the end, such as the mean."""

    def cut(self) -> Self:
        """The table with as many rows as a page shows; where it has more, its caption says so."""
        if len(self.rows) <= MOST_ROWS:
            return self
        caption = f"{self.caption} (the first {MOST_ROWS} of {len(self.rows)} rows; the files beside have all)"
        return replace(self, caption=caption, rows=self.rows[:MOST_ROWS])


@dataclass(frozen=True)
class Figure:
    """A drawing as SVG."""

    kind: ClassVar[str] = "figure"
    svg: Markup
    caption: str
    points: bool = False
    """Whether points have names, which are shown where one is tapped."""


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI."""

    uri: str
    alt: str
    caption: str = ""
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Pictures:
    """Small pictures in a grid."""

    kind: ClassVar[str] = "pictures"
    pictures: tuple[Picture, ...]
    legend: tuple[tuple[str, str], ...] = ()
    """(name, colour) of the structures."""
    wide: bool = False
    """Whether each is to be looked at by itself, not as one of many."""


@dataclass(frozen=True)
class Commands:
    """Command lines."""

    kind: ClassVar[str] = "commands"
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Text:
    """A text as it stands in a file."""

    kind: ClassVar[str] = "text"
    text: str
    label: str


@dataclass(frozen=True)
class Layer:
    """All slices of a picture in one, row by row in a grid: the template gives it to the style sheet once."""

    name: str
    """Class of the elements that show it, distinct on the page."""
    uri: str


@dataclass(frozen=True)
class Panel:
    """A window onto the same slice of some layers, one above the other."""

    title: str
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Viewer:
    """A case to scroll through."""

    kind: ClassVar[str] = "viewer"
    name: str
    """Of the case."""
    why: str
    """Why it is shown, and how it came out."""
    panels: tuple[Panel, ...]
    places: tuple[tuple[float, float], ...]
    """Of each slice in the grid of its layers: percent from left and top, as CSS has background positions."""
    numbers: tuple[int, ...]
    """Of each slice in the volume, from 1."""
    of: int
    """Slices of the volume."""
    grid: tuple[int, int]
    """Columns and rows of the layers."""
    aspect: float
    """Width over height of a slice, in millimetres."""
    start: int
    """Slice that is shown first."""
    legend: tuple[tuple[str, str], ...]
    """(name, colour) of the structures."""
    errors: tuple[tuple[str, str], ...] = ()
    """(name, colour) of the kinds of errors."""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Each layer once."""
        return tuple({layer.name: layer for panel in self.panels for layer in panel.layers}.values())


@dataclass(frozen=True)
class Folded:
    """Blocks that a reader opens."""

    kind: ClassVar[str] = "folded"
    title: str
    blocks: tuple[Block, ...]


Block = Prose | Notes | Cards | Facts | Table | Figure | Pictures | Commands | Text | Viewer | Folded


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading of its own."""

    key: str
    """Its address on the page."""
    title: str
    blocks: tuple[Block, ...]
    lead: str = ""
    """What it answers, in a sentence."""


@dataclass(frozen=True)
class Page:
    """A report."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    made: str
    """By what it was made, and when."""


def walk(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """The blocks with those that are folded in others."""
    return tuple(one for block in blocks for one in (block, *(walk(block.blocks) if isinstance(block, Folded) else ())))
