"""The store: built once, resumed, rebuilt when its key changes, opened without an image reader."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.data.dataset import load_case, open_dataset
from autospine.data.geometry import Geometry, Volume
from autospine.data.structure import Dataset
from autospine.data.volume import read_volume, write_volume
from autospine.errors import DataError, OutputError, PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import IntensityPlan
from autospine.planning.document.parts import ResamplingPlan
from autospine.planning.document.plan import Plan
from autospine.planning.measured.fingerprint import extract_fingerprint
from autospine.preprocessing import store as store_module
from autospine.preprocessing.cases import prepare_dataset
from autospine.preprocessing.prepare import prepare_case
from autospine.preprocessing.store import Store, find_store, store_name, stored_key

MakeConfiguration = Callable[..., Configuration]
MakePlan = Callable[..., Plan]
NAMES = ("a", "b", "store")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Three small cases of different size on an oblique grid, in nnU-Net's layout."""
    root = tmp_path / "demo"
    turn = (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0)
    for index, name in enumerate(NAMES):
        shape = (8 + index, 14, 11)
        rng = np.random.default_rng(index)
        geometry = Geometry(shape, (2.0, 1.0, 1.5), (3.0, -4.0, 5.0), turn, 3)
        label = np.zeros(shape, np.uint8)
        label[2:6, 3:9, 2:7] = 1
        label[4:7, 8:12, 4:10] = 2
        image = rng.normal(100, 10, shape).astype(np.float32) + 50 * label
        image[0] = 0
        write_volume(root / "imagesTr" / f"{name}_0000.nii.gz", Volume(image[None], geometry, ()))
        write_volume(root / "labelsTr" / f"{name}.nii.gz", Volume(label[None], geometry, ()))
    content = {
        "channel_names": {"0": "T2"},
        "labels": {"background": 0, "L1": 1, "L2": 2, "L3": 3},
        "numTraining": 3,
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(content))
    return open_dataset(root)


def stamps(root: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in root.iterdir() if path.name != "store.json"}


def test_a_stored_case_is_the_prepared_case(
    dataset: Dataset, tmp_path: Path, make_configuration: MakeConfiguration, make_plan: MakePlan
) -> None:
    configuration = make_configuration(axis_order=(0, 2, 1), spacing_mm=(2.0, 1.2, 1.1))
    plan = make_plan(configuration)
    reported: list[tuple[str, int, int]] = []
    store = prepare_dataset(
        dataset, plan, configuration, tmp_path / "s", workers=1, progress=lambda *report: reported.append(report)
    )
    assert store.names == NAMES
    assert store.key == stored_key(plan, configuration)
    assert reported == [("a", 1, 3), ("b", 2, 3), ("store", 3, 3)]
    for case in dataset.cases:
        loaded = load_case(dataset, case)
        expected = prepare_case(
            loaded.image.array,
            loaded.label,
            loaded.image.geometry.spacing_mm,
            configuration,
            plan.data.intensities,
            case.name,
        )
        stored = Store(tmp_path / "s").open(case.name)
        assert isinstance(stored.image, np.memmap)
        assert isinstance(stored.label, np.memmap)
        np.testing.assert_array_equal(stored.image, expected.image)
        np.testing.assert_array_equal(stored.label, expected.label)
        np.testing.assert_array_equal(stored.reference, loaded.label)
        assert (stored.image.dtype, stored.label.dtype, stored.reference.dtype) == (np.float32, np.uint8, np.uint8)
        assert stored.properties == expected.properties
        assert sorted(stored.locations) == [1, 2]
        for value, voxels in stored.locations.items():
            assert (stored.label[tuple(voxels.T)] == value).all()
    assert not [path for path in (tmp_path / "s").iterdir() if path.name.startswith(".")]


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
        whole = store_module.is_whole
        before.setattr(store_module, "is_whole", lambda *given: next(answers, None) is None and whole(*given))
        prepare_dataset(dataset, plan, configuration, root, workers=1)
    assert stamps(root) == made
    # the index is not there yet when both begin
    (root / "store.json").unlink()
    store_module.begin_store(root, {"key": first.key, "cases": dict.fromkeys(NAMES, True)})
    assert stamps(root) == made
    for name in NAMES:
        first.open(name)


