"""The public names are a promise: a change here is a change for every caller."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import autospine

PUBLIC = {
    "Fingerprint": "autospine.planning.measured.fingerprint",
    "Plan": "autospine.planning.document.plan",
    "Predictor": "autospine.inference.predictor",
    "Reading": "autospine.data.structure",
    "Segmentation": "autospine.inference.segmentation",
    "Volume": "autospine.data.volume",
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


SIGNATURES = {
    "plan": "(dataset, *, recipe='default', budget_s=None, epochs=None, device='auto', memory_gb=None, source=None, "
    "reading=Reading(subjects=None, layout=None, masks=None, allow_missing=False, channels=None), runs='runs', "
    "dry_run=False, overwrite=False, progress=None)",
    "train": "(dataset, fold, *, configuration=None, budget_s=None, epochs=None, device='auto', workers=None, "
    "init=None, reading=Reading(subjects=None, layout=None, masks=None, allow_missing=False, channels=None), "
    "runs='runs', overwrite=False, track=None, progress=None)",
    "predict": "(source, target, *, model=None, folds=None, device='auto', mirror=True, overlap=None, "
    "fast=False, exact=False, postprocess=True, memory_gb=None, runs='runs', file_format=None, probabilities=False, "
    "uncertainty=False, instances=False, statistics=False, preview=False, overwrite=False, series=None, share=None, "
    "watch=False, progress=None)",
    "select": "(dataset, *, configurations=None, device='auto', workers=None, runs='runs', progress=None)",
    "export": "(model, target, *, folds=None, licence=None, onnx=False, image=None, overwrite=False, progress=None)",
    "audit": "(dataset, *, configuration=None, count=20, workers=None, runs='runs', progress=None)",
    "next_cases": "(dataset, unlabelled, *, count=10, out=None, model=None, configuration=None, device='auto', "
    "runs='runs', progress=None)",
    "evaluate": "(prediction, reference, *, output=None, lesions=False, pictures=False, images=None, worst=10, "
    "distances=True, tolerance_mm=1.0, subjects=None, progress=None)",
    "compare": "(predictions, reference, *, out='comparison', metric='dice', subjects=None, common=False, "
    "progress=None)",
}


@pytest.mark.parametrize("name", sorted(SIGNATURES))
def test_signatures_are_frozen(name: str) -> None:
    signature = inspect.signature(getattr(autospine, name))
    bare = [one.replace(annotation=inspect.Parameter.empty) for one in signature.parameters.values()]
    assert str(inspect.Signature(bare)) == SIGNATURES[name]
    assert "Raises:" in inspect.getdoc(getattr(autospine, name))  # type: ignore[operator]


def test_public_names_are_frozen() -> None:
    assert set(autospine.__all__) == {*PUBLIC, "__version__"}
    assert set(autospine.__all__) <= set(dir(autospine))


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_name_is_the_object_of_its_module(name: str) -> None:
    assert getattr(autospine, name) is getattr(importlib.import_module(PUBLIC[name]), name)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'segment'"):
        autospine.segment  # noqa: B018 - the access is the test


def test_version_has_three_numbers() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", autospine.__version__)


def test_import_loads_nothing_heavy() -> None:
    code = "import autospine, sys; print(*sorted({'torch', 'numpy', 'SimpleITK', 'typer', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_package_is_typed() -> None:
    assert Path(autospine.__file__).with_name("py.typed").is_file()
