"""autospine: from a folder of spine MR images and masks to a trained, measured segmentation model.

The names below are the public ones. Each is loaded when it is first used, so that `import autospine`
costs nothing and a machine that only trains needs no image reader.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from autospine.machine.cores import let_threads_sleep

if TYPE_CHECKING:
    from autospine.data.dataset import open_dataset
    from autospine.data.geometry import Volume
    from autospine.data.structure import Reading
    from autospine.data.volume import read_volume, write_volume
    from autospine.inference.predictor import Predictor
    from autospine.inference.segmentation import Segmentation
    from autospine.planning.decide.planner import make_plan
    from autospine.planning.document.plan import Plan
    from autospine.planning.measured.fingerprint import Fingerprint
    from autospine.workflow.api import audit, compare, evaluate, export, next_cases, plan, predict, select, train

__version__ = "0.1.0"

let_threads_sleep()  # here, as no part of the package is imported before it, torch is not either

__all__ = [
    "Fingerprint",
    "Plan",
    "Predictor",
    "Reading",
    "Segmentation",
    "Volume",
    "__version__",
    "audit",
    "compare",
    "evaluate",
    "export",
    "make_plan",
    "next_cases",
    "open_dataset",
    "plan",
    "predict",
    "read_volume",
    "select",
    "train",
    "write_volume",
]

_HOMES = {
    "Fingerprint": "autospine.planning.measured.fingerprint",
    "Plan": "autospine.planning.document.plan",
    "Predictor": "autospine.inference.predictor",
    "Reading": "autospine.data.structure",
    "Segmentation": "autospine.inference.segmentation",
    "Volume": "autospine.data.geometry",
    "audit": "autospine.workflow.api",
    "compare": "autospine.workflow.api",
    "evaluate": "autospine.workflow.api",
    "export": "autospine.workflow.api",
    "make_plan": "autospine.planning.decide.planner",
    "next_cases": "autospine.workflow.api",
    "open_dataset": "autospine.data.dataset",
    "plan": "autospine.workflow.api",
    "predict": "autospine.workflow.api",
    "read_volume": "autospine.data.volume",
    "select": "autospine.workflow.api",
    "train": "autospine.workflow.api",
    "write_volume": "autospine.data.volume",
}


def __getattr__(name: str) -> Any:
    """The public object called `name`, imported on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
