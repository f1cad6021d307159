"""One case after the other through a model: read, checked against the memory there is, segmented."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from autospine.data.dataset import read_images
from autospine.data.geometry import Volume
from autospine.data.layouts.shared.naming import raise_fault
from autospine.data.made_by import MadeBy
from autospine.data.series_choice import Sought
from autospine.data.structure import Files, missing_of
from autospine.data.volume import header_remarks, read_geometry
from autospine.errors import DataError
from autospine.inference.segmentation import Segmentation, Wanted
from autospine.inference.settings import Settings
from autospine.machine.memory import free_bytes
from autospine.workflow.progress import Progress
from autospine.workflow.runs.predicted import files_of
from autospine.workflow.runs.selection import Chosen, choose_models
from autospine.workflow.steps.about import trained_on_of
from autospine.workflow.steps.outputs import ModelFacts
from autospine.workflow.steps.sought import sought

if TYPE_CHECKING:
    import torch

    from autospine.inference.ensemble import Model
    from autospine.inference.predictor import Predictor

_LABELS = Wanted()
_LARGE_REMEDY = "crop the image to what is to be segmented, or use a machine with more memory"
"""What to do about an image that is too large."""


@dataclass(frozen=True)
class Segmenter:
    """A trained model that is ready to segment."""

    folder: Path
    """The model folder; of an ensemble that of the run."""
    predictor: Model
    identity: str
    """Hash of the weights and settings that decide what comes out."""
    members: tuple[str, ...] = ()
    """Configurations of an ensemble; none of a single model."""
    chosen: tuple[str, ...] = ()
    """Sentences on how the model was chosen; none where it was named itself."""

    @property
    def name(self) -> str:
        """What the model is called: its folder or file; in the folder of a run, a `2d` say, after its data set."""
        called, card = self.folder.resolve().name, self.predictor.card
        if self.members:
            return f"{card.data.dataset} {' + '.join(self.members)}"
        return f"{card.data.dataset} {called}" if called == card.configuration.name else called

    @property
    def averaged(self) -> str:
        """Which folds' networks are averaged, for a message and the record."""
        folds = self.predictor.origin.folds
        said = f"fold {folds[0]} alone" if len(folds) == 1 else f"the average of folds {', '.join(folds)}"
        return f"{' + '.join(self.members)}, each {said}," if self.members else said

    @property
    def unfinished(self) -> tuple[str, ...]:
        """A sentence for each fold that is not trained to its end."""
        return tuple(said for stage in self.predictor.stages for said in stage.origin.unfinished)

    @cached_property
    def facts(self) -> ModelFacts:
        """What of the model is written down with what it makes."""
        promises = self.predictor.promise is not None
        return ModelFacts.of(self.predictor.card.data, MadeBy(self.name, self.identity), promises=promises)

    @cached_property
    def sought(self) -> Sought:
        """What is known of the images that the model is for."""
        # the folder of any model of a run tells of the run's data
        folder = self.folder / self.members[0] if self.members else self.folder
        return sought(self.predictor.card, trained_on_of(folder, self.predictor))

    @property
    def record(self) -> dict[str, object]:
        """What is written down of the model with what it makes, beside folder, folds and device."""
        told: dict[str, object] = {}
        if self.members:
            told["members"] = list(self.members)
        if self.predictor.postprocessing:
            told["postprocessing"] = [step.described for step in self.predictor.postprocessing.steps]
        temperatures = {one.card.configuration.name: one.temperature for one in self.predictor.models}
        if set(temperatures.values()) != {1.0}:
            told["temperature"] = temperatures
        return told

    def segment(
        self,
        name: str,
        images: Files,
        title: str,
        progress: Progress,
        volume: Callable[[], Volume] | None = None,
        wanted: Wanted = _LABELS,
    ) -> Segmentation:
        """The segmentation of a case, on the grid of its first image; `title` is shown while it takes.

        `volume` gives what `read_case` has read of the images, and is called once; None: they are read here.

        Raises:
            DataError: its files cannot be read or do not fit, or memory is too little for it, or it is to say how
                unsure it is and has one member.
        """
        from autospine.machine.device import is_out_of_memory

        channels = self.predictor.card.data.channels
        missing = missing_of(images)
        if missing:
            progress.note(f"{name} is segmented without {', '.join(channels[index] for index in missing)}")
        for path in files_of(images):
            for said in header_remarks(path):
                progress.note(f"{name}: {path.name}: {said}")
        needed, free = self.predictor.check_room(read_geometry(files_of(images)[0]), wanted, name), free_bytes()
        if needed > free:
            progress.note(f"{name} needs up to {needed / 1e9:.1f} GB of memory, of which {free / 1e9:.1f} GB are free")
        try:
            with progress.task(title) as update:
                return self.predictor.predict(
                    volume() if volume is not None else read_case(images),
                    missing=missing,
                    name=name,
                    wanted=wanted,
                    progress=lambda tiles, total: update(f"tile {tiles}/{total}", tiles / total),
                )
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        # here and not there, where the error still holds all that had been computed
        raise self._too_large(name, needed)

    def _too_large(self, name: str, needed: int) -> DataError:
        """The error of a case that memory was too little for; what a GPU holds for later is given back."""
        if self.predictor.device.type == "cuda":
            import torch

            torch.cuda.empty_cache()
            remedy = f"use --device cpu, or end what else computes there; else {_LARGE_REMEDY}"
            return DataError(name, f"too little memory on {self.predictor.device} or beside it", "", remedy)
        found = f"too little memory: it needs up to {needed / 1e9:.1f} GB, and {free_bytes() / 1e9:.1f} GB are free"
        return DataError(name, found, "", f"end other programs; else {_LARGE_REMEDY}")


