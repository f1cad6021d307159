"""Trained networks as one object that segments: a prepared case, or an image as it lies on disk.

    image --prepared--> case --sliding window--> logits --agreed on levels--> logits --restored--> labels on its grid

No file is read here, and nothing is said on a terminal. 2D configurations predict slice by slice along the first
planned axis, several slices to a batch. The logits of a case are the largest thing that a prediction holds: they are
made once, are changed in place, have no name that outlives their use, and go before the next case's are made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from autospine.data.box import nonzero_box
from autospine.data.geometry import Geometry, Volume, to_canonical, triple
from autospine.errors import DataError, PlanError
from autospine.inference.export import labels_volume
from autospine.inference.forward import Forward
from autospine.inference.mirroring import mirrorings
from autospine.inference.padded import PaddedCase
from autospine.inference.too_large import check_case, check_spacing, prediction_bytes, tiles_together
from autospine.inference.vertebral_levels import agree_on_levels
from autospine.inference.window import Tile, Window
from autospine.machine.precision import Choice, Precision
from autospine.networks.precision import choose_precision
from autospine.planning.document.about import About
from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.memory import prepared_voxels
from autospine.preprocessing.prepare import CaseProperties, PreparedCase, prepare_case
from autospine.preprocessing.restore import onto_next_grid, restore_labels
from autospine.preprocessing.store import StoredCase

Prepared = PreparedCase | StoredCase
Progress = Callable[[int, int], None]
"""Called with (tiles done, tiles in all), anew for each stage."""
Labels = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]


def _silent(done: int, total: int) -> None: ...


@dataclass(frozen=True)
class Origin:
    """Where networks come from; nothing is computed from it."""

    folds: tuple[str, ...] = ()
    """Names of the folds (`0`, `1`, ...)."""
    unfinished: tuple[str, ...] = ()
    """A sentence for each of them that is not trained to its end."""
    digests: tuple[str, ...] = ()
    """SHA-256 of the files that were read: the card's, then each fold's weights'."""
    about: About | None = None
    """What is told of the model beside its card: what it has learnt from, its licence; None where nothing is."""


