"""The temperature of a model, which a later measurement may have found: logits are divided by it for probabilities.

`calibration.json` in the model folder: `{"temperature": 1.4}`. Above 1 the network is less sure than it says
(Guo 2017, arXiv:1706.04599); the winning class stays what it is.
"""

from __future__ import annotations

from pathlib import Path

from autospine.data.disk.files import read_json, write_json
from autospine.errors import PlanError
from autospine.planning.document.convert import MOST_DOCUMENT_BYTES
from autospine.planning.document.model_file import CALIBRATION

_ENDS = (0.01, 100.0)
"""Beyond them probabilities would all be equal, or all 0 and 1 (ours)."""


def read_temperature(folder: Path) -> float:
    """The temperature of the model in `folder`; 1 where none has been measured.

    Raises:
        PlanError: a file that cannot be read, or says no temperature from 0.01 to 100.
    """
    path = folder / CALIBRATION
    if not path.exists():
        return 1.0
    remedy = "calibrate the model again, or delete the file: probabilities are then as the network says"
    content = read_json(path, PlanError, MOST_DOCUMENT_BYTES, remedy)
    found = content.get("temperature") if isinstance(content, dict) else None
    number = found if isinstance(found, int | float) and not isinstance(found, bool) else 0
    if not _ENDS[0] <= number <= _ENDS[1]:
        expected = f'{{"temperature": T}}, T from {_ENDS[0]:g} to {_ENDS[1]:g}'
        raise PlanError(str(path), "no temperature that can be used", expected, remedy)
    return float(number)


def write_temperature(folder: Path, temperature: float) -> None:
    """Write `calibration.json` in a model folder; of a temperature of 1 none is left there."""
    if temperature == 1:
        (folder / CALIBRATION).unlink(missing_ok=True)
    else:
        write_json(folder / CALIBRATION, {"temperature": temperature})
