"""Trainings that are asked for again: what goes on, what begins anew, and what a kill leaves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autospine.data.dataset import open_dataset
from autospine.data.disk.files import write_json
from autospine.errors import OutputError, PlanError, Stopped
from autospine.inference.loading import load_model
from autospine.planning.document.model_file import BEST, CALIBRATION, MODEL, WEIGHTS, read_model
from autospine.planning.document.postprocessing import POSTPROCESSING
from autospine.planning.document.promise import PROMISE
from autospine.planning.document.trust import TRUST
from autospine.planning.measured.fingerprint import extract_fingerprint
from autospine.training import epochs
from autospine.workflow import train as workflow_train
from autospine.workflow.predict import PredictRequest, predict_paths
from autospine.workflow.pretrain import PretrainRequest, pretrain_images
from autospine.workflow.progress import Update
from autospine.workflow.runs.asked_again import BEGUN, begin_in_model
from autospine.workflow.runs.folder import METRICS_FILE, RECORD, RunFolder, find_model, read_record
from autospine.workflow.steps import training as training_step
from autospine.workflow.train import Trained, TrainRequest, train_folds
from tests.data.disk.holding import holding
from tests.workflow.conftest import Noting
from tests.workflow.stopping import Stopping

CPU = torch.device("cpu")
QUICK = TrainRequest("2d", epochs=3, device="cpu", workers=0)
ANEW = replace(QUICK, overwrite=True)


class Killed(BaseException):
    """Ends a call where a kill would have."""


@pytest.fixture
def toy(run: RunFolder, toy_dataset: Path) -> Path:
    """The dataset of a planned run, its 2d in four steps an epoch."""
    text = run.plan.read_text().replace("steps_per_epoch = 2", "steps_per_epoch = 4")
    run.plan.write_text(text)
    return toy_dataset


def learn(
    toy: Path, run: RunFolder, folds: str, request: TrainRequest, progress: Noting | None = None
) -> list[Trained]:
    return list(train_folds(toy, folds, run.root.parent, request, progress=progress))


def stopped(toy: Path, run: RunFolder, folds: str, request: TrainRequest, fold: int, step: int) -> None:
    with pytest.raises(Stopped):
        learn(toy, run, folds, request, Stopping(fold, step))


def weights(run: RunFolder, fold: int) -> bytes:
    return (run.fold("2d", fold) / WEIGHTS).read_bytes()


def written(run: RunFolder, fold: int) -> int:
    return (run.fold("2d", fold) / WEIGHTS).stat().st_mtime_ns


def test_overwrite_repeated_goes_on_and_given_again_begins_anew(toy: Path, run: RunFolder) -> None:
    learn(toy, run, "0", QUICK)
    first = written(run, 0)
    stopped(toy, run, "0", ANEW, 0, 6)
    assert not (run.fold("2d", 0) / WEIGHTS).exists()
    progress = Noting()
    learn(toy, run, "0", ANEW, progress)
    assert any("that was stopped after 6 steps" in note for note in progress.notes)
    second, folder = written(run, 0), run.fold("2d", 0)
    assert second > first and not (folder / BEGUN).exists()
    progress = Noting()
    learn(toy, run, "0", ANEW, progress)  # everything had ended: this throws it away
    assert written(run, 0) > second and not any("that was stopped" in note for note in progress.notes)


def test_what_was_stopped_goes_on_whoever_began_it_and_another_plan_does_not(toy: Path, run: RunFolder) -> None:
    stopped(toy, run, "0", QUICK, 0, 6)
    progress = Noting()
    stopped_again = Stopping(0, 7)
    with pytest.raises(Stopped, match="7 steps"):
        learn(toy, run, "0", ANEW, stopped_again)
    run.plan.write_text(run.plan.read_text().replace("momentum = 0.99", "momentum = 0.9"))
    with pytest.raises(PlanError, match="another plan"):
        learn(toy, run, "0", QUICK)
    learn(toy, run, "0", ANEW, progress)
    assert [note for note in progress.notes if "that was stopped" in note] == []


def test_a_kill_before_the_scores_costs_no_training(toy: Path, run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    learn(toy, run, "0", QUICK)

    def kill(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(workflow_train, "validate_fold", kill)
        with pytest.raises(Killed):
            learn(toy, run, "0", ANEW)
    trained, progress = written(run, 0), Noting()
    learn(toy, run, "0", ANEW, progress)
    assert written(run, 0) == trained and (run.fold("2d", 0) / METRICS_FILE).is_file()
    assert any("is trained by this command" in note for note in progress.notes)


def test_all_folds_stopped_in_the_last_keep_the_others(toy: Path, run: RunFolder) -> None:
    learn(toy, run, "all", QUICK)
    stopped(toy, run, "all", ANEW, 2, 6)
    before = [written(run, fold) for fold in (0, 1)]
    progress = Noting()
    learn(toy, run, "all", ANEW, progress)
    assert [written(run, fold) for fold in (0, 1)] == before
    assert any("stopped after 6 steps" in note for note in progress.notes)
    assert not list(run.model("2d").glob(f"fold_*/{BEGUN}"))
    learn(toy, run, "all", ANEW)
    assert all(written(run, fold) > old for fold, old in zip((0, 1), before, strict=True))


def test_all_folds_stopped_in_the_first_begin_the_others(toy: Path, run: RunFolder) -> None:
    learn(toy, run, "all", QUICK)
    stopped(toy, run, "all", ANEW, 0, 6)
    assert not (run.fold("2d", 1) / WEIGHTS).exists()
    run.plan.write_text(run.plan.read_text().replace("order_label = 1", "order_label = 0"))
    done = learn(toy, run, "all", ANEW)  # of another plan: what was begun makes way, without a word of other folds
    assert [trained.folder.name for trained in done] == ["fold_0", "fold_1", "fold_2"]


def test_another_command_than_the_one_that_was_stopped_begins_anew(toy: Path, run: RunFolder) -> None:
    learn(toy, run, "all", QUICK)
    stopped(toy, run, "all", ANEW, 1, 6)
    before = written(run, 0)
    learn(toy, run, "0", ANEW)
    assert written(run, 0) > before


@pytest.mark.parametrize("place", ["save_weights", "before_end", "record"])
def test_longer_training_killed_at_its_end_is_never_a_mixture(
    toy: Path, run: RunFolder, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Weights, record and scores of 3 epochs stand until those of 6 come, and never beside them."""
    learn(toy, run, "0", QUICK)
    folder, old, longer = run.fold("2d", 0), weights(run, 0), replace(QUICK, epochs=6)
    stopped(toy, run, "0", longer, 0, 15)
    assert weights(run, 0) == old and (folder / METRICS_FILE).is_file()
    assert (read_record(folder) or {})["result"]["steps"] == 12

    def kill(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        module, name = {
            "save_weights": (epochs, "save_weights"),
            "before_end": (training_step, "withdraw_results"),
            "record": (training_step, "write_record"),
        }[place]
        patch.setattr(module, name, kill)
        with pytest.raises(Killed):
            learn(toy, run, "0", longer)
    if place == "before_end":
        assert weights(run, 0) == old and (folder / METRICS_FILE).is_file() and (folder / RECORD).is_file()
    else:
        assert not any((folder / name).exists() for name in (METRICS_FILE, RECORD, "validation"))
        assert (weights(run, 0) == old) == (place == "save_weights")
    load_model(run.model("2d"), CPU)
    learn(toy, run, "0", longer)
    assert weights(run, 0) != old and (folder / METRICS_FILE).is_file() and (folder / "validation").is_dir()
    assert (read_record(folder) or {})["result"]["steps"] == 24


def test_a_longer_training_goes_on_from_its_checkpoint_or_says_that_it_is_gone(toy: Path, run: RunFolder) -> None:
    learn(toy, run, "0", QUICK)
    progress = Noting()
    learn(toy, run, "0", replace(QUICK, epochs=5), progress)
    assert any("goes on from epoch 3 to 5; the learning rate follows" in note for note in progress.notes)
    with pytest.raises(PlanError, match="has come to 5 epochs"):
        learn(toy, run, "0", QUICK)
    (run.fold("2d", 0) / "training.ckpt").unlink()
    learn(toy, run, "0", replace(QUICK, epochs=5))
    with pytest.raises(PlanError, match="not there to go on from"):
        learn(toy, run, "0", replace(QUICK, epochs=7))


def test_a_stopped_training_predicts_and_says_so(toy: Path, run: RunFolder, tmp_path: Path) -> None:
    runs, model, request = run.root.parent, run.model("2d"), PredictRequest(device="cpu", mirror=False)
    image = toy / "imagesTr" / "toy_00_0000.nii.gz"
    with pytest.raises(PlanError, match="no trained model"):
        find_model(runs)
    stopped(toy, run, "0", QUICK, 0, 9)
    assert find_model(runs) == model
    progress = Noting()
    predict_paths(image, tmp_path / "one", runs, request, progress=progress)
    said = [note for note in progress.notes if "not trained to its end" in note]
    assert len(said) == 1 and said[0].startswith("Fold 0 of 2d") and said[0].endswith("of 3")
    learn(toy, run, "1", QUICK)
    assert load_model(model, CPU).origin.folds == ("1",)  # a fold that has ended goes before all that have not
    assert [note[:6] for note in load_model(model, CPU, ("0", "1")).origin.unfinished] == ["Fold 0"]
    learn(toy, run, "0", QUICK)
    assert load_model(model, CPU).origin.folds == ("0", "1") and load_model(model, CPU).origin.unfinished == ()
    assert not (run.fold("2d", 0) / BEST).exists()


def test_a_stopped_cascade_predicts(toy: Path, run: RunFolder, tmp_path: Path) -> None:
    request = TrainRequest("3d_lowres", device="cpu", workers=0)
    learn(toy, run, "all", request)
    with pytest.raises(Stopped):
        learn(toy, run, "0", replace(request, configuration="3d_cascade_fullres", epochs=3), Stopping(0, 5))
    wanted = PredictRequest(run.model("3d_cascade_fullres"), device="cpu", mirror=False)
    predict_paths(toy / "imagesTr" / "toy_00_0000.nii.gz", tmp_path / "out", run.root.parent, wanted)
    assert list((tmp_path / "out").glob("toy_00*.nii.gz"))


def test_a_fold_that_is_trained_elsewhere_is_refused_and_not_removed(toy: Path, run: RunFolder) -> None:
    learn(toy, run, "all", QUICK)
    before = [weights(run, fold) for fold in (0, 1, 2)]
    with holding(run.model("2d") / ".fold_1.lock") as number:
        with pytest.raises(OutputError, match=f"fold_1: in use by process {number}"):
            learn(toy, run, "1", QUICK)
        with pytest.raises(OutputError, match=f"fold_1: in use by process {number}"):
            learn(toy, run, "all", ANEW)
        assert [weights(run, fold) for fold in (0, 1, 2)] == before
        learn(toy, run, "2", ANEW)
    assert weights(run, 1) == before[1]


def test_a_fold_that_has_begun_keeps_its_card(toy: Path, run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan that is edited meanwhile must not describe weights that another process is about to write."""

    def kill(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(epochs, "save_checkpoint", kill)
        with pytest.raises(Killed):
            learn(toy, run, "0", QUICK)
    card = (run.model("2d") / MODEL).read_bytes()
    run.plan.write_text(run.plan.read_text().replace("order_label = 1", "order_label = 0"))
    with pytest.raises(PlanError, match="fold_0 were trained with another plan, or have begun to be"):
        learn(toy, run, "1", QUICK)
    assert (run.model("2d") / MODEL).read_bytes() == card
    learn(toy, run, "0", ANEW)
    learn(toy, run, "1", QUICK)


def test_a_pretraining_that_was_begun_anew_goes_on(toy: Path, run: RunFolder) -> None:
    write_json(run.fingerprint, extract_fingerprint(open_dataset(toy)).to_json())
    request = PretrainRequest("3d_fullres", 0, epochs=3, device="cpu", workers=0)

    def pretrain(progress: Noting, *, overwrite: bool) -> Path:
        wanted = replace(request, overwrite=overwrite)
        return pretrain_images([toy], toy, run.root.parent, wanted, progress=progress).folder

    folder = pretrain(Noting(), overwrite=False)
    with pytest.raises(Stopped):
        pretrain(StoppingPretraining(), overwrite=True)
    progress = Noting()
    assert pretrain(progress, overwrite=True) == folder
    assert any("stopped after 3 steps" in note for note in progress.notes)
    before = (folder / WEIGHTS).stat().st_mtime_ns
    with holding(folder.with_name(f".{folder.name}.lock")), pytest.raises(OutputError, match="in use by process"):
        pretrain(Noting(), overwrite=True)
    pretrain(Noting(), overwrite=True)
    assert (folder / WEIGHTS).stat().st_mtime_ns > before


class StoppingPretraining(Noting):
    """Presses Ctrl-C at the third step of a pretraining."""

    @contextmanager
    def task(self, title: str) -> Iterator[Update]:
        def update(text: str, share: float) -> None:
            if title.startswith("Pretraining") and text.startswith("step 3,"):
                os.kill(os.getpid(), signal.SIGINT)

        yield update


def test_two_folds_at_once_make_one_model(toy: Path, run: RunFolder) -> None:
    """Both prepare the same cases, write the same card and are trained to their end."""
    command = [sys.executable, "-m", "autospine", "train", str(toy)]
    options = ["-c", "2d", "--device", "cpu", "--workers", "0", "--runs", str(run.root.parent)]
    both = [subprocess.Popen([*command, fold, *options], stderr=subprocess.PIPE, text=True) for fold in ("0", "1")]
    complaints = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], complaints
    assert load_model(run.model("2d"), CPU).origin.folds == ("0", "1")


def test_another_plan_leaves_the_cases_alone_that_a_training_reads(toy: Path, run: RunFolder) -> None:
    """It is refused before it prepares anything: prepared cases of one plan make way for those of another."""
    learn(toy, run, "0", QUICK)
    index = run.prepared("2d") / "store.json"
    before, text = index.read_bytes(), run.plan.read_text()
    run.plan.write_text(text.replace("spacing_mm = [1.5, 1.0]", "spacing_mm = [1.5, 1.25]"))
    assert run.plan.read_text() != text
    with pytest.raises(PlanError, match="fold_0 were trained with another plan"):
        learn(toy, run, "1", QUICK)
    with holding(run.model("2d") / ".fold_1.lock"), pytest.raises(OutputError, match="fold_1: in use"):
        learn(toy, run, "all", ANEW)
    assert index.read_bytes() == before
    learn(toy, run, "all", ANEW)
    assert index.read_bytes() != before


def test_cases_in_use_do_not_make_way_for_those_of_another_plan(toy: Path, run: RunFolder) -> None:
    """2.5d prepares as 2d does, in the same place; what trains on that is another configuration."""
    learn(toy, run, "0", QUICK)
    index = run.prepared("2d") / "store.json"
    before, text = index.read_bytes(), run.plan.read_text()
    run.plan.write_text(text.replace("spacing_mm = [1.5, 1.0]", "spacing_mm = [1.5, 1.25]"))
    neighbourly = replace(QUICK, configuration="2.5d")
    with holding(run.model("2d") / ".fold_0.lock") as number:
        with pytest.raises(OutputError, match=f"prepared for another plan, and are in use by process {number}"):
            learn(toy, run, "0", neighbourly)
        assert index.read_bytes() == before
    with holding(run.root / "pretrained" / ".2d.lock"):  # which uses images of its own
        learn(toy, run, "0", neighbourly)
    assert index.read_bytes() != before


def test_a_record_that_knows_no_other_length_is_that_of_its_own(toy: Path, run: RunFolder) -> None:
    """As versions wrote it that did not tell the length from the rest."""
    learn(toy, run, "0", QUICK)
    before, record = written(run, 0), run.fold("2d", 0) / RECORD
    lines = [line for line in record.read_text().splitlines() if not line.startswith("identity_any_length")]
    record.write_text("\n".join(lines))
    progress = Noting()
    learn(toy, run, "0", QUICK, progress)
    assert any("is trained already" in note for note in progress.notes) and written(run, 0) == before
    with pytest.raises(PlanError, match="another plan"):
        learn(toy, run, "0", replace(QUICK, epochs=5))


def test_what_was_learnt_of_folds_goes_with_them(model: Path) -> None:
    """What all taught together with any of them; temperature and postprocessing, that belong to none, with the last."""
    shutil.copytree(model / "fold_0", model / "fold_1")
    (model / "fold_1" / RECORD).write_text("")
    folds, card = [model / "fold_0", model / "fold_1"], read_model(model)
    learnt = {PROMISE, TRUST, CALIBRATION, POSTPROCESSING}

    def begin(folder: Path, replaces: list[Path], standing: set[str]) -> None:
        begin_in_model(model, folder, card, "begins", replaces, lambda note: None)
        assert {name for name in learnt if (model / name).is_file()} == standing

    for name in learnt:
        (model / name).write_text("{}")
    begin(model / "fold_2", [], learnt)
    begin(model / "fold_2", [model / "fold_2"], learnt)  # it was begun, and has taught nothing
    begin(folds[0], folds[:1], learnt - {PROMISE, TRUST})
    (model / PROMISE).write_text("{}")
    begin(folds[0], folds, set())
