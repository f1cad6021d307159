"""`fast.json` of a trained fold: what a fast prediction costs, as its validation cases said at the end of training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autospine.data.disk.files import read_json, write_json
from autospine.errors import AutospineError
from autospine.planning.document.about import About
from autospine.planning.document.model_file import fold_folder

FAST_FILE = "fast.json"
"""In the folder of a fold, beside `metrics.json`."""


@dataclass(frozen=True)
class FastCost:
    """Mean Dice of the validation cases of a fold, predicted by its network alone."""

    whole: float
    """With all mirrorings and the planned overlap."""
    fast: float
    """Without mirrorings, and with the overlap of a fast prediction."""
    cases: int

    def write(self, folder: Path) -> None:
        """Into the folder of the fold."""
        write_json(folder / FAST_FILE, {"dice": self.whole, "fast_dice": self.fast, "cases": self.cases})

    @staticmethod
    def read(folder: Path) -> FastCost | None:
        """What the folder of a fold holds; None where nothing was measured, or nothing that can be read."""
        try:
            content: Any = read_json(folder / FAST_FILE)
            return FastCost(float(content["dice"]), float(content["fast_dice"]), int(content["cases"]))
        except (AutospineError, OSError, KeyError, TypeError, ValueError):
            return None

    @staticmethod
    def told_by(about: About | None, fold: str) -> FastCost | None:
        """What an exported model says of a fold; None where it does not."""
        for known in () if about is None else about.validation:
            if known.fold == fold and known.dice is not None and known.fast_dice is not None:
                return FastCost(known.dice, known.fast_dice, known.cases)
        return None


def fast_cost(model: Path, fold: str, about: About | None) -> str:
    """What is to be said of a fast prediction with this fold of a model folder, or of a file that tells `about` it."""
    cost = FastCost.read(fold_folder(model, fold)) or FastCost.told_by(about, fold)
    if cost is None:
        return f"Fast: fold {fold} alone, no mirrorings; what that costs in Dice was not measured when it was trained"
    many = f"{cost.cases} validation case(s) of fold {fold}"
    if f"{cost.fast:.3f}" == f"{cost.whole:.3f}":
        said = f"costs no Dice on the {many} ({cost.fast:.3f})"
    else:
        said = f"Dice {cost.fast:.3f} instead of {cost.whole:.3f} on the {many}"
    return f"Fast: fold {fold} alone, no mirrorings: {said}; what averaging folds would gain is not in it"
