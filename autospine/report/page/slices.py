"""A case as pictures that a page holds: all its slices in one WebP, its masks in indexed PNG of the same layout.

    slices 1 .. 5 of 60 x 40 pixels   ->   1 2 3     one picture of 180 x 80, of which a window of 60 x 40 is shown
                                           4 5 .

Masks hold each structure twice, inside and border, so that one palette draws it see-through with an outline. A case is
given so many bytes; where it takes more, quality goes first, then pixels, then slices.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from autospine.data.structure import IGNORED, in_a_class
from autospine.report.page import colours
from autospine.report.page.blocks import Layer, Panel, Picture, Viewer
from autospine.report.panels import border_of, in_plane

Bytes = npt.NDArray[np.uint8]

MOST_PIXELS = 288
"""Along the longer edge of a slice: more than a panel of a page has."""
MOST_SLICES = 48
MOST_PICTURE_PIXELS = 900
"""Along the longer edge of a picture that was drawn before."""
_BEYOND = 2
"""Slices that are shown past the structures at either end, where not all are."""
_TRIES = (
    (80, 1.0, 1.0),
    (65, 1.0, 1.0),
    (55, 0.75, 1.0),
    (50, 0.6, 0.75),
    (45, 0.5, 0.5),
    (35, 0.4, 0.34),
    (30, 0.3, 0.25),
    (25, 0.22, 0.2),
)
"""Quality, share of the pixels along an edge, share of the slices: the first that fits is taken, or the last."""
_INSIDE, _BORDER, _ERROR = 90, 255, 170
"""Opacity (0 to 255) inside a structure, along its border, and inside an error."""


@dataclass(frozen=True)
class ShownCase:
    """A case in memory, canonical: axes run towards superior, posterior and left."""

    name: str
    image: npt.NDArray[Any] | None
    """(Z, Y, X) intensities; None where the image is not at hand."""
    reference: Bytes | None
    """(Z, Y, X) classes from 1, or `IGNORED`; None without one."""
    prediction: Bytes | None
    """(Z, Y, X) classes from 1."""
    spacing_mm: tuple[float, ...]
    """(Z, Y, X)."""
    axis: int
    """Slices are taken across this axis."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(Z, Y, X)."""
        return next(one.shape for one in (self.image, self.reference, self.prediction) if one is not None)


