"""From trained folds to a choice that predicts: with partial folds, after a stop, and refused where nothing can be."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autospine.data.disk.files import file_digest, write_text
from autospine.data.folds import read_folds
from autospine.data.structure import IGNORED
from autospine.data.volume import read_volume
from autospine.errors import PlanError
from autospine.evaluation.reliability import BINS, TEMPERATURES, Reliability
from autospine.evaluation.score import score_cases
from autospine.inference.calibration import read_temperature
from autospine.inference.ensemble import Mean
from autospine.inference.loading import load_model
from autospine.inference.segmentation import Wanted
from autospine.planning.document.model_file import CALIBRATION
from autospine.planning.document.plan_file import plan_to_toml
from autospine.planning.document.postprocessing import (
    POSTPROCESSING,
    Postprocessing,
    Step,
    read_postprocessing,
    write_postprocessing,
)
from autospine.preprocessing.store import Store
from autospine.workflow.predict import PredictRequest, predict_paths
from autospine.workflow.progress import Silent
from autospine.workflow.runs.folder import SELECTION, RunFolder, find_model
from autospine.workflow.runs.prepared import ensure_prepared
from autospine.workflow.runs.selection import WORK, read_selection, write_selection
from autospine.workflow.select import PARTS, People, SelectRequest, judge_steps, postprocessing_of, select_models
from autospine.workflow.steps.effects import Figures, options
from autospine.workflow.steps.out_of_fold import Measured, Speaker
from autospine.workflow.steps.trained import find_trained
from tests.inference.test_postprocessing import data_of
from tests.workflow.conftest import NAMES, Noting
from tests.workflow.selecting import put_fold

CPU = torch.device("cpu")


def select(run: RunFolder, dataset: Path, *configurations: str) -> tuple[Any, list[str]]:
    noting = Noting()
    return select_models(dataset, run, SelectRequest(configurations, "cpu", 0), progress=noting), noting.notes


@pytest.fixture
def run(run: RunFolder) -> RunFolder:
    """The planned run, without mirrorings: a case takes an eighth of the time."""
    plan = run.read_plan()
    plain = (replace(one, training=replace(one.training, mirror_axes=())) for one in plan.configurations)
    write_text(run.plan, plan_to_toml(replace(plan, configurations=tuple(plain))))
    return run


_MADE: dict[str, Path] = {}
"""What tests of this module begin with, made by the first of them."""


@pytest.fixture
def trained(run: RunFolder, toy_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """2d in three folds, 3d_fullres in two of them, with their prepared cases."""
    if "trained" not in _MADE:
        plan = run.read_plan()
        for fold in range(3):
            put_fold(run, "2d", fold)
        for fold in range(2):
            put_fold(run, "3d_fullres", fold, seed=1)
        for name in ("2d", "3d_fullres"):
            ensure_prepared(toy_dataset, run, plan, plan.configuration(name), Silent(), 0)
        _MADE["trained"] = Path(shutil.copytree(run.root, tmp_path_factory.mktemp("trained") / "toy"))
    shutil.copytree(_MADE["trained"], run.root, dirs_exist_ok=True)
    return run


@pytest.fixture
def selected(trained: RunFolder, toy_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The same after a selection."""
    if "selected" not in _MADE:
        select(trained, toy_dataset)
        _MADE["selected"] = Path(shutil.copytree(trained.root, tmp_path_factory.mktemp("selected") / "toy"))
    shutil.copytree(_MADE["selected"], trained.root, dirs_exist_ok=True)
    return trained


def said(monkeypatch: pytest.MonkeyPatch, stop_at: int | None = None) -> list[str]:
    """What is predicted from now on, until the `stop_at`-th is interrupted."""
    real, found = Speaker.say, list[str]()

    def noting(self: Speaker, case: str, wanted: Wanted) -> Any:
        if len(found) == stop_at:
            raise KeyboardInterrupt
        found.append(f"{self.trained.name} {case}")
        return real(self, case, wanted)

    monkeypatch.setattr(Speaker, "say", noting)
    return found


