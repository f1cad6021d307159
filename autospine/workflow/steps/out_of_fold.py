"""Each case as the networks that did not train on it segment it, one case at a time, and in numbers that are kept.

    fold 0 validates a, b      its network predicts a, b from the prepared cases       selection/2d/a.json, b.json
    fold 1 validates c, d      its network predicts c, d                               selection/2d/c.json, d.json

Of each case a small file is left, whose key hashes what it came from; what has one is not predicted again. Ensembles
need probabilities of two models: these lie compressed beside the numbers until all ensembles of the case are done,
where the disk has room, and are made again where it has not. At the end none is left.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from autospine.data.box import box_around
from autospine.data.disk.files import KEY_LENGTH, json_digest, read_json, write_json
from autospine.data.folds import Fold
from autospine.data.geometry import triple
from autospine.data.structure import IGNORED
from autospine.errors import AutospineError, PlanError
from autospine.evaluation.reliability import SAMPLED, Reliability
from autospine.inference.segmentation import Wanted
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.model_file import fold_folder
from autospine.planning.document.plan import Plan
from autospine.preprocessing.previous import PreviousStage
from autospine.preprocessing.store import Store
from autospine.workflow.progress import Progress
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.runs.prepared import ensure_prepared
from autospine.workflow.runs.selection import WORK
from autospine.workflow.steps.cascade import find_out_of_fold, segment_out_of_fold
from autospine.workflow.steps.effects import Figures, measure
from autospine.workflow.steps.trained import Trained

if TYPE_CHECKING:
    import torch

    from autospine.inference.predictor import Predictor

_ROOM = 4
"""Times the uncompressed probabilities of a case that stay free on the disk where they are kept (ours)."""
_HALF = 2
"""Bytes of a probability."""


@dataclass
class Speaker:
    """What a configuration says of cases out of fold; one network is loaded at a time."""

    trained: Trained
    store: Store
    previous: PreviousStage | None
    """Of a cascade: the segmentations that it starts from."""
    device: torch.device
    _loaded: tuple[str, Predictor] | None = None

    def say(self, case: str, wanted: Wanted) -> Any:
        """The segmentation of a case on its canonical grid as the network makes it, at a temperature of 1.

        Raises:
            PlanError: prepared files are missing or damaged, what comes out is not finite, or the fold was trained anew
                since its weights were looked at: what it says would be kept as that of the others.
        """
        prepared = self.store.open(case)
        earlier = None if self.previous is None else self.previous.open(case, prepared.label.shape)
        return self._network(self.trained.fold_of[case]).segment_prepared(prepared, earlier, wanted)

    def _network(self, fold: str) -> Predictor:
        from dataclasses import replace

        from autospine.inference.loading import load_model

        if self._loaded is None or self._loaded[0] != fold:
            self._loaded = None  # let go of before the next takes its place
            loaded = load_model(self.trained.folder, self.device, (fold,))
            if loaded.origin.digests[1:] != (self.trained.weights[fold],):
                found = "other weights than when this began: another process trains it"
                remedy = "wait for that training, then repeat the command; what is done is kept"
                raise PlanError(str(fold_folder(self.trained.folder, fold)), found, "a fold that stays", remedy)
            self._loaded = fold, replace(loaded, temperature=1.0)
        return self._loaded[1]


def open_speaker(
    dataset: Path,
    run: RunFolder,
    plan: Plan,
    trained: Trained,
    folds: Sequence[Fold],
    cases: Sequence[str],
    device: torch.device,
    progress: Progress,
    workers: int | None,
) -> Speaker:
    """A configuration that is ready to say something of `cases`, with what it needs prepared.

    Raises:
        DataError: a case cannot be prepared.
        PlanError: of a cascade, as `find_out_of_fold` does.
        OutputError: the run folder cannot be written.
    """
    prepare = partial(ensure_prepared, dataset, run, plan, progress=progress, workers=workers)
    store, previous = prepare(trained.card.configuration), None
    if trained.card.configuration.previous is not None:
        source = find_out_of_fold(dataset, run, plan, trained.card.configuration, folds, cases)
        segment_out_of_fold(source, store, partial(prepare, source.card.configuration), device, progress)
        previous = source.stage
    return Speaker(trained, store, previous, device)


@dataclass(frozen=True)
class Shelf:
    """Where what was measured of cases is kept, in the folder of a run."""

    root: Path

    @staticmethod
    def of(run: RunFolder) -> Shelf:
        """That of a run."""
        return Shelf(run.root / WORK)

    def read(self, candidate: str, case: str, key: str) -> Measured | None:
        """What was kept of a case; None where there is nothing of this key that can be read."""
        with suppress(AutospineError, KeyError, TypeError, ValueError, IndexError):
            content = read_json(self._file(candidate, case), PlanError)
            if content["key"] == key:
                return Measured.from_json(content)
        return None

    def write(self, candidate: str, case: str, key: str, measured: Measured) -> None:
        """Keep what was measured of a case."""
        write_json(self._file(candidate, case), {"key": key, **measured.to_json()})

    def probabilities(self, candidate: str, case: str, key: str) -> Path:
        """Where the probabilities of a case lie until its ensembles are done."""
        return self.root / candidate / f"{case}.{key[:KEY_LENGTH]}.b2nd"

    def _file(self, candidate: str, case: str) -> Path:
        return self.root / candidate / f"{case}.json"

    def clear(self) -> None:
        """Take away all probabilities."""
        for path in self.root.glob("*/*.b2nd"):
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Measured:
    """A case in numbers."""

    figures: Figures
    reliability: Reliability | None = None
    """None of an ensemble, whose members are calibrated."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `json.dumps`."""
        own = None if self.reliability is None else self.reliability.to_json()
        return {**self.figures.to_json(), "reliability": own}

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Measured:
        """From what `to_json` gave; raises as the parts do."""
        own = content["reliability"]
        return Measured(Figures.from_json(content), None if own is None else Reliability.from_json(own))


