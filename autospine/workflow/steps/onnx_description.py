"""What has to be done around ONNX networks, as a table: enough to segment with them and without autospine.

Sentences say what is done, numbers beside them with what. The order of the keys is that of the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from autospine import __version__
from autospine.data.disk.files import file_digest
from autospine.data.geometry import to_canonical
from autospine.data.volume import read_volume
from autospine.errors import PlanError
from autospine.inference import instances, level_sequence, vertebral_levels
from autospine.inference.window import SIGMA_SHARE
from autospine.networks.onnx import INPUT, OUTPUT
from autospine.planning.document.convert import to_table
from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.prepare import prepare_case

if TYPE_CHECKING:
    from autospine.inference.predictor import Predictor

FORMAT, VERSION = "autospine onnx", 1
_LEVEL_NUMBERS = {
    instances: (
        "SMALLEST_PIECE",
        "LONGEST",
        "SHORTEST",
        "LEAST_APART",
        "LEAST_DEEP",
        "SIDEWAYS",
        "OFF_COLUMN_MM",
        "LEANING",
    ),
    level_sequence: (
        *("MISSED", "BEYOND", "AGAIN", "ODD", "GAP_SPREAD", "MOST_SKIPPED"),
        *("SIZE_WEIGHT", "UNUSUAL", "UNUSUAL_SPREAD", "NODE", "LIKELY", "OUTER", "FORGOTTEN"),
    ),
    vertebral_levels: ("NEAREST_LEVELS", "LONGEST_STEP", "MARGIN_VOXELS", "LEAST_LOG_PROBABILITY"),
}
"""What the levels of a column are found by, in the modules that define it."""


def describe_stages(
    model: Predictor, files: Mapping[tuple[str, str], Path], differences: Mapping[str, float]
) -> dict[str, Any]:
    """The content of the JSON file beside the networks `files`, by configuration and fold, which differ by this."""
    stages = []
    for stage in reversed(model.stages):
        name = stage.card.configuration.name
        networks = [
            {
                "file": files[name, fold].name,
                "fold": fold,
                "sha256": file_digest(files[name, fold]),
                "largest_difference_from_torch": differences[files[name, fold].name],
            }
            for fold in stage.origin.folds
        ]
        stages.append({"name": name, "networks": networks, **describe_card(stage.card)})
    return {
        "format": FORMAT,
        "version": VERSION,
        "autospine": __version__,
        "what": "Segmentation of an image by the stages below, one after the other; the last one's labels are the "
        "result. Arrays are indexed (channel, axis 0, axis 1, axis 2).",
        "stages": stages,
        "after_the_last_stage": {
            "steps": to_table(model.postprocessing.steps),
            "how": "On the labels of the whole image, one step after the other. `largest` keeps the largest connected "
            "component of the structure (of all structures together where it is null), `above` those of volume_mm3 or "
            "more; voxels that touch by a corner are connected, and the others become background. `fill` fills holes. "
            "autospine/inference/postprocessing.py defines what regions and levels become.",
        },
    }


def describe_card(card: ModelCard) -> dict[str, Any]:
    """What is done before, with and after the networks of a model."""
    one = card.configuration
    return {
        "input": {
            "name": INPUT,
            "type": "float32",
            "shape": ["batch", one.network.in_channels, *one.patch],
            "channels": _entering(card),
        },
        "output": {
            "name": OUTPUT,
            "type": "float32",
            "shape": ["batch", one.network.out_channels, *one.patch],
            "channels": list(card.data.targets) if card.data.regions else ["background", *card.data.targets],
            "activation": "sigmoid, of each channel by itself" if card.data.regions else "softmax over the channels",
        },
        "preprocessing": _before(card),
        "tiles": _tiles(card),
        "mirroring": _mirroring(card),
        "postprocessing": _after(card),
    }


def _entering(card: ModelCard) -> list[str]:
    """What each channel that enters a network holds."""
    middle, data = card.configuration.neighbours, card.data
    said = []
    for offset in range(-middle, middle + 1):
        there = "" if middle == 0 else f" in slice {offset:+d} along axis 0, the first or last slice beyond the ends"
        said += [f"image {name}{there}" for name in data.channels]
    said += [f"1 everywhere if {data.channels[channel]} is there, else 0" for channel in card.entering.optional]
    if card.configuration.previous is not None:
        said += [f"1 where the stage {card.configuration.previous} says {name}, else 0" for name in data.names]
    return said


def _before(card: ModelCard) -> dict[str, Any]:
    """From an image to what tiles are cut from."""
    one, data = card.configuration, card.data
    flat = len(one.spacing_mm) == 2
    plan = one.resampling
    return {
        "orientation": {
            "toward": ["superior", "posterior", "left"],
            "how": "Flip and permute the axes of the image so that they run toward these; no resampling.",
        },
        "crop": "To the smallest box that holds every voxel that is not 0 in some channel; an image of zeros is kept.",
        "axis_order": {
            "value": list(one.axis_order),
            "how": "Transpose: the new axis i is the oriented axis axis_order[i]. All below is in the new axes.",
        },
        "normalisation": {
            "channels": [
                {"channel": name, "kind": kind, **(asdict(numbers) if kind == "ct" else {})}
                for name, kind, numbers in zip(data.channels, one.normalisation, data.intensities, strict=True)
            ],
            "use_mask": one.use_mask,
            "smallest_std": 1e-8,
            "how": "zscore: (x - mean) / max(std, smallest_std) of the crop's own voxels, population std. ct: clip to "
            "percentile_00_5 and percentile_99_5, then (x - mean) / max(std, smallest_std) with the numbers given. "
            "use_mask: zscore over the voxels that are not 0 in some channel, holes filled; others become 0. "
            "A channel that is missing is 0.",
        },
        "resampling": {
            "spacing_mm": [None, *one.spacing_mm] if flat else list(one.spacing_mm),
            "order": plan.order_image,
            "order_of_an_axis_apart": plan.order_through_plane,
            "anisotropy_threshold": plan.anisotropy_threshold,
            "how": "null keeps the image's own spacing. New size = max(1, round(size * spacing / new spacing)), half "
            "to even. B-splines of this order per axis with edges repeated, new sample i at (i + 0.5) * size / new "
            "size - 0.5 (scipy.ndimage.zoom, mode nearest, grid_mode), then clipped to the range before. If max / min "
            "of the own spacing, or else of the new one, is above the threshold and a single axis has the largest, "
            "that axis is resampled last by its own order, 0 being the nearest slice, and the range is that of each "
            "slice. The same size is left as it is.",
        },
    }


def _tiles(card: ModelCard) -> dict[str, Any]:
    """How tiles lie and are put together."""
    one = card.configuration
    patch = [1, *one.patch] if len(one.patch) == 2 else list(one.patch)
    return {
        "patch": patch,
        "overlap": one.overlap,
        "sigma_share": SIGMA_SHARE,
        "how": "Pad each axis that is shorter than the patch with zeros, half of them (rounded down) before. Along an "
        "axis with room = size - patch > 0 there are n = ceil(room / max(1, patch * (1 - overlap))) + 1 tiles that "
        "start at round(room / (n - 1) * i), half to even; without room one at 0. In 2d the first axis has a patch of "
        "1 and the network sees the other two. Logits of tiles are averaged with the weight of a Gaussian: the outer "
        "product per axis of a one at patch // 2 in zeros, filtered with sigma = sigma_share * patch (cut at 4 "
        "sigma, zeros outside), divided by its maximum, and where that is 0 in float32 the smallest value above. "
        "What was padded is cut off.",
    }


def _mirroring(card: ModelCard) -> dict[str, Any]:
    """The mirrorings that a network's logits are averaged over."""
    swapped = card.sides_axis is not None
    return {
        "axes": list(card.configuration.training.mirror_axes),
        "axis_of_sides": card.sides_axis,
        "entering": list(card.entering.mirrored) if swapped else None,
        "leaving": list(card.data.swapped) if swapped else None,
        "how": "Optional: autospine does it by default. For each combination of these axes of the patch, none first: "
        "flip the input, compute, flip the logits back. Where axis_of_sides is among them channel entering[i] takes "
        "the place of i in the flipped input, and leaving[i] that of i in the logits. The mean over all mirrorings "
        "and all networks is taken of the logits.",
    }