def load_segmenter(folder: Path, device: torch.device, settings: Settings, *, calibrated: bool = False) -> Segmenter:
    """The model in `folder`, or what was selected in the folder of a run; errors as those of `load_stages`.

    Args:
        folder: a model folder, an exported file, or the folder of a run with a selection. Of an ensemble a fast
            prediction uses the better member.
        device: where the networks compute.
        settings: how the model is used.
        calibrated: whether probabilities or uncertainty are written, so that a temperature counts.
    """
    from autospine.inference.ensemble import load_ensemble
    from autospine.inference.loading import load_stages

    found = choose_models(folder, fast=settings.fast)
    predictor: Model
    if len(found.folders) == 1:
        predictor = load_stages(found.folders[0], device, settings)
    else:
        predictor = load_ensemble(found.home, found.folders, device, settings)
    overlap = predictor.card.configuration.overlap if settings.fast else settings.overlap
    how: list[object] = [predictor.origin.folds, settings.mirrored, overlap, *(("exact",) if settings.exact else ())]
    temperatures = tuple(one.temperature for one in predictor.models)
    # of an ensemble they decide about labels, of one model about nothing but what is written beside these
    if set(temperatures) != {1.0} and (calibrated or len(temperatures) > 1):
        how.append(("temperatures", temperatures))
    if predictor.postprocessing:
        how.append(predictor.postprocessing)
    digest = hashlib.sha256(repr(tuple(how)).encode())
    for stage in predictor.stages:
        for part in stage.origin.digests:
            digest.update(part.encode())
    members = tuple(one.name for one in found.folders) if len(found.folders) > 1 else ()
    return Segmenter(found.home, predictor, digest.hexdigest(), members, _describe_choice(found, predictor.models))


def _describe_choice(found: Chosen, models: Sequence[Predictor]) -> tuple[str, ...]:
    """What is to be said of the models that a selection has chosen; nothing where a model was named itself."""
    if found.selection is None:
        return ()
    names = tuple(one.name for one in found.folders)
    worth = found.selection.unseen.mean  # on cases that did not choose: those that did say more than it is
    dice = "" if worth is None else f", Dice {worth:.3f} out of fold"
    chosen = f"Selected: {found.selection.name}{dice}"
    if names != found.selection.members:
        chosen += f"; fast, with {' + '.join(names)} alone"
    digests = {
        (name, fold): digest
        for name, model in zip(names, models, strict=True)
        for fold, digest in zip(model.origin.folds, model.origin.digests[1:], strict=True)
    }
    other = found.selection.describe_others(digests)
    return (chosen, other) if other else (chosen,)


def read_case(images: Files) -> Volume:
    """All channel files of a case as one volume, in the orientation of the first."""
    volume = read_images(images, raise_fault)
    assert volume is not None  # None only after a fault, and a fault has been raised
    return volume
