"""Studies from end to end on trainings of a few steps."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from autospine.data.folds import read_folds
from autospine.data.structure import Reading
from autospine.errors import OutputError, PlanError, Stopped
from autospine.preprocessing import fill
from autospine.study import folders as workflow_arms
from autospine.study import run as workflow_study
from autospine.study.run import StudyRequest, run_study
from autospine.workflow import train as workflow_train
from autospine.workflow.plan import PlanRequest, plan_dataset
from autospine.workflow.runs import folder as workflow_runs
from autospine.workflow.runs.folder import RunFolder, read_record
from autospine.workflow.train import TrainRequest
from tests.data.disk.holding import holding
from tests.workflow.conftest import Noting
from tests.workflow.several import several
from tests.workflow.stopping import Stopping

__all__ = ["several"]
QUICK = TrainRequest(device="cpu", workers=0)


@pytest.fixture(autouse=True)
def pages(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Quick trainings; the folders of the studies whose page was to be written."""
    asked: list[Path] = []
    monkeypatch.setattr(fill, "bounded_workers", lambda *_: 1)
    monkeypatch.setattr(workflow_train, "_drawing", lambda folder: lambda record: None)
    monkeypatch.setattr(workflow_train, "report_training", lambda *_: None)
    monkeypatch.setattr(workflow_study, "report_study", lambda study, folder, progress: asked.append(folder))
    return asked


@pytest.fixture
def planned(planned_toy: Path) -> RunFolder:
    return RunFolder(planned_toy / "toy")


def asked(**more: object) -> StudyRequest:
    given: dict[str, object] = {"kind": "ablation", "arms": ("base", "msff+sace"), "folds": (1, 0), "steps": 3}
    return StudyRequest(**(given | {"configuration": "2d", "train": QUICK} | more))  # type: ignore[arg-type]


def test_an_ablation_from_end_to_end(planned: RunFolder, toy_dataset: Path, pages: list[Path]) -> None:
    runs, progress = planned.root.parent, Noting()
    done = run_study(toy_dataset, runs, asked(), progress=progress)
    assert done.report is not None and done.missing == ()
    assert done.folder == planned.root / "studies" / "ablation"
    folds = read_folds(planned.splits)
    for arm in ("base", "msff+sace"):
        home = RunFolder(done.folder / arm)
        assert read_folds(home.splits) == folds
        assert home.read_plan().configuration().training.epochs * 3 == 3
        assert (home.fold("2d", 0) / "metrics.json").is_file() and (home.fold("2d", 1) / "metrics.json").is_file()
        assert not (home.root / "prepared").exists()
    assert len(list((done.folder / "prepared").iterdir())) == 1  # both arms read the same prepared cases
    with (done.folder / "scores.csv").open() as file:
        subjects = {row["subject"] for row in csv.DictReader(file)}
    assert subjects == {case for fold in folds[:2] for case in fold.validation}
    assert len(done.verdicts) == 1 and done.verdicts[0].startswith("msff+sace against base")
    assert pages == [done.folder] and (done.folder / "study.json").is_file()

    again = Noting()
    run_study(toy_dataset, runs, asked(), progress=again)
    assert not any("Training" in note for note in again.notes)


def test_arms_take_what_the_data_set_has_prepared(planned: RunFolder, toy_dataset: Path) -> None:
    wanted = replace(QUICK, configuration="2d", epochs=1)
    workflow_train.train_fold(toy_dataset, 0, planned.root.parent, wanted)
    done = run_study(toy_dataset, planned.root.parent, asked(folds=(0,)))
    assert not (done.folder / "prepared").exists()


def test_each_arm_and_fold_is_one_command(planned: RunFolder, toy_dataset: Path) -> None:
    runs = planned.root.parent
    listed = run_study(toy_dataset, runs, asked(), list_only=True)
    assert listed.missing == (("base", 1), ("msff+sace", 1), ("base", 0), ("msff+sace", 0)) and listed.report is None
    first = run_study(toy_dataset, runs, asked(only=("base", 1)))
    assert first.report is None and len(first.missing) == 3
    assert not (first.folder / "msff+sace" / "2d").exists()
    run_study(toy_dataset, runs, asked(only=("msff+sace", 1)))
    part = run_study(toy_dataset, runs, asked(), list_only=True, command="autospine study ablation toy")
    assert part.report is not None
    text = part.report.read_text()
    assert "    autospine study ablation toy --only msff+sace:0" in text and "(folds 1)" in text
    for wrong in (("base", 4), ("sace", 0)):
        with pytest.raises(PlanError, match="no such arm and fold"):
            run_study(toy_dataset, runs, asked(only=wrong))


