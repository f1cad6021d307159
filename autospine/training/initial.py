"""A training that starts from weights which another one has learnt: its encoder and bottleneck, nothing else.

What an encoder sees of a spine carries over to other labels; decoder and heads belong to the labels they were trained
for and start fresh (Chen et al. 2024 pretrain so; which parts carry over is our own choice). Weights carry over where
name and shape agree. An encoder of which less than nine tenths do is another network, and is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from autospine.data.disk.files import file_digest
from autospine.data.geometry import times
from autospine.errors import PlanError
from autospine.networks.weights import read_shapes, read_tensors
from autospine.planning.document.model_file import WEIGHTS

LEAST = 0.9
"""Share of the encoder's weights that must carry over."""
MODULES = ("msff.", "control.")
"""Modules at the bottleneck that weights may be without: they begin as the identity."""
CARRIED = ("stem.", "encoder.", *MODULES)
"""What carries over."""
_FORM = f"a {WEIGHTS} of autospine, the fold's folder that holds it, or a model folder with one trained fold"


@dataclass(frozen=True)
class InitialWeights:
    """Weights to start from."""

    path: Path
    digest: str
    """SHA-256 of the file: part of a training's identity."""
    shapes: Mapping[str, tuple[int, ...]]
    """Name -> shape of each tensor in it."""


@dataclass(frozen=True)
class CarriedOver:
    """What a network took of them."""

    share: float
    """Of the weights of its encoder and bottleneck, 0 to 1."""
    fresh: tuple[str, ...]
    """Tensors of encoder and bottleneck that start fresh, each with why."""


def read_initial(path: Path) -> InitialWeights:
    """The weights of a file, of a fold's folder, or of a model folder that has one fold.

    Raises `PlanError` where there are none, several, or the file is not what autospine writes.
    """
    file = weights_file(path)
    shapes = read_shapes(file)
    if not any(name.startswith(CARRIED) for name in shapes):
        raise PlanError(str(file), "no encoder in these weights", _FORM)
    return InitialWeights(file, file_digest(file, PlanError), shapes)


def weights_file(path: Path) -> Path:
    """The file that `path` names; raises `PlanError` as `read_initial` does, but looks into none."""
    try:
        if path.is_file():
            return path
        if not path.exists():
            raise PlanError(str(path), "no such file or folder", _FORM)
        if (path / WEIGHTS).is_file():
            return path / WEIGHTS
    except OSError as fault:
        raise PlanError(str(path), f"cannot be read ({fault.strerror or fault})", _FORM) from fault
    found = sorted(path.glob(f"fold_*/{WEIGHTS}"))
    if len(found) != 1:
        folds = ", ".join(file.parent.name for file in found) or "none"
        raise PlanError(str(path), f"trained folds: {folds}", "one", "name the folder of one fold")
    return found[0]


@torch.no_grad()
def start_from(network: nn.Module, initial: InitialWeights) -> CarriedOver:
    """Copy what carries over into `network`, in place; raises as `check_fits` does, before anything is changed.

    Raises `PlanError` too where the file is another one than `read_initial` has seen.
    """
    taken, names = _compare(network, initial)
    tensors = dict(read_tensors(initial.path, names))
    if file_digest(initial.path, PlanError) != initial.digest:
        found = "these weights were changed just now"
        raise PlanError(str(initial.path), found, "one file", "start the training again")
    own = network.state_dict()
    for name, tensor in tensors.items():
        own[name].copy_(tensor)
    return taken


def check_fits(network: nn.Module, initial: InitialWeights) -> None:
    """Nothing; `network` may be one without memory, on torch's device `meta`.

    Raises `PlanError` where less than `LEAST` of its encoder would carry over, or what would holds no finite numbers.
    """
    _, names = _compare(network, initial)
    for _ in read_tensors(initial.path, names):
        pass


def _compare(network: nn.Module, initial: InitialWeights) -> tuple[CarriedOver, set[str]]:
    """What carries over, and the names of these tensors."""
    # weights without the module start it fresh, as an ablation does: it begins as the identity
    parts = tuple(
        part for part in CARRIED if part not in MODULES or any(name.startswith(part) for name in initial.shapes)
    )
    own = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(parts)}
    there = {name: initial.shapes.get(name, ()) for name in own}
    fitting = {name for name, tensor in own.items() if there[name] == tuple(tensor.shape)}
    share = sum(own[name].numel() for name in fitting) / sum(tensor.numel() for tensor in own.values())
    unlike = [name for name in own if name not in fitting]
    fresh = tuple(f"{name} ({times(own[name].shape)} here, {times(there[name]) or 'none'} there)" for name in unlike)
    if share < LEAST:
        shown = "; ".join(fresh[:4]) + ("; ..." if len(fresh) > 4 else "")
        found = f"only {share:.0%} of the encoder's weights fit this plan: {shown}"
        remedy = "move the plan of those weights to these data with `autospine plan DATASET --from PLAN`"
        raise PlanError(str(initial.path), found, f"at least {LEAST:.0%}", remedy)
    return CarriedOver(share, fresh), fitting