@pytest.mark.parametrize("kind", ["imagesTr/b_0000", "labelsTr/b"])
def test_what_has_changed_since_it_was_planned_is_not_prepared(
    dataset: Dataset, tmp_path: Path, make_configuration: MakeConfiguration, make_plan: MakePlan, kind: str
) -> None:
    fingerprint = extract_fingerprint(dataset)
    path = tmp_path / "demo" / f"{kind}.nii.gz"
    volume = read_volume(path)
    changed = volume.array.copy()
    changed[0, 4, 5, 5] = 0
    write_volume(path, replace(volume, array=changed))
    plan, configuration = make_plan(), make_configuration()
    with pytest.raises(DataError, match=r"b: .*not the one that the plan was made from"):
        prepare_dataset(dataset, plan, configuration, tmp_path / "s", fingerprint=fingerprint, workers=1)
    store = prepare_dataset(
        dataset, plan, configuration, tmp_path / "s", fingerprint=extract_fingerprint(dataset), workers=1
    )
    assert store.names == NAMES


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


def test_unlabelled_cases_are_left_out(
    dataset: Dataset, tmp_path: Path, make_configuration: MakeConfiguration, make_plan: MakePlan
) -> None:
    cases = (dataset.cases[0], replace(dataset.cases[1], label=None), dataset.cases[2])
    store = prepare_dataset(replace(dataset, cases=cases), make_plan(), make_configuration(), tmp_path / "s", workers=1)
    assert store.names == ("a", "store")
    assert json.loads((tmp_path / "s" / "store.json").read_text())["cases"] == {"a": True, "b": False, "store": True}
    with pytest.raises(PlanError, match="'b'"):
        store.open("b")


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

        monkeypatch.setattr(store_module, "_build", build)

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


def test_the_key_follows_what_preparation_reads(make_configuration: MakeConfiguration, make_plan: MakePlan) -> None:
    base = make_configuration()
    key = stored_key(make_plan(base), base)
    assert key == stored_key(make_plan(base), make_configuration())
    for changed in (
        make_configuration(spacing_mm=(2.0, 1.0, 1.0)),
        make_configuration(spacing_mm=(1.0, 1.0)),
        make_configuration(normalisation=("ct",)),
        make_configuration(use_mask=True),
        make_configuration(axis_order=(2, 0, 1)),
        make_configuration(resampling=ResamplingPlan(order_image=1)),
    ):
        assert stored_key(make_plan(changed), changed) != key
    for plan in (
        make_plan(base, labels=(("T12", 1), ("L2", 2), ("L3", 3))),
        make_plan(base, labels=(("L1", 1), ("L2", 2), ("L3", 4))),
        make_plan(base, intensities=(IntensityPlan(100.0, 21.0, 10.0, 200.0),)),
        make_plan(base, fingerprint_hash="1" * 64),
    ):
        assert stored_key(plan, base) != key


def test_the_key_leaves_out_what_only_training_reads(
    make_configuration: MakeConfiguration, make_plan: MakePlan
) -> None:
    base = make_configuration()
    key = stored_key(make_plan(base), base)
    for changed in (
        replace(base, training=replace(base.training, learning_rate=1.0, epochs=3)),
        replace(base, batch=7, patch=(16, 16, 16)),
        replace(base, network=replace(base.network, features=(16, 32))),
        replace(base, loss=replace(base.loss, batch_dice=True)),
    ):
        assert stored_key(make_plan(changed), changed) == key
    assert stored_key(make_plan(base, reasons={"3d_fullres.patch": "another"}), base) == key


def test_configurations_that_prepare_alike_share_the_first_ones_folder(
    make_configuration: MakeConfiguration, make_plan: MakePlan
) -> None:
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    neighbourly = replace(flat, name="2.5d", neighbours=1, network=replace(flat.network, in_channels=3))
    full = make_configuration()
    low = make_configuration(name="3d_lowres", spacing_mm=(2.0, 2.0, 2.0))
    cascade = replace(
        full, name="3d_cascade_fullres", previous="3d_lowres", network=replace(full.network, in_channels=4)
    )
    plan = make_plan(full, configurations=(flat, neighbourly, full, low, cascade))
    names = [store_name(plan, configuration) for configuration in plan.configurations]
    assert names == ["2d", "2d", "3d_fullres", "3d_lowres", "3d_fullres"]
    # what only training reads changes nothing, what preparation reads does
    assert store_name(plan, replace(neighbourly, batch=7)) == "2d"
    assert store_name(plan, replace(neighbourly, use_mask=True)) == "2.5d"


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

    monkeypatch.setattr(store_module, "bounded_workers", lambda *_: 3)
    monkeypatch.setattr(store_module, "run_jobs", run)
    prepare_dataset(dataset, make_plan(), make_configuration(), tmp_path / "s", workers=asked)
    assert given == [found]
