"""A loss and patches that go by lesions, from the data to a trained fold."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import write_volume
from autospine.errors import PlanError
from autospine.planning.document.plan_file import plan_from_toml
from autospine.preprocessing import fill
from autospine.preprocessing.store import Store
from autospine.workflow.plan import PlanRequest, plan_dataset
from autospine.workflow.train import TrainRequest, train_folds

RECIPE = """configurations = ["2d", "3d_fullres"]
base_features = 4
max_features_2d = 8
max_features_3d = 8
epochs = 2
steps_per_epoch = 4
validation_steps = 1
loss = "dice_size_adaptive_ce"
unit = "component"
"""


@pytest.fixture(scope="module")
def lesions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six cases of one class: a lesion of 4 x 9 x 8 voxels, one of 2 x 2 x 2, and one of a single voxel."""
    root = tmp_path_factory.mktemp("data") / "lesions"
    shape = (12, 26, 24)
    geometry = Geometry(shape, (4.0, 1.5, 1.5), (5.0, -7.0, 9.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    for number in range(6):
        rng = np.random.default_rng(number)
        label = np.zeros(shape, np.uint8)
        z, y, x = rng.integers(1, (4, 6, 6))
        label[z : z + 4, y : y + 9, x : x + 8] = 1
        label[9:11, 20:22, 16 + number % 3 : 18 + number % 3] = 1
        label[1 + number % 2, 22, 20] = 1
        image = (rng.normal(100, 5, shape) + 60.0 * label).astype(np.float32)
        name = f"lesions_{number:02}"
        write_volume(root / "imagesTr" / f"{name}_0000.nii.gz", Volume(image[None], geometry, ()))
        write_volume(root / "labelsTr" / f"{name}.nii.gz", Volume(label[None], geometry, ()))
    content = {
        "channel_names": {"0": "T1"},
        "labels": {"background": 0, "lesion": 1},
        "numTraining": 6,
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(content))
    return root


@pytest.mark.parametrize(
    ("name", "sizes", "largest"), [("3d_fullres", {0, 1, 8, 288}, {297.0}), ("2d", {0, 1, 4, 72}, {297 / 6, 297 / 7})]
)
def test_lesions_from_end_to_end(
    lesions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, sizes: set[float], largest: set[float]
) -> None:
    monkeypatch.setattr(fill, "bounded_workers", lambda *_: 1)
    recipe, runs = tmp_path / "lesionwise.toml", tmp_path / "runs"
    recipe.write_text(RECIPE + f'default = "{name}"\n')
    planned = plan_dataset(lesions, runs, PlanRequest(recipe=str(recipe), device="cpu"))
    configuration = planned.folder.read_plan().configuration(name)
    assert configuration.training.foreground_unit == "component"
    assert configuration.loss.largest_size in [pytest.approx(size) for size in largest]
    (trained,) = train_folds(lesions, "0", runs, TrainRequest(device="cpu", workers=0))
    assert trained.metrics is not None and set(trained.metrics["classes"]) == {"lesion"}
    history = (trained.folder / "history.csv").read_text().splitlines()
    assert len(history) == 3

    store = Store(runs / "lesions" / "prepared" / name)
    assert store.contents == "components" and len(store.names) == 6
    for case in map(store.open, store.names):
        assert case.sizes is not None
        assert set(np.unique(case.sizes).tolist()) == sizes
        assert len(case.offsets[1]) == 4

    # a size of one's own is refused, and so is a plan of before there were components
    path = planned.folder.plan
    text = path.read_text()
    path.write_text(re.sub("largest_size = .*", "largest_size = 12.0", text))
    with pytest.raises(PlanError, match="largest_size"):
        list(train_folds(lesions, "1", runs, TrainRequest(device="cpu", workers=0)))
    with pytest.raises(PlanError, match="plan the dataset again"):
        plan_from_toml(text.replace("schema = 7", "schema = 3"))
