"""Quantities of a case by which it may be unlike others: what they are called, and on which scale they are compared.

size           voxels, and the box around what is not 0             logarithm
intensity      of the prepared image                                as they are
layout         where it is bright, part by part                     as they are
certainty      expected and foretold Dice, entropy                  logit, logarithm
anatomy        volumes, islands, what is cut off, odd columns       logarithm, counts
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from autospine.planning.document.evidence import PERCENTILES, Evidence, StructureEvidence
from autospine.planning.document.promise import Kind

CLIPPED = 0.01
"""Dice and expected Dice are told from 0 and 1 down to this: the ends of a logit are nowhere (ours)."""
LEAST_ENTROPY = 1e-3
"""That is told from none (ours)."""
AXES = ("from bottom to top", "from front to back", "from right to left")
"""Canonical axes; slices of any plane have them."""


@dataclass(frozen=True)
class Quantity:
    """Something about a case that can be unusual."""

    value: float
    """On a scale on which differences mean the same everywhere; NaN: not to be told of this case."""
    shown: float
    """As people want to know it."""
    said: str
    """What it is called, after the structure."""
    structure: str | None = None
    side: Literal["both", "low", "high"] = "both"
    """On which side it is odd, where the oddest alone counts."""
    floor: float = 0.1
    """The least scale: differences below it are no matter of concern (ours)."""


Quantities = Mapping[Kind, Mapping[str, Quantity]]


def quantities(evidence: Evidence, foretold: Mapping[str, float]) -> Quantities:
    """All of a case, by kind and name; `foretold` is the Dice of structures, on its scale."""
    return {
        "size": dict(_sizes(evidence)),
        "intensity": dict(_intensities(evidence)),
        "layout": dict(_layouts(evidence)),
        "orientation": dict(_layouts(evidence)),
        "certainty": dict(_certainties(evidence, foretold)),
        "anatomy": dict(_anatomy(evidence)),
    }


def _sizes(evidence: Evidence) -> Iterator[tuple[str, Quantity]]:
    for said, along in (("voxel size", evidence.spacing_mm), ("image", evidence.size_mm)):
        for place, value in zip(AXES, along, strict=True):
            name = f"{said} {place}, mm"
            yield name, Quantity(math.log(max(value, 1e-6)), value, name, floor=0.15)


def _intensities(evidence: Evidence) -> Iterator[tuple[str, Quantity]]:
    for number, channel in enumerate(evidence.channels, 1):
        of = f" of channel {number}" if len(evidence.channels) > 1 else ""
        if channel is None:
            continue
        values = {
            f"percentile {percent}{of}": one for percent, one in zip(PERCENTILES, channel.percentiles, strict=True)
        }
        values |= {f"contrast of neighbours, axis {axis}{of}": one for axis, one in enumerate(channel.gradient)}
        for name, value in values.items():
            yield name, Quantity(value, value, name, floor=0.03)
        noise = math.log(max(channel.noise, 1e-4))
        yield f"noise{of}", Quantity(noise, channel.noise, f"noise{of}", floor=0.1)
        yield f"dark part{of}", Quantity(channel.background, channel.background, f"dark part{of}", floor=0.03)


def _layouts(evidence: Evidence) -> Iterator[tuple[str, Quantity]]:
    for number, channel in enumerate(evidence.channels, 1):
        for place, value in enumerate(() if channel is None else channel.layout, 1):
            name = f"part {place} of channel {number}"
            yield name, Quantity(value, value, name, floor=0.05)


def _certainties(evidence: Evidence, foretold: Mapping[str, float]) -> Iterator[tuple[str, Quantity]]:
    for name, own in evidence.structures.items():
        known = own.found
        expected = own.expected_dice or 0.0
        at = expected_on_scale(own) if known else math.nan
        yield f"{name}: expected", Quantity(at, expected, "expected Dice", name, "low", 0.15)
        entropy = math.log(max(own.entropy, LEAST_ENTROPY)) if known else math.nan
        yield f"{name}: entropy", Quantity(entropy, own.entropy, "entropy", name, "high", 0.15)
        dice = foretold.get(name, math.nan)
        shown = math.nan if math.isnan(dice) else off_scale(dice)
        yield f"{name}: foretold", Quantity(dice, shown, "foretold Dice", name, "low", 0.15)


def _anatomy(evidence: Evidence) -> Iterator[tuple[str, Quantity]]:
    for name, own in evidence.structures.items():
        volume = math.log(max(own.volume_mm3, 1e-9)) if own.found else math.nan
        yield f"{name}: found", Quantity(float(own.found), float(own.found), "found", name, floor=0.1)
        yield f"{name}: volume", Quantity(volume, own.volume_mm3, "volume, mm3", name, floor=0.1)
        pieces = math.log(own.islands) if own.found else math.nan
        yield f"{name}: islands", Quantity(pieces, own.islands, "islands", name, "high", 0.3)
        edge = own.edge if own.found else math.nan
        yield f"{name}: edge", Quantity(edge, own.edge, "part at the edge of the image", name, "high", 0.02)
    for said, count in (
        ("levels missing between others", evidence.levels_missing),
        ("levels in the wrong order", evidence.levels_misplaced),
        ("levels that are there twice", evidence.levels_doubled),
        ("pairs with left and right swapped", evidence.sides_swapped),
    ):
        yield said, Quantity(float(count), float(count), said, None, "high", 0.15)


def on_scale(dice: float) -> float:
    """A Dice from 0 to 1 as a logit, the ends a little inside."""
    part = CLIPPED + (1 - 2 * CLIPPED) * dice
    return math.log(part / (1 - part))


def off_scale(value: float) -> float:
    """The Dice of such a number, 0 to 1."""
    part = 1 / (1 + math.exp(-max(-50.0, min(50.0, value))))
    return max(0.0, min(1.0, (part - CLIPPED) / (1 - 2 * CLIPPED)))


def expected_on_scale(own: StructureEvidence) -> float:
    """The Dice that the probabilities of a structure speak for, on its scale; the least where it was not found."""
    return on_scale(own.expected_dice or 0.0)