@dataclass(frozen=True)
class Measuring:
    """All candidates: each alone on all cases that it has out of fold, ensembles on those that all of them have."""

    speakers: Mapping[str, Speaker]
    shelf: Shelf
    shared: tuple[str, ...]
    """Cases of ensembles, whose probabilities are kept until these are measured; none where there is one speaker."""
    tell: Callable[[str, int, int], None] = field(default=lambda item, done, total: None)

    def alone(self, total: int) -> dict[str, dict[str, Measured]]:
        """Configuration -> case -> what it says alone; `total` steps are told."""
        found: dict[str, dict[str, Measured]] = {}
        done = 0
        for name, speaker in self.speakers.items():
            found[name] = {}
            trained = speaker.trained
            for case in sorted(trained.fold_of, key=lambda one: (int(trained.fold_of[one]), one)):
                key = trained.key_of(case)
                measured = self.shelf.read(name, case, key)
                if measured is None:
                    measured = self._measure(speaker, case, key)
                    self.shelf.write(name, case, key, measured)
                found[name][case] = measured
                done += 1
                self.tell(f"{name}: {case}", done, total)
        return found

    def _measure(self, speaker: Speaker, case: str, key: str) -> Measured:
        prepared, card = speaker.store.open(case), speaker.trained.card
        path = self.shelf.probabilities(speaker.trained.name, case, key)
        keep = case in self.shared and self._has_room(card, prod(prepared.properties.canonical_shape))
        made = speaker.say(case, Wanted(path if keep else True))
        labels, reference = _indices(made, card), np.asarray(prepared.reference)
        figures = measure(labels, reference, prepared.properties.canonical_spacing_mm, card.data)
        return Measured(figures, _reliability(made.probabilities.stored, labels, reference, card))

    def _has_room(self, card: ModelCard, voxels: int) -> bool:
        """Whether the disk takes the probabilities of a case, and has some left."""
        self.shelf.root.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.shelf.root).free > _ROOM * _HALF * card.data.outputs * voxels

    def together(
        self, pairs: Sequence[tuple[str, str]], temperatures: Mapping[str, Mapping[str, float]], first: int, total: int
    ) -> dict[tuple[str, str], dict[str, Measured]]:
        """Pair -> case -> what both say in the mean, the logits of each divided by its temperature for the case.

        `temperatures` are configuration -> case -> that; `first` steps of `total` have been told.
        """
        found: dict[tuple[str, str], dict[str, Measured]] = {pair: {} for pair in pairs}
        order = self.speakers[pairs[0][0]].trained.fold_of if pairs else {}
        done = first
        for case in sorted(self.shared, key=lambda one: (int(order[one]), one)) if pairs else ():
            held: dict[str, Any] = {}
            for pair in pairs:
                keys = [self.speakers[name].trained.key_of(case) for name in pair]
                key, name = json_digest([*keys, *(temperatures[one][case] for one in pair)]), "+".join(pair)
                measured = self.shelf.read(name, case, key)
                if measured is None:
                    measured = self._measure_pair(pair, case, temperatures, held)
                    self.shelf.write(name, case, key, measured)
                found[pair][case] = measured
                done += 1
                self.tell(f"{name}: {case}", done, total)
            held.clear()
            for name, speaker in self.speakers.items():
                self.shelf.probabilities(name, case, speaker.trained.key_of(case)).unlink(missing_ok=True)
        return found

    def _measure_pair(
        self, pair: tuple[str, str], case: str, temperatures: Mapping[str, Mapping[str, float]], held: dict[str, Any]
    ) -> Measured:
        from autospine.inference.ensemble import Mean

        for name in pair:
            if name not in held:
                held[name] = self._stored(self.speakers[name], case)
        first = self.speakers[pair[0]]
        card, prepared = first.trained.card, first.store.open(case)
        divided = tuple(temperatures[name][case] for name in pair)
        stored = tuple(held[name] for name in pair)
        order, spacing_mm = card.configuration.axis_order, prepared.properties.canonical_spacing_mm
        turned = triple(spacing_mm[axis] for axis in order)
        mean, reference = Mean(stored, divided, order, bool(card.data.regions), turned), np.asarray(prepared.reference)
        return Measured(measure(mean.labels(card), reference, spacing_mm, card.data))

    def _stored(self, speaker: Speaker, case: str) -> Any:
        """The probabilities of a case: those that are kept, or made again."""
        import blosc2

        path = self.shelf.probabilities(speaker.trained.name, case, speaker.trained.key_of(case))
        if path.is_file():
            with suppress(RuntimeError, ValueError, OSError):
                return blosc2.open(str(path), mode="r")
        return speaker.say(case, Wanted(True)).probabilities.stored