def viewer_of(case: ShownCase, structures: Sequence[str], why: str, key: str, most_bytes: int) -> Viewer:
    """The case with image, reference, prediction and error side by side, as far as they are there.

    Args:
        case: at least one of its arrays is there.
        structures: names of the classes, the first being 1.
        why: why it is shown.
        key: distinct on the page.
        most_bytes: that its pictures may take on the page.
    """
    masks = [mask for mask in (case.reference, case.prediction) if mask is not None]
    held = [index for index in range(1, len(structures) + 1) if any((mask == index).any() for mask in masks)]
    error = None if case.reference is None or case.prediction is None else errors(case.reference, case.prediction)
    pixels = min(MOST_PIXELS, max(case.shape[at] for at in in_plane(case.axis)))
    for quality, share, of_slices in _TRIES:
        numbers = _chosen(case, masks, max(1, round(min(MOST_SLICES, case.shape[case.axis]) * of_slices)))
        layers = _layers(case, error, numbers, key, quality, max(1, round(pixels * share)))
        if sum(len(layer.uri) for layer in layers.values()) <= most_bytes:
            break
    columns, rows = _grid(len(numbers))
    rows_axis, columns_axis = in_plane(case.axis)
    extent = [size * spacing for size, spacing in zip(case.shape, case.spacing_mm, strict=True)]
    return Viewer(
        name=case.name,
        why=why,
        panels=_panels(layers),
        places=tuple(
            (_percent(place % columns, columns), _percent(place // columns, rows)) for place in range(len(numbers))
        ),
        numbers=tuple(number + 1 for number in numbers),
        of=case.shape[case.axis],
        grid=(columns, rows),
        aspect=extent[columns_axis] / extent[rows_axis],
        start=_start(numbers, case.axis, error, masks),
        legend=tuple((structures[index - 1], colours.css(colours.structure_colour(index - 1))) for index in held),
        errors=() if error is None else tuple((name, colours.css(colour)) for name, colour in colours.ERRORS),
    )


def errors(reference: Bytes, prediction: Bytes) -> Bytes:
    """Where the two differ: 1 missed, 2 predicted where nothing is, 3 taken for another class; 0 elsewhere."""
    there, found = in_a_class(reference), in_a_class(prediction) & (reference != IGNORED)
    kinds = np.zeros(reference.shape, np.uint8)
    kinds[there & ~found] = 1
    kinds[found & ~there] = 2
    kinds[there & found & (reference != prediction)] = 3
    return kinds


def thumbnail(image: npt.NDArray[Any], mask: Bytes | None, size: tuple[int, int]) -> str:
    """One slice with its mask on it, as a data URI.

    Args:
        image: (rows, columns) intensities, as they are to be seen.
        mask: (rows, columns) classes from 1, or `IGNORED`.
        size: width and height in pixels.
    """
    grey = Image.fromarray(_grey(image, *_window(image))).resize(size, Image.Resampling.BILINEAR).convert("RGB")
    if mask is not None:
        drawn = _mask_picture(_outlined(mask)).resize(size, Image.Resampling.NEAREST).convert("RGBA")
        grey.paste(drawn, mask=drawn.getchannel("A"))
    return data_uri(grey, "WEBP", quality=60)


def small_picture(content: bytes, alt: str, caption: str) -> Picture | None:
    """A picture in a file of some format, as small as a page needs it; None where it is none."""
    try:
        with Image.open(BytesIO(content)) as opened:
            picture = opened.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    picture.thumbnail((MOST_PICTURE_PIXELS, MOST_PICTURE_PIXELS))
    return Picture(data_uri(picture, "WEBP", quality=70), alt, caption, *picture.size)


def as_seen(plane: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
    """A slice across a canonical axis, its first row on top: Z grows to superior, Y of an axial one to posterior."""
    return plane if axis == 0 else plane[::-1]


def best_slice(mask: Bytes, axis: int) -> int:
    """The slice with most of a mask, or the middle one."""
    counts = np.count_nonzero(in_a_class(mask), axis=in_plane(axis))
    return int(np.argmax(counts)) if counts.any() else mask.shape[axis] // 2


def _panels(layers: dict[str, Layer]) -> tuple[Panel, ...]:
    """Those for which there is something."""
    ground = tuple(layers[name] for name in ("image",) if name in layers)
    panels = [Panel("Image", ground)] if ground else []
    titles = {"reference": "Reference", "prediction": "Prediction", "error": "Error"}
    return tuple(panels + [Panel(titles[name], (*ground, layers[name])) for name in titles if name in layers])


def _layers(
    case: ShownCase, error: Bytes | None, numbers: Sequence[int], key: str, quality: int, most: int
) -> dict[str, Layer]:
    """The pictures of a case by what they show."""
    size = _size(case, most)
    found = {}
    if case.image is not None:
        low, high = _window(case.image)
        tiles = [Image.fromarray(_grey(_plane_of(case.image, case.axis, number), low, high)) for number in numbers]
        tiles = [tile.resize(size, Image.Resampling.BILINEAR) for tile in tiles]
        found["image"] = data_uri(_tiled(tiles, "L"), "WEBP", quality=quality)
    for name, mask in (("reference", case.reference), ("prediction", case.prediction)):
        if mask is not None:
            planes = [_outlined(_plane_of(mask, case.axis, number)) for number in numbers]
            found[name] = _png(planes, size, _palette(_structure_colours(mask)))
    if error is not None:
        planes = [_outlined(_plane_of(error, case.axis, number)) for number in numbers]
        found["error"] = _png(planes, size, _palette([colour for _, colour in colours.ERRORS], _ERROR))
    return {name: Layer(f"{key}-{name}", uri) for name, uri in found.items()}


def _size(case: ShownCase, most: int) -> tuple[int, int]:
    """Width and height of a slice in pixels: its own, or as many as may be along the longer edge."""
    rows, columns = (case.shape[axis] for axis in in_plane(case.axis))
    share = min(1.0, most / max(rows, columns))
    return max(1, round(columns * share)), max(1, round(rows * share))


def _chosen(case: ShownCase, masks: Sequence[Bytes], most: int) -> list[int]:
    """Slices that are shown: all; where these are too many, those around the structures, evenly thinned."""
    count = case.shape[case.axis]
    if count <= most:
        return list(range(count))
    held = np.zeros(count, bool)
    for mask in masks:
        held |= in_a_class(mask).any(axis=in_plane(case.axis))
    places = np.flatnonzero(held)
    first, last = (0, count - 1) if not len(places) else (int(places[0]) - _BEYOND, int(places[-1]) + _BEYOND)
    first, last = max(first, 0), min(last, count - 1)
    return sorted({round(place) for place in np.linspace(first, last, min(most, last - first + 1))})


def _start(numbers: Sequence[int], axis: int, error: Bytes | None, masks: Sequence[Bytes]) -> int:
    """The place of the slice with most error, else with most of the structures."""
    for mask in (error, *masks):
        if mask is not None:
            counts = np.count_nonzero(in_a_class(mask), axis=in_plane(axis))[list(numbers)]
            if counts.any():
                return int(np.argmax(counts))
    return len(numbers) // 2


def _plane_of(array: npt.NDArray[Any], axis: int, number: int) -> npt.NDArray[Any]:
    return as_seen(np.take(array, number, axis=axis), axis)


def _window(image: npt.NDArray[Any]) -> tuple[float, float]:
    """Intensities that are black and white: the 1st and 99.5th percentile of what is not 0 and finite."""
    step = max(1, math.ceil((image.size / 2_000_000) ** (1 / image.ndim)))
    values = image[tuple(slice(None, None, step) for _ in image.shape)]
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    inside = values[values != values.min()]
    low, high = np.percentile(inside if inside.size else values, (1, 99.5))
    low = low if low < high else values.min()  # two intensities alone
    return float(low), float(max(high, low + 1e-6))


def _grey(plane: npt.NDArray[Any], low: float, high: float) -> Bytes:
    """Intensities as 0 to 255."""
    values = (np.where(np.isfinite(plane), plane, low).astype(np.float32) - low) / (high - low)
    grey: Bytes = (np.clip(values, 0, 1) * 255).astype(np.uint8)
    return grey


def _outlined(plane: Bytes) -> Bytes:
    """Class c becomes 2c - 1 inside and 2c along its border; background and `IGNORED` 0. Beyond class 127 no border."""
    held = np.where(in_a_class(plane), plane, 0).astype(np.int32)
    entries = held * 2 - 1 + border_of(held)
    return np.where(held > 0, np.minimum(entries, 255), 0).astype(np.uint8)


def _structure_colours(mask: Bytes) -> list[colours.RGB]:
    """Of the classes from 1 to the last that a mask holds."""
    last = int(mask[in_a_class(mask)].max(initial=0))
    return [colours.structure_colour(index) for index in range(last)]


def _palette(held: Sequence[colours.RGB], inside: int = _INSIDE) -> tuple[bytes, bytes]:
    """Colours and opacities of the entries: nothing, then inside and border of each."""
    shown = held[:127]
    rgb = [(0, 0, 0), *(colour for one in shown for colour in (one, one))]
    opacity = [0, *(inside, _BORDER) * len(shown)]
    return bytes(part for colour in rgb for part in colour), bytes(opacity)


def _mask_picture(outlined: Bytes) -> Image.Image:
    """A mask with its palette."""
    last = (int(outlined.max(initial=0)) + 1) // 2
    rgb, opacity = _palette([colours.structure_colour(index) for index in range(last)])
    picture = _indexed(Image.fromarray(outlined), rgb)
    picture.info["transparency"] = opacity
    return picture


def _indexed(picture: Image.Image, rgb: bytes) -> Image.Image:
    """A picture whose values are entries of a palette."""
    made = Image.new("P", picture.size)
    made.frombytes(picture.tobytes())
    made.putpalette(rgb)
    return made


def _png(planes: Sequence[Bytes], size: tuple[int, int], palette: tuple[bytes, bytes]) -> str:
    """Slices of entries of a palette as one picture."""
    tiles = [Image.fromarray(plane).resize(size, Image.Resampling.NEAREST) for plane in planes]
    rgb, opacity = palette
    return data_uri(_indexed(_tiled(tiles, "L"), rgb), "PNG", transparency=opacity)


def _tiled(tiles: Sequence[Image.Image], mode: str) -> Image.Image:
    """The tiles in a grid."""
    columns, rows = _grid(len(tiles))
    width, height = tiles[0].size
    whole = Image.new(mode, (columns * width, rows * height))
    for place, tile in enumerate(tiles):
        whole.paste(tile, ((place % columns) * width, (place // columns) * height))
    return whole


def _grid(count: int) -> tuple[int, int]:
    """Columns and rows for so many tiles: WebP holds 16 383 pixels along an edge, so neither may be long."""
    columns = math.ceil(math.sqrt(count))
    return columns, math.ceil(count / columns)


def _percent(place: int, count: int) -> float:
    """Where the tile at `place` of `count` begins, as CSS has it: 0 % the first, 100 % the last."""
    return round(100 * place / (count - 1), 4) if count > 1 else 0.0


def data_uri(picture: Image.Image, kind: str, **options: Any) -> str:
    """The picture as a data URI."""
    written = BytesIO()
    picture.save(written, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(written.getvalue()).decode('ascii')}"
