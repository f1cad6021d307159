"""Trained networks as one object that segments: a prepared case, or an image as a caller has it.

    image --prepared--> case --sliding window--> slabs of logits --restored--> labels on its grid
                                  |                    ^
                                  +--agreed on levels--+

No file is read here but a model, and nothing is said on a terminal. 2D configurations predict slice by slice along the
first planned axis, several slices to a batch. Scores of a whole case are the largest thing that a prediction could
hold, and it does not (`streaming`). A predictor may be asked by several threads: they wait for each other, so that
memory stays what one case takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from autospine.data.box import nonzero_box
from autospine.data.disk.files import atomic_path
from autospine.data.geometry import Geometry, Volume, to_canonical, triple
from autospine.errors import DataError
from autospine.inference.anatomy import absent_of
from autospine.inference.column import said_of
from autospine.inference.engines.choice import Computing
from autospine.inference.evidence import Evidence, Gathering
from autospine.inference.export import Placement, instances_volume, labels_volume, structures
from autospine.inference.forward import Forward
from autospine.inference.images import AS_FILES, Given, as_volume
from autospine.inference.instances import can_separate
from autospine.inference.mirroring import mirrorings
from autospine.inference.padded import PaddedCase
from autospine.inference.postprocessing import postprocessed
from autospine.inference.probabilities import MapStream, ProbabilityStream
from autospine.inference.segmentation import Segmentation, Wanted
from autospine.inference.settings import Settings
from autospine.inference.streaming import Logits, Progress, Scores, Sink, whole
from autospine.inference.too_large import (
    Asked,
    check_case,
    check_spacing,
    find_way,
    image_bytes,
    predicting_bytes,
    prediction_bytes,
    tiles_together,
)
from autospine.inference.uncertainty import with_disagreement
from autospine.inference.vertebral_levels import Chain, Renaming, agree_on_levels, find_renaming
from autospine.inference.window import Window
from autospine.machine.memory import free_bytes, resident_bytes
from autospine.machine.precision import Choice, Precision
from autospine.networks.precision import choose_precision
from autospine.planning.document.about import About
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.postprocessing import NOTHING, Postprocessing
from autospine.planning.document.promise import Promise
from autospine.planning.document.promised import Promised, promised
from autospine.planning.document.trust import NOTHING_LEARNT, LevelTrust
from autospine.preprocessing.memory import prepared_shape
from autospine.preprocessing.prepare import CaseProperties, PreparedCase, prepare_case
from autospine.preprocessing.resample_labels import Passage
from autospine.preprocessing.restore import Classes, in_next_order, next_axes, next_way, on_canonical_grid, own_way
from autospine.preprocessing.store import StoredCase

Prepared = PreparedCase | StoredCase
Labels = npt.NDArray[np.uint8]
_LABELS = Wanted()


CANONICAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
"""Directions of a grid whose axes Z, Y and X run to superior, posterior and left."""


def _silent(done: int, total: int) -> None: ...


_KEPT = 0.95
"""Of a limit on memory, what is counted on: the rest is what the allocator has not given back (1 to 5 % were seen)."""


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
    promise_withheld: bool = False
    """Whether it has a promise that is not given: a fold is not trained to its end or on every case, or it is used
    otherwise than folds were validated."""


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
    memory_bytes: int | None = None
    """Most that the process may have in RAM while it predicts; None: what is free."""
    temperature: float = 1.0
    """By which logits are divided for probabilities and uncertainty (`calibration`)."""
    postprocessing: Postprocessing = NOTHING
    """What is done to the labels of an image; scores and what a cascade goes on with are as the networks make them."""
    trust: LevelTrust = NOTHING_LEARNT
    """From which probability a level of a column has a name (`levels.json`)."""
    promise: Promise | None = None
    """What is promised of a segmentation, where that was learnt; of predictions as it was learnt from."""
    _lock: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)
    """Held while an image is segmented."""

    @staticmethod
    def load(model: str | Path, device: str = "auto", settings: Settings = Settings()) -> Predictor:
        """The model in a folder, ready to segment; a cascade with what it starts from, which stands beside it.

        `device` is `auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`.

        Raises:
            PlanError: no model, or a broken one, or a fold that is not there.
            DeviceError: the device is not there.
        """
        from autospine.inference.loading import load_stages
        from autospine.machine.device import resolve_device

        return load_stages(Path(model), resolve_device(device), settings)

    @property
    def stages(self) -> tuple[Predictor, ...]:
        """This, and what a cascade starts from."""
        return (self,) if self.previous is None else (self, self.previous)

    @property
    def models(self) -> tuple[Predictor, ...]:
        """This alone: the model that is asked, as an ensemble has several."""
        return (self,)

    @property
    def optional_channels(self) -> set[int]:
        """Channels, from 0, that every stage can do without."""
        return set.intersection(*(set(stage.card.data.optional) for stage in self.stages))

    @property
    def members(self) -> int:
        """Networks times mirrorings: what each voxel's logits are the mean of."""
        return len(self.networks) * len(mirrorings(self.card, self.mirror))

    def computed_in(self, cases: int | None = None) -> Choice:
        """The precision in which the networks compute, and by what: chosen for so many `cases`; None: for many."""
        if self.precision is not None:
            return Choice(self.precision)
        configuration = self.card.configuration
        together = replace(configuration, batch=tiles_together(configuration, self.device.type))
        return self._computing.choose(partial(choose_precision, together, self.device, training=False), cases)

    @property
    def _computing(self) -> Computing:
        """The networks, and how they may compute."""
        # what several networks would keep is several times what is foreseen (`too_large`)
        spare = self.memory_bytes is not None or len(self.networks) > 1
        return Computing(self.networks, self.card.configuration, self.device, self.members, spare)

    def needed_bytes(self, geometry: Geometry, wanted: Wanted = _LABELS) -> int:
        """An upper bound of the memory that `predict` takes for an image on this grid, beside what is held already.

        That of the way it will be gone through, in strips where memory is little; so at the least it can do with.
        """
        native, available, needed = prod(geometry.shape), self.available_bytes(), 0
        asked = [
            stage._asked(
                native, prepared_shape(geometry, stage.card.configuration), wanted if stage is self else _LABELS
            )
            for stage in self.stages
        ]
        for one in asked:
            others = sum(image_bytes(other) for other in asked if other is not one)  # all are prepared at first
            way = find_way(one, partial(prediction_bytes, one), available - others)
            needed = max(needed, others + prediction_bytes(one, way))
        return needed

    def _asked(self, native: int, prepared: tuple[int, ...], wanted: Wanted) -> Asked:
        """What is predicted, as far as memory goes."""
        stored = wanted.probabilities is True
        probabilities = wanted.probabilities is not None
        more = {"probabilities": probabilities, "stored": stored, "uncertainty": wanted.uncertainty}
        more["postprocessed"], more["instances"] = bool(self.postprocessing), wanted.instances
        return Asked(self.card, native, triple(prepared), self.device.type, max(1, len(self.networks)), **more)

    def available_bytes(self) -> float:
        """Memory that may still be taken; below 0 where more is held than `memory_bytes` allow."""
        free = free_bytes()
        return free if self.memory_bytes is None else min(free, _KEPT * self.memory_bytes - resident_bytes())

    def check_wanted(self, wanted: Wanted, name: str) -> None:
        """Nothing; raises `DataError` where a model as it is used has nothing to say of what is wanted."""
        if wanted.instances and not can_separate(self.card.data):
            found = f"instances are asked for of {', '.join(self.card.data.targets)}"
            remedy = "do not ask for them, or call the label of all vertebrae `vertebra`"
            raise DataError(name, found, "a model of vertebrae", remedy)
        if wanted.uncertainty and self.members < 2:
            found = "uncertainty is asked for, and there is one fold without mirroring"
            remedy = "use several folds or mirroring (leave --fast, --no-mirror and --folds away), or do not ask for it"
            raise DataError(name, found, "folds and mirrorings that can disagree", remedy)

    def check_room(self, geometry: Geometry, wanted: Wanted, name: str) -> int:
        """What `needed_bytes` says; raises `DataError` where even the least is more than `memory_bytes` allow."""
        if self.memory_bytes is not None:
            for stage in self.stages:
                stage.computed_in()  # the networks as they will compute, which are compiled now, are held already
        needed, available = self.needed_bytes(geometry, wanted), self.available_bytes()
        if self.memory_bytes is not None and needed > available:
            raise self.too_little(needed, self.memory_bytes, name)
        return needed

    @staticmethod
    def too_little(needed: int, memory_bytes: int, name: str) -> DataError:
        """The error of an image that takes so many bytes where the process may have no more than `memory_bytes`."""
        held = resident_bytes()
        found = f"it needs up to {needed / 1e9:.1f} GB beside the {held / 1e9:.1f} GB that the program has"
        allowed = min(memory_bytes, held + free_bytes()) / 1e9
        enough = (needed + held) / _KEPT / 1e9
        remedy = f"allow {enough:.1f} GB with --memory, or crop the image to what is to be segmented"
        return DataError(name, found, f"what fits into {allowed:.1f} GB", remedy)

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
        """Segment an image; no file is read, and none is written but that of probabilities which `wanted` names.

        Args:
            image: a `Volume` (C, Z, Y, X) as it lies on disk, or an array of two or three axes in space, before which
                channels may come. Channels are in the model's order, and 0 where `missing`.
            spacing_mm: voxel size along the axes of an array, which run to superior, posterior and left; two numbers
                for a single slice (Y, X).
            affine: 4 x 4, from indices (X, Y, Z) of an array to Right, Anterior, Superior in mm, as nibabel has it.
            missing: channels, from 0, that the image lacks.
            name: what messages call it.
            wanted: what is made beside labels.
            progress: told (tiles done, tiles in all), anew for each stage.

        Raises:
            DataError: no image or grid, another number of channels than the model takes, one missing that it needs,
                uncertainty of a model with one member, or an image that there is no room for.
            PlanError: what comes out of the network is not finite.
            OutputError: probabilities cannot be written, or there is no room for temporary files where memory is too
                little.
        """
        volume, given = as_volume(image, spacing_mm, affine, name)
        self.check_wanted(wanted, name)
        self._check_channels(len(volume.array), missing, name)
        geometry, held = volume.geometry, [volume]
        del image, volume  # the image is let go of there as soon as it is of no more use, unless the caller keeps it
        with self._lock:
            self.check_room(geometry, wanted, name)
            return self.segment(held.pop(), name, missing=tuple(missing), wanted=wanted, given=given, progress=progress)

    def segment(
        self,
        volume: Volume,
        name: str,
        *,
        missing: tuple[int, ...] = (),
        wanted: Wanted = _LABELS,
        given: Given = AS_FILES,
        progress: Progress = _silent,
    ) -> Segmentation:
        """As `predict`, for one thread and an image (C, Z, Y, X) as it lies on disk; errors as of that."""
        self._check_channels(len(volume.array), missing, name)
        geometry, metadata = volume.geometry, volume.metadata
        canonical = to_canonical(volume)
        del volume  # each is as large as the image, and of no more use
        image, spacing_mm = canonical.array.astype(np.float32, copy=False), canonical.geometry.spacing_mm
        del canonical
        shape = [span.stop - span.start for span in nonzero_box(image)]
        cards = [stage.card for stage in self.stages]
        for card in cards:
            check_spacing(card.configuration, shape, spacing_mm, len(image), name)
        case, *first = [
            prepare_case(image, None, spacing_mm, card.configuration, card.data.intensities, name, missing)
            for card in cards
        ]
        del image
        earlier = None
        if self.previous is not None:
            # without a name: the image of the first stage is let go of before the second predicts
            earlier = self.previous.labels_for(first.pop(), case.properties, progress)
        return self._segmentation(case, earlier, (geometry, metadata), wanted, given, progress)

    def segment_prepared(
        self, case: Prepared, earlier: Labels | None = None, wanted: Wanted = _LABELS, progress: Progress = _silent
    ) -> Segmentation:
        """All that is wanted of a prepared case, on its own canonical grid; arguments and errors as of `logits`."""
        properties = case.properties
        geometry = Geometry(properties.canonical_shape, properties.canonical_spacing_mm, (0.0, 0.0, 0.0), CANONICAL)
        return self._segmentation(case, earlier, (geometry, ()), wanted, AS_FILES, progress)

    def _segmentation(
        self,
        case: Prepared,
        earlier: Labels | None,
        grid: tuple[Geometry, tuple[tuple[str, str], ...]],
        wanted: Wanted,
        given: Given,
        progress: Progress,
    ) -> Segmentation:
        """All that is wanted of a prepared case, on the `grid` of its file."""
        geometry, metadata = grid
        passage, place = self._own_passage(case), Placement.of(case.properties, geometry)
        classes = Classes(passage, self.card)
        sinks: list[Sink] = [classes]
        probabilities = uncertainty = None
        target = wanted.probabilities if isinstance(wanted.probabilities, Path) else None
        with nullcontext() if target is None else atomic_path(target) as temporary:
            if wanted.probabilities is not None:
                probabilities = ProbabilityStream(passage, place, geometry, self.card, self.temperature, temporary)
                sinks.append(probabilities)
            if wanted.uncertainty:
                uncertainty = MapStream(passage, place, geometry)
                sinks.append(uncertainty)
            gathering = self._gathering(wanted) if wanted.evidence else None
            renaming = self.pour(case, earlier, passage, sinks, progress, wanted, gathering)
        indices = on_canonical_grid(classes.done(), case.properties)
        evidence = None
        if gathering is not None:  # of what the networks say, as the promise was learnt
            evidence = gathering.done(case.image, indices, case.properties)
        done = postprocessed(indices, self.postprocessing, self.card.data, case.properties.canonical_spacing_mm)
        labels = labels_volume(done, geometry, self.card, metadata)
        return Segmentation(
            labels,
            {value: name for name, value in self.card.data.labels},
            structures(self.card),
            None if probabilities is None else probabilities.done(given, target),
            None if uncertainty is None else Volume(uncertainty.done()[None], geometry, metadata),
            evidence,
            None if evidence is None else self._promised(evidence, done),
            instances_volume(done, renaming, self.card, case.properties, geometry, metadata)
            if wanted.instances
            else None,
            () if renaming is None else said_of(renaming.column, self.card.data, self.trust),
            given,
        )

    def _promised(self, evidence: Evidence, done: Labels) -> Promised | None:
        """What is promised of a case whose class indices became `done`; None where the model has no promise."""
        if self.promise is None:
            return None
        removed = absent_of(done, self.card.data) if self.postprocessing else ()
        return promised(self.promise, evidence, removed)

    def labels(self, case: Prepared, earlier: Labels | None = None, progress: Progress = _silent) -> Labels:
        """Class indices of a case on its own canonical grid (Z, Y, X); arguments and errors as of `logits`."""
        classes = self._classes(case, earlier, self._own_passage(case), progress)
        return on_canonical_grid(classes, case.properties)

    def judged(
        self, case: Prepared, earlier: Labels | None = None, temperature: float = 1.0
    ) -> tuple[Labels, Evidence]:
        """As `labels`, and what the prediction says of itself at this `temperature`."""
        passage, progress = self._own_passage(case), _silent
        classes, gathering = Classes(passage, self.card), Gathering(self.card, temperature, disagreement=False)
        self.pour(case, earlier, passage, [classes], progress, gathering=gathering)
        labels = on_canonical_grid(classes.done(), case.properties)
        return labels, gathering.done(case.image, labels, case.properties)

    def _gathering(self, wanted: Wanted) -> Gathering:
        """What takes evidence: at the temperature at which that was gathered which taught the promise."""
        temperature = self.temperature if self.promise is None else self.promise.temperature
        return Gathering(self.card, temperature, disagreement=wanted.uncertainty)

    def labels_for(self, case: Prepared, following: CaseProperties, progress: Progress = _silent) -> Labels:
        """Class indices of a case on the grid of the same case as the next stage prepares it, which is `following`."""
        way, axes = next_way(case.properties, following, self.card), next_axes(case.properties, following)
        passage = Passage.of(triple(case.image.shape[1:]), way, way.plan.order_probability, axes)
        return in_next_order(self._classes(case, None, passage, progress), case.properties, following)

    def _own_passage(self, case: Prepared) -> Passage:
        """From the grid of a prepared case to its crop on its own grid."""
        way = own_way(case.properties, self.card)
        return Passage.of(triple(case.image.shape[1:]), way, way.plan.order_probability)

    def _classes(self, case: Prepared, earlier: Labels | None, passage: Passage, progress: Progress) -> Labels:
        """Class indices of a case on the grid that a passage leads to."""
        classes = Classes(passage, self.card)
        self.pour(case, earlier, passage, [classes], progress)
        return classes.done()

    def pour(
        self,
        case: Prepared,
        earlier: Labels | None,
        passage: Passage,
        sinks: Sequence[Sink],
        progress: Progress,
        wanted: Wanted = _LABELS,
        gathering: Gathering | None = None,
    ) -> Renaming | None:
        """Hand what the networks say of a case to `sinks`, piece by piece, and all of it to `gathering`.

        Gives the vertebrae with their levels, where the case has any.

        Arguments and errors as of `logits`.
        """
        scores = self._scores(case, earlier, progress, members=wanted.uncertainty)
        asked = self._asked(prod(passage.target), scores.case_shape, wanted)
        way = find_way(asked, partial(predicting_bytes, asked), self.available_bytes())
        return scores.pour(passage, sinks, way.strips, on_disk=way.on_disk, look=gathering)

    def logits(self, case: Prepared, earlier: Labels | None = None, progress: Progress = _silent) -> Logits:
        """Logits (K, a0, a1, a2) of a case, K = background + classes; pieces agree on levels (see `vertebral_levels`).

        All of them at once, for whoever looks at them: `labels` never holds them. `earlier` are class indices
        (a0, a1, a2) of the previous stage, where the configuration takes them.

        Raises:
            DataError: the machine has no room for the case (see `too_large`).
            PlanError: what comes out is not finite.
        """
        chain, logits = self._chain(case), whole(self._scores(case, earlier, progress))
        return logits if chain is None else agree_on_levels(logits, chain)

    def find_column(self, case: Prepared) -> Renaming | None:
        """The vertebrae of a prepared case with their levels; None without any, or of a model without levels.

        Errors as of `logits`. A cascade has to be asked for its segmentation.
        """
        chain = self._chain(case)
        if chain is None:
            return None
        said = whole(self._scores(case, None, _silent))
        return find_renaming(lambda: [(0, said)], chain)

    def _chain(self, case: Prepared) -> Chain | None:
        """The levels as they lie in a prepared case; None for a model without."""
        order = self.card.configuration.axis_order
        return Chain.of(self.card.data.levels, order, case.properties.prepared_spacing_mm)

    def _scores(self, case: Prepared, earlier: Labels | None, progress: Progress, *, members: bool = False) -> Scores:
        """Mean logits over all networks, tiles and mirrorings, and where `members` count, how far these disagree."""
        configuration, image = self.card.configuration, case.image
        if (earlier is None) != (configuration.previous is None):
            raise ValueError(f"{configuration.name} takes {configuration.previous} as its previous stage")
        patch, together = triple((1, *configuration.patch)[-3:]), tiles_together(configuration, self.device.type)
        outputs = configuration.network.out_channels + members
        window = Window(patch, configuration.overlap, together, outputs)
        check_case(configuration, len(image), image.shape[1:], patch)
        inputs = PaddedCase.of(image, case.properties.missing, earlier, self.card, patch)
        choice = self.computed_in()
        networks = self._computing.compiled(choice, len(window.tiles(inputs.volume.shape[1:])))
        turns = mirrorings(self.card, self.mirror)
        forward = Forward(networks, turns, self.device, choice.precision)
        compute: Callable[[Tensor], Tensor] = forward
        if members:
            regions = bool(self.card.data.regions)
            compute = lambda tiles: with_disagreement(forward.members(tiles), self.temperature, regions=regions)  # noqa: E731
        return Scores(self.card, inputs, window, compute, self.device, progress, self._chain(case))

    def _check_channels(self, count: int, missing: Sequence[int], name: str) -> None:
        """Raise `DataError` unless an image of `count` channels without the `missing` ones is what the model takes."""
        channels = self.card.data.channels
        if not set(missing) < set(range(len(channels))):
            found = f"channels that are missing: {', '.join(map(str, missing))}"
            raise DataError(name, found, f"some of 0 to {len(channels) - 1}, and not all of them")
        if count != len(channels):
            expected = f"{len(channels)} ({', '.join(channels)})"
            raise DataError(name, f"{count} channel(s)", expected, "give the channels the model was trained on")
        needed = [channels[index] for index in missing if index not in self.optional_channels]
        if needed:
            expected = "every channel that the model was not trained to do without"
            raise DataError(name, f"no {', '.join(needed)}", expected)
