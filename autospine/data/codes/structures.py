"""Names of labels as coded structures: what a label is in SNOMED CT, on which side, at which level, in which colour.

`anatomy.csv` beside this module is the table. Its column `names` holds what a structure is called, in lower case; its
`source` says where the code was looked up: the dictionary of DICOM's own codes that pydicom ships (`DICOM`), the value
sets that HL7 publishes (`HL7`: FHIR's body sites, CodeX' radiotherapy structures), or `own`: a code of the scheme
99AUTOSPINE, where no public table says which SNOMED code is right. Users spell names as they like:

    L5   vertebra_L5   vertebraeL5       ->  L5 vertebra
    disc L4/L5   L4-L5   L45   IVD_L4-5  ->  L4/L5 disc
    right ES   erector_spinae_R          ->  erector spinae muscle, right
    L3 spinous process                   ->  spinous process of vertebra, in the region of the L3 vertebra

A name that the table does not know keeps its own text, under a code of 99AUTOSPINE that is made of it.
"""

from __future__ import annotations

import colorsys
import csv
import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

OWN_SCHEME = "99AUTOSPINE"
"""Designator of codes that are ours; DICOM keeps those that begin with 99 for private schemes (PS3.16, 8.2)."""
Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

_LONGEST_MEANING = 64
"""Letters of a code's meaning (the value representation LO of DICOM)."""
_ENDS = {"c": 7, "t": 13, "l": 6, "s": 5}
"""Last vertebra of each region, with the T13 and L6 that some people have."""
_VERTEBRA = frozenset({"", "vertebra", "vertebrae", "vertebral", "vert"})
_VERTEBRAE = _VERTEBRA - {""} | {"vertebral body", "vertebral bodies", "vertebra body", "vertebral column"}
_DISC = "disc"
_LEVEL = r"(c|th|t|l|s)0?(\d{1,2})"
_NO_WORDS = frozenset({"label", "seg", "segmentation", "mask", "structure", "level", "of", "the"})
_SAID_SEQUENCES = ("t1", "t2")
"""Levels that are called as weightings are: a lesion in T1 may be one that T1 shows."""
_DARKER = 0.72
"""Of the colour of a right structure against the left one's."""


@dataclass(frozen=True)
class Code:
    """An entry of a terminology."""

    scheme: str
    """Its designator in DICOM: `SCT` for SNOMED CT."""
    value: str
    meaning: str


SIDES = {"left": Code("SCT", "7771000", "Left"), "right": Code("SCT", "24028007", "Right")}
CATEGORIES = {
    "anatomy": Code("SCT", "91723000", "Anatomical Structure"),
    "tissue": Code("SCT", "85756007", "Tissue"),
    "abnormal": Code("SCT", "49755003", "Morphologically Abnormal Structure"),
}
"""Of DICOM's CID 7150."""
_SIDE_WORDS = {
    **dict.fromkeys(("left", "l", "lt", "sinister", "sinistra"), "left"),
    **dict.fromkeys(("right", "r", "rt", "dexter", "dextra"), "right"),
}


@dataclass(frozen=True)
class Structure:
    """A label with what it means."""

    name: str
    """As the data set calls it."""
    value: int
    """In the masks, above 0."""
    category: Code
    type: Code
    colour: Colour
    side: Code | None = None
    region: Code | None = None
    """The vertebra that it is a part of, where its name says that."""

    @property
    def known(self) -> bool:
        """Whether the table knows what it is; else the code is made of its name."""
        return self.type.scheme != OWN_SCHEME or self.type.value in {row.code.value for row in _table().values()}


@dataclass(frozen=True)
class _Row:
    """A line of the table."""

    code: Code
    category: str
    colour: Colour
    source: str


@dataclass(frozen=True)
class _Spelt:
    """What a name says."""

    phrase: str
    """Its words without sides and levels."""
    levels: tuple[str, ...]
    side: str | None


