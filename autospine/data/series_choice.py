"""Which images of a study a model is meant for, found by what it was trained on.

A study holds localisers, several weightings in several planes, maps computed of them and screenshots. What speaks
against an image leaves it out: another weighting, another plane, no volume. Of those that are left the one that agrees
most is taken, by these in their order: weighting, plane, description, fat suppression and contrast agent, spacing,
extent, and that it was measured and not computed. Where two agree equally nothing is guessed: the user says which, by
`--series`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from autospine.data.geometry import Geometry, Triple, same_grid, times
from autospine.data.slices import CLEARLY, PLANES
from autospine.data.weighting import Kind, contradiction, kind_of_text
from autospine.data.wording import plural
from autospine.errors import DataError

NEAR, FAR = 1.25, 2.0
"""Times by which a spacing may lie outside of those trained on to be near, or not far: `check` doubts cases from twice
the median on."""
_SHOWN = 12
"""Images that are listed where the user has to choose."""
_MR = "MR"
_MODALITIES = (_MR, "CT", "PT", "NM", "US", "CR", "DX", "XA", "RF", "MG")
"""Of images of patients. What an object calls itself beside these (OT: other) tells nothing."""
_REGEX = "re:"
"""What a regular expression is told by."""


@dataclass(frozen=True)
class Sought:
    """What is known of the images that a model is for, beside its channels' names; per axis canonical (Z, Y, X)."""

    plane: str = ""
    """sagittal, coronal or axial, as most cases of the training; empty where that is not known."""
    thick: bool = False
    """Whether its slices lie clearly further apart than their pixels, or a network sees one of them at a time: thick
    slices in another plane are then other images."""
    spacing_mm: tuple[Triple, Triple] | None = None
    """Smallest and largest of the training; None where that is not known."""
    extent_mm: tuple[Triple, Triple] | None = None
    """Smallest and largest; None where that is not known."""
    descriptions: tuple[str, ...] = ()
    """Of the series that were trained on."""
    series: tuple[str, ...] = ()
    """What the user says of the images to take, `[channel=]text`: a SeriesNumber, a SeriesInstanceUID, a description
    or a part of it, a pattern with * and ?, or `re:` and a regular expression."""


@dataclass(frozen=True)
class Candidate:
    """An image that a study or session has."""

    path: Path
    called: str
    """What it is called: its SeriesDescription, or the name of its file."""
    kind: Kind
    number: int | None = None
    """SeriesNumber."""
    uid: str = ""
    """SeriesInstanceUID."""
    slices: int = 0
    plane: str = ""
    geometry: Geometry | None = None
    """Canonical; None where it is not known."""
    frame_of_reference: str = ""
    modality: str = ""
    """MR, CT, ...; empty where it is not known."""
    measured: bool = True
    """Whether its header calls it original, and not derived from other images."""
    aside: str = ""
    """Why nobody means it by itself: a localiser, a map, a screenshot."""

    def __str__(self) -> str:
        """`5 "T2 TSE SAG" (sagittal, 15 slices of 4.4 mm, 0.7 x 0.7 mm in plane)`."""
        number = "" if self.number is None else f"{self.number} "
        said = [self.plane] * bool(self.plane)
        if self.geometry is not None and self.plane:
            axis = PLANES.index(self.plane)
            spacing = self.geometry.spacing_mm
            inner = times(tuple(spacing[other] for other in range(3) if other != axis))
            said.append(f"{plural(self.slices, 'slice')} of {spacing[axis]:.3g} mm, {inner} mm in plane")
        elif self.slices:
            said.append(plural(self.slices, "slice"))
        return f'{number}"{self.called}"' + (f" ({', '.join(said)})" if said else "")


@dataclass(frozen=True)
class Choice:
    """The images of a case."""

    files: tuple[Candidate | None, ...]
    """One per channel, None for one that the case lacks."""
    why: str
    """For the user: what was chosen of how many, and by what."""


@dataclass(frozen=True)
class _Agreement:
    """How far a candidate agrees with what is sought: the larger, the more."""

    asked: bool
    """Whether it is none of those that nobody means: where the user names one, it counts behind the others."""
    weighting: int
    """2 the one sought, 1 not known."""
    plane: int
    described: int
    details: int
    spacing: int
    extent: int
    measured: int

    @property
    def rank(self) -> tuple[int, ...]:
        """In the order in which they count."""
        return (*self.certain, self.details, self.spacing, self.extent, self.measured)

    @property
    def certain(self) -> tuple[int, ...]:
        """What says which image is meant, and not only which of several would do better."""
        return (int(self.asked), self.weighting, self.plane, self.described)


