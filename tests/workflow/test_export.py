"""A model is given away: whole, the same each time, and with nothing of a patient."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from autospine.data.codes.structures import structures_of
from autospine.data.disk.files import file_digest
from autospine.data.structure import Region
from autospine.errors import AutospineError, OutputError, PlanError
from autospine.inference.predictor import Predictor
from autospine.networks.unet import UNet
from autospine.planning.document.about import About, write_about
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.model_file import (
    BEST,
    CALIBRATION,
    WEIGHTS,
    weights_digest,
    write_model,
    write_previous,
)
from autospine.planning.document.postprocessing import (
    POSTPROCESSING,
    Postprocessing,
    Step,
    write_postprocessing,
)
from autospine.planning.document.trust import LevelTrust, Threshold, write_trust
from autospine.workflow.export import Exported, ExportRequest, export_model, labels_table
from autospine.workflow.runs.selection import write_selection
from tests.cards import card_of
from tests.workflow.predicting import Noting, contents, made_model, predict, refused
from tests.workflow.runs.test_selection import selection_of

Make = Callable[..., Configuration]


def export(model: Path, target: Path, **more: object) -> tuple[Exported, list[str]]:
    noting = Noting()
    return export_model(target, ExportRequest(model, **more), progress=noting), noting.notes  # type: ignore[arg-type]


def read(file: Path, name: str) -> dict:  # type: ignore[type-arg]
    with zipfile.ZipFile(file) as archive:
        return json.loads(archive.read(name))  # type: ignore[no-any-return]


@pytest.fixture
def scored(tmp_path: Path, configuration: Configuration) -> Path:
    """A model of two folds, the first of which has been scored; much else lies there."""
    model = made_model(tmp_path / "models" / "2d", configuration, 0, ("0", "1"))
    numbers = {"dice": 0.9, "iou": 0.8, "precision": 0.85, "sensitivity": None, "specificity": 1.0, "hd95_mm": 2.5}
    classes = {name: {**numbers, "cases": dict.fromkeys(numbers, 2)} for name in ("upper", "middle", "lower")}
    cases = [{"case": "Mrs_Miller", "classes": classes}, {"case": "Mr_Smith", "classes": classes}]
    content = {"rule": "", "mean": numbers, "classes": classes, "cases": cases, "notes": ["Mr_Smith is odd"]}
    (model / "fold_0" / "metrics.json").write_text(json.dumps(content))
    (model / "fold_0" / "fast.json").write_text(json.dumps({"dice": 0.9, "fast_dice": 0.875, "cases": 2}))
    (model / "fold_0" / "run.toml").write_text('split = "Mr_Smith"')
    (model / "fold_0" / "validation").mkdir()
    (model / "fold_0" / "validation" / "Mr_Smith.nii.gz").write_bytes(b"voxels")
    return model


def test_what_is_done_after_the_network_is_given_away(scored: Path, images: Path, tmp_path: Path) -> None:
    steps = Postprocessing((Step("largest", "upper"), Step("above", "middle", 40.0)))
    write_postprocessing(scored, steps)
    (scored / CALIBRATION).write_text('{"temperature": 1.5}')
    trust = LevelTrust(Threshold(0.7, 200, 190, 0), Threshold(0.97, 300, 100, 1))
    write_trust(scored, trust)
    file = tmp_path / "a.autospine"
    export(scored, file)
    assert Predictor.load(file, "cpu").trust == Predictor.load(scored, "cpu").trust == trust
    assert read(file, "2d/postprocessing.json") == json.loads((scored / POSTPROCESSING).read_text())
    assert read(file, "2d/calibration.json") == {"temperature": 1.5}
    predict(images, tmp_path / "folder", scored)
    predict(images, tmp_path / "file", file)
    predict(images, tmp_path / "raw", scored, postprocess=False)
    folder, archive, raw = (contents(tmp_path / one) for one in ("folder", "file", "raw"))
    assert {name: folder[name] for name in folder if name.endswith(".nii.gz")} == {
        name: archive[name] for name in archive if name.endswith(".nii.gz")
    }
    assert any(folder[name] != raw[name] for name in folder if name.endswith(".nii.gz"))


def test_of_a_run_what_was_selected_is_given_away(scored: Path, tmp_path: Path) -> None:
    write_selection(scored.parent, selection_of("2d"))
    export(scored, tmp_path / "a.autospine")
    export(scored.parent, tmp_path / "b.autospine")
    assert (tmp_path / "a.autospine").read_bytes() == (tmp_path / "b.autospine").read_bytes()
    write_selection(scored.parent, selection_of("2d", "3d_fullres"))
    with pytest.raises(PlanError, match="an ensemble was selected here") as fault:
        export(scored.parent, tmp_path / "c.autospine")
    assert str(scored) in fault.value.remedy


def test_a_file_predicts_as_its_folder_does(scored: Path, images: Path, tmp_path: Path) -> None:
    """To the bit, and the one goes on with what the other has begun."""
    file = tmp_path / "a.autospine"
    done, _ = export(scored, file)
    assert done == Exported((file,), ("0", "1"), {})
    predict(images, tmp_path / "folder", scored)
    predict(images, tmp_path / "file", file)
    masks = {name for name in contents(tmp_path / "folder") if name.endswith(".nii.gz")}
    assert len(masks) == 5
    assert all(contents(tmp_path / "file")[name] == contents(tmp_path / "folder")[name] for name in masks)
    (tmp_path / "folder" / "a.nii.gz").unlink()
    made, notes = predict(images, tmp_path / "folder", file)
    assert len(made.seconds) == 1 and any("4 case(s) had been predicted before" in note for note in notes)
    _, notes = predict(images, tmp_path / "folder", scored)
    assert any("5 case(s) had been predicted before" in note for note in notes)


def test_unzipped_it_is_a_model_folder(scored: Path, images: Path, tmp_path: Path) -> None:
    export(scored, tmp_path / "a.autospine")
    with zipfile.ZipFile(tmp_path / "a.autospine") as archive:
        archive.extractall(tmp_path / "apart")
    predict(images / "a.nii.gz", tmp_path / "one" / "a.nii.gz", scored)
    predict(images / "a.nii.gz", tmp_path / "two" / "a.nii.gz", tmp_path / "apart" / "2d")
    masks = [contents(tmp_path / name)["a.nii.gz"] for name in ("one", "two")]
    assert masks[0] == masks[1]


def test_the_same_model_is_the_same_file(scored: Path, tmp_path: Path) -> None:
    """Twice, elsewhere, later, and through a file that was exported before."""
    first, again, through = (tmp_path / f"{name}.autospine" for name in ("first", "again", "through"))
    export(scored, first, licence="CC-BY-4.0")
    for path in scored.rglob("*"):
        path.touch()
    scored = scored.rename(scored.with_name("renamed"))
    export(scored, again, licence="CC-BY-4.0")
    assert first.read_bytes() == again.read_bytes()
    export(first, through)
    assert first.read_bytes() == through.read_bytes()


def test_what_is_in_it(scored: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.autospine"
    export(scored, file, licence="CC-BY-4.0")
    with zipfile.ZipFile(file) as archive:
        names, readme = archive.namelist(), archive.read("README.md").decode()
        assert all(member.compress_type == zipfile.ZIP_STORED for member in archive.infolist())
        listed = {one["name"]: one["sha256"] for one in read(file, "manifest.json")["members"]}
        (tmp_path / "member").mkdir()
        for name in listed:
            assert file_digest(Path(archive.extract(name, tmp_path / "member"))) == listed[name]
    assert names == [
        "2d/about.json",
        "2d/fold_0/model.safetensors",
        "2d/fold_1/model.safetensors",
        "2d/labels.json",
        "2d/model.json",
        "README.md",
        "manifest.json",
    ]
    assert set(listed) == {*names} - {"manifest.json"}
    about = read(file, "2d/about.json")
    assert about["licence"] == "CC-BY-4.0" and "not a medical device" in about["limits"][0]
    (fold,) = about["validation"]
    assert (fold["fold"], fold["cases"], fold["dice"], fold["fast_dice"]) == ("0", 2, 0.9, 0.875)
    assert fold["structures"][0] == {
        **{"structure": "upper", "cases": 2, "dice": 0.9, "iou": 0.8, "precision": 0.85, "sensitivity": None},
        **{"specificity": 1.0, "hd95_mm": 2.5},
    }
    assert [one["sha256"] for one in about["weights"]] == [weights_digest(scored, fold) for fold in (0, 1)]
    for said in ("CC-BY-4.0", "| upper | 2 | 0.900 | 0.850 | not known | 2.500 |", "0.875 with `--fast`"):
        assert said in readme


def test_nothing_of_a_case_leaves(scored: Path, tmp_path: Path) -> None:
    export(scored, tmp_path / "a.autospine")
    content = (tmp_path / "a.autospine").read_bytes()
    for private in (b"Mr_Smith", b"Mrs_Miller", b"is odd", b"voxels", str(tmp_path).encode()):
        assert private not in content
    assert b"upper" in content


def test_some_of_the_folds(scored: Path, images: Path, tmp_path: Path) -> None:
    done, _ = export(scored, tmp_path / "a.autospine", folds=("1",))
    assert done.folds == ("1",) and read(tmp_path / "a.autospine", "2d/about.json")["validation"] == []
    assert predict(images / "a.nii.gz", tmp_path / "a.nii.gz", tmp_path / "a.autospine")[0].folds == ("1",)
    said = refused(images, tmp_path / "out", tmp_path / "a.autospine", folds=("0",))
    assert f"{tmp_path / 'a.autospine'}: no fold 0" in said and "one of 1" in said
    with pytest.raises(PlanError, match="no trained fold 7"):
        export(scored, tmp_path / "b.autospine", folds=("7",))
    assert not (tmp_path / "b.autospine").exists()


def test_a_cascade_takes_its_previous_stage_along(make_configuration: Make, images: Path, tmp_path: Path) -> None:
    base = make_configuration()
    high = replace(base, name="3d_cascade_fullres", previous="3d_lowres", network=replace(base.network, in_channels=4))
    for configuration in (replace(base, name="3d_lowres"), high):
        made_model(tmp_path / "models" / configuration.name, configuration, 0, ("0", "1"))
    cascade, low = (tmp_path / "models" / name for name in (high.name, "3d_lowres"))
    for fold in (0, 1):
        write_previous(cascade / f"fold_{fold}", {one: weights_digest(low, one) for one in (0, 1)})
    export(cascade, tmp_path / "a.autospine", folds=("1",))
    with zipfile.ZipFile(tmp_path / "a.autospine") as archive:
        names = archive.namelist()
    assert f"{high.name}/fold_1/previous.json" in names and "3d_lowres/fold_1/model.safetensors" in names
    assert not any("fold_0" in name for name in names)
    predict(images / "a.nii.gz", tmp_path / "one" / "a.nii.gz", cascade, folds=("1",))
    predict(images / "a.nii.gz", tmp_path / "two" / "a.nii.gz", tmp_path / "a.autospine")
    assert contents(tmp_path / "one")["a.nii.gz"] == contents(tmp_path / "two")["a.nii.gz"]


def test_regions_are_named_with_their_values(make_configuration: Make, tmp_path: Path) -> None:
    base = make_configuration(spacing_mm=(1.0, 1.0))
    one = replace(
        base,
        network=replace(base.network, out_channels=2),
        loss=replace(base.loss, class_weights=(1.0, 1.0)),
    )
    regions = (Region("whole", (1, 2), 2), Region("core", (1,), 1))
    write_model(tmp_path / "2d", card_of(one, labels=(("a", 1), ("b", 2)), regions=regions))
    (tmp_path / "2d" / "fold_0").mkdir()
    save_file(UNet(one.network, one.patch).state_dict(), tmp_path / "2d" / "fold_0" / WEIGHTS)
    export(tmp_path / "2d", tmp_path / "a.autospine")
    table = read(tmp_path / "a.autospine", "2d/labels.json")
    assert table["labels"][0]["name"] == "a" and "colour" in table["labels"][0]  # as `core` is written
    assert table["regions"] == [
        {"name": "whole", "values": [1, 2], "written_as": 2},
        {"name": "core", "values": [1], "written_as": 1},
    ]


def test_labels_are_told_with_codes_and_colours(make_configuration: Make, tmp_path: Path) -> None:
    """Those that predictions are written with; of classes that regions hide, the name alone."""
    labels = (("vertebra_L5", 1), ("right ES", 5), ("Blorb", 7))
    base = make_configuration(spacing_mm=(1.0, 1.0))
    assert base.network.out_channels == 4
    data = card_of(base, labels=labels).data
    vertebra, muscle, own = json.loads(json.dumps(labels_table(data)))["labels"]
    assert (vertebra["name"], vertebra["value"], vertebra["side"]) == ("vertebra_L5", 1, None)
    assert vertebra["type"] == {"scheme": "SCT", "value": "49668003", "meaning": "L5 vertebra"}
    assert muscle["side"] == {"scheme": "SCT", "value": "24028007", "meaning": "Right"}
    assert own["type"]["scheme"] == "99AUTOSPINE" and own["type"]["meaning"] == "Blorb"
    colours = [tuple(one["colour"]) for one in (vertebra, muscle, own)]
    assert colours == [one.colour for one in structures_of(labels)] and len(set(colours)) == 3
    hidden = replace(data, regions=(Region("both", (1, 5), 5), Region("mass", (7,), 7)))
    first, *others = labels_table(hidden)["labels"]
    assert first == {"name": "vertebra_L5", "value": 1} and all("colour" in one for one in others)


def test_a_temperature_goes_along_and_nothing_beside_it(scored: Path, tmp_path: Path) -> None:
    (scored / "calibration.json").write_text('{"temperature": 1.5, "measured_on": ["Mr_Smith"]}')
    export(scored, tmp_path / "a.autospine")
    assert read(tmp_path / "a.autospine", "2d/calibration.json") == {"temperature": 1.5}
    assert b"Mr_Smith" not in (tmp_path / "a.autospine").read_bytes()
    export(tmp_path / "a.autospine", tmp_path / "b.autospine")
    assert (tmp_path / "a.autospine").read_bytes() == (tmp_path / "b.autospine").read_bytes()


def test_scores_that_are_none_are_named(scored: Path, tmp_path: Path) -> None:
    (scored / "fold_0" / "fast.json").write_text("[]")
    with pytest.raises(PlanError, match=r"fast\.json: not the scores of a fast prediction"):
        export(scored, tmp_path / "a.autospine")


def test_what_stands_there_stays(scored: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.autospine"
    target.write_text("mine")
    with pytest.raises(OutputError, match="stands there already"):
        export(scored, target)
    assert target.read_text() == "mine"
    export(scored, target, overwrite=True)
    assert target.read_bytes()[:2] == b"PK"
    (tmp_path / "folder.autospine").mkdir()
    with pytest.raises(OutputError, match="stands there already"):
        export(scored, tmp_path / "folder.autospine", overwrite=True)
    with pytest.raises(OutputError, match="cannot tell by the ending '.zip'"):
        export(scored, tmp_path / "a.zip")
    with pytest.raises(PlanError, match="nothing to compare"):
        export(scored, tmp_path / "b.autospine", image=tmp_path / "a.nii.gz")


def test_what_cannot_be_loaded_is_not_given_away(scored: Path, tmp_path: Path) -> None:
    weights = scored / "fold_1" / WEIGHTS
    torch.manual_seed(0)
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(PlanError, match="cannot be read as weights"):
        export(scored, tmp_path / "a.autospine")
    (scored / "fold_0" / "metrics.json").write_text('{"classes": []}')
    with pytest.raises(PlanError, match="not scores of a fold"):
        export(scored, tmp_path / "a.autospine", folds=("0",))
    (scored / "fold_0" / "metrics.json").unlink()
    (scored / "fold_0" / "metrics.json").mkdir()  # what is no file tells nothing
    (scored / "about.json").write_text("[")
    with pytest.raises(PlanError, match=r"about\.json: not a JSON file"):
        export(scored, tmp_path / "a.autospine", folds=("0",))
    assert not (tmp_path / "a.autospine").exists()


def test_a_training_that_writes_meanwhile(scored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from autospine.workflow import export as module

    real = module.write_archive

    def late(*words: object) -> None:
        (scored / "model.json").write_text((scored / "model.json").read_text() + " ")
        real(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "write_archive", late)
    with pytest.raises(PlanError, match="has changed while it was exported"):
        export(scored, tmp_path / "a.autospine")
    assert not (tmp_path / "a.autospine").exists()


def test_a_fold_that_was_stopped_says_so(scored: Path, images: Path, tmp_path: Path) -> None:
    (scored / "fold_1" / WEIGHTS).rename(scored / "fold_1" / BEST)
    _, notes = export(scored, tmp_path / "a.autospine", folds=("1",))
    assert any("Fold 1 of 2d is not trained to its end" in note for note in notes)
    _, notes = predict(images / "a.nii.gz", tmp_path / "a.nii.gz", tmp_path / "a.autospine")
    assert any("Fold 1 of 2d is not trained to its end" in note for note in notes)


def test_what_the_folder_says_of_itself_goes_along(scored: Path, tmp_path: Path) -> None:
    write_about(scored, About(autospine="0.0.9", licence="MIT", date="2026-01-02"))
    export(scored, tmp_path / "a.autospine")
    about = read(tmp_path / "a.autospine", "2d/about.json")
    assert (about["autospine"], about["licence"], about["date"]) == ("0.0.9", "MIT", "2026-01-02")
    export(scored, tmp_path / "b.autospine", licence="CC0-1.0")
    assert read(tmp_path / "b.autospine", "2d/about.json")["licence"] == "CC0-1.0"


def test_errors_of_a_file_name_it(scored: Path, images: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.autospine"
    export(scored, file)
    assert f"{tmp_path / 'b.autospine'}: no such file" in refused(images, tmp_path / "out", tmp_path / "b.autospine")
    said = refused(images, tmp_path / "out", scored / "model.json")
    assert f"{scored / 'model.json'}: not a .autospine file" in said and "the folder that holds it" in said
    with pytest.raises(AutospineError):
        export(tmp_path / "nowhere", tmp_path / "c.autospine")
