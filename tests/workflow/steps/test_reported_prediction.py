from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autospine.data.disk.files import write_json, write_text
from autospine.data.geometry import Volume
from autospine.data.volume import read_volume, write_volume
from autospine.errors import DataError, PlanError
from autospine.workflow.steps.reported_prediction import gather_prediction, masks_in


def quiet(doing: str, share: float) -> None: ...


@pytest.fixture
def out(toy_dataset: Path, tmp_path: Path) -> Path:
    """Two segmentations as their references are, the second a voxel higher, with what `predict` writes beside them."""
    folder = tmp_path / "out"
    for place, name in enumerate(("toy_00", "toy_01")):
        volume = read_volume(toy_dataset / "labelsTr" / f"{name}.nii.gz")
        write_volume(folder / f"{name}.nii.gz", Volume(np.roll(volume.array, place, axis=1), volume.geometry))
    cases = {name: {"file": f"{name}.nii.gz"} for name in ("toy_00", "toy_01", "gone")}
    failed = {"toy_05": {"found": "cannot be read", "source": "/somewhere"}}
    write_json(folder / "prediction.json", {"folder": "runs/toy/2d", "cases": cases, "failed": failed})
    write_text(folder / "dseg.tsv", "index\tname\n1\tupper\n3\tlower\n")
    write_text(folder / "statistics.csv", "case,structure,value,voxels,volume_mm3\ntoy_00,upper,1,7,42\n")
    return folder


def test_by_its_references_and_images(out: Path, toy_dataset: Path, tmp_path: Path) -> None:
    references = tmp_path / "labels"
    references.mkdir()
    for name in ("toy_00", "toy_01"):
        shutil.copy(toy_dataset / "labelsTr" / f"{name}.nii.gz", references)
    found = gather_prediction(out, references, toy_dataset / "imagesTr", 5, quiet)
    assert found.cases == ("toy_00", "toy_01") and found.failed == {"toy_05": "cannot be read"}
    assert found.scores is not None and [case.case for case in found.scores.ranked] == ["toy_01", "toy_00"]
    assert [viewer.name for viewer in found.viewers] == ["toy_01", "toy_00"]
    worst = found.viewers[0]
    assert [panel.title for panel in worst.panels] == ["Image", "Reference", "Prediction", "Error"]
    assert [name for name, _ in worst.legend] == ["upper", "lower"] and worst.aspect == pytest.approx(26 / 21 / 1.5)
    assert found.commands == ("autospine report out --ref labels --images imagesTr",)
    # masks that somebody else made: their values are those of the references
    (out / "dseg.tsv").unlink()
    (out / "statistics.csv").unlink()
    write_json(tmp_path / "dataset.json", {"labels": {"background": 0, "top": 1, "bottom": 3}})
    (viewer,) = gather_prediction(out, references, None, 1, quiet).viewers
    assert [name for name, _ in viewer.legend] == ["top", "bottom"]


def test_flagged_cases_first_where_nothing_is_known_of_them(out: Path, toy_dataset: Path) -> None:
    write_text(out / "promise.csv", "case,structure,promised_dice,flags\ntoy_01,upper,0.5,too small\n")
    found = gather_prediction(out, None, toy_dataset / "imagesTr", 1, quiet)
    assert found.scores is None and [(one.name, one.why) for one in found.viewers] == [
        ("toy_01", "Flagged: upper: too small")
    ]
    assert [panel.title for panel in found.viewers[0].panels] == ["Image", "Prediction"]


def test_scores_that_stand_there_are_taken(out: Path) -> None:
    classes = {"upper": {"dice": 0.5}}
    write_json(out / "metrics.json", {"classes": {"upper": {}}, "cases": [{"case": "toy_00", "classes": classes}]})
    found = gather_prediction(out, None, None, 5, quiet)
    assert found.scores is not None and found.scores.mean() == 0.5
    assert found.viewers == ()  # neither images nor references: nothing to lay it on


def test_previews_where_the_images_are_not_at_hand(out: Path) -> None:
    (out / "preview").mkdir()
    Image.new("RGB", (2000, 500), "red").save(out / "preview" / "toy_00.png")
    (picture,) = gather_prediction(out, None, None, 5, quiet).previews
    assert (picture.caption, picture.width, picture.height) == ("toy_00", 900, 225)
    assert picture.uri.startswith("data:image/webp;base64,")


@pytest.mark.parametrize("content", [{"cases": [3]}, {"cases": [{"case": "a"}]}, {"cases": 5}, {"classes": 3}])
def test_scores_that_are_none_are_told(out: Path, content: object) -> None:
    write_json(out / "metrics.json", content)
    with pytest.raises(PlanError, match="metrics.json is not as autospine writes it"):
        gather_prediction(out, None, None, 5, quiet)


def test_any_folder_of_masks(out: Path) -> None:
    (out / "prediction.json").unlink()
    assert list(masks_in(out, {})) == ["toy_00", "toy_01"]
    assert masks_in(out, {"cases": {"x": {"file": "../../toy_00.nii.gz"}}}) == {"x": out / "toy_00.nii.gz"}


def test_nothing_to_report_on(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to report on"):
        gather_prediction(tmp_path, None, None, 5, quiet)


def test_a_record_of_another_kind_says_nothing(out: Path) -> None:
    cases = {"toy_00": 3, "toy_01": {"file": "toy_01.nii.gz"}}
    write_json(out / "prediction.json", {"cases": cases, "failed": {"x": 1}})
    found = gather_prediction(out, None, None, 5, quiet)
    assert found.cases == ("toy_01",) and found.failed == {}


def test_more_pieces_than_there_are_classes(out: Path, toy_dataset: Path) -> None:
    """Somebody's map in which each of 300 pieces has a number."""
    for name in ("prediction.json", "dseg.tsv", "statistics.csv"):
        (out / name).unlink()
    grid = read_volume(toy_dataset / "labelsTr" / "toy_00.nii.gz").geometry
    numbered = np.arange(np.prod(grid.shape)).reshape(1, *grid.shape) % 301
    write_volume(out / "toy_00.nii.gz", Volume(numbered.astype(np.int16), grid))
    viewers = gather_prediction(out, None, toy_dataset / "imagesTr", 5, quiet).viewers
    assert [viewer.name for viewer in viewers] == ["toy_00", "toy_01"] and len(viewers[0].legend) == 254
