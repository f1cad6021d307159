"""Several models as one that segments: their calibrated probabilities are averaged on the image's own grid.

    image --model A--> probabilities, compressed --+
                                                   +-- mean, slab by slab --agreed on levels--> labels, probabilities
    image --model B--> probabilities, compressed --+

Labels come of the mean as they come of a single model's scores: the likeliest class, or the regions written in turn,
and vertebrae get one level each once more, since two models may have called one differently. Nothing but the compressed
probabilities is whole, and where memory is too little for them they lie in temporary files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from math import log, prod
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy import special

from autospine.data.disk.files import atomic_path
from autospine.data.disk.private import private_folder
from autospine.data.geometry import Geometry, Volume, to_canonical, triple
from autospine.errors import PlanError
from autospine.inference.column import said_of
from autospine.inference.export import Placement, instances_volume, labels_volume, structures
from autospine.inference.images import Given, as_volume
from autospine.inference.loading import load_stages
from autospine.inference.postprocessing import postprocessed
from autospine.inference.predictor import Labels, Origin, Predictor
from autospine.inference.probabilities import MapStream, ProbabilityStream
from autospine.inference.rows import SLAB_BYTES
from autospine.inference.segmentation import Segmentation, Wanted
from autospine.inference.settings import Settings
from autospine.inference.streaming import Logits, Progress, Sink, pour_agreed
from autospine.inference.too_large import NUMBERED
from autospine.inference.vertebral_levels import Chain, Renaming
from autospine.machine.precision import Choice
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.postprocessing import NOTHING, Postprocessing, read_postprocessing
from autospine.planning.document.trust import LevelTrust
from autospine.preprocessing.chances import as_logits
from autospine.preprocessing.prepare import CaseProperties
from autospine.preprocessing.resample_labels import PIECE_VOXELS, Passage
from autospine.preprocessing.restore import Classes, on_canonical_grid

_PREFIX = "autospine-ensemble-"
_COPIES = 10
"""Slabs in memory while probabilities are averaged: of each model as stored and scaled, their mean, entropies."""
_MERGED = 24
"""Bytes a voxel of the image's grid then: pieces that agree on levels, classes on three grids, label values."""
_FLOAT, _HALF, _NUMBER = 4, 2, 4
_LABELS = Wanted()


def _silent(done: int, total: int) -> None: ...


