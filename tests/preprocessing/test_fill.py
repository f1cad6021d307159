"""A store is filled once, resumed, emptied for another key, and shared by processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.data.structure import Dataset
from autospine.errors import DataError, PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.plan import Plan
from autospine.preprocessing import fill
from autospine.preprocessing.cases import prepare_dataset
from autospine.preprocessing.keys import stored_key
from autospine.preprocessing.store import Store, StoreIndex, begin_store, find_store

MakeConfiguration = Callable[..., Configuration]
MakePlan = Callable[..., Plan]
NAMES = ("a", "b", "store")


def stamps(root: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in root.iterdir() if path.name != "store.json"}


def test_what_is_there_is_kept_and_what_is_missing_is_made(
    dataset: Dataset, tmp_path: Path, make_configuration: MakeConfiguration, make_plan: MakePlan
) -> None:
    root, configuration = tmp_path / "s", make_configuration()
    prepare_dataset(dataset, make_plan(), configuration, root, workers=1)
    before = stamps(root)
    # a run that was stopped: case b has all but its last file, case "store" has nothing
    (root / "b.properties.json").unlink()
    for path in root.glob("store.*.*"):
        path.unlink()
    reported: list[tuple[str, int, int]] = []
    prepare_dataset(
        dataset, make_plan(), configuration, root, workers=1, progress=lambda *report: reported.append(report)
    )
    assert reported == [("b", 2, 3), ("store", 3, 3)]
    after = stamps(root)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] == before[name]} == {name for name in after if name.startswith("a.")}


def test_another_key_is_another_store(
    dataset: Dataset, tmp_path: Path, make_configuration: MakeConfiguration, make_plan: MakePlan
) -> None:
    root = tmp_path / "s"
    prepare_dataset(dataset, make_plan(), make_configuration(), root, workers=1)
    before = stamps(root)
    (root / "notes.txt").write_text("the user's own")
    changed = make_configuration(spacing_mm=(2.0, 1.0, 1.0))
    fewer = replace(dataset, cases=dataset.cases[:2])
    store = prepare_dataset(fewer, make_plan(changed), changed, root, workers=1)
    assert store.names == ("a", "b")
    assert store.open("a").properties.prepared_spacing_mm == (2.0, 1.0, 1.0)
    after = stamps(root)
    assert all(after[name] != before[name] for name in after if name in before)
    assert not (root / "store.image.npy").exists()
    assert (root / "notes.txt").read_text() == "the user's own"


def test_two_plans_at_once_leave_no_mixed_store(
    dataset: Dataset, tmp_path: Path, make_configuration: MakeConfiguration, make_plan: MakePlan
) -> None:
    root, finer, coarser = tmp_path / "s", make_configuration(), make_configuration(spacing_mm=(2.0, 2.0, 3.0))

    def other_plan(name: str, done: int, total: int) -> None:
        if done == 2:
            prepare_dataset(dataset, make_plan(coarser), coarser, root, workers=1)

    with pytest.raises(PlanError, match="for another plan by another training"):
        prepare_dataset(dataset, make_plan(finer), finer, root, workers=1, progress=other_plan)
    with pytest.raises(PlanError, match="prepared for another plan"):
        Store(root).open("store")
    key = stored_key(make_plan(coarser), coarser)
    assert find_store(root, key) is None
    store = prepare_dataset(dataset, make_plan(coarser), coarser, root, workers=1)
    assert all(store.open(name).properties.prepared_spacing_mm == (2.0, 2.0, 3.0) for name in NAMES)


def test_two_processes_with_one_plan_do_not_undo_each_other(
    dataset: Dataset,
    tmp_path: Path,
    make_configuration: MakeConfiguration,
    make_plan: MakePlan,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other has finished what this one still holds for missing, and trains on it."""
    plan, configuration, root = make_plan(), make_configuration(), tmp_path / "prepared"
    first = prepare_dataset(dataset, plan, configuration, root, workers=1)
    made = stamps(root)
    with monkeypatch.context() as before:
        answers = iter([False] * len(NAMES))
        whole = fill.is_whole
        before.setattr(fill, "is_whole", lambda *given: next(answers, None) is None and whole(*given))
        prepare_dataset(dataset, plan, configuration, root, workers=1)
    assert stamps(root) == made
    # the index is not there yet when both begin
    (root / "store.json").unlink()
    begin_store(root, StoreIndex(first.key, "labels", dict.fromkeys(NAMES, True)))
    assert stamps(root) == made
    for name in NAMES:
        first.open(name)


def test_processes_make_the_same_store_and_name_the_case_that_fails(
    dataset: Dataset, tmp_path: Path, make_configuration: MakeConfiguration, make_plan: MakePlan
) -> None:
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    prepare_dataset(dataset, make_plan(), make_configuration(), alone, workers=1)
    image = dataset.cases[1].images[0]
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="b_0000"):
        prepare_dataset(dataset, make_plan(), make_configuration(), shared, workers=2)
    image.write_bytes(whole)
    reported: list[str] = []
    store = prepare_dataset(
        dataset, make_plan(), make_configuration(), shared, workers=2, progress=lambda name, *_: reported.append(name)
    )
    assert "b" in reported
    assert store.names == NAMES
    for path in alone.iterdir():
        if path.suffix == ".npy":
            np.testing.assert_array_equal(np.load(path), np.load(shared / path.name))


def test_a_fault_names_its_case(
    dataset: Dataset,
    tmp_path: Path,
    make_configuration: MakeConfiguration,
    make_plan: MakePlan,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(fault: Exception) -> None:
        def build(_job: object) -> str:
            raise fault

        monkeypatch.setattr(fill, "_build", build)

    fail(ZeroDivisionError("ours"))
    with pytest.raises(RuntimeError, match="case 'a'") as bug:
        prepare_dataset(dataset, make_plan(), make_configuration(), tmp_path / "s", workers=1)
    assert isinstance(bug.value.__cause__, ZeroDivisionError)
    fail(MemoryError())
    with pytest.raises(DataError, match="memory") as fault:
        prepare_dataset(dataset, make_plan(), make_configuration(), tmp_path / "s", workers=1)
    assert fault.value.where == "a"
    assert fault.value.remedy
    fail(DataError("T2.nii.gz", "cannot be read", "an image", "replace it"))
    with pytest.raises(DataError) as named:
        prepare_dataset(dataset, make_plan(), make_configuration(), tmp_path / "s", workers=1)
    assert (named.value.where, named.value.remedy) == ("a: T2.nii.gz", "replace it")


@pytest.mark.parametrize(("asked", "found"), [(None, 3), (0, 0), (2, 2), (12, 3)])
def test_memory_and_whoever_asks_bound_the_processes(
    dataset: Dataset,
    tmp_path: Path,
    make_configuration: MakeConfiguration,
    make_plan: MakePlan,
    monkeypatch: pytest.MonkeyPatch,
    asked: int | None,
    found: int,
) -> None:
    given: list[int] = []

    def run(build: object, jobs: object, workers: int, *_: object) -> None:
        given.append(workers)

    monkeypatch.setattr(fill, "bounded_workers", lambda *_: 3)
    monkeypatch.setattr(fill, "run_jobs", run)
    prepare_dataset(dataset, make_plan(), make_configuration(), tmp_path / "s", workers=asked)
    assert given == [found]