def _indices(made: Any, card: ModelCard) -> npt.NDArray[np.uint8]:
    """Class indices (Z, Y, X) of a segmentation."""
    values = np.array([0, *(value for _, value in card.data.labels)])
    order = np.argsort(values)
    found: npt.NDArray[np.uint8] = order[np.searchsorted(values[order], made.labels.array[0])].astype(np.uint8)
    return found


def _reliability(
    stored: Any, labels: npt.NDArray[np.uint8], reference: npt.NDArray[np.uint8], card: ModelCard
) -> Reliability:
    """How sure and how right a sample of voxels is, of those in the box around predicted and true structures."""
    known = reference != IGNORED
    structures = (labels > 0) | ((reference > 0) & known)
    inside = np.zeros_like(known)
    if structures.any():  # an image of nothing has no such box, and everybody is right there
        box = box_around(structures)
        inside[box] = known[box]
    flat = np.flatnonzero(inside)
    if len(flat) > SAMPLED:
        flat = np.sort(np.random.default_rng(0).choice(flat, SAMPLED, replace=False))
    at = np.stack(np.unravel_index(flat, labels.shape)) if len(flat) else np.zeros((3, 0), np.intp)
    chances = np.empty((stored.shape[0], len(flat)), np.float32)
    for own, plane in _planes(stored, at):
        chances[:, own] = plane
    truth: npt.NDArray[Any] = reference[tuple(at)]
    regions = bool(card.data.regions)
    if regions:
        truth = np.stack([np.isin(truth, held) for held in card.data.members])
    return Reliability.of(chances, truth, regions=regions)


def _planes(stored: Any, at: npt.NDArray[np.intp]) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]]:
    """(which of the voxels, (K, n) what is stored there), of voxels `at` (3, n), each chunk being read once."""
    axis = next((axis for axis in range(3) if stored.chunks[1 + axis] == 1), 0)
    others = [other for other in range(3) if other != axis]
    for row in np.unique(at[axis]):
        own = np.flatnonzero(at[axis] == row)
        place: list[Any] = [slice(None)] * 4
        place[1 + axis] = slice(int(row), int(row) + 1)
        plane = np.asarray(stored[tuple(place)], np.float32).squeeze(1 + axis)
        yield own, plane[:, at[others[0]][own], at[others[1]][own]]