def structures_of(labels: Sequence[tuple[str, int]]) -> tuple[Structure, ...]:
    """The structures of (name, value in the masks) pairs, in their order, each with a colour of its own.

    A structure has the same colour in every model, unless another one before it in `labels` has taken it.
    """
    taken: set[Colour] = set()
    found = []
    for name, value in labels:
        row, spelt = _lookup(name)
        colour = _free(_colour(row, spelt, name), taken)
        taken.add(colour)
        kind = row.code if row else Code(OWN_SCHEME, _own_value(name), _meaning(name))
        category = CATEGORIES[row.category if row else "anatomy"]
        side = SIDES[spelt.side] if spelt.side else None
        found.append(Structure(name, value, category, kind, colour, side, _region(row, spelt)))
    return tuple(found)


def levels_named(name: str) -> tuple[str, ...]:
    """The level of which a name says that it is the vertebra (`vertebra_L5` -> l5), or the two of a disc, upper first.

    Empty for all else: parts of vertebrae, one side of them, the sacrum.
    """
    table, spelt = _table(), _spelt(name)
    if spelt.side or "" in spelt.levels or len(spelt.levels) not in (1, 2):
        return ()
    if len(spelt.levels) == 1:
        return spelt.levels if spelt.phrase in _VERTEBRA else ()
    return spelt.levels if not spelt.phrase or table.get(spelt.phrase) == table[_DISC] else ()


def is_vertebrae(name: str) -> bool:
    """Whether a name says vertebrae without saying which, such as `vertebra` or `vertebral_bodies`."""
    spelt = _spelt(name)
    return not spelt.levels and spelt.side is None and spelt.phrase in _VERTEBRAE


def place_in_spine(level: str) -> tuple[int, int]:
    """What a level is sorted by, from the head on: its region and its number there."""
    return "ctls".index(level[0]), int(level[1:])


def known_codes() -> tuple[tuple[Code, str], ...]:
    """Each code of the table with its source."""
    return tuple(dict.fromkeys((row.code, row.source) for row in _table().values()))


def _lookup(name: str) -> tuple[_Row | None, _Spelt]:
    """The line of the table that a name means, None where it knows none, and what the name says."""
    table, spelt = _table(), _spelt(name)
    disc = table.get(spelt.phrase) == table[_DISC] or not spelt.phrase
    if len(spelt.levels) == 1 and spelt.phrase in _VERTEBRA:
        return table[spelt.levels[0]], spelt
    if len(spelt.levels) == 2 and disc:
        return table.get("/".join(spelt.levels), table[_DISC]), spelt
    return table.get(spelt.phrase) if len(spelt.levels) < 3 else None, spelt


def _region(row: _Row | None, spelt: _Spelt) -> Code | None:
    """The vertebra that a name says a structure is a part of."""
    if row is None or len(spelt.levels) != 1 or spelt.phrase in _VERTEBRA or row == _table()[_DISC]:
        return None  # of a disc with one level nobody knows on which side of the vertebra it lies
    if row.category == "abnormal" and spelt.levels[0] in _SAID_SEQUENCES:
        return None
    return _table()[spelt.levels[0]].code