def _after(card: ModelCard) -> dict[str, Any]:
    """From logits to labels on the image's grid."""
    data, one = card.data, card.configuration
    levels = data.levels
    return {
        "levels": None
        if levels is None
        else {
            "classes": list(levels.classes),
            "axis": one.axis_order.index(levels.axis),
            "step": levels.step,
            "ends_seen": list(levels.ends_seen),
            "sizes": None if levels.sizes is None else asdict(levels.sizes),
            **{name.lower(): getattr(where, name) for where, names in _LEVEL_NUMBERS.items() for name in names},
            "how": "Voxels of these classes are parted into whole vertebrae, and all together get one class each: "
            "vertebral_levels.py, instances.py and level_sequence.py in autospine/inference define it. Without it each "
            "voxel keeps its own class.",
        },
        "resampling": {
            "order": one.resampling.order_probability,
            "how": "Logits go back to the crop's size with this order, in float64, sampled as the image was; along an "
            "axis apart (by the spacings as above, from the new to the own) classes are decided first and the nearest "
            "slice is taken.",
        },
        "decision": {
            "kind": "regions" if data.regions else "classes",
            "values": [0, *(value for _, value in data.labels)],
            "regions": [
                {"channel": index, "name": region.name, "written_as": region.written}
                for index, region in enumerate(data.regions)
            ],
            "how": "classes: the channel with the largest logit, the first of equals, becomes values[channel]. "
            "regions: in their order, where the logit of the channel is above 0, written_as is written over what is "
            "there.",
        },
        "placing": "Transpose back, put the crop into an image of zeros, flip and permute back to the image's axes.",
        "labels": [{"name": name, "value": value} for name, value in data.labels],
    }


