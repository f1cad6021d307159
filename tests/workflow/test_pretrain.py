"""`pretrain`, then `train --init`: what is used, what is left out, and what is refused."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from typer.testing import CliRunner

from autospine.cli.app import app
from autospine.data.dataset import open_dataset
from autospine.data.disk.files import write_json
from autospine.data.folds import read_folds
from autospine.data.structure import Reading
from autospine.data.volume import read_volume, write_volume
from autospine.errors import DataError, PlanError
from autospine.networks.unet import UNet
from autospine.planning.measured.fingerprint import extract_fingerprint
from autospine.preprocessing import fill
from autospine.preprocessing.store import Store
from autospine.training.initial import read_initial, start_from
from autospine.workflow.pretrain import Pretrained, PretrainRequest, pretrain_images
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.train import TrainRequest, train_folds
from tests.workflow.conftest import Noting

Learn = Callable[..., tuple[Pretrained, list[str]]]


@pytest.fixture
def learn(run: RunFolder, toy_dataset: Path) -> Learn:
    """A function that pretrains for the planned toy dataset: its result, and what it noted."""
    write_json(run.fingerprint, extract_fingerprint(open_dataset(toy_dataset)).to_json())

    def call(*paths: Path, **asked: Any) -> tuple[Pretrained, list[str]]:
        progress = Noting()
        request = PretrainRequest(**{"device": "cpu", "workers": 0, "configuration": "3d_fullres", **asked})
        return pretrain_images(paths, toy_dataset, run.root.parent, request, progress=progress), progress.notes

    return call


def others(toy_dataset: Path, root: Path, **copies: str) -> Path:
    """A plain folder of images: `name="toy_00"` is a copy of that case, a `!` behind it another image."""
    root.mkdir()
    for name, source in copies.items():
        volume = read_volume(toy_dataset / "imagesTr" / f"{source.rstrip('!')}_0000.nii.gz")
        write_volume(root / f"{name}.nii.gz", replace(volume, array=volume.array + 1.0 * source.endswith("!")))
    return root


def record(done: Pretrained) -> dict[str, Any]:
    return tomllib.loads((done.folder / "run.toml").read_text())


def test_a_folds_training_cases_are_used_and_its_validation_is_not(
    learn: Learn, run: RunFolder, toy_dataset: Path
) -> None:
    done, notes = learn(toy_dataset, fold=1)
    assert done.folder == run.root / "pretrained" / "3d_fullres_fold_1"
    assert {path.name for path in done.folder.iterdir()} == {
        "model.safetensors", "training.ckpt", "history.csv", "run.toml"
    }  # fmt: skip
    assert "Left out: toy/toy_01, toy/toy_04 (validation of fold 1)" in notes
    written = record(done)
    assert [image["case"] for image in written["images"]] == list(read_folds(run.splits)[1].train)
    assert {image["subject"] for image in written["images"]} == set(read_folds(run.splits)[1].train)
    assert [left["image"] for left in written["left_out"]] == ["toy/toy_01", "toy/toy_04"]
    assert done.next_command == (f"autospine train {toy_dataset} 1 --init {done.folder} --runs {run.root.parent}")
    assert written["flags"]["fold"] == 1
    prepared = Store(run.prepared("images_3d_fullres"))
    assert len(prepared.names) == 4
    assert not prepared.open(prepared.names[0]).label.any()
    # the same command is done, a longer one goes on, a shorter one is refused unless it is to begin anew
    _, notes = learn(toy_dataset, fold=1)
    assert any("pretrained already" in note for note in notes)
    _, notes = learn(toy_dataset, fold=1, epochs=2)
    assert any("goes on from epoch 1 to 2" in note for note in notes)
    with pytest.raises(PlanError, match=r"(?s)has come to 2 epochs.*--overwrite"):
        learn(toy_dataset, fold=1, epochs=1)
    done, _ = learn(toy_dataset, fold=1, epochs=1, overwrite=True)
    assert record(done)["result"]["steps"] == 2


def test_copies_and_namesakes_of_what_is_left_out_are_left_out(learn: Learn, toy_dataset: Path, tmp_path: Path) -> None:
    folder = others(
        toy_dataset, tmp_path / "more", copy="toy_01", TOY_04="toy_00!", known="toy_02", free="toy_03!", free2="toy_05!"
    )
    done, notes = learn(toy_dataset, folder, fold=1)
    assert "Left out: more/copy (the same image as toy/toy_01, which is left out)" in notes
    assert "Left out: more/TOY_04 (a subject called TOY_04, as that of toy/toy_04, which is left out)" in notes
    assert "Left out: more/known (the same image as toy/toy_02, which is used)" in notes
    assert [image["case"] for image in record(done)["images"]][-2:] == ["free", "free2"]
    # for any fold, no case with a mask is used, nor a copy of one
    done, notes = learn(toy_dataset, folder)
    assert done.folder.name == "3d_fullres"
    assert [image["case"] for image in record(done)["images"]] == ["free", "free2"]
    assert any(note.startswith("Left out: toy/toy_00, toy/toy_01,") and "--fold" in note for note in notes)
    with pytest.raises(DataError, match="none is left to learn from"):
        learn(toy_dataset)


def test_test_images_are_never_used(learn: Learn, toy_dataset: Path, tmp_path: Path) -> None:
    folder = others(toy_dataset, tmp_path / "imagesTs", t1="toy_00!")
    with pytest.raises(DataError, match=r"imagesTs/t1: a test image"):
        learn(folder)
    more = others(toy_dataset, tmp_path / "more", copy="toy_00!", free="toy_03!")
    done, notes = learn(more, folder)
    assert "Left out: imagesTs/t1 (a test image)" in notes
    assert "Left out: more/copy (the same image as imagesTs/t1, which is left out)" in notes
    assert [image["case"] for image in record(done)["images"]] == ["free"]


def test_the_datasets_own_test_images_are_left_out_though_it_is_not_named(
    run: RunFolder, toy_dataset: Path, tmp_path: Path, learn: Learn
) -> None:
    own = Path(shutil.copytree(toy_dataset, tmp_path / "elsewhere" / "toy"))
    others(toy_dataset, own / "imagesTs", t="toy_00!")
    (own / "imagesTs" / "t.nii.gz").rename(own / "imagesTs" / "t_0000.nii.gz")
    more = others(toy_dataset, tmp_path / "more", copy="toy_00!", free="toy_03!")
    request = PretrainRequest(configuration="3d_fullres", device="cpu", workers=0)
    done = pretrain_images([more], own, run.root.parent, request)
    assert [image["case"] for image in record(done)["images"]] == ["free"]
    assert [left["image"] for left in record(done)["left_out"]] == ["more/copy"]


def test_a_fold_that_is_judged_by_what_was_seen_refuses_the_weights(
    learn: Learn, run: RunFolder, toy_dataset: Path, tmp_path: Path
) -> None:
    done, _ = learn(toy_dataset, fold=1)
    start = TrainRequest("3d_fullres", device="cpu", workers=0, init=done.folder)
    with pytest.raises(PlanError, match=r"trained on toy_00, toy_03, which this fold is to be judged by"):
        list(train_folds(toy_dataset, "0", run.root.parent, start))
    (trained,) = train_folds(toy_dataset, "1", run.root.parent, start)
    # what starts from that training has seen the same images
    seen = tomllib.loads((trained.folder / "run.toml").read_text())["images"]
    assert [image for image in seen if "masks" not in image] == record(done)["images"]
    assert [image["case"] for image in seen if "masks" in image] == list(read_folds(run.splits)[1].train)
    # all folds named are looked at before one is thrown away
    with pytest.raises(PlanError, match="judged by"):
        list(train_folds(toy_dataset, "all", run.root.parent, replace(start, overwrite=True)))
    assert (trained.folder / "run.toml").is_file()
    with pytest.raises(PlanError, match="judged by"):
        list(train_folds(toy_dataset, "0", run.root.parent, replace(start, init=trained.folder)))
    # the same voxels in a dataset of another name
    moved = record(done) | {"images": [image | {"dataset": "other", "case": "x"} for image in record(done)["images"]]}
    (done.folder / "run.toml").write_text(tomlkit.dumps(moved))
    with pytest.raises(PlanError, match="trained on other/x"):
        list(train_folds(toy_dataset, "0", run.root.parent, start))


@pytest.mark.parametrize(("configuration", "name"), [("2d", "images_2d"), ("2.5d", "images_2d")])
def test_slices_are_pretrained(learn: Learn, run: RunFolder, toy_dataset: Path, configuration: str, name: str) -> None:
    done, _ = learn(toy_dataset, fold=0, configuration=configuration)
    assert run.prepared(name).is_dir()
    planned = run.read_plan().configuration(configuration)
    network = UNet(planned.network, planned.patch)
    assert start_from(network, read_initial(done.folder)).share == 1.0


def test_people_are_known_by_session_and_pattern_in_other_folders(
    learn: Learn, run: RunFolder, toy_dataset: Path, tmp_path: Path
) -> None:
    """A folder with one session of one person has no other name to tell that it is a session."""
    alone = others(toy_dataset, tmp_path / "alone", toy_01_visit3="toy_00!")
    more = others(toy_dataset, tmp_path / "more", free_visit1="toy_02!", other_visit2="toy_03!")
    done, _ = learn(alone, more, fold=1)
    assert [left["image"] for left in record(done)["left_out"]] == ["alone/toy_01_visit3"]
    write_json(run.request, {"subjects": r"^toy_(\d+)"})
    fingerprint = extract_fingerprint(open_dataset(toy_dataset, Reading(subjects=r"^toy_(\d+)")))
    write_json(run.fingerprint, fingerprint.to_json())
    named = others(toy_dataset, tmp_path / "named", **{"toy_04-again": "toy_00!", "toy_09-first": "toy_03!"})
    done, _ = learn(named, fold=1, overwrite=True)
    assert [image["case"] for image in record(done)["images"]] == ["toy_09-first"]


def test_what_cannot_be_pretrained_is_refused_before_any_work(
    learn: Learn, run: RunFolder, toy_dataset: Path, tmp_path: Path
) -> None:
    with pytest.raises(PlanError, match="-c 3d_lowres"):
        learn(toy_dataset, configuration="3d_cascade_fullres")
    with pytest.raises(PlanError, match="0 to 2"):
        learn(toy_dataset, fold=3)
    two = tmp_path / "two"
    two.mkdir()
    for name in ("x_0000", "x_0001", "y_0000", "y_0001"):
        shutil.copy(toy_dataset / "imagesTr" / "toy_00_0000.nii.gz", two / f"{name}.nii.gz")
    with pytest.raises(DataError) as fault:
        learn(toy_dataset, two, tmp_path / "nowhere")
    assert "2 of these cannot be used" in str(fault.value)
    assert "nowhere" in str(fault.value) and "x: 2 channels" in str(fault.value)
    broken = others(toy_dataset, tmp_path / "broken", x="toy_00!", y="toy_01!")
    for path in broken.iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError) as fault:
        learn(broken)
    assert "x.nii.gz" in str(fault.value) and "y.nii.gz" in str(fault.value)
    assert not (run.root / "prepared").exists()
    assert not (run.root / "pretrained").exists()


def test_an_image_that_has_changed_since_the_plan_is_refused(learn: Learn, run: RunFolder, toy_dataset: Path) -> None:
    content = json.loads(run.fingerprint.read_text())
    content["cases"][0]["digest"] = "0" * 64
    run.fingerprint.write_text(json.dumps(content))
    with pytest.raises(DataError, match="toy_00.*not the one that the plan was made from"):
        learn(toy_dataset, fold=1)


def test_the_commands_as_they_are_typed(
    toy_dataset: Path, toy_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill, "bounded_workers", lambda *_: 1)  # starting a process takes longer than the toy's cases
    runs = tmp_path / "runs"

    def call(*words: object) -> str:
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == 0, result.output
        return result.output

    call("plan", toy_dataset, "--recipe", toy_recipe, "--runs", runs, "--device", "cpu")
    options = ("--fold", 0, "--epochs", 1, "--runs", runs, "--device", "cpu", "--workers", 0)
    said = call("pretrain", toy_dataset, *options)
    command = said.split("Next: autospine ")[1].split()
    assert command[:3] == ["train", str(toy_dataset), "0"]
    said = call(*command, "--epochs", 1, "--device", "cpu", "--workers", 0)
    assert "100% of the encoder's weights" in " ".join(said.split())
