"""From a volume to its segmentation on the same grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from autospine.data.box import nonzero_box
from autospine.data.geometry import Volume, canonical_orientation, restore, to_canonical
from autospine.errors import DataError
from autospine.inference.ensemble import Model
from autospine.inference.predictor import predict_logits
from autospine.inference.room import check_spacing
from autospine.machine.precision import Precision
from autospine.planning.document.card import ModelCard
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
        DataError: another number of channels than the model takes, one missing that it needs, or an image that there
            is no room for (see `room`).
        PlanError: as `predict_logits` does.
    """
    channels = model.card.data.channels
    if volume.array.shape[0] != len(channels):
        found = f"{volume.array.shape[0]} channel(s)"
        raise DataError(
            name, found, f"{len(channels)} ({', '.join(channels)})", "give the channels the model was trained on"
        )
    cards = (model.card, *([] if previous is None else [previous.card]))
    needed = [channels[index] for index in missing if any(index not in card.data.optional for card in cards)]
    if needed:
        raise DataError(name, f"no {', '.join(needed)}", "every channel that the model was not trained to do without")
    geometry, metadata = volume.geometry, volume.metadata
    canonical = to_canonical(volume)
    image, spacing_mm = canonical.array.astype(np.float32, copy=False), canonical.geometry.spacing_mm
    shape = [span.stop - span.start for span in nonzero_box(image)]
    for card in cards:
        check_spacing(card.configuration, shape, spacing_mm, len(image), name)
    prepared, *first = [
        prepare_case(image, None, spacing_mm, card.configuration, card.data.intensities, name, missing)
        for card in cards
    ]
    del volume, canonical, image  # as large as the logits of a class or more, and of no more use

    def logits_of(
        stage: Model, case: PreparedCase, labels: npt.NDArray[np.uint8] | None = None
    ) -> npt.NDArray[np.float32]:
        return predict_logits(
            stage.networks,
            case.image,
            stage.card,
            device=device,
            mirror=mirror,
            previous=labels,
            missing=missing,
            precision=precision,
            progress=progress,
        )

    def first_labels(stage: Model, case: PreparedCase) -> npt.NDArray[np.uint8]:
        """What `stage` says on the grid of the next one; its own image is let go of with the return."""
        how = stage.card.configuration.resampling, stage.card.data.written
        shape = prepared.image.shape[1:]
        return onto_next_grid(logits_of(stage, case), case.properties, prepared.properties, shape, *how)

    labels = None if previous is None else first_labels(previous, first.pop())
    indices = restore_labels(logits_of(model, prepared, labels), prepared.properties, model.card)
    on_file_axes = restore(label_values(indices, model.card), canonical_orientation(geometry))
    return Volume(on_file_axes[None], geometry, metadata)


def label_values(indices: npt.NDArray[np.uint8], card: ModelCard) -> npt.NDArray[np.integer[Any]]:
    """Class indices 0..K -> the label values of the training set, 0 for background, in the smallest type for them."""
    values = np.array([0, *(value for _, value in card.data.labels)], np.int64)
    small = np.result_type(*(np.min_scalar_type(int(value)) for value in values))
    mapped: npt.NDArray[np.integer[Any]] = values.astype(small)[indices]
    return mapped
