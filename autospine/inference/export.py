"""From a volume to its segmentation on the same grid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from autospine.data.volume import Volume, canonical_orientation, restore, to_canonical
from autospine.errors import DataError
from autospine.inference.ensemble import Model
from autospine.inference.predictor import predict_logits
from autospine.planning.model import ModelCard
from autospine.preprocessing.prepare import prepare_case, restore_labels


def segment(
    model: Model,
    volume: Volume,
    name: str,
    *,
    device: torch.device,
    mirror: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Volume:
    """Labels (1, Z, Y, X) with the values of the training set, on the grid and with the header of `volume`.

    Args:
        model: trained networks.
        volume: image (C, Z, Y, X) as it lies on disk, channels in the model's order.
        name: the case, for messages.
        device: where the networks are.
        mirror: average over the plan's mirrorings.
        progress: called with (tiles done, tiles in all).

    Raises:
        DataError: another number of channels than the model takes.
    """
    channels = model.card.channels
    if volume.array.shape[0] != len(channels):
        found = f"{volume.array.shape[0]} channel(s)"
        raise DataError(
            name, found, f"{len(channels)} ({', '.join(channels)})", "give the channels the model was trained on"
        )
    canonical = to_canonical(volume)
    prepared = prepare_case(
        canonical.array.astype(np.float32, copy=False),
        None,
        canonical.geometry.spacing_mm,
        model.card.configuration,
        model.card.intensities,
        name,
    )
    logits = predict_logits(
        model.networks, prepared.image, model.card.configuration, device=device, mirror=mirror, progress=progress
    )
    indices = restore_labels(logits, prepared.properties, model.card.configuration)
    on_file_axes = restore(label_values(indices, model.card), canonical_orientation(volume.geometry))
    return Volume(on_file_axes[None], volume.geometry, volume.metadata)


def label_values(indices: npt.NDArray[np.uint8], card: ModelCard) -> npt.NDArray[np.int64]:
    """Class indices 0..K -> the label values of the training set, 0 for background."""
    values = np.array([0, *(value for _, value in card.labels)], np.int64)
    mapped: npt.NDArray[np.int64] = values[indices]
    return mapped