def test_another_schedule_is_another_study(planned: RunFolder, toy_dataset: Path) -> None:
    runs = planned.root.parent
    run_study(toy_dataset, runs, asked(folds=(0,)))
    with pytest.raises(PlanError, match="begun with another plan, split or number of steps"):
        run_study(toy_dataset, runs, asked(folds=(0,), steps=4))
    other = run_study(toy_dataset, runs, asked(folds=(0,), steps=4, name="longer"))
    assert other.folder.name == "longer" and other.report is not None
    replaced = run_study(toy_dataset, runs, asked(folds=(0,), steps=4, overwrite=True))
    assert RunFolder(replaced.folder / "base").read_plan().configuration().training.steps_per_epoch == 4
    # more folds and more arms are the same study
    more = run_study(toy_dataset, runs, asked(arms=("base", "sace"), folds=(0,), steps=4))
    assert more.verdicts[0].startswith("sace against base")


def test_an_edited_arm_is_told_and_replaced(planned: RunFolder, toy_dataset: Path) -> None:
    runs = planned.root.parent
    done = run_study(toy_dataset, runs, asked(folds=(0,), arms=("base",)))
    home = RunFolder(done.folder / "base")
    home.plan.write_text(home.plan.read_text().replace("learning_rate = 0.01", "learning_rate = 0.5"))
    for listing in (True, False):
        with pytest.raises(PlanError, match=r"plan\.toml of this arm was edited"):
            run_study(toy_dataset, runs, asked(folds=(0,), arms=("base",)), list_only=listing)
    listed = run_study(toy_dataset, runs, asked(folds=(0,), arms=("sace",), overwrite=True), list_only=True)
    assert listed.missing == (("sace", 0),) and not (done.folder / "sace").exists()
    run_study(toy_dataset, runs, asked(folds=(0,), arms=("base",), overwrite=True))
    assert home.read_plan().configuration().training.learning_rate == 0.01
    assert read_record(home.fold("2d", 0)) is not None


