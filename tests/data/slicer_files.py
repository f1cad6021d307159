"""Segmentations as 3D Slicer saves them, written by hand."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from autospine.data.geometry import Geometry, Volume


def write_slicer(
    path: Path,
    layers: np.ndarray,
    grid: Geometry,
    segments: Sequence[tuple[str, int, int]],
    *,
    said: Mapping[str, str] | None = None,
    without: Sequence[str] = (),
) -> Path:
    """A `.seg.nrrd` of `layers` (C, Z, Y, X); segments are (name, layer, value), `without` some of their fields."""
    axes = (grid.axes() * np.asarray(grid.spacing_mm))[:, ::-1].T  # rows X, Y, Z
    several = len(layers) > 1
    header = {
        "type": "unsigned char",
        "dimension": str(3 + several),
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, [*[len(layers)] * several, *grid.shape[::-1]])),
        "space directions": " ".join(["none"] * several + [vector(axis) for axis in axes]),
        "kinds": " ".join(["list"] * several + ["domain"] * 3),
        "encoding": "gzip",
        "space origin": vector(grid.origin_mm),
    }
    pairs = {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    for place, (name, layer, value) in enumerate(segments):
        fields = {"ID": f"Segment_{place + 1}", "Name": name, "Layer": str(layer), "LabelValue": str(value)}
        fields |= {"Color": "0.5 0.7 0.6", "Extent": "0 4 0 3 0 2", "Tags": "Segmentation.Status:inprogress|"}
        pairs |= {f"Segment{place}_{key}": text for key, text in fields.items() if key not in without}
    pairs |= said or {}
    lines = ["NRRD0004", "# Complete NRRD file format specification at:"]
    lines += [f"{key}: {text}" for key, text in header.items()] + [f"{key}:={text}" for key, text in pairs.items()]
    array = np.moveaxis(layers, 0, -1) if several else layers[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        "\n".join(lines).encode() + b"\n\n" + gzip.compress(np.ascontiguousarray(array, np.uint8).tobytes())
    )
    return path


def vector(values: Iterable[float]) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"


GRID = Geometry((3, 4, 5), (4.0, 1.5, 0.75), (-12.5, 30.0, 7.25), (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0))
IMAGE = Volume(np.arange(60, dtype=np.uint16).reshape(1, *GRID.shape), GRID)


def drawn() -> np.ndarray:
    """L5 (1) in two voxels, L4 (2) in one."""
    labels = np.zeros(GRID.shape, np.uint8)
    labels[1, 2, 3], labels[1, 2, 4], labels[2, 1, 3] = 1, 1, 2
    return labels