@dataclass(frozen=True)
class Mean:
    """The mean of what several models say of one case, as scores that come slab by slab."""

    stored: tuple[Any, ...]
    """Of each model a `blosc2.NDArray` or array, float16 (K, Z, Y, X), canonical axes."""
    temperatures: tuple[float, ...]
    """By which the logits of each are divided; 1 where that is done already."""
    axis_order: tuple[int, int, int]
    """Canonical axis that stands at each axis of the slabs: rows follow the first."""
    regions: bool
    """Whether each output is yes or no by itself."""
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Voxel size along the axes of the slabs."""
    maps: tuple[npt.NDArray[np.float32], ...] | None = None
    """How far members of each model disagree, (Z, Y, X); None: the disagreement is not asked for."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels in the order of the slabs."""
        return triple(self.stored[0].shape[1 + axis] for axis in self.axis_order)

    @property
    def row_bytes(self) -> int:
        """Of the scores of a row, and of the disagreement where that is asked for."""
        outputs = self.stored[0].shape[0] + (self.maps is not None)
        return int(_FLOAT * outputs * self.shape[1] * self.shape[2])

    def slabs(self) -> Iterator[tuple[int, Logits]]:
        """(first row, (K, rows, a1, a2)): logits of the mean; beside them, where asked for, the disagreement."""
        count, step = self.shape[0], max(1, SLAB_BYTES // self.row_bytes)
        for first in range(0, count, step):
            yield first, self._scores(slice(first, min(count, first + step)))

    def _scores(self, rows: slice) -> Logits:
        said = [
            scaled(self._turned(stored, rows), temperature, regions=self.regions)
            for stored, temperature in zip(self.stored, self.temperatures, strict=True)
        ]
        mean: npt.NDArray[np.float32] = sum(said[1:], said[0]) / np.float32(len(said))
        logits = as_logits(mean, regions=self.regions)
        if self.maps is None:
            return logits
        # the chain rule of mutual information: what models disagree about, and what the members of each do
        between = _entropy(mean, self.regions) - sum(_entropy(one, self.regions) for one in said) / len(said)
        within = sum(self._turned(one[None], rows) for one in self.maps) / len(said)
        return np.concatenate((logits, np.clip(between + within, 0, 1).astype(np.float32)))

    def _turned(self, array: Any, rows: slice) -> npt.NDArray[np.float32]:
        """These rows of an `array` (K, Z, Y, X), as (K, rows, a1, a2)."""
        place = [slice(None)] * 4
        place[1 + self.axis_order[0]] = rows
        block: npt.NDArray[np.float32] = np.asarray(array[tuple(place)], np.float32)
        return block.transpose(0, *(1 + axis for axis in self.axis_order))

    def pour(self, card: ModelCard, sinks: Sequence[Sink]) -> Renaming | None:
        """Hand all pieces, whose vertebrae agree on their levels, to each of the `sinks`; these vertebrae."""
        chain = Chain.of(card.data.levels, self.axis_order, self.spacing_mm)
        return pour_agreed(self.slabs, card.data.outputs, chain, passage_of(self.shape), sinks)

    def labels(self, card: ModelCard) -> Labels:
        """Class indices on the canonical grid (Z, Y, X), as a single model makes them of its scores."""
        classes = Classes(passage_of(self.shape), card)
        self.pour(card, [classes])
        return classes.done().transpose(np.argsort(self.axis_order))


def passage_of(shape: tuple[int, int, int]) -> Passage:
    """From a grid to itself."""
    return Passage(shape, shape, (None, None, None))


def scaled(chances: npt.NDArray[np.float32], temperature: float, *, regions: bool) -> npt.NDArray[np.float32]:
    """Probabilities (K, ...) as they are where logits are divided by `temperature`.

    Of a region that is yes or no, both sides are treated so.
    """
    if temperature == 1:
        return chances
    if regions:
        return np.asarray(special.expit(as_logits(chances, regions=True) / temperature), np.float32)
    powers = np.exp(as_logits(chances, regions=False) / np.float32(temperature))
    return np.asarray(powers / powers.sum(axis=0), np.float32)


def _entropy(chances: npt.NDArray[np.float32], regions: bool) -> npt.NDArray[np.float32]:
    """Entropy of probabilities (K, ...), at most 1: (1, ...)."""
    if regions:
        both = special.entr(chances) + special.entr(1 - chances)
        return np.asarray(both.mean(axis=0, keepdims=True) / log(2), np.float32)
    return np.asarray(special.entr(chances).sum(axis=0, keepdims=True) / log(len(chances)), np.float32)


@dataclass(frozen=True)
class Ensemble:
    """Trained models of one data set that segment together; it is asked as a `Predictor` is."""

    models: tuple[Predictor, ...]
    """Two or more, by which what comes is averaged; the card of the first tells what is segmented."""
    postprocessing: Postprocessing = NOTHING
    """What is done to the labels of an image."""
    _lock: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)
    """Held while an image is segmented."""

    @property
    def card(self) -> ModelCard:
        """What is segmented; the configuration is that of the first model."""
        return self.models[0].card

    @property
    def device(self) -> torch.device:
        """On which all of them compute."""
        return self.models[0].device

    @property
    def stages(self) -> tuple[Predictor, ...]:
        """All models, and what those of them that are cascades start from."""
        return tuple(stage for model in self.models for stage in model.stages)

    @property
    def origin(self) -> Origin:
        """Folds of any of the models, and the digests of all files that were read."""
        folds = sorted({fold for model in self.models for fold in model.origin.folds}, key=int)
        unfinished = tuple(said for model in self.models for said in model.origin.unfinished)
        digests = tuple(digest for model in self.models for digest in model.origin.digests)
        return Origin(tuple(folds), unfinished, digests, self.models[0].origin.about)

    @property
    def optional_channels(self) -> set[int]:
        """Channels, from 0, that every model can do without."""
        return set.intersection(*(model.optional_channels for model in self.models))

    @property
    def memory_bytes(self) -> int | None:
        """Most that the process may have in RAM while it predicts; None: what is free."""
        return self.models[0].memory_bytes

    @property
    def promise(self) -> None:
        """None: what a model promises is true of its own segmentations, and of none that it makes with another."""
        return None

    def computed_in(self, cases: int | None = None) -> Choice:
        """As that of the first model."""
        return self.models[0].computed_in(cases)

    def available_bytes(self) -> float:
        """Memory that may still be taken; below 0 where more is held than `memory_bytes` allow."""
        return self.models[0].available_bytes()

    def check_wanted(self, wanted: Wanted, name: str) -> None:
        """Nothing: two models can always disagree; raises `DataError` where vertebrae are wanted and there are none."""
        self.models[0].check_wanted(Wanted(instances=wanted.instances), name)

    def needed_bytes(self, geometry: Geometry, wanted: Wanted = _LABELS) -> int:
        """An upper bound of the memory that `predict` takes for an image on this grid, beside what is held already."""
        return self._way(geometry, wanted)[1]

    def _way(self, geometry: Geometry, wanted: Wanted) -> tuple[bool, int]:
        """Whether the models' probabilities go to disk, and the bytes that are needed then."""
        needed = self._needed(geometry, wanted, on_disk=False)
        if needed <= self.available_bytes():
            return False, needed
        return True, self._needed(geometry, wanted, on_disk=True)

    def _needed(self, geometry: Geometry, wanted: Wanted, *, on_disk: bool) -> int:
        data, native = self.card.data, prod(geometry.shape)
        image, stored = _FLOAT * len(data.channels) * native, _HALF * data.outputs * native
        kept = (0 if on_disk else stored) + _FLOAT * native * wanted.uncertainty
        place: Path | Literal[True] = Path() if on_disk else True
        peaks = [
            image + index * kept + model.needed_bytes(geometry, _asked_of(model, wanted, place))
            for index, model in enumerate(self.models)
        ]
        row = max(geometry.shape) ** 2 * _FLOAT * (data.outputs + 1)
        slabs = _COPIES * max(SLAB_BYTES, min(row, _FLOAT * (data.outputs + 1) * native))
        merging = len(self.models) * kept + slabs + _MERGED * native + 16 * min(native, PIECE_VOXELS)
        merging += native * (_NUMBER * (data.levels is not None) + NUMBERED * wanted.instances)
        return int(max(*peaks, merging + stored * (wanted.probabilities is True)))

    def check_room(self, geometry: Geometry, wanted: Wanted, name: str) -> int:
        """What `needed_bytes` says; raises `DataError` where even the least is more than `memory_bytes` allow."""
        if self.memory_bytes is not None:
            for stage in self.stages:
                stage.computed_in()  # the networks as they will compute, which are compiled now, are held already
        needed = self.needed_bytes(geometry, wanted)
        if self.memory_bytes is not None and needed > self.available_bytes():
            raise Predictor.too_little(needed, self.memory_bytes, name)
        return needed

    def predict(
        self,
        image: Volume | npt.NDArray[np.generic],
        *,
        spacing_mm: Sequence[float] | None = None,
        affine: npt.NDArray[np.float64] | Sequence[Sequence[float]] | None = None,
        missing: Sequence[int] = (),
        name: str = "image",
        wanted: Wanted = _LABELS,
        progress: Progress = _silent,
    ) -> Segmentation:
        """Segment an image; arguments and errors as of `Predictor.predict`. Tiles are told anew for each model."""
        volume, given = as_volume(image, spacing_mm, affine, name)
        with self._lock, ExitStack() as stack:
            self.check_room(volume.geometry, wanted, name)
            on_disk, _ = self._way(volume.geometry, wanted)
            geometry, metadata = volume.geometry, volume.metadata
            canonical = to_canonical(volume)
            del image, volume
            folder = stack.enter_context(private_folder(_PREFIX)) if on_disk else None
            made = []
            for index, model in enumerate(self.models):
                said = _asked_of(model, wanted, True if folder is None else folder / f"{index}.b2nd")
                one = model.segment(canonical, name, missing=tuple(missing), wanted=said, progress=progress)
                made.append(replace(one, labels=_without_voxels(one.labels)))
            properties = _whole(canonical.geometry, name, self.card.configuration.axis_order)
            del canonical, one
            mean = _mean_of(made, properties, bool(self.card.data.regions), uncertainty=wanted.uncertainty)
            return self._segmentation(mean, properties, (geometry, metadata), wanted, given)

    def _segmentation(
        self,
        mean: Mean,
        properties: CaseProperties,
        grid: tuple[Geometry, tuple[tuple[str, str], ...]],
        wanted: Wanted,
        given: Given,
    ) -> Segmentation:
        """All that is wanted of a case, on the `grid` of its file."""
        geometry, metadata = grid
        passage, place, card = passage_of(mean.shape), Placement.of(properties, geometry), self.card
        classes = Classes(passage, card)
        sinks: list[Sink] = [classes]
        probabilities = uncertainty = None
        target = wanted.probabilities if isinstance(wanted.probabilities, Path) else None
        with ExitStack() as stack:
            if wanted.probabilities is not None:
                temporary = None if target is None else stack.enter_context(atomic_path(target))
                probabilities = ProbabilityStream(passage, place, geometry, card, 1.0, temporary)
                sinks.append(probabilities)
            if wanted.uncertainty:
                uncertainty = MapStream(passage, place, geometry)
                sinks.append(uncertainty)
            renaming = mean.pour(card, sinks)
        done = on_canonical_grid(classes.done(), properties)
        done = postprocessed(done, self.postprocessing, card.data, properties.canonical_spacing_mm)
        return Segmentation(
            labels_volume(done, geometry, card, metadata),
            {value: name for name, value in card.data.labels},
            structures(card),
            probabilities=None if probabilities is None else probabilities.done(given, target),
            uncertainty=None if uncertainty is None else Volume(uncertainty.done()[None], geometry, metadata),
            instances=instances_volume(done, renaming, card, properties, geometry, metadata)
            if wanted.instances
            else None,
            column=()
            if renaming is None
            else said_of(renaming.column, card.data, LevelTrust.strictest(model.trust for model in self.models)),
            given=given,
        )