@dataclass(frozen=True)
class Predictor:
    """Trained networks with the card that says what they take and give."""

    card: ModelCard
    networks: tuple[nn.Module, ...]
    """One per fold, in evaluation mode on `device`; what they say is averaged."""
    device: torch.device
    mirror: bool = True
    """Average over all combinations of the plan's mirror axes."""
    precision: Precision | None = None
    """In which the networks compute; None: the faster one on this device."""
    previous: Predictor | None = None
    """What a cascade starts from, where it has to segment that first."""
    origin: Origin = Origin()

    @property
    def stages(self) -> tuple[Predictor, ...]:
        """This, and what a cascade starts from."""
        return (self,) if self.previous is None else (self, self.previous)

    @property
    def optional_channels(self) -> set[int]:
        """Channels, from 0, that every stage can do without."""
        return set.intersection(*(set(stage.card.data.optional) for stage in self.stages))

    def computed_in(self) -> Choice:
        """The precision in which the networks compute."""
        if self.precision is not None:
            return Choice(self.precision)
        configuration = self.card.configuration
        together = replace(configuration, batch=tiles_together(configuration, self.device.type))
        return choose_precision(together, self.device, training=False)

    def needed_bytes(self, geometry: Geometry) -> int:
        """An upper bound of the memory that `segment` takes for an image on this grid."""
        native, cards = prod(geometry.shape), [stage.card for stage in self.stages]
        return max(prediction_bytes(card, native, prepared_voxels(geometry, card.configuration)) for card in cards)

    def segment(
        self, volume: Volume, name: str, *, missing: tuple[int, ...] = (), progress: Progress = _silent
    ) -> Volume:
        """Labels (1, Z, Y, X) with the values of the training set, on the grid and with the header of `volume`.

        `volume` is an image (C, Z, Y, X) as it lies on disk, its channels in the model's order and 0 where `missing`
        (from 0). Messages call it `name`.

        Raises:
            DataError: another number of channels than the model takes, one missing that it needs, or an image that
                there is no room for (see `too_large`).
            PlanError: as `logits` does.
        """
        self._check_channels(len(volume.array), missing, name)
        geometry, metadata = volume.geometry, volume.metadata
        canonical = to_canonical(volume)
        image, spacing_mm = canonical.array.astype(np.float32, copy=False), canonical.geometry.spacing_mm
        shape = [span.stop - span.start for span in nonzero_box(image)]
        cards = [stage.card for stage in self.stages]
        for card in cards:
            check_spacing(card.configuration, shape, spacing_mm, len(image), name)
        case, *first = [
            prepare_case(image, None, spacing_mm, card.configuration, card.data.intensities, name, missing)
            for card in cards
        ]
        del volume, canonical, image  # as large as the logits of a class or more, and of no more use
        earlier = None
        if self.previous is not None:
            # without a name: the image of the first stage is let go of before the second predicts
            earlier = self.previous.labels_for(first.pop(), case.properties, progress)
        return labels_volume(self.labels(case, earlier, progress), geometry, self.card, metadata)

    def labels(self, case: Prepared, earlier: Labels | None = None, progress: Progress = _silent) -> Labels:
        """Class indices of a case on its own canonical grid (Z, Y, X); arguments and errors as of `logits`."""
        return restore_labels(self.logits(case, earlier, progress), case.properties, self.card)

    def labels_for(self, case: Prepared, following: CaseProperties, progress: Progress = _silent) -> Labels:
        """Class indices of a case on the grid of the same case as the next stage prepares it, which is `following`."""
        return onto_next_grid(self.logits(case, None, progress), case.properties, following, self.card)

    def logits(self, case: Prepared, earlier: Labels | None = None, progress: Progress = _silent) -> Logits:
        """Logits (K, a0, a1, a2) of a case, K = background + classes; pieces agree on levels (see `vertebral_levels`).

        `earlier` are class indices (a0, a1, a2) of the previous stage, where the configuration takes them.

        Raises:
            DataError: the machine has no room for the case (see `too_large`).
            PlanError: what comes out is not finite.
        """
        levels = self.card.data.levels
        logits = self.voxelwise_logits(case, earlier, progress)
        if levels is None:
            return logits
        return agree_on_levels(logits, levels, self.card.configuration.axis_order.index(levels.axis))

    @torch.inference_mode()
    def voxelwise_logits(self, case: Prepared, earlier: Labels | None, progress: Progress) -> Logits:
        """Mean logits (K, a0, a1, a2) over all networks, tiles and mirrorings; arguments and errors as of `logits`."""
        configuration, image = self.card.configuration, case.image
        if (earlier is None) != (configuration.previous is None):
            raise ValueError(f"{configuration.name} takes {configuration.previous} as its previous stage")
        patch, together = triple((1, *configuration.patch)[-3:]), tiles_together(configuration, self.device.type)
        window = Window(patch, configuration.overlap, together, configuration.network.out_channels)
        check_case(configuration, len(image), image.shape[1:], patch)
        inputs = PaddedCase.of(image, case.properties.missing, earlier, self.card, patch)
        forward = Forward(self.networks, mirrorings(self.card, self.mirror), self.device, self.computed_in().precision)

        def logits_of(tiles: Sequence[Tile]) -> Tensor:
            said = forward(inputs.batch(tiles))
            return said if said.ndim == 5 else said[:, :, None]

        logits = window.slide(inputs.volume.shape[1:], inputs.inner, logits_of, progress)
        if not all(torch.isfinite(end) for end in torch.aminmax(logits)):
            found = "NaN or infinite numbers in the output of the network"
            remedy = "use other weights; where large numbers overflow in float16 alone, predict with --device cpu"
            raise PlanError(f"configuration {configuration.name}", found, "finite numbers", remedy)
        logits_of_case: Logits = logits.numpy()
        return logits_of_case

    def _check_channels(self, count: int, missing: Sequence[int], name: str) -> None:
        """Raise `DataError` unless an image of `count` channels without the `missing` ones is what the model takes."""
        channels = self.card.data.channels
        if count != len(channels):
            expected = f"{len(channels)} ({', '.join(channels)})"
            raise DataError(name, f"{count} channel(s)", expected, "give the channels the model was trained on")
        needed = [channels[index] for index in missing if index not in self.optional_channels]
        if needed:
            expected = "every channel that the model was not trained to do without"
            raise DataError(name, f"no {', '.join(needed)}", expected)
