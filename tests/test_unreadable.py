"""A file that may not be read is called that: what is in it is not judged, and no remedy deletes it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from autospine.cli.app import app
from autospine.data.dataset import open_dataset
from autospine.data.disk.files import read_json, write_json, write_text
from autospine.data.geometry import Volume
from autospine.data.inputs import find_inputs
from autospine.data.volume import write_volume
from autospine.errors import DataError, PlanError
from autospine.inference.loading import load_model
from autospine.networks.unet import UNet
from autospine.planning.document.expected import Expected, read_expected, write_expected
from autospine.planning.document.model_file import read_model, weights_digest, write_model
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import plan_to_toml, read_plan_file
from autospine.planning.document.recipe import load_recipe
from autospine.preprocessing.arrays import write_array, write_arrays
from autospine.preprocessing.previous import PreviousStage
from autospine.preprocessing.store import Store, StoreIndex, begin_store
from autospine.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, save_weights
from autospine.training.identity import Identity
from autospine.training.initial import read_initial
from tests.data.dicom_files import write_series
from tests.data.laid_out import LAID_OUT
from tests.data.small import CONTENT, GRID

CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no such permissions there")


@contextmanager
def as_somebody() -> Iterator[None]:
    """A block in which this process has no rights of root's."""
    user, group = os.geteuid(), os.getegid()
    if user:
        yield
        return
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        os.setegid(group)


@pytest.fixture
def model(make_plan: Callable[..., Plan]) -> Iterator[Path]:
    """A model folder in a place where everybody may look, with a checkpoint and a plan beside the weights."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    folder, plan = place / "3d_fullres", make_plan()
    card = plan.card()
    write_model(folder, card)
    save_weights(folder / "fold_0", UNet(card.configuration.network, card.configuration.patch))
    save_checkpoint(folder / "fold_0", Checkpoint({}, {}, {}, 1, 1.0, (), torch.zeros(()), 0, "a training"))
    write_text(folder / "plan.toml", plan_to_toml(plan))
    write_expected(folder / "expected.json", {"3d_fullres": Expected(1.0)})
    begin_store(folder / "store", StoreIndex("a key", "labels", {"a": True}))
    write_json(folder / "store" / "a.properties.json", {"key": "a key"})
    write_arrays(folder / "store" / "a.locations.npz", {"1": np.zeros((1, 3), np.int32)})
    for part in ("image", "label", "reference"):
        write_array(folder / "store" / f"a.{part}.npy", np.zeros((2, 2, 2), np.uint8))
    try:
        yield folder
    finally:
        folder.chmod(0o755)
        shutil.rmtree(place)


def previous(path: Path) -> object:
    return PreviousStage({"a": path}, "a key").open("a", (2, 2, 2))


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "weights": ("fold_0/model.safetensors", lambda folder: load_model(folder, CPU)),
    "weights to start from": ("fold_0/model.safetensors", lambda folder: read_initial(folder)),
    "digest of weights": ("fold_0/model.safetensors", lambda folder: weights_digest(folder, 0)),
    "card": ("model.json", read_model),
    "json": ("model.json", lambda folder: read_json(folder / "model.json", PlanError)),
    "checkpoint": (
        "fold_0/training.ckpt",
        lambda folder: load_checkpoint(folder / "fold_0", Identity("a training", ""), CPU),
    ),
    "expected": ("expected.json", lambda folder: read_expected(folder / "expected.json")),
    "plan": ("plan.toml", lambda folder: read_plan_file(folder / "plan.toml")),
    "prepared case": ("store/a.reference.npy", lambda folder: Store(folder / "store").open("a")),
    "previous stage": ("store/a.label.npy", lambda folder: previous(folder / "store" / "a.label.npy")),
    "recipe": ("plan.toml", lambda folder: load_recipe(str(folder / "plan.toml"))),
}


@pytest.mark.parametrize("kind", READERS)
def test_what_may_not_be_read(model: Path, kind: str) -> None:
    name, read = READERS[kind]
    with suppress(PlanError):  # a plan is no recipe
        read(model)  # loads what it needs, which root may have where nobody else may look
    (model / name).chmod(0)
    with as_somebody(), pytest.raises(PlanError) as raised:
        read(model)
    assert raised.value.where == str(model / name)
    assert raised.value.found == "cannot be read (Permission denied)"
    assert raised.value.remedy == "have its owner give you the right to read it"


def test_a_model_in_a_folder_that_may_not_be_searched(model: Path) -> None:
    model.chmod(0)
    with as_somebody(), pytest.raises(PlanError, match="cannot be read .Permission denied"):
        read_model(model)


def test_a_command_shows_no_traceback(model: Path) -> None:
    """Whatever looks for a file in such a folder."""
    words = ["plan", str(model / "plan.toml"), "--explain"]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert CliRunner().invoke(app, ["plan", str(model / "none"), "--explain"]).exit_code == 1
    model.chmod(0)
    with as_somebody():
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert "cannot be read (Permission denied)" in " ".join(done.output.split())


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder where everybody may look, with a folder in it where only its owner may, as on the root of a disk."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    (place / "data" / "lost+found").mkdir(parents=True)
    (place / "data" / "lost+found").chmod(0o700)
    try:
        yield place / "data"
    finally:
        shutil.rmtree(place)


PASSED_OVER = "folders that cannot be read, passed over: lost+found"


@pytest.mark.parametrize("kind", ["file", "series"])
def test_a_folder_below_the_images_is_passed_over_and_told(place: Path, kind: str) -> None:
    array = np.ones((1, *GRID.shape), np.uint8)
    if kind == "file":
        write_volume(place / "a.nii.gz", Volume(array, GRID))
    else:
        write_series(place / "a", array[0], GRID)
    said: list[str] = []
    find_inputs(place, ("T2",))  # loads what it needs, which root may have where nobody else may look
    with as_somebody():
        found = find_inputs(place, ("T2",), tell=said.append)
    assert [name for name, _ in found] == ["a"] and said == [PASSED_OVER]
    place.chmod(0)
    with as_somebody(), pytest.raises(DataError, match="cannot be read .Permission denied"):
        find_inputs(place, ("T2",))


@pytest.mark.parametrize("name", LAID_OUT)
def test_a_folder_below_a_dataset_is_passed_over_and_told(place: Path, name: str) -> None:
    root = LAID_OUT[name][1](place, CONTENT)
    whole = open_dataset(root)
    with as_somebody():
        found = open_dataset(root)
    assert found.cases == whole.cases and (PASSED_OVER in found.notes) == root.is_dir()  # a table names its files