@dataclass(frozen=True)
class _Channel:
    """A channel of the model and what it is to show."""

    name: str
    sought: Sought

    @cached_property
    def kind(self) -> Kind:
        """What it shows: by its name, else by what all descriptions of the training agree in."""
        named = kind_of_text(self.name)
        said = {kind_of_text(text) for text in self.sought.descriptions}
        if named:
            said = {kind for kind in said if kind and not contradiction(named, kind)}
        if len(said) != 1:
            return named
        one = said.pop()
        return replace(one, weighting=named.weighting or one.weighting, part=named.part or one.part)

    @cached_property
    def descriptions(self) -> frozenset[str]:
        """Those of the training, as they are compared."""
        return frozenset(_plain(text) for text in self.sought.descriptions)

    @property
    def asked(self) -> tuple[str, ...]:
        """What the user says of it."""
        own = [text.partition("=")[2] for text in self.sought.series if _names(text, self.name)]
        return tuple(own) or tuple(text for text in self.sought.series if "=" not in text or text.startswith(_REGEX))

    def against(self, one: Candidate) -> str:
        """What speaks against it; empty where nothing does."""
        if one.aside:
            return one.aside
        # T1, T2 and the like are told of MR alone, and a channel may bear the name of a modality
        wanted = self.name.upper() if self.name.upper() in _MODALITIES else _MR if self.kind else ""
        if wanted and one.modality in _MODALITIES and one.modality != wanted:
            return f"{one.modality}, not {wanted}"
        if said := contradiction(self.kind, one.kind):
            return said
        thick = one.geometry is not None and bool(one.plane) and is_thick(one.geometry.spacing_mm, one.plane)
        if self.sought.thick and thick and one.plane != self.sought.plane:
            return f"{one.plane}, not {self.sought.plane}"
        return ""

    def agreement(self, one: Candidate) -> _Agreement:
        """How far it agrees."""
        wanted, sought = self.kind, self.sought
        known = bool(one.kind) and bool(wanted) and not contradiction(wanted, one.kind)
        alike = (one.kind.suppressed, one.kind.contrast, one.kind.part) == (
            wanted.suppressed,
            wanted.contrast,
            wanted.part,
        )
        spacing = None if one.geometry is None else one.geometry.spacing_mm
        extent = None if one.geometry is None else _extent(one.geometry)
        return _Agreement(
            not one.aside,
            2 if known else 1,
            2 if sought.plane and one.plane == sought.plane else 1 if not one.plane or not sought.plane else 0,
            int(_plain(one.called) in self.descriptions),
            int(alike),
            sum(_within(spacing, sought.spacing_mm, factor) for factor in (NEAR, FAR)),
            int(_within(extent, sought.extent_mm, FAR)),
            int(one.measured),
        )


def choose(
    name: str, candidates: Sequence[Candidate], channels: Sequence[str], optional: Collection[int], sought: Sought
) -> Choice:
    """The images of a case, one of `candidates` for each of a model's `channels`, or none for `optional` ones (from 0).

    Raises:
        DataError: none fits, or several fit equally; each with its description, plane and spacing. `name` is the case.
    """
    wanted = [_Channel(channel, sought) for channel in channels]
    held = [_fitting(name, channel, candidates) for channel in wanted]
    lacking = [index for index, found in enumerate(held) if not found]
    if len(lacking) == len(held) or not set(lacking) <= set(optional):
        raise _none_fits(name, [wanted[index] for index in lacking if index not in optional] or wanted, candidates)
    grids = _together(wanted, held, optional) if len(wanted) > 1 else held
    if grids is None:
        raise _apart(name, wanted, held)
    chosen = [
        None if not found else _best(name, channel, found, alone=len(wanted) == 1)
        for channel, found in zip(wanted, grids, strict=True)
    ]
    taken = [one.path for one in chosen if one is not None]
    if len(set(taken)) < len(taken):
        found = f"{', '.join(channels)} would all be read from {chosen[0]}, since their names say nothing of an image"
        which = " ".join(f"--series {channel}=..." for channel in channels)
        expected = f"an image for each channel: say which is which by {which}"
        raise DataError(name, f"{found}; there are {_listed(candidates)}", expected)
    return Choice(tuple(chosen), _why(wanted, chosen, candidates))


