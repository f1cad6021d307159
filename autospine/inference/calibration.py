"""The temperature of a model, which a later measurement may have found: logits are divided by it for probabilities.

`calibration.json` in the model folder: `{"temperature": 1.4}`. Above 1 the network is less sure than it says
(Guo 2017, arXiv:1706.04599); the winning class stays what it is.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from autospine.errors import PlanError

CALIBRATION = "calibration.json"
_MOST_BYTES = 1 << 16
_ENDS = (0.01, 100.0)
"""Beyond them probabilities would all be equal, or all 0 and 1 (ours)."""


def read_temperature(folder: Path) -> float:
    """The temperature of the model in `folder`; 1 where none has been measured.

    Raises:
        PlanError: a file that cannot be read, or says no temperature from 0.01 to 100.
    """
    path = folder / CALIBRATION
    expected = f'{{"temperature": T}}, T from {_ENDS[0]:g} to {_ENDS[1]:g}'
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return 1.0
    except OSError as fault:
        raise PlanError(str(path), f"it cannot be read ({fault.strerror})", expected) from fault
    try:
        content = json.loads(text) if len(text) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        content = None
    found = content.get("temperature") if isinstance(content, dict) else None
    number = float(found) if isinstance(found, int | float) and not isinstance(found, bool) else math.nan
    if not _ENDS[0] <= number <= _ENDS[1]:
        remedy = "calibrate the model again, or delete the file: probabilities are then as the network says"
        raise PlanError(str(path), "no temperature that can be used", expected, remedy)
    return number