def _spelt(name: str) -> _Spelt:
    """What a name says: `IVD_L4-5` -> disc words and the levels l4 and l5."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    words = [word for word in re.findall(r"[^\W_]+", parted.casefold()) if word not in _NO_WORDS]
    levels: list[str] = []
    phrase: list[str] = []
    sides: list[str] = []
    for word in words:
        held = _levels(word)
        if held:
            levels += held
        elif levels and word.isdigit() and _next(levels[-1]) == f"{levels[-1][0]}{int(word)}":
            levels.append(f"{levels[-1][0]}{int(word)}")
        elif word in _SIDE_WORDS:
            sides.append(_SIDE_WORDS[word])
        else:
            phrase.append(word)
    distinct = tuple(dict.fromkeys(levels))
    if len(distinct) == 2 and not _neighbours(*distinct):
        distinct = (*distinct, "")  # two vertebrae without a disc between them: nothing that the table knows
    return _Spelt(" ".join(phrase), distinct, sides[0] if len(set(sides)) == 1 else None)


def _levels(word: str) -> list[str]:
    """The levels that a word is: `th12` -> t12, `l4l5` and `l45` -> l4 and l5; none for other words."""
    single = re.fullmatch(_LEVEL, word)
    if single and (level := _level(single[1], single[2])):
        return [level]
    pair = re.fullmatch(_LEVEL + _LEVEL, word) or re.fullmatch(r"(c|th|t|l|s)(\d)()(\d)", word)
    if not pair:
        return []
    upper, lower = _level(pair[1], pair[2]), _level(pair[3] or pair[1], pair[4])
    return [upper, lower] if upper and lower and _neighbours(upper, lower) else []


def _level(region: str, number: str) -> str:
    """`th`, `12` -> `t12`; empty where there is no such vertebra."""
    region = region[0]
    return f"{region}{int(number)}" if 1 <= int(number) <= _ENDS[region] else ""


def _next(level: str) -> str:
    """The level below in the same region."""
    return f"{level[0]}{int(level[1:]) + 1}"


def _neighbours(upper: str, lower: str) -> bool:
    """Whether a disc can lie between two levels; below the atlas there is none. Some people have a T13 or an L6."""
    if lower == _next(upper):
        return upper != "c1"
    regions = "ctls"
    follows = regions.find(lower[0]) - regions.find(upper[0]) == 1 and lower[1:] == "1"
    return follows and upper in ("c7", "t11", "t12", "t13", "l4", "l5", "l6")


def _own_value(name: str) -> str:
    """A code for a name that the table does not know: 16 digits of its digest, as long as a code may be."""
    return hashlib.sha256(name.casefold().encode(errors="replace")).hexdigest()[:16]


def _meaning(name: str) -> str:
    """A name as the meaning of a code may be: one line of at most 64 letters, without the backslash of DICOM."""
    printable = "".join(letter if letter.isprintable() and letter != "\\" else " " for letter in name)
    text = printable.encode(errors="replace").decode().strip() or "unnamed"
    return text if len(text) <= _LONGEST_MEANING else f"{text[: _LONGEST_MEANING - 3]}..."


def _colour(row: _Row | None, spelt: _Spelt, name: str) -> Colour:
    """Of a structure: its own in the table, mixed with that of its vertebra, darker on the right; else by its name."""
    if row is None:
        hue = int(_own_value(name)[:8], 16) / (1 << 32)
        return _rgb(hue, 0.75, 0.9)
    colour = row.colour
    if _region(row, spelt) is not None:
        colour = _mixed(colour, _table()[spelt.levels[0]].colour)
    if spelt.side == "right":
        colour = _scaled(colour, _DARKER)
    return colour


def _free(colour: Colour, taken: set[Colour]) -> Colour:
    """The colour, or where it is taken the next one in hue that is not."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(part / 255 for part in colour))
    step = 0
    while colour in taken:
        step += 1
        colour = _rgb(hue + 0.618034 * step, max(saturation, 0.4), max(value, 0.6))
    return colour


def _rgb(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue % 1.0, saturation, value))
    return red, green, blue


def _mixed(one: Colour, other: Colour) -> Colour:
    return (one[0] + other[0]) // 2, (one[1] + other[1]) // 2, (one[2] + other[2]) // 2


def _scaled(colour: Colour, factor: float) -> Colour:
    return round(colour[0] * factor), round(colour[1] * factor), round(colour[2] * factor)


@cache
def _table() -> dict[str, _Row]:
    """Name -> line of `anatomy.csv`."""
    text = files(__package__).joinpath("anatomy.csv").read_text(encoding="utf-8")
    table = {}
    for line in csv.DictReader(text.splitlines()):
        red, green, blue = (int(line["colour"][at : at + 2], 16) for at in (1, 3, 5))
        code = Code(line["scheme"], line["code"], line["meaning"])
        row = _Row(code, line["category"], (red, green, blue), line["source"])
        table.update(dict.fromkeys(line["names"].split(";"), row))
    return table
