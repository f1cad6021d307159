"""Segmentations of 3D Slicer (`.seg.nrrd`): which voxels belong to which named segment.

Its header names each segment, the layer of the file that it lies in and its value there:

    Segment0_Name:=L4    Segment0_Layer:=0    Segment0_LabelValue:=2
    Segment1_Name:=L5    Segment1_Layer:=0    Segment1_LabelValue:=1

Older versions gave each segment a layer of its own, in their order, with the value 1, and said neither. Order and
values are those of a file alone: the names say what a segment is. Any NRRD file with such a header is read so, whatever
it is called, and a `.seg.nrrd` without one is a mask as any other.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.disk.files import unreadable
from autospine.data.masks.values import counted_values
from autospine.data.wording import said_first
from autospine.errors import DataError

SUFFIX = ".nrrd"
_FIELD = re.compile(r"Segment(?P<place>\d{1,6})_(?P<key>ID|Name|Layer|LabelValue)")
_REPRESENTATIONS = ("Segmentation_SourceRepresentation", "Segmentation_MasterRepresentation")
_LABELMAP = "binary labelmap"
_MOST = 255
_NAMED = re.compile(rb"(?m)^Segment\d+_")
_LONGEST = 16 << 20
"""Bytes of a header; those of Slicer are some kilobytes."""
_REMEDY = "save it again in 3D Slicer as a segmentation (.seg.nrrd), or export it as a labelmap"


@dataclass(frozen=True)
class Segment:
    """One segment of a file."""

    name: str
    layer: int | None
    """None: in the layer that has the segment's own place."""
    value: int
    """What marks it in that layer, above 0."""


def read_segments(path: Path) -> tuple[Segment, ...]:
    """The segments that the header of an NRRD file names, in its order; none for other files and for plain masks.

    Raises:
        DataError: its header cannot be understood, or says that it holds something else than a labelmap.
    """
    if not path.name.lower().endswith(SUFFIX) or not path.is_file():
        return ()
    header = _header(path)
    fields: dict[int, dict[str, str]] = {}
    for key, value in header.items():
        match = _FIELD.fullmatch(key)
        if match:
            fields.setdefault(int(match["place"]), {})[match["key"]] = str(value).strip()
    said = next((str(header[key]) for key in _REPRESENTATIONS if key in header), _LABELMAP)
    if fields and said.lower() != _LABELMAP:
        raise DataError(str(path), f"a segmentation stored as {said!r}", "a binary labelmap", _REMEDY)
    if len(fields) > _MOST:
        raise DataError(str(path), f"{len(fields)} segments", f"a segmentation with 1 to {_MOST} segments")
    return tuple(_segment(place, held, path) for place, held in sorted(fields.items()))


def _segment(place: int, held: dict[str, str], path: Path) -> Segment:
    """The segment of these fields; `DataError` where its header does not say which it is."""
    name = held.get("Name") or held.get("ID") or ""
    layer, value = held.get("Layer"), held.get("LabelValue", "1")
    wrong = [f"Segment{place}_Name is empty"] if not name or not name.isprintable() else []
    wrong += [f"Segment{place}_Layer is {layer!r}"] if layer is not None and not re.fullmatch(r"\d{1,6}", layer) else []
    wrong += [f"Segment{place}_LabelValue is {value!r}"] if not re.fullmatch(r"0*[1-9]\d{0,8}", value) else []
    if wrong:
        expected = "a name, a layer from 0 and a value from 1 for each segment"
        raise DataError(str(path), "; ".join(wrong), expected, _REMEDY)
    return Segment(name, None if layer is None else int(layer), int(value))


def numbered(layers: npt.NDArray[np.integer[Any]], segments: tuple[Segment, ...], path: Path) -> npt.NDArray[np.uint8]:
    """Numbers (Z, Y, X) of the segments, from 1 in their order, of a file's layers (C, Z, Y, X).

    Raises:
        DataError: segments of different names share voxels, or the voxels and the header do not fit each other.
    """
    alone = len(layers) == 1
    keys = [
        (index if one.layer is None and not alone else one.layer or 0, one.value) for index, one in enumerate(segments)
    ]
    first = [segments[keys.index(key)] for key in keys]  # of those with the same layer and value
    wrong = [
        f"{one.name!r} in layer {key[0]}" for key, one in zip(keys, segments, strict=True) if key[0] >= len(layers)
    ]
    wrong += [
        f"{twin.name!r} and {one.name!r} both as {value} in layer {place}"
        for (place, value), twin, one in zip(keys, first, segments, strict=True)
        if twin is not one
    ]
    if wrong:
        expected = f"a layer and a value of its own for each segment, in {len(layers)} layer(s)"
        raise DataError(str(path), f"segments {'; '.join(wrong)}", expected, _REMEDY)
    numbers = np.zeros(layers.shape[1:], np.uint8)
    names = ["", *(one.name for one in segments)]
    shared: Counter[tuple[str, str]] = Counter()
    for place, layer in enumerate(layers):
        known = {value: index for index, (held_in, value) in enumerate(keys, 1) if held_in == place}
        strange = {value: count for value, count in counted_values(layer).items() if value and value not in known}
        if strange:
            listed = ", ".join(f"{value} ({count} voxels)" for value, count in sorted(strange.items())[:8])
            expected = ", ".join(f"{value} ({names[at]})" for value, at in known.items())
            raise DataError(str(path), f"values of no segment in layer {place}: {listed}", expected, _REMEDY)
        for value, number in known.items():
            inside = layer == value
            before = numbers[inside]
            for other in np.unique(before[before > 0]).tolist():
                if names[other] != names[number]:
                    shared[names[other], names[number]] += int((before == other).sum())
            numbers[inside] = number
    if shared:
        raise overlap(path, shared)
    return numbers


def overlap(path: Path, shared: dict[tuple[str, str], int]) -> DataError:
    """The error of a mask with voxels in two structures: (one, other) -> how many."""
    listed = ", ".join(f"{one} and {other} ({count} voxels)" for (one, other), count in list(shared.items())[:6])
    remedy = "remove the overlap (in 3D Slicer: Segment Editor, Masking, Modify other segments: overwrite all)"
    return DataError(str(path), f"structures that overlap: {listed}", "one structure per voxel", remedy)


def _header(path: Path) -> dict[str, Any]:
    """The fields of an NRRD header."""
    import nrrd

    try:
        with path.open("rb") as file:
            head = file.read(_LONGEST)
    except OSError as fault:
        raise unreadable(path, fault) from fault
    end = re.search(rb"\r?\n\r?\n", head)
    if not head.startswith(b"NRRD") or end is None or not _NAMED.search(head[: end.start()]):
        return {}  # a plain mask, or what is wrong with it is said when its voxels are read
    try:
        # pynrrd drops what is not ASCII from lines of bytes, and with it the umlauts of a name
        lines = head[: end.start()].decode("utf-8").split("\n")
        return dict(nrrd.read_header(lines))
    except Exception as fault:  # a damaged header fails anywhere in the parser
        found = f"a header that cannot be understood ({said_first(fault)})"
        raise DataError(str(path), found, "an NRRD header", _REMEDY) from fault
