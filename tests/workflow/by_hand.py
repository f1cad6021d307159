"""A prediction as somebody writes it who has the JSON file beside ONNX networks, numpy and scipy, and no autospine."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import ndimage

Array = np.ndarray[Any, np.dtype[Any]]
Network = Callable[[Array], Array]
"""(batch, channels, *patch) -> (batch, outputs, *patch)."""
Table = dict[str, Any]


def segment(
    stages: Sequence[Table],
    networks: Sequence[Sequence[Network]],
    image: Array,
    spacing_mm: Sequence[float],
    flips: Sequence[bool],
    missing: Sequence[int] = (),
) -> Array:
    """Labels (Z, Y, X) of an image (C, Z, Y, X) whose axes run as they should but for `flips`."""
    image = np.flip(image, [axis + 1 for axis in range(3) if flips[axis]])
    earlier = None
    for stage, its in zip(stages, networks, strict=True):
        earlier = _stage(stage, its, image, spacing_mm, missing, earlier)
    assert earlier is not None
    return np.flip(earlier, [axis for axis in range(3) if flips[axis]])


def _stage(
    stage: Table,
    networks: Sequence[Network],
    image: Array,
    spacing_mm: Sequence[float],
    missing: Sequence[int],
    earlier: Array | None,
) -> Array:
    before = stage["preprocessing"]
    there = np.argwhere((image != 0).any(axis=0))
    low, high = there.min(axis=0), there.max(axis=0) + 1
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    order = before["axis_order"]["value"]
    crop = image[(slice(None), *box)].transpose(0, *(axis + 1 for axis in order)).astype(np.float64)
    own = [spacing_mm[axis] for axis in order]
    scaled = np.stack(
        [_normalised(one, how) for one, how in zip(crop, before["normalisation"]["channels"], strict=True)]
    )
    scaled[list(missing)] = 0
    way = before["resampling"]
    target = [mine if given is None else given for mine, given in zip(own, way["spacing_mm"], strict=True)]
    size = [max(1, round(n * a / b)) for n, a, b in zip(crop.shape[1:], own, target, strict=True)]
    apart = _apart(own, target, way["anisotropy_threshold"])
    prepared = np.stack([_resized(one, size, way["order"], apart, way["order_of_an_axis_apart"]) for one in scaled])
    classes = None
    if earlier is not None:
        kept = earlier[box].transpose(order)  # the stages of the test have one grid
        assert list(kept.shape) == size
        classes = kept
    logits = _slide(stage, networks, prepared.astype(np.float32), missing, classes)
    after = stage["postprocessing"]
    assert after["levels"] is None
    back = _apart(target, own, way["anisotropy_threshold"])
    labels = _decided(after, logits, crop.shape[1:], back)
    result = np.zeros(image.shape[1:], np.int64)
    result[box] = labels.transpose(np.argsort(order))
    return result


def _normalised(channel: Array, how: Table) -> Array:
    if how["kind"] == "zscore":
        return (channel - channel.mean()) / max(channel.std(), 1e-8)
    clipped = np.clip(channel, how["percentile_00_5"], how["percentile_99_5"])
    return (clipped - how["mean"]) / max(how["std"], 1e-8)


def _apart(first: Sequence[float], second: Sequence[float], threshold: float) -> int | None:
    for spacing in (first, second):
        if max(spacing) / min(spacing) > threshold:
            largest = [axis for axis in range(3) if spacing[axis] == max(spacing)]
            return largest[0] if len(largest) == 1 else None
    return None


def _zoomed(volume: Array, axis: int, size: int, order: int) -> Array:
    if volume.shape[axis] == size:
        return volume
    factors = [1.0, 1.0, 1.0]
    factors[axis] = size / volume.shape[axis]
    return ndimage.zoom(volume, factors, order=order, mode="nearest", grid_mode=True)


def _resized(volume: Array, size: Sequence[int], order: int, apart: int | None, order_apart: int) -> Array:
    if volume.shape == tuple(size):
        return volume
    plane = tuple(axis for axis in range(3) if axis != apart)
    low, high = volume.min(axis=plane, keepdims=True), volume.max(axis=plane, keepdims=True)
    for axis in plane:
        volume = _zoomed(volume, axis, size[axis], order)
    volume = np.clip(volume, low, high)
    return volume if apart is None else _zoomed(volume, apart, size[apart], order_apart)


def _slide(
    stage: Table, networks: Sequence[Network], image: Array, missing: Sequence[int], earlier: Array | None
) -> Array:
    how = stage["tiles"]
    patch, shape = how["patch"], image.shape[1:]
    around = [
        (max(0, edge - n) // 2, max(0, edge - n) - max(0, edge - n) // 2) for edge, n in zip(patch, shape, strict=True)
    ]
    padded = np.pad(image, [(0, 0), *around])
    classes = None if earlier is None else np.pad(earlier, around)
    starts = []
    for n, edge in zip(padded.shape[1:], patch, strict=True):
        room = n - edge
        count = 1 if room <= 0 else math.ceil(room / max(1, edge * (1 - how["overlap"]))) + 1
        starts.append([round(room / (count - 1) * index) if count > 1 else 0 for index in range(count)])
    weights = _weights(patch, how["sigma_share"])
    outputs = stage["output"]["shape"][1]
    total, weight = np.zeros((outputs, *padded.shape[1:])), np.zeros(padded.shape[1:])
    for corner in itertools.product(*starts):
        tile = tuple(slice(a, a + edge) for a, edge in zip(corner, patch, strict=True))
        entering = _entering(stage, padded, tile, missing, classes)
        said = _averaged(stage, networks, entering).reshape(outputs, *patch)
        total[(slice(None), *tile)] += said * weights
        weight[tile] += weights
    inner = tuple(slice(low, low + n) for (low, _), n in zip(around, shape, strict=True))
    return (total / weight)[(slice(None), *inner)]


def _weights(patch: Sequence[int], share: float) -> Array:
    window = np.ones(())
    for edge in patch:
        line = np.zeros(edge)
        line[edge // 2] = 1
        window = window[..., None] * ndimage.gaussian_filter1d(line, share * edge, mode="constant")
    window = (window / window.max()).astype(np.float32)
    window[window == 0] = window[window > 0].min()
    return window


def _entering(
    stage: Table, image: Array, tile: tuple[slice, ...], missing: Sequence[int], classes: Array | None
) -> Array:
    """By the words that the file has for each channel."""
    channels = [one["channel"] for one in stage["preprocessing"]["normalisation"]["channels"]]
    patch = stage["input"]["shape"][2:]
    found = []
    for said in stage["input"]["channels"]:
        if said.startswith("image "):
            name, _, offset = said.removeprefix("image ").partition(" in slice ")
            place = tile
            if offset:
                at = min(max(tile[0].start + int(offset.split()[0]), 0), image.shape[1] - 1)
                place = (slice(at, at + 1), *tile[1:])
            found.append(image[channels.index(name)][place].reshape(patch))
        elif said.startswith("1 everywhere if "):
            name = said.removeprefix("1 everywhere if ").removesuffix(" is there, else 0")
            found.append(np.full(patch, float(channels.index(name) not in missing)))
        else:
            names = [one["name"] for one in stage["postprocessing"]["labels"]]
            value = stage["postprocessing"]["labels"][names.index(said.split(" says ")[1].removesuffix(", else 0"))][
                "value"
            ]
            assert classes is not None
            found.append((classes[tile] == value).reshape(patch))
    return np.stack(found)[None].astype(np.float32)


def _averaged(stage: Table, networks: Sequence[Network], entering: Array) -> Array:
    how = stage["mirroring"]
    said = []
    for count in range(len(how["axes"]) + 1):
        for axes in itertools.combinations(how["axes"], count):
            swaps = how["axis_of_sides"] is not None and how["axis_of_sides"] in axes
            flipped = np.flip(entering, [axis + 2 for axis in axes])
            flipped = flipped[:, how["entering"]] if swaps else flipped
            for network in networks:
                logits = np.flip(network(np.ascontiguousarray(flipped)), [axis + 2 for axis in axes])
                said.append(logits[:, how["leaving"]] if swaps else logits)
    return np.mean(said, axis=0)[0]


def _decided(after: Table, logits: Array, size: Sequence[int], apart: int | None) -> Array:
    order, kind = after["resampling"]["order"], after["decision"]["kind"]
    plane = [logits.shape[axis + 1] if axis == apart else size[axis] for axis in range(3)]
    back = np.stack([_plain(one, plane, order) for one in logits.astype(np.float64)])
    if kind == "classes":
        labels = np.array(after["decision"]["values"])[back.argmax(axis=0)]
    else:
        labels = np.zeros(plane, np.int64)
        for region in after["decision"]["regions"]:
            labels[back[region["channel"]] > 0] = region["written_as"]
    return labels if apart is None else _zoomed(labels, apart, size[apart], 0)


def _plain(volume: Array, size: Sequence[int], order: int) -> Array:
    for axis in range(3):
        volume = _zoomed(volume, axis, size[axis], order)
    return volume
