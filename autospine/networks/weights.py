"""Weights in a file, looked at before they are taken: names and shapes first, then the numbers.

A file that a stranger gave may name tensors of any size. Its header alone is read until its shapes are known to be
those of a network, which stands on torch's device `meta` for that and takes no memory:

    header of the file     encoder.0.0.conv.weight  F32  (8, 1, 3, 3, 3)   ...     the library bounds it by the file
    network on `meta`      encoder.0.0.conv.weight       (8, 1, 3, 3, 3)   ...     the card's limits bound it
    both agree             -> tensor by tensor into memory, each looked through for what is no number
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from autospine.data.disk.files import unreadable
from autospine.data.geometry import times
from autospine.errors import PlanError
from autospine.networks.unet import UNet
from autospine.planning.document.model_file import WEIGHTS
from autospine.planning.document.parts import NetworkPlan

Shape = tuple[int, ...]
TYPES = ("F32", "F16", "BF16")
"""Types of numbers, as a header names them, that float32 holds exactly."""
MOST_HEADER_BYTES = 1 << 24
"""Of the table at the beginning of a file, which has about 100 for each tensor, and a network has hundreds (ours)."""
_LISTED = 3
_EXPECTED = f"a {WEIGHTS} that autospine wrote"
_REMEDY = "copy the model folder whole, or ask for it again where it came from"


def read_shapes(path: Path) -> dict[str, Shape]:
    """Name -> shape of the tensors in a file of weights, from its header alone.

    Raises:
        PlanError: the file is not there or cannot be read, is no safetensors file, or holds other numbers than `TYPES`.
    """
    shapes = {}
    try:
        if not path.is_file():
            raise PlanError(str(path), "no such file" if not path.exists() else "not a file", _EXPECTED, _REMEDY)
        with path.open("rb") as content:  # what keeps it from being read is said in the system's own words
            header = int.from_bytes(content.read(8), "little")
        if header > MOST_HEADER_BYTES:
            raise ValueError(f"its header would have {header} bytes")
        with safe_open(path, framework="pt") as file:
            for name in file.keys():
                part = file.get_slice(name)
                if part.get_dtype() not in TYPES:
                    found = f"{name[:200]} is stored as {part.get_dtype()}"
                    raise PlanError(str(path), found, f"one of {', '.join(TYPES)}", _REMEDY)
                shapes[name] = tuple(part.get_shape())
    except OSError as error:
        raise unreadable(path, error, PlanError) from error
    except (SafetensorError, ValueError, RuntimeError, MemoryError) as error:  # it maps the whole file
        found = f"cannot be read as weights ({str(error)[:200]})"
        raise PlanError(str(path), found, _EXPECTED, _REMEDY) from error
    return shapes


def read_tensors(path: Path, names: Collection[str]) -> Iterator[tuple[str, Tensor]]:
    """Each of `names` with its tensor, float32 on the CPU, one in memory at a time.

    Raises:
        PlanError: as `read_shapes` does, or a tensor holds what is no finite number.
    """
    try:
        with safe_open(path, framework="pt") as file:
            for name in names:
                # a copy: the file is mapped, and may change under what is mapped
                tensor = file.get_tensor(name).to(torch.float32, copy=True)
                wrong = tensor.numel() - int(torch.isfinite(tensor).sum())
                if wrong:
                    found = f"{name} holds {wrong} of {tensor.numel()} numbers that are NaN or infinite"
                    remedy = "a training that diverged leaves such numbers: train again with a smaller learning_rate"
                    raise PlanError(str(path), found, "finite numbers", remedy)
                yield name, tensor
    except OSError as error:
        raise unreadable(path, error, PlanError) from error
    except SafetensorError as error:
        raise PlanError(str(path), f"cannot be read as weights ({error})", _EXPECTED, _REMEDY) from error


def read_metadata(path: Path) -> dict[str, str]:
    """What the header of a file of weights says beside the tensors; empty where it says nothing or cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError):
        return {}


def network_shapes(plan: NetworkPlan, patch: tuple[int, ...]) -> UNet:
    """The planned network without memory: names and shapes of its weights, no numbers."""
    with torch.device("meta"):
        return UNet(plan, patch)


def check_weights(path: Path, plan: NetworkPlan, patch: tuple[int, ...]) -> dict[str, Shape]:
    """Name -> shape of the weights in `path`, which are those of the planned network; no number is read.

    Raises:
        PlanError: as `read_shapes` does, or weights of another network.
    """
    shapes = read_shapes(path)
    wanted = {name: tuple(tensor.shape) for name, tensor in network_shapes(plan, patch).state_dict().items()}
    if shapes != wanted:
        found = f"these weights do not fit model.json: {_difference(shapes, wanted)}"
        raise PlanError(str(path), found, "the weights that were trained with it", "copy the model folder whole")
    return wanted


def load_network(path: Path, plan: NetworkPlan, patch: tuple[int, ...]) -> nn.Module:
    """The planned network with the weights in `path`, on the CPU, in evaluation mode.

    Raises:
        PlanError: as `check_weights` does, or numbers that are none.
    """
    wanted, network = check_weights(path, plan, patch), network_shapes(plan, patch)
    network.load_state_dict(dict(read_tensors(path, wanted)), assign=True)
    return network.eval()


def _difference(found: Mapping[str, Shape], wanted: Mapping[str, Shape]) -> str:
    """The first tensors that differ, and how many do."""
    names = [name for name in dict.fromkeys((*wanted, *found)) if found.get(name) != wanted.get(name)]

    def listed(shape: Shape | None) -> str:
        return "absent" if shape is None else times(shape) or "a single number"

    told = [
        f"{name[:200]} is {listed(found.get(name))} there and {listed(wanted.get(name))} by model.json"
        for name in names[:_LISTED]
    ]
    more = len(names) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")
