"""Colours that people with any colour vision tell apart, on light and on dark ground.

Those of structures are the palette of Okabe and Ito (2008, jfly.uni-koeln.de/color), ordered so that neighbours in a
list, which are often neighbours in the spine, differ in lightness too. Beyond seven structures lighter and darker
shades follow: nobody tells twenty colours apart, and every structure is named where it can be pointed at.
"""

from __future__ import annotations

RGB = tuple[int, int, int]

STRUCTURES: tuple[RGB, ...] = (
    (86, 180, 233),
    (213, 94, 0),
    (240, 228, 66),
    (0, 158, 115),
    (230, 159, 0),
    (0, 114, 178),
    (204, 121, 167),
)
"""Sky blue, vermillion, yellow, bluish green, orange, blue, reddish purple."""
_SHADES = (0.0, 0.45, -0.35, 0.7)
"""Share of white (or, below 0, of black) in the shades of each round."""

MISSED, FALSE, CONFUSED = (70, 230, 255), (255, 80, 40), (215, 120, 255)
"""Errors, brighter than structures: in the reference alone, in the prediction alone, in both as another structure."""
ERRORS = (("missed", MISSED), ("predicted where nothing is", FALSE), ("taken for another structure", CONFUSED))

SERIES = 7
"""Colours of curves that a style sheet has, for light and for dark ground."""


def structure_colour(index: int) -> RGB:
    """Colour of the structure at `index` (from 0)."""
    shade = _SHADES[index // len(STRUCTURES) % len(_SHADES)]
    ground = 255 if shade > 0 else 0
    red, green, blue = STRUCTURES[index % len(STRUCTURES)]
    mixed = (round(part + (ground - part) * abs(shade)) for part in (red, green, blue))
    return (next(mixed), next(mixed), next(mixed))


def css(colour: RGB) -> str:
    """`#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