def real_patches(path: Path, card: ModelCard) -> npt.NDArray[np.float32]:
    """The middle of an image as a network sees it, (1, in_channels, *patch), with nothing of a previous stage.

    Raises:
        DataError: the image cannot be read.
        PlanError: it has another number of channels than the model takes.
    """
    volume = to_canonical(read_volume(path))
    one, channels = card.configuration, card.data.channels
    if len(volume.array) != len(channels):
        expected = f"{len(channels)} ({', '.join(channels)}) in one file"
        raise PlanError(str(path), f"{len(volume.array)} channel(s)", expected, "give another --image, or none")
    spacing_mm = volume.geometry.spacing_mm
    prepared = prepare_case(volume.array, None, spacing_mm, one, card.data.intensities, path.name).image
    flat = one.network.dimension == 2
    shape, patch = prepared.shape[1:], (2 * one.neighbours + 1, *one.patch) if flat else one.patch
    before = [max(0, (edge - size) // 2) for edge, size in zip(patch, shape, strict=True)]
    wide = [(0, 0), *((low, max(0, edge - size - low)) for edge, size, low in zip(patch, shape, before, strict=True))]
    padded = np.pad(prepared, wide)
    starts = [(size - edge) // 2 for size, edge in zip(padded.shape[1:], patch, strict=True)]
    cut = padded[(slice(None), *(slice(low, low + edge) for low, edge in zip(starts, patch, strict=True)))]
    if flat:
        cut = cut.swapaxes(0, 1).reshape(-1, *one.patch)
    entering = np.zeros((one.network.in_channels, *one.patch), np.float32)
    entering[card.entering.scan] = cut
    entering[card.entering.presence] = 1
    return entering[None]