def test_a_choice_among_partial_folds(
    trained: RunFolder, toy_dataset: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    predicted = said(monkeypatch)
    selection, notes = select(trained, toy_dataset)
    shared = sorted(NAMES[0::3] + NAMES[1::3])
    assert sorted(predicted) == sorted([*(f"2d {one}" for one in NAMES), *(f"3d_fullres {one}" for one in shared)])
    told = "Out of fold: 2d: folds 0, 1, 2, 6 cases; 3d_fullres: folds 0, 1, 4 cases; compared on 4"
    assert told in notes
    assert [one.members for one in selection.candidates] == [("2d",), ("3d_fullres",), ("2d", "3d_fullres")]
    assert selection.cases == 4 and read_selection(trained.root) == selection
    assert len([one for one in selection.candidates if one.chosen]) == 1
    assert {(one.member, one.fold) for one in selection.weights} == {
        *(("2d", str(fold)) for fold in range(3)),
        *(("3d_fullres", str(fold)) for fold in range(2)),
    }
    assert not list(trained.root.rglob("*.b2nd"))  # nothing large is left
    # four subjects in common: nothing is beyond noise, so a single model is chosen
    assert len(selection.members) == 1 and not any(one.beyond_noise for one in selection.candidates)
    # the Dice of each case is what whole volumes give, by the network that did not train on it
    store = Store(trained.prepared("2d"))
    for fold in range(3):
        model = load_model(trained.model("2d"), CPU, (str(fold),))
        for name in NAMES[fold::3]:
            case = store.open(name)
            labels, reference = model.labels(case), np.asarray(case.reference)
            scores = score_cases([(name, labels, reference, (1.0, 1.0, 1.0))], model.card.data.scored, IGNORED)
            kept = Figures.from_json(json.loads((trained.root / WORK / "2d" / f"{name}.json").read_text()))
            both, predicted_voxels, reference_voxels = kept.overlaps.T
            found = 2 * both / np.maximum(predicted_voxels + reference_voxels, 1)
            np.testing.assert_allclose(found, [one.dice for one in scores.cases[0].metrics])
    predicted.clear()
    again, _ = select(trained, toy_dataset)
    assert again == selection and predicted == []
    put_fold(trained, "2d", 1, seed=9)  # other weights: the cases of that fold are predicted anew
    select(trained, toy_dataset, "2d")
    assert sorted(predicted) == [f"2d {one}" for one in NAMES[1::3]]


def test_an_ensemble_is_the_mean_of_calibrated_probabilities(selected: RunFolder, toy_dataset: Path) -> None:
    selection = read_selection(selected.root)
    name = NAMES[0]
    stored, card = [], None
    for model in ("2d", "3d_fullres"):
        loaded = load_model(selected.model(model), CPU, ("0",))
        case = Store(selected.prepared(model)).open(name)
        made = replace(loaded, temperature=1.0).segment_prepared(case, None, Wanted(probabilities=True))
        assert made.probabilities is not None
        stored.append(made.probabilities.stored)
        card = card or loaded.card
    assert card is not None
    # with 3d_fullres four subjects are too few to calibrate; of 2d the other folds choose, and all of them gain
    others = [
        json.loads((selected.root / WORK / "2d" / f"{one}.json").read_text()) for one in NAMES[1::3] + NAMES[2::3]
    ]
    chosen = TEMPERATURES[int(np.mean([one["reliability"]["nll"] for one in others], axis=0).argmin())]
    assert chosen != 1 and [one.used for one in selection.calibrations] == [True, False]
    labels = Mean(tuple(stored), (chosen, 1.0), card.configuration.axis_order, False).labels(card)
    reference = np.asarray(Store(selected.prepared("2d")).open(name).reference)
    kept = Figures.from_json(json.loads((selected.root / WORK / "2d+3d_fullres" / f"{name}.json").read_text()))
    for index in range(2):
        own, true = labels == index + 1, reference == index + 1
        assert kept.overlaps[index].tolist() == [(own & true).sum(), own.sum(), true.sum()]


def test_a_stopped_one_goes_on(trained: RunFolder, toy_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        before = said(patched, stop_at=7)  # in the second configuration
        with pytest.raises(KeyboardInterrupt):
            select(trained, toy_dataset)
    assert not (trained.root / SELECTION).exists() and len(before) == 7
    after = said(monkeypatch)
    select(trained, toy_dataset)
    assert len(before) + len(after) == 10 and not set(before) & set(after)


def test_without_room_on_the_disk_nothing_is_kept_there(
    selected: RunFolder, toy_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autospine.workflow.steps.out_of_fold import Measuring

    expected = read_selection(selected.root)
    for path in (selected.root / WORK).rglob("*.json"):
        path.unlink()
    monkeypatch.setattr(Measuring, "_has_room", lambda self, card, voxels: False)
    predicted = said(monkeypatch)
    found, _ = select(selected, toy_dataset)
    assert found == expected
    assert len(predicted) == 10 + 8  # those of ensembles once more


def test_one_fold_is_divided_by_its_subjects(run: RunFolder, toy_dataset: Path) -> None:
    put_fold(run, "2d", 0)
    selection, notes = select(run, toy_dataset)
    assert selection.members == ("2d",) and selection.cases == 2
    assert "Out of fold: 2d: fold 0, 2 cases" in notes
    people = People.of(run, find_trained(run, run.read_plan(), read_folds(run.splits), ()))
    assert set(people.fold_of.values()) == {0} and people.parts(list(NAMES[0::3])) == [0, 1]


def test_parts_are_folds_and_of_one_fold_its_subjects() -> None:
    cases = [f"case_{index}" for index in range(8)]
    people = People({case: case[:-1] + str(int(case[-1]) // 2) for case in cases}, {case: 3 for case in cases})
    assert people.parts(cases) == [0, 0, 1, 1, 2, 2, 3, 3]  # two cases of a subject stay together
    two = People(people.subject_of, {case: int(case > "case_3") for case in cases})
    assert two.parts(cases) == [0, 0, 0, 0, 1, 1, 1, 1]
    assert two.parts(cases[4:]) == [0, 0, 1, 1]
    many = People({f"{index:02}": f"{index:02}" for index in range(12)}, {f"{index:02}": 0 for index in range(12)})
    assert set(many.parts(list(many.fold_of))) == set(range(PARTS))


def test_what_cannot_be_compared_is_refused(run: RunFolder, toy_dataset: Path) -> None:
    with pytest.raises(PlanError, match="no fold of any configuration is trained"):
        select(run, toy_dataset)
    put_fold(run, "2d", 0)
    put_fold(run, "3d_fullres", 1)
    with pytest.raises(PlanError, match="no case is out of fold for all of them") as fault:
        select(run, toy_dataset)
    assert "2d: fold 0, 2 cases; 3d_fullres: fold 1, 2 cases" in fault.value.found
    assert select(run, toy_dataset, "2d")[0].members == ("2d",)
    with pytest.raises(PlanError, match="no configuration 4d"):
        select(run, toy_dataset, "4d")
    with pytest.raises(PlanError, match=r"no fold of 2\.5d is trained"):
        select(run, toy_dataset, "2d", "2.5d")
    record = run.fold("2d", 0) / "run.toml"
    record.write_text(record.read_text().replace('prepared = "', 'prepared = "0'))
    with pytest.raises(PlanError, match="trained on other data"):
        select(run, toy_dataset, "2d")


def test_a_cascade_is_a_candidate(run: RunFolder, toy_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_fold(run, "3d_lowres", 0)
    put_fold(run, "3d_cascade_fullres", 0)
    predicted = said(monkeypatch)
    selection, _ = select(run, toy_dataset)
    assert len(selection.candidates) == 3 and len(predicted) == 4


def reliability(temperature: float = 1.0) -> Reliability:
    """A case whose likelihood is largest at one temperature."""
    nll = np.abs(np.log(np.array(TEMPERATURES) / temperature))
    return Reliability(nll, np.ones((len(TEMPERATURES), BINS, 3)))


def crumbs(count: int, gain: bool) -> dict[str, Measured]:
    """Cases of two structures; where steps gain, what is smaller than 30 mm3 of the first is never right."""
    found = {}
    removal = options("c1").index((Step("above", "c1", 30.0),))
    for index in range(count):
        overlaps = np.array([[900, 1000 + 10 * index, 1000], [500, 500, 500]])
        effect = np.array([[0, -60 - index], [0, 0]]) if gain else np.array([[-60 - index, -60 - index], [0, 0]])
        found[f"case_{index}"] = Measured(Figures(overlaps, {(0, removal): effect}), reliability())
    return found


def people_of(count: int) -> People:
    cases = [f"case_{index}" for index in range(count)]
    return People({case: case for case in cases}, {case: index % 3 for index, case in enumerate(cases)})


def test_a_step_that_helps_everybody_is_used() -> None:
    data = data_of(2)
    (judged,) = judge_steps(crumbs(9, gain=True), data, people_of(9))
    assert judged.steps == (Step("above", "c1", 30.0),) and judged.used
    gains = [(1800 / (1940 + 9 * one) - 1800 / (2000 + 10 * one)) / 2 for one in range(9)]
    assert judged.gain.mean == pytest.approx(np.mean(gains)) and judged.gain.subjects == 9
    assert postprocessing_of([judged]).steps == judged.steps


def test_a_step_that_harms_is_not_even_told() -> None:
    data = data_of(2)
    assert judge_steps(crumbs(9, gain=False), data, people_of(9)) == ()
    (few,) = judge_steps(crumbs(4, gain=True), data, people_of(4))
    assert not few.used and postprocessing_of([few]) == Postprocessing()


def put_members(run: RunFolder, *members: Any) -> None:
    """Let the run's selection have chosen these."""
    write_selection(run.root, replace(read_selection(run.root), members=members))


def predict(source: Path, target: Path, runs: Path, **more: Any) -> tuple[np.ndarray, list[str], dict[str, Any]]:
    noting = Noting()
    predict_paths(source, target, runs, PredictRequest(device="cpu", **more), progress=noting)
    record = json.loads((target.parent / f".{target.name}.prediction.json").read_text())
    return read_volume(target).array, noting.notes, record


def test_predict_uses_what_was_chosen(selected: RunFolder, toy_dataset: Path, tmp_path: Path) -> None:
    image, runs = toy_dataset / "imagesTr" / "toy_00_0000.nii.gz", selected.runs
    put_members(selected, "2d")
    assert find_model(runs) == selected.root
    alone, _, record = predict(image, tmp_path / "alone.nii.gz", runs, model=selected.model("2d"))
    found, notes, chosen = predict(image, tmp_path / "found.nii.gz", runs)
    assert any(note.startswith("Selected: 2d, Dice 0.") for note in notes)
    np.testing.assert_array_equal(found, alone)
    assert chosen["model"] == record["model"]  # it is that model, however it was named
    put_members(selected, "2d", "3d_fullres")
    both, notes, together = predict(image, tmp_path / "both.nii.gz", runs, model=selected.root, folds=("0", "1"))
    assert any(note.startswith("Selected: 2d + 3d_fullres") for note in notes)
    assert together["members"] == ["2d", "3d_fullres"] and together["model"] != record["model"]
    assert (both != alone).any()
    better = read_selection(selected.root).better_member
    fast, notes, _ = predict(image, tmp_path / "fast.nii.gz", runs, fast=True)
    assert any(f"fast, with {better} alone" in note for note in notes)
    expected, _, _ = predict(image, tmp_path / "expected.nii.gz", runs, model=selected.model(better), fast=True)
    np.testing.assert_array_equal(fast, expected)


def test_weights_that_came_after_the_choice_are_told(selected: RunFolder, toy_dataset: Path, tmp_path: Path) -> None:
    put_members(selected, "2d")
    put_fold(selected, "2d", 2, seed=5)
    _, notes, _ = predict(toy_dataset / "imagesTr" / "toy_00_0000.nii.gz", tmp_path / "a.nii.gz", selected.runs)
    assert any("2d fold 2: trained since selection.json was written" in note for note in notes)


def test_postprocessing_is_done_told_and_part_of_what_a_model_is(
    selected: RunFolder, toy_dataset: Path, tmp_path: Path
) -> None:
    image, model, runs = toy_dataset / "imagesTr" / "toy_01_0000.nii.gz", selected.model("2d"), selected.runs
    raw, _, before = predict(image, tmp_path / "raw.nii.gz", runs, model=model)
    steps = Postprocessing((Step("above", "upper", 1e6),))
    write_postprocessing(model, steps)
    done, _, record = predict(image, tmp_path / "done.nii.gz", runs, model=model)
    assert (raw == 1).any() and not (done == 1).any()
    assert record["postprocessing"] == ["upper: components below 1e+06 mm3 removed"]
    assert record["model"] != before["model"]
    left, _, without = predict(image, tmp_path / "left.nii.gz", runs, model=model, postprocess=False)
    np.testing.assert_array_equal(left, raw)
    assert without["model"] == before["model"] and "postprocessing" not in without
    # the run's own is for the ensemble alone
    write_postprocessing(model, Postprocessing())
    put_members(selected, "2d", "3d_fullres")
    write_postprocessing(selected.root, steps)
    both, _, _ = predict(image, tmp_path / "both.nii.gz", runs, folds=("0", "1"))
    assert not (both == 1).any()


def test_a_temperature_counts_where_it_is_seen(selected: RunFolder, toy_dataset: Path, tmp_path: Path) -> None:
    from autospine.workflow.steps.outputs import Outputs

    image, model, runs = toy_dataset / "imagesTr" / "toy_01_0000.nii.gz", selected.model("2d"), selected.runs
    _, _, before = predict(image, tmp_path / "a.nii.gz", runs, model=model)
    (model / CALIBRATION).write_text('{"temperature": 1.5}')
    labels, _, same = predict(image, tmp_path / "b.nii.gz", runs, model=model)
    assert same["model"] == before["model"] and same["temperature"] == {"2d": 1.5}
    _, _, shown = predict(image, tmp_path / "c.nii.gz", runs, model=model, outputs=Outputs(probabilities=True))
    assert shown["model"] != before["model"]


def test_what_is_chosen_is_written_where_it_is_read(
    selected: RunFolder, toy_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps and temperatures of each model beside it, so that the model alone has them, and an export."""
    from autospine.workflow import select as module

    def judged(measured: Any, data: Any, people: Any) -> Any:
        return (module.JudgedSteps((Step("largest", "lower"),), module.Range(0.1, 0.05, 0.2, 6), True),)

    monkeypatch.setattr(module, "judge_steps", judged)
    for name in ("2d", "3d_fullres"):
        (selected.model(name) / CALIBRATION).write_text('{"temperature": 3.0}')
    write_postprocessing(selected.root, Postprocessing((Step("fill", "upper"),)))
    select(selected, toy_dataset)
    data = selected.read_plan().data
    for name in ("2d", "3d_fullres"):
        assert read_postprocessing(selected.model(name), data).steps == (Step("largest", "lower"),)
    # with the four subjects of 3d_fullres nothing is beyond noise; an earlier temperature is no longer true
    assert read_temperature(selected.model("2d")) == 4.0 and not (selected.model("3d_fullres") / CALIBRATION).exists()
    assert not (selected.root / POSTPROCESSING).exists()  # a single model was chosen, and has its own


def test_digest_of_a_selection_is_steady(selected: RunFolder, toy_dataset: Path) -> None:
    """The same folds give the same file."""
    first = file_digest(selected.root / SELECTION)
    select(selected, toy_dataset)
    assert file_digest(selected.root / SELECTION) == first
