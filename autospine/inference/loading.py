"""A model folder as a predictor: `model.json` and one `model.safetensors` a fold. An exported file holds such a folder.

Before weights are read, or even hashed, their header and the network that `model.json` describes are compared: they
cost no memory then, and a file that is not what it says is left unread. A fold whose training was stopped has
`best.safetensors` in its place, and serves where no fold that is done does. A training may write both while they are
read: the digests are those of what was read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from autospine.data.disk.files import file_digest, read_text
from autospine.data.folds import FULL
from autospine.errors import PlanError
from autospine.inference.calibration import read_temperature
from autospine.inference.predictor import Origin, Predictor
from autospine.inference.settings import Settings
from autospine.inference.too_large import check_tile
from autospine.machine.device import device_memory_gb
from autospine.machine.precision import Precision
from autospine.networks.weights import check_weights, load_network, network_shapes, read_metadata
from autospine.planning.document.about import read_about
from autospine.planning.document.convert import MOST_DOCUMENT_BYTES
from autospine.planning.document.model_archive import opened_model
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.model_file import (
    BEST,
    MODEL,
    PREVIOUS,
    WEIGHTS,
    fold_folder,
    fold_weights,
    read_model,
    read_previous,
)
from autospine.planning.document.postprocessing import NOTHING, read_postprocessing
from autospine.planning.document.promise import read_promise
from autospine.planning.document.trust import NOTHING_LEARNT, read_trust

MOST_FOLDS = 100
"""Networks that are averaged (ours)."""
_TRIES = 5
"""How often files are read that change meanwhile: a training writes its best weights every two minutes (ours)."""
Loaded = TypeVar("Loaded")


def folds_with(folder: Path, weights: str) -> tuple[str, ...]:
    """Folds of a model folder that have a file of this name."""
    names = (path.parent.name.removeprefix("fold_") for path in folder.glob(f"fold_*/{weights}"))
    # a copy, `fold_0_old`, is no fold of its own
    return tuple(sorted(name for name in names if name.isdecimal() or name == FULL))


def usual_folds(folder: Path) -> tuple[str, ...]:
    """Folds of a model folder that predict where none are named: those whose training has ended, else the stopped ones.

    The training on every case only where there is no other of these, as nobody knows how good it is.
    """
    for weights in (WEIGHTS, BEST):
        there = folds_with(folder, weights)
        if there:
            return tuple(fold for fold in there if fold != FULL) or there
    return ()


def load_model(folder: Path, device: torch.device, folds: tuple[str, ...] | None = None) -> Predictor:
    """The networks of `folds` of a model folder, on `device`, without what a cascade starts from.

    None: the `usual_folds`. A fold that is named and was stopped has the best weights so far.

    Raises:
        PlanError: no card or a faulty one, a faulty `calibration.json`, no trained fold, a fold that is not there,
            weights as `load_network` says, files that change all the time, or a patch too large for the device.
    """
    card, card_digest = _read_exactly(lambda: folder / MODEL, lambda path: read_model(folder), _check_card)
    check_tile(card.configuration, device)
    ended, stopped = folds_with(folder, WEIGHTS), folds_with(folder, BEST)
    there = tuple(sorted({*ended, *stopped}))
    if not there:
        remedy = "run train first; from its first checkpoint on, after two minutes, a fold can predict"
        raise PlanError(str(folder), "no fold of this model has been trained", f"fold_<k>/{WEIGHTS}", remedy)
    wanted = usual_folds(folder) if folds is None else tuple(dict.fromkeys(folds))
    missing = [fold for fold in wanted if fold not in there]
    if missing:
        found = f"no trained fold {', '.join(missing)}"
        raise PlanError(str(folder), found, f"one of {', '.join(there)}", "choose with --folds, or train it")
    _check_count(folder, card, len(wanted), device)
    networks, unfinished, digests = list[nn.Module](), list[str](), [card_digest]
    for fold in wanted:
        read = partial(_load_network, card), partial(_check_weights, card)
        (network, said), digest = _read_exactly(partial(fold_weights, folder, fold), *read)
        networks.append(network.to(device))
        digests.append(digest)
        unfinished += [said] if said else []
    origin, temperature = Origin(wanted, tuple(unfinished), tuple(digests)), read_temperature(folder)
    return Predictor(card, tuple(networks), device, origin=origin, temperature=temperature)


def _check_count(folder: Path, card: ModelCard, folds: int, device: torch.device) -> None:
    """Raise `PlanError` where so many folds are more than anybody trains, or than the device can hold at once."""
    if folds > MOST_FOLDS:
        remedy = f"choose some with --folds; a model is trained in {MOST_FOLDS} at most"
        raise PlanError(str(folder), f"{folds} trained folds", f"at most {MOST_FOLDS} together", remedy)
    configuration, most = card.configuration, device_memory_gb(device)
    shapes = network_shapes(configuration.network, configuration.patch).state_dict().values()
    needed = 4 * folds * sum(tensor.numel() for tensor in shapes) / 1e9
    if most is not None and needed > most:
        found = f"the weights of {folds} fold(s) take {needed:.3g} GB, {device} has {most:.3g} GB"
        raise PlanError(str(folder), found, "networks that fit the device", "choose fewer folds with --folds")


def _check_card(path: Path) -> None:
    """Raise `PlanError` where the card is larger than any; what else is wrong with it is said where it is read."""
    if path.is_file() and path.stat().st_size > MOST_DOCUMENT_BYTES:
        read_text(path, PlanError, MOST_DOCUMENT_BYTES)


def _check_weights(card: ModelCard, path: Path) -> None:
    """As `check_weights`, for the network of the `card`."""
    check_weights(path, card.configuration.network, card.configuration.patch)


def _read_exactly(
    find: Callable[[], Path], read: Callable[[Path], Loaded], check: Callable[[Path], None]
) -> tuple[Loaded, str]:
    """What `read` makes of the file that is to be found, and the SHA-256 of that very file; `check` comes before both.

    Raises:
        PlanError: what `check` and `read` raise, or another file is found there every time.
    """
    for _ in range(_TRIES):
        path = find()
        try:
            check(path)
            digest = file_digest(path, PlanError) if path.is_file() else ""  # what is no file, `read` says best
            loaded = read(path)
            if (find(), file_digest(path, PlanError)) == (path, digest):
                return loaded, digest
        except PlanError:
            if find() == path:
                raise
    remedy = "wait until the training that writes it has ended, or copy the model folder and use the copy"
    raise PlanError(str(path), "changed each time while it was read", "a file that stays as it is", remedy)


def _load_network(card: ModelCard, path: Path) -> tuple[nn.Module, str]:
    """The network with the weights in `path`, and what is to be said where they are not those of its end."""
    network = load_network(path, card.configuration.network, card.configuration.patch)
    return network, _describe_unfinished(path) if path.name == BEST else ""


def _describe_unfinished(path: Path) -> str:
    """What is to be said of a fold whose training was stopped, with its best weights in `path`."""
    about = read_metadata(path)
    fold, model = path.parent.name.removeprefix("fold_"), path.parents[1].name
    told = f"Fold {fold} of {model} is not trained to its end"
    if "moving_dice" not in about:
        return f"{told}: newest weights so far, after {about.get('step', 'some')} steps"
    whole = f" of {about['epochs']}" if "epochs" in about else ""
    return f"{told}: best weights so far, of epoch {about.get('epoch')}{whole}"


def first_fold(folder: Path) -> tuple[str, ...] | None:
    """The first fold of a model folder that is trained to its end, else the first that has been stopped; or None."""
    return usual_folds(folder)[:1] or None


def load_stages(path: Path, device: torch.device, settings: Settings = Settings()) -> Predictor:
    """As `load_model`, from a model folder or an exported file, with what a cascade starts from.

    Its promise is of folds that are trained to their end, and used as they were validated: of others, such as a network
    that was trained on every case, it has none.

    Raises:
        PlanError: as `load_model`, `load_previous`, `read_about`, `read_postprocessing`, `read_promise` and
            `opened_model` do.
        OutputError: a file's weights cannot be put into the temporary folder.
    """
    settings.check()
    with opened_model(path, settings.folds) as folder:
        folds = first_fold(folder) if settings.fast and not settings.folds else settings.folds
        model = load_model(folder, device, folds)
        previous = load_previous(folder, model)
        origin, promise = replace(model.origin, about=read_about(folder)), read_promise(folder)
        # of the model alone: what a cascade starts from is left as it was when the cascade was trained
        after = read_postprocessing(folder, model.card.data) if settings.postprocess else NOTHING
        trust = read_trust(folder) or NOTHING_LEARNT
    unfinished = any(stage.origin.unfinished for stage in (model, previous) if stage is not None)
    as_judged = FULL not in model.origin.folds and settings.as_validated(model.card.configuration)
    if promise is not None and (unfinished or not as_judged):
        promise, origin = None, replace(origin, promise_withheld=True)
    previous = previous and _set(previous, settings)
    stages = replace(_set(model, settings), previous=previous, origin=origin, promise=promise, trust=trust)
    return replace(stages, postprocessing=after)


def _set(model: Predictor, settings: Settings) -> Predictor:
    """`model`, to be used by these settings."""
    configuration = model.card.configuration
    card = model.card.with_configuration(replace(configuration, overlap=settings.overlap_of(configuration.overlap)))
    precision: Precision | None = "float32" if settings.exact else None
    return replace(model, mirror=settings.mirrored, card=card, precision=precision, memory_bytes=settings.memory_bytes)


def load_previous(folder: Path, model: Predictor) -> Predictor | None:
    """The networks that the cascade `model` from `folder` starts from, of the same folds; None where it is no cascade.

    One that was trained on every case starts from all folds. Their model folder stands beside its own.

    Raises:
        PlanError: that model or one of the folds is missing, or is another one than the cascade was trained on.
    """
    name, first = model.card.configuration.name, model.card.configuration.previous
    if first is None:
        return None
    there = folder.resolve().parent / first
    if not (there / MODEL).is_file():
        found = f"no model here, and {name} starts from its segmentations"
        remedy = f"train {there.name}, or copy its folder beside that of {name}"
        raise PlanError(str(there), found, f"the model folder of {there.name}", remedy)
    previous = load_model(there, model.device, None if FULL in model.origin.folds else model.origin.folds)
    mine, its = model.card, previous.card
    if (its.data.channels, its.data.labels, its.configuration.previous) != (mine.data.channels, mine.data.labels, None):
        found = f"another model than {name} was trained on: its channels, labels or stages differ"
        raise PlanError(str(there), found, f"the {there.name} of the same plan", "copy both model folders together")
    _check_trained_on(folder, model, there, dict(zip(previous.origin.folds, previous.origin.digests[1:], strict=True)))
    return previous


def _check_trained_on(folder: Path, model: Predictor, there: Path, digests: dict[str, str]) -> None:
    """Raise `PlanError` unless the cascade's folds were trained on the weights from `there`: fold -> digest."""
    for fold in model.origin.folds:
        known = read_previous(fold_folder(folder, fold))
        # a fold that validates none of the cascade's cases had no part in its training
        other = [first for first, digest in digests.items() if known.get(first, digest) != digest]
        if other:
            found = f"fold {fold} was trained on another {there.name} (fold(s) {', '.join(other)} have other weights)"
            remedy = "copy both model folders together, or train this fold again with --overwrite"
            raise PlanError(str(fold_folder(folder, fold) / PREVIOUS), found, f"the weights in {there}", remedy)
