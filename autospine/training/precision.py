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
    `folder` is None where a training begins anew, whatever stands there; `timed_on` is what the device of the timing
    was called. A `pinned` precision goes before all of this.
    """
    if device.type == "cuda" or pinned_precision() is not None:  # there is nothing to choose
        return choose_precision(configuration, device, training=True)
    begun = None if folder is None else as_precision(recorded_precision(folder))
    timed = device_names(device).get(timed_on or "")
    for known, because in ((begun, "as it was begun"), (timed, "as the plan was timed")):
        # what a GPU has begun in half precision goes on as this processor computes well
        if known == "float32" or (known == "bfloat16" and has_bfloat16_units()):
            return Choice(known, because=because)
    return choose_precision(configuration, device, training=True)
