"""In which precision a training computes: once chosen, it stays."""

from __future__ import annotations

from pathlib import Path

import torch

from autospine.machine.device import device_names
from autospine.machine.precision import Choice, as_precision, has_bfloat16_units, pinned_precision
from autospine.networks.precision import choose_precision
from autospine.planning.document.configuration import Configuration
from autospine.training.checkpoint import recorded_precision


def training_precision(
    configuration: Configuration, folder: Path | None, device: torch.device, timed_on: str | None = None
) -> Choice:
    """The precision of the training that stands in `folder`, else the one its plan was timed in here, else the faster.

    A training that was stopped ends with the weights it would have had, and all folds of a plan compute alike.
    `folder` is None where a training begins anew, whatever stands there, and `timed_on` what the plan calls the device
    on which it was timed. A `pinned` precision goes before all of this.
    """
    if device.type == "cuda" or pinned_precision() is not None:  # there is nothing to choose
        return choose_precision(configuration, device, training=True)
    begun = None if folder is None else as_precision(recorded_precision(folder))
    # what a GPU has begun in half precision goes on as this processor computes well
    if begun == "float32" or (begun == "bfloat16" and has_bfloat16_units()):
        return Choice(begun, because="as it was begun")
    timed = device_names(device).get(timed_on or "")
    if timed == "float32" or (timed == "bfloat16" and has_bfloat16_units()):
        return Choice(timed, because="as the plan was timed")
    return choose_precision(configuration, device, training=True)
