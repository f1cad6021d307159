"""What a cascade trains on: each case as the previous stage segments a case that it has never seen.

    splits.json      fold 0 validates a, b         3d_lowres/fold_0/next_stage/<key>/a.npy, b.npy
                     fold 1 validates c, d   ->    3d_lowres/fold_1/next_stage/<key>/c.npy, d.npy

A cascade that trained on what a network says of its own training cases would trust its input too much. So all folds
of the previous stage come first, and the cascade's training and its validation use the same segmentations. They are
kept beside the weights that made them, and made anew when those or the prepared cases change.
"""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autospine.data.disk.files import KEY_LENGTH, json_digest
from autospine.data.folds import Fold
from autospine.errors import PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.convert import to_table
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.model_file import WEIGHTS, fold_folder, read_model, weights_digest
from autospine.planning.document.plan import Plan
from autospine.preprocessing.arrays import write_array
from autospine.preprocessing.keys import stored_key
from autospine.preprocessing.previous import PreviousStage
from autospine.preprocessing.store import Store
from autospine.workflow.progress import Progress, counted
from autospine.workflow.runs.folder import RunFolder, read_record

if TYPE_CHECKING:
    import torch

SEGMENTED_FORMAT = 1
"""Grows when the segmentations change their meaning; part of their key."""
FOLDER = "next_stage"


@dataclass(frozen=True)
class OutOfFold:
    """Which network of the previous stage segments which case."""

    card: ModelCard
    """The previous stage."""
    model: Path
    """Its model folder."""
    networks: Mapping[str, int]
    """Case -> the fold whose network did not train on it."""
    keys: Mapping[int, str]
    """Fold -> hash of what its segmentations come from."""
    weights: Mapping[int, str]
    """Fold -> SHA-256 of its weights."""

    @property
    def stage(self) -> PreviousStage:
        """Where the segmentations are, once `segment_out_of_fold` has made them."""
        files = {name: self.folder(fold) / f"{name}.npy" for name, fold in self.networks.items()}
        return PreviousStage(files, json_digest(sorted(self.keys.items())))

    def folder(self, fold: int) -> Path:
        """The folder of one fold's segmentations: another key, another folder."""
        return fold_folder(self.model, fold) / FOLDER / self.keys[fold][:KEY_LENGTH]


def find_out_of_fold(
    dataset: Path, run: RunFolder, plan: Plan, configuration: Configuration, folds: Sequence[Fold], cases: Sequence[str]
) -> OutOfFold:
    """The networks that segment `cases` for the cascade `configuration`; only small files and weights are read.

    Raises:
        PlanError: a case that no fold validates, or folds of the previous stage that are not trained, or were
            trained with another plan or split.
    """
    card = plan.card(configuration.previous)
    first = card.configuration
    if first.previous is not None:
        found = f"starts from {first.name}, which starts from {first.previous}"
        raise PlanError(f"{run.plan}: {configuration.name}", found, "two stages", "name another previous stage")
    validating = {name: number for number, fold in reversed(list(enumerate(folds))) for name in fold.validation}
    for name in cases:
        if name not in validating:
            found = f"no fold validates {name}, so every network of {first.name} has trained on it"
            remedy = "edit the folds so that each case is validated once, or train 3d_fullres instead"
            raise PlanError(str(run.splits), found, "each case in the validation of a fold", remedy)
    networks = {name: validating[name] for name in cases}
    model = run.model(first.name)
    needed = sorted(set(networks.values()))
    _check_trained(dataset, model, first, folds, needed, stored_key(plan, first))
    if not card.takes_weights_of(read_model(model)):
        remedy = f"train it again with `{_command(dataset, 'all', first)} --overwrite`"
        raise PlanError(str(model), f"{first.name} was trained with another plan", "the plan as it stands now", remedy)
    # what decides a segmentation beside the weights: the cases of both stages, tiles, mirrorings and levels
    shared = [SEGMENTED_FORMAT, stored_key(plan, first), stored_key(plan, configuration)]
    shared += [list(first.patch), first.overlap, list(first.training.mirror_axes)]
    shared += [to_table([card.data.levels, card.data.sides, card.data.regions, card.data.optional])]
    weights = {fold: weights_digest(model, fold) for fold in needed}
    keys = {fold: json_digest([*shared, digest]) for fold, digest in weights.items()}
    return OutOfFold(card, model, networks, keys, weights)


def segment_out_of_fold(
    source: OutOfFold, store: Store, open_first: Callable[[], Store], device: torch.device, progress: Progress
) -> None:
    """Make the segmentations of `source` that are not there yet, on the grid of the cases in `store`.

    `open_first` gives the previous stage's own prepared cases; it is called only where something is missing. Where
    another training makes them at the same time, each leaves to the other what the other has made first.
    """
    files = source.stage.files
    missing = [name for name in source.networks if not files[name].is_file()]
    if not missing:
        return
    from autospine.inference.loading import load_model

    first_store, done = open_first(), 0
    title = f"Segmenting with {source.card.configuration.name}, each case by the fold that did not train on it"
    with progress.task(title) as bar:
        # each process in an order of its own: two that started at once would else make the same case at the same time
        for fold in random.sample(list(source.keys), len(source.keys)):
            own = [name for name in missing if source.networks[name] == fold]
            model = None
            for name in random.sample(own, len(own)):
                if not files[name].is_file():
                    model = model or load_model(source.model, device, (str(fold),))
                    case, target = first_store.open(name), store.open(name)
                    write_array(files[name], model.labels_for(case, target.properties))
                done += 1
                counted(bar)(name, done, len(missing))


def _check_trained(
    dataset: Path, model: Path, first: Configuration, folds: Sequence[Fold], needed: Sequence[int], prepared: str
) -> None:
    """Raise `PlanError` unless the `needed` folds are trained, as `folds` says, on cases of the key `prepared`."""
    records = {fold: read_record(fold_folder(model, fold)) for fold in needed}
    missing = [fold for fold in needed if records[fold] is None or not (fold_folder(model, fold) / WEIGHTS).is_file()]
    if missing:
        found = f"fold(s) {_listed(missing)} of {first.name} are not trained; the cascade starts from them"
        remedy = f"train them with `{_command(dataset, 'all', first)}` (what is trained already is left as it is)"
        raise PlanError(str(model), found, f"fold(s) {_listed(needed)}", remedy)
    splits = {fold: (records[fold] or {}).get("split") for fold in needed}
    now = {fold: {"train": list(folds[fold].train), "validation": list(folds[fold].validation)} for fold in needed}
    other = [fold for fold in needed if splits[fold] != now[fold]]
    if other:
        found = f"fold(s) {_listed(other)} of {first.name} were trained with another split, perhaps on their validation"
        remedy = f"train them again, such as `{_command(dataset, str(other[0]), first)} --overwrite`"
        raise PlanError(str(model), found, "the split as it stands now", remedy)
    elsewhere = [fold for fold in needed if (records[fold] or {}).get("data", {}).get("prepared") != prepared]
    if elsewhere:
        found = f"fold(s) {_listed(elsewhere)} of {first.name} were trained on other data, perhaps on this validation"
        remedy = f"train it again with `{_command(dataset, 'all', first)} --overwrite`"
        raise PlanError(str(model), found, "the data and the plan as they stand now", remedy)


def _command(dataset: Path, folds: str, configuration: Configuration) -> str:
    return f"autospine train {shlex.quote(str(dataset))} {folds} -c {configuration.name}"


def _listed(folds: Sequence[int]) -> str:
    return ", ".join(map(str, folds))
