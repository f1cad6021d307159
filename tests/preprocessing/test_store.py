"""The store: built once, resumed, rebuilt when its key changes, opened without an image reader."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from autospine.data.structure import Dataset
from autospine.errors import OutputError, PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.plan import Plan
from autospine.preprocessing.cases import prepare_dataset
from autospine.preprocessing.keys import stored_key
from autospine.preprocessing.store import Store, find_store

MakeConfiguration = Callable[..., Configuration]
MakePlan = Callable[..., Plan]
NAMES = ("a", "b", "store")


def test_only_a_whole_store_with_the_key_is_found(
    dataset: Dataset, tmp_path: Path, make_configuration: MakeConfiguration, make_plan: MakePlan
) -> None:
    root, key = tmp_path / "s", stored_key(make_plan(), make_configuration())
    assert find_store(root, key) is None
    prepare_dataset(dataset, make_plan(), make_configuration(), root, workers=1)
    store = find_store(root, key)
    assert store is not None
    assert store.names == NAMES
    assert find_store(root, "another") is None
    (root / "b.properties.json").unlink()
    assert find_store(root, key) is None
    (root / "store.json").write_text("{")
    assert find_store(root, key) is None


def test_too_many_open_files_are_no_damage(
    dataset: Dataset,
    tmp_path: Path,
    make_configuration: MakeConfiguration,
    make_plan: MakePlan,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = prepare_dataset(dataset, make_plan(), make_configuration(), tmp_path / "s", workers=1)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(np, "load", full)
    with pytest.raises(OutputError, match="too many files are open") as fault:
        store.open("a")
    assert "ulimit" in fault.value.remedy


def test_a_damaged_index_is_built_anew(
    dataset: Dataset, tmp_path: Path, make_configuration: MakeConfiguration, make_plan: MakePlan
) -> None:
    root = tmp_path / "s"
    root.mkdir()
    (root / "store.json").write_text("{")
    with pytest.raises(PlanError, match=r"store\.json"):
        Store(root)
    assert prepare_dataset(dataset, make_plan(), make_configuration(), root, workers=1).names == NAMES


def test_a_store_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PlanError) as fault:
        Store(tmp_path / "gone")
    assert fault.value.remedy


def test_a_damaged_case_says_so(
    dataset: Dataset, tmp_path: Path, make_configuration: MakeConfiguration, make_plan: MakePlan
) -> None:
    store = prepare_dataset(dataset, make_plan(), make_configuration(), tmp_path / "s", workers=1)
    image = tmp_path / "s" / "a.image.npy"
    image.write_bytes(image.read_bytes()[:200])
    (tmp_path / "s" / "b.properties.json").write_text("{}")
    (tmp_path / "s" / "store.locations.npz").write_bytes(b"PK no archive")
    for name in NAMES:
        with pytest.raises(PlanError, match=f"'{name}'"):
            store.open(name)


def test_opening_needs_numpy_alone(
    dataset: Dataset, tmp_path: Path, make_configuration: MakeConfiguration, make_plan: MakePlan
) -> None:
    prepare_dataset(dataset, make_plan(), make_configuration(), tmp_path / "s", workers=1)
    code = (
        "import sys; from pathlib import Path; from autospine.preprocessing.store import Store\n"
        "store = Store(Path(sys.argv[1])); [store.open(name).image.mean() for name in store.names]\n"
        "heavy = {'SimpleITK', 'torch', 'scipy', 'skimage', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "s")], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr.strip()) == (0, "")