def doubts(one: Candidate, channel: str, sought: Sought) -> str:
    """What speaks against an image that the user has named by its path alone; empty where nothing does."""
    return _Channel(channel, sought).against(one)


def _fitting(name: str, channel: _Channel, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that may be the channel: what the user asks for, else those that nothing speaks against."""
    if not channel.asked:
        return [one for one in candidates if not channel.against(one)]
    found = [one for one in candidates if any(_matches(text, one) for text in channel.asked)]
    if not found:
        raise DataError(
            name,
            f"no image that --series {' or '.join(channel.asked)} names; there are {_listed(candidates)}",
            "a number, a SeriesInstanceUID, a description or a pattern of one of these",
        )
    return found


def _together(
    channels: Sequence[_Channel], held: Sequence[Sequence[Candidate]], optional: Collection[int]
) -> list[list[Candidate]] | None:
    """Of the images for each channel those on one grid, on which the most channels lie and agree best.

    None where no grid has all channels that are not `optional`. Of two grids that are equally good both are given.
    """
    grids = []
    for first in dict.fromkeys(one for found in held for one in found):
        grid = [[one for one in found if _on_one_grid(first, one)] for found in held]
        if grid not in grids and all(found or index in optional for index, found in enumerate(grid)):
            grids.append(grid)
    if not grids:
        return None

    def worth(grid: Sequence[Sequence[Candidate]]) -> tuple[object, ...]:
        ranks = [
            max((channel.agreement(one).rank for one in found), default=())
            for channel, found in zip(channels, grid, strict=True)
        ]
        return sum(bool(found) for found in grid), *ranks

    most = max(worth(grid) for grid in grids)
    best = [grid for grid in grids if worth(grid) == most]
    return [list(dict.fromkeys(one for grid in best for one in grid[index])) for index in range(len(held))]


def _on_one_grid(a: Candidate, b: Candidate) -> bool:
    if a.geometry is None or b.geometry is None:
        return True
    if a.frame_of_reference and b.frame_of_reference and a.frame_of_reference != b.frame_of_reference:
        return False
    return same_grid(a.geometry, b.geometry) is None


def _best(name: str, channel: _Channel, found: Sequence[Candidate], *, alone: bool) -> Candidate:
    """The one that agrees most; `DataError` where several do."""
    ranked = sorted(found, key=lambda one: channel.agreement(one).rank, reverse=True)
    best = channel.agreement(ranked[0])
    # where nothing says what the best of them shows, a finer spacing does not say it either
    sure = best.weighting == 2 or best.described
    rivals = [
        one
        for one in ranked[1:]
        if (theirs := channel.agreement(one)).rank == best.rank
        or (not sure and theirs.certain == best.certain and one.kind != ranked[0].kind)
    ]
    if not rivals:
        return ranked[0]
    several = sorted([ranked[0], *rivals], key=lambda one: (one.number is None, one.number or 0, one.called))
    what = f"for {channel.name}: "
    example = f'"{several[0].called}"' if several[0].number is None else str(several[0].number)
    example = example if alone else f"{channel.name}={example}"
    # what is said together at the end has no place for remedies
    expected = f"one: say which, such as --series {example}, or by a part of a description or a pattern with *"
    raise DataError(name, f"{len(several)} images fit equally {what}{_listed(several)}", expected)


def _none_fits(name: str, channels: Sequence[_Channel], candidates: Sequence[Candidate]) -> DataError:
    """The error of a case that has nothing for these channels, which says of each image why not."""
    if not candidates:
        return DataError(name, "no images", _expected(channels))
    channel = channels[0]
    said = [f"{one}: {channel.against(one) or 'no other speaks against it'}" for one in candidates[:_SHOWN]]
    more = "; ..." if len(candidates) > _SHOWN else ""
    found = f"none of {plural(len(candidates), 'image')} fits: {'; '.join(said)}{more}"
    # what is said together at the end has no place for remedies
    return DataError(name, found, f"{_expected(channels)}, or an image that --series names all the same")


def _apart(name: str, channels: Sequence[_Channel], held: Sequence[Sequence[Candidate]]) -> DataError:
    """The error of a case whose images for several channels lie on different grids."""
    said = "; ".join(
        f"{channel.name}: {_listed(found)}" for channel, found in zip(channels, held, strict=True) if found
    )
    remedy = "resample them onto one grid and give them as files, a folder per channel"
    return DataError(
        name,
        f"no images on one grid for {', '.join(one.name for one in channels)} ({said})",
        "channels on one grid",
        remedy,
    )


def _expected(channels: Sequence[_Channel]) -> str:
    """What the model is for, in words."""
    said = []
    for channel in channels:
        kind = f" ({channel.kind})" if channel.kind and str(channel.kind) != channel.name else ""
        said.append(f"{channel.name}{kind}")
    plane = f", {channels[0].sought.plane}" if channels[0].sought.thick else ""
    return f"{' and '.join(said)}{plane}, as the model was trained on"


def _why(channels: Sequence[_Channel], chosen: Sequence[Candidate | None], candidates: Sequence[Candidate]) -> str:
    """What was chosen, of how many, and what agreed."""
    said = []
    for channel, one in zip(channels, chosen, strict=True):
        if one is None:
            continue
        agreement = channel.agreement(one)
        reasons = [f"--series {' '.join(channel.asked)}"] if channel.asked else []
        reasons += [str(one.kind)] if agreement.weighting == 2 else ["what it shows is not said"] * (not reasons)
        reasons += [one.plane] if agreement.plane == 2 else []
        reasons += ["described as in the training"] * agreement.described
        reasons += [against] if channel.asked and (against := channel.against(one)) else []
        begin = f"{channel.name} is " if len(channels) > 1 else ""
        said.append(f"{begin}{one}: {', '.join(reasons)}")
    return f"{'; '.join(said)}; chosen of {plural(len(candidates), 'image')}"


def _matches(text: str, one: Candidate) -> bool:
    """Whether the user means an image by `text`."""
    if text.startswith(_REGEX):
        return re.search(text.removeprefix(_REGEX), one.called, re.IGNORECASE) is not None
    plain, called = text.strip().casefold(), one.called.casefold()
    if plain == one.uid or (plain.isdecimal() and one.number == int(plain)):
        return True
    if set("*?") & set(plain):
        return fnmatchcase(called, plain)
    return bool(plain) and not (plain.isdecimal() and one.number is not None) and plain in called


def check_asked(series: Sequence[str], channels: Sequence[str]) -> None:
    """Raise `DataError` for what cannot be meant: no regular expression, or a channel that the model does not take."""
    for text in series:
        where = f"--series {text}"
        named = any(_names(text, channel) for channel in channels)
        own = text.partition("=")[2] if named else text
        if own.startswith(_REGEX):
            try:
                re.compile(own.removeprefix(_REGEX))
            except re.error as fault:
                raise DataError(where, f"not a regular expression ({fault})") from fault
        elif "=" in text and not named:
            found = f"{text.partition('=')[0]} is no channel of the model"
            raise DataError(where, found, ", ".join(channels), "write ? for a = that belongs to a description")
        elif not own.strip():
            raise DataError(where, "nothing", "a number, a UID, a description or a pattern")


def refuse_asked(where: Path, series: Sequence[str]) -> None:
    """Raise `DataError` where the user names images of a study, and at `where` there is nothing to choose from."""
    if series:
        expected = "DICOM studies, BIDS sessions or a folder per case"
        found = f"{where} is an image, or holds images that each are a case"
        raise DataError(f"--series {' '.join(series)}", found, expected, "leave the option out")


def _names(text: str, channel: str) -> bool:
    """Whether the user speaks of this channel."""
    return "=" in text and text.partition("=")[0].strip().casefold() == channel.casefold()


def _listed(candidates: Sequence[Candidate]) -> str:
    return "; ".join(map(str, candidates[:_SHOWN])) + ("; ..." if len(candidates) > _SHOWN else "")


def _plain(text: str) -> str:
    """A description as it is compared: letters and numbers."""
    return " ".join(re.sub(r"(?:[^\w*+]|_)+", " ", text.casefold()).split())


def is_thick(spacing_mm: Triple, plane: str) -> bool:
    """Whether slices in this plane lie clearly further apart than their pixels."""
    axis = PLANES.index(plane)
    return spacing_mm[axis] >= CLEARLY * max(size for other, size in enumerate(spacing_mm) if other != axis)


def _extent(geometry: Geometry) -> Triple:
    z, y, x = (size * step for size, step in zip(geometry.shape, geometry.spacing_mm, strict=True))
    return z, y, x


def _within(values: Triple | None, limits: tuple[Triple, Triple] | None, factor: float) -> bool:
    """Whether all values lie within the limits, or outside by a factor at most; true where either is not known."""
    if values is None or limits is None:
        return True
    return all(low / factor <= value <= high * factor for value, low, high in zip(values, *limits, strict=True))
