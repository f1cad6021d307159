"""From a volume to its segmentation on the same grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from autospine.data.geometry import Volume, canonical_orientation, restore, to_canonical
from autospine.errors import DataError
from autospine.inference.ensemble import Model
from autospine.inference.predictor import predict_logits
from autospine.networks.precision import Precision
from autospine.planning.model import ModelCard
from autospine.preprocessing.prepare import PreparedCase, prepare_case, restore_labels
from autospine.preprocessing.previous import onto_next_grid


def segment(
    model: Model,
    volume: Volume,
    name: str,
    *,
    device: torch.device,
    mirror: bool = True,
    previous: Model | None = None,
    missing: tuple[int, ...] = (),
    precision: Precision | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Volume:
    """Labels (1, Z, Y, X) with the values of the training set, on the grid and with the header of `volume`.

    Args:
        model: trained networks.
        volume: image (C, Z, Y, X) as it lies on disk, channels in the model's order.
        name: the case, for messages.
        device: where the networks are.
        mirror: average over the plan's mirrorings.
        previous: the model that a cascade starts from; it segments the volume first.
        missing: channels, from 0, that the case lacks; they are 0 in `volume`.
        precision: in which the networks compute; None: the faster one, for each model.
        progress: called with (tiles done, tiles in all), for each model.

    Raises:
        DataError: another number of channels than the model takes, or one missing that it needs.
    """
    channels = model.card.channels
    if volume.array.shape[0] != len(channels):
        found = f"{volume.array.shape[0]} channel(s)"
        raise DataError(
            name, found, f"{len(channels)} ({', '.join(channels)})", "give the channels the model was trained on"
        )
    stages = [model.card.configuration, *([] if previous is None else [previous.card.configuration])]
    needed = [channels[index] for index in missing if any(index not in stage.optional_channels for stage in stages)]
    if needed:
        raise DataError(name, f"no {', '.join(needed)}", "every channel that the model was not trained to do without")
    canonical = to_canonical(volume)
    image = canonical.array.astype(np.float32, copy=False)

    def prepared_for(card: ModelCard) -> PreparedCase:
        spacing_mm = canonical.geometry.spacing_mm
        return prepare_case(image, None, spacing_mm, card.configuration, card.intensities, name, missing)

    def logits_of(
        stage: Model, case: PreparedCase, labels: npt.NDArray[np.uint8] | None = None
    ) -> npt.NDArray[np.float32]:
        configuration = stage.card.configuration
        return predict_logits(
            stage.networks,
            case.image,
            configuration,
            device=device,
            mirror=mirror,
            previous=labels,
            missing=missing,
            precision=precision,
            progress=progress,
        )

    def first_labels(stage: Model, target: PreparedCase) -> npt.NDArray[np.uint8]:
        """What `stage` says on the grid of `target`; its own image is let go of with the return."""
        case, configuration = prepared_for(stage.card), stage.card.configuration
        shape, how = target.image.shape[1:], (configuration.resampling, configuration.regions)
        return onto_next_grid(logits_of(stage, case), case.properties, target.properties, shape, *how)

    prepared = prepared_for(model.card)
    labels = None if previous is None else first_labels(previous, prepared)
    geometry, metadata = volume.geometry, volume.metadata
    del volume, canonical, image  # as large as the logits of a class or more, and of no more use
    indices = restore_labels(logits_of(model, prepared, labels), prepared.properties, model.card.configuration)
    on_file_axes = restore(label_values(indices, model.card), canonical_orientation(geometry))
    return Volume(on_file_axes[None], geometry, metadata)


def label_values(indices: npt.NDArray[np.uint8], card: ModelCard) -> npt.NDArray[np.integer[Any]]:
    """Class indices 0..K -> the label values of the training set, 0 for background, in the smallest type for them."""
    values = np.array([0, *(value for _, value in card.labels)], np.int64)
    small = np.result_type(*(np.min_scalar_type(int(value)) for value in values))
    mapped: npt.NDArray[np.integer[Any]] = values.astype(small)[indices]
    return mapped
