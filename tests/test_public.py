"""The public names are a promise: a change here is a change for every caller."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import autospine

PUBLIC = {
    "Fingerprint": "autospine.planning.measured.fingerprint",
    "Plan": "autospine.planning.document.plan",
    "Volume": "autospine.data.volume",
    "make_plan": "autospine.planning.decide.planner",
    "open_dataset": "autospine.data.dataset",
    "read_volume": "autospine.data.volume",
    "write_volume": "autospine.data.volume",
}


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