def test_a_removal_that_was_killed_leaves_no_half(
    planned: RunFolder, toy_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was trained for another number of steps must not count as done."""
    runs = planned.root.parent
    done = run_study(toy_dataset, runs, asked(folds=(0,), arms=("base",)))

    def killed(folder: Path, **_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(workflow_runs.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            run_study(toy_dataset, runs, asked(folds=(0,), arms=("base",), steps=5, overwrite=True))
    assert not (done.folder / "base").exists()
    run_study(toy_dataset, runs, asked(folds=(0,), arms=("base",), steps=5))
    record = read_record(RunFolder(done.folder / "base").fold("2d", 0))
    assert record is not None and record["result"]["steps"] == 5


def test_an_arm_that_is_trained_elsewhere_is_not_replaced(planned: RunFolder, toy_dataset: Path) -> None:
    runs = planned.root.parent
    done = run_study(toy_dataset, runs, asked(folds=(0,), arms=("base",)))
    home = RunFolder(done.folder / "base")
    with holding(home.model("2d") / ".fold_0.lock") as number:
        with pytest.raises(OutputError, match=f"base: in use by process {number}"):
            run_study(toy_dataset, runs, asked(folds=(0,), arms=("base",), steps=5, overwrite=True))
    assert read_record(home.fold("2d", 0)) is not None
    run_study(toy_dataset, runs, asked(folds=(0,), arms=("base",), steps=5, overwrite=True))


def test_one_training_begun_anew_goes_on_where_it_was_stopped(planned: RunFolder, toy_dataset: Path) -> None:
    runs = planned.root.parent
    run_study(toy_dataset, runs, asked(folds=(0,), arms=("base",), steps=6))
    one = asked(folds=(0,), arms=("base",), steps=6, only=("base", 0), overwrite=True)
    with pytest.raises(Stopped):
        run_study(toy_dataset, runs, one, progress=Stopping(0, 4))
    progress = Noting()
    run_study(toy_dataset, runs, one, progress=progress)
    assert any("that was stopped after 4 steps" in note for note in progress.notes)


def test_all_arms_are_checked_before_the_first_is_trained(
    planned: RunFolder, toy_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, trained = planned.root.parent, []
    monkeypatch.setattr(workflow_study, "train_fold", lambda *given, **_: trained.append(given))
    with pytest.raises(PlanError, match=r"8\+masked: a patch of \d+ x 8 voxels is a single block"):
        run_study(toy_dataset, runs, asked(kind="patches", arms=("8",), pretraining=("none", "masked")))
    monkeypatch.setattr(workflow_arms, "device_memory_gb", lambda device: 1e-6)
    with pytest.raises(PlanError, match=r"base: a training is expected to take[\s\S]*msff\+sace: a training"):
        run_study(toy_dataset, runs, asked())
    assert not trained and not (planned.root / "studies").exists()


def test_folds_in_turns_are_one_report(planned: RunFolder, toy_dataset: Path) -> None:
    runs = planned.root.parent
    run_study(toy_dataset, runs, asked(folds=(0,)))
    done = run_study(toy_dataset, runs, asked(folds=(2,)))
    assert done.report is not None and "(folds 0, 2)" in done.report.read_text()


def test_two_and_a_half_dimensions_are_not_prepared_again(planned: RunFolder, toy_dataset: Path) -> None:
    request = asked(kind="dimensions", arms=("2.5d", "2d"), folds=(0,), configuration=None)
    done = run_study(toy_dataset, planned.root.parent, request)
    assert len(list((done.folder / "prepared").iterdir())) == 1


def test_what_cannot_be_asked_for(planned: RunFolder, toy_dataset: Path) -> None:
    runs = planned.root.parent
    with pytest.raises(PlanError, match="numbers from 0 to 4"):
        run_study(toy_dataset, runs, asked(folds=(7,)))
    with pytest.raises(PlanError, match="made without a budget"):
        run_study(toy_dataset, runs, asked(train=replace(QUICK, budget_s=60.0)))
    for name in ("..", "a/b", "../elsewhere"):
        with pytest.raises(PlanError, match="not the name of a folder"):
            run_study(toy_dataset, runs, asked(name=name))
    with pytest.raises(PlanError, match="one channel"):
        run_study(toy_dataset, runs, asked(kind="sequences", arms=()))
    with pytest.raises(PlanError, match="edges in voxels"):
        run_study(toy_dataset, runs, asked(kind="patches", arms=("big",)))
    assert not (planned.root / "studies").exists()


def test_a_data_set_is_planned_where_it_is_not(
    toy_dataset: Path, toy_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        workflow_train, "PlanRequest", lambda **given: PlanRequest(recipe=str(toy_recipe), device=given["device"])
    )
    done = run_study(toy_dataset, tmp_path / "new", asked(folds=(0,), arms=("base",)))
    assert (tmp_path / "new" / "toy" / "plan.toml").is_file() and done.report is not None


def test_dimensions_and_patches(planned: RunFolder, toy_dataset: Path) -> None:
    runs = planned.root.parent
    dims = run_study(toy_dataset, runs, asked(kind="dimensions", arms=("2d", "3d"), folds=(0,), configuration=None))
    flat, full = (RunFolder(dims.folder / arm).read_plan().configuration() for arm in ("2d", "3d"))
    assert (flat.name, full.name) == ("2d", "3d_fullres")
    assert dims.report is not None and "| 3d | volumes |" in dims.report.read_text()
    patches = run_study(toy_dataset, runs, asked(kind="patches", arms=("8", "16"), folds=(0,)))
    small, large = (RunFolder(patches.folder / arm).read_plan().configuration() for arm in ("8", "16"))
    assert max(small.patch) == 8 and max(large.patch) == 16 and small.batch > large.batch


def test_a_pretrained_arm_has_seen_nothing_that_it_is_judged_by(planned: RunFolder, toy_dataset: Path) -> None:
    request = asked(kind="patches", arms=("32",), folds=(0,), pretraining=("none", "masked"))
    done = run_study(toy_dataset, planned.root.parent, request)
    assert done.verdicts[0].startswith("32+masked against 32")
    home = RunFolder(done.folder / "32+masked")
    record = read_record(home.pretrained("2d", 0))
    assert record is not None
    fold = read_folds(planned.splits)[0]
    assert {image["case"] for image in record["images"]} == set(fold.train)
    trained = read_record(home.fold("2d", 0))
    assert trained is not None and trained["flags"]["init"] == str(home.pretrained("2d", 0))
    assert record["result"]["steps"] == trained["result"]["steps"]


def test_sequences_with_cases_that_lack_some(several: Path, toy_recipe: Path, tmp_path: Path) -> None:
    runs, recipe = tmp_path / "runs", tmp_path / "lesions.toml"
    recipe.write_text(toy_recipe.read_text() + 'loss = "dice_size_adaptive_ce"\nunit = "component"\n')
    plan_dataset(several, runs, PlanRequest(recipe=str(recipe), device="cpu"))
    request = asked(kind="sequences", arms=("T2", "T1", "T2+T1"), folds=(0, 1, 2), configuration=None, steps=2)
    done = run_study(several, runs, request)
    assert done.report is not None
    text = done.report.read_text()
    # the case that fold 1 keeps out lacks T1: no network for T1 can segment it, and none is judged by it
    assert "(folds 0, 1, 2)" in text and "Not complete" not in text
    assert "3 cases of 3 subjects" in text and "1 case(s) that some arm could not be scored on" in text
    alone = RunFolder(done.folder / "T1")
    assert alone.read_reading() == Reading(channels=("T1",), allow_missing=True)
    assert alone.read_plan().data.channels == ("T1",) and alone.read_plan().data.presence is None
    scored = {case for fold in read_folds(alone.splits) for case in fold.validation}
    assert scored == {"case_0", "case_1", "case_3", "case_5"}
    assert "## Lesions" in text and "| block | T1 |" in text
    both = RunFolder(done.folder / "T2+T1").read_plan()
    assert both.data.optional == (1,) and both.configuration().network.in_channels == 3


def test_questions_are_asked_for_every_kind() -> None:
    assert set(workflow_study.QUESTIONS) == {"ablation", "sequences", "dimensions", "patches"}