Model = Predictor | Ensemble
"""What segments images."""


def load_ensemble(home: Path, folders: Sequence[Path], device: torch.device, settings: Settings) -> Ensemble:
    """The models in `folders` as one; what is done to what they say together stands in the folder `home`.

    Raises:
        PlanError: as `load_stages` and `read_postprocessing` do, or they are not of the same data.
    """
    models = [load_stages(folder, device, replace(settings, postprocess=False)) for folder in folders]
    first = models[0].card.data
    for folder, model in zip(folders, models, strict=True):
        its = model.card.data
        if (its.channels, its.labels, its.regions, its.levels) != (
            first.channels,
            first.labels,
            first.regions,
            first.levels,
        ):
            found = f"channels, labels, regions or levels other than those of {folders[0].name}"
            raise PlanError(str(folder), found, "models that were trained by one plan", "select again")
    return Ensemble(tuple(models), read_postprocessing(home, first) if settings.postprocess else NOTHING)


def _asked_of(model: Predictor, wanted: Wanted, probabilities: Path | Literal[True]) -> Wanted:
    """What a model is asked for where its ensemble is asked for what is `wanted`; `probabilities` say where to."""
    return Wanted(probabilities, wanted.uncertainty and model.members > 1)


def _without_voxels(volume: Volume) -> Volume:
    """A volume of which the grid alone is kept."""
    return replace(volume, array=np.broadcast_to(np.zeros((), volume.array.dtype), volume.array.shape))


def _whole(geometry: Geometry, name: str, axis_order: tuple[int, int, int]) -> CaseProperties:
    """A case on its canonical grid that is cropped to nothing less, and not resampled."""
    return CaseProperties(
        name=name,
        canonical_shape=geometry.shape,
        canonical_spacing_mm=geometry.spacing_mm,
        box=triple((0, size) for size in geometry.shape),
        axis_order=axis_order,
        prepared_spacing_mm=triple(geometry.spacing_mm[axis] for axis in axis_order),
    )


def _mean_of(made: Sequence[Segmentation], properties: CaseProperties, regions: bool, *, uncertainty: bool) -> Mean:
    """The mean of what the models have `made` of a case, on its canonical grid."""
    stored = tuple(one.probabilities.stored for one in made if one.probabilities is not None)
    maps = None
    if uncertainty:
        nothing = np.broadcast_to(np.zeros((), np.float32), properties.canonical_shape)
        maps = tuple(nothing if one.uncertainty is None else one.uncertainty.array[0] for one in made)
    once = (1.0,) * len(stored)
    return Mean(stored, once, properties.axis_order, regions, properties.prepared_spacing_mm, maps)
