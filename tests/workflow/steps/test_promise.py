"""A model learns its promise from all folds that are scored, and a prediction says it of each case."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.data.disk.files import write_json
from autospine.data.volume import read_volume, write_volume
from autospine.errors import PlanError
from autospine.evaluation.promise import learn_promise
from autospine.inference.settings import Settings
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.model_file import BEST, WEIGHTS
from autospine.planning.document.promise import PROMISE, read_promise
from autospine.planning.document.promised import Flag, Promised, StructurePromise, promised
from autospine.workflow.runs.folder import withdraw_results
from autospine.workflow.steps.promise import (
    COLUMNS,
    describe_flagged,
    describe_promise,
    fit_promise,
    flagged_cases,
    known_cases,
    promise_rows,
    promised_out_of_fold,
    why_none,
)
from autospine.workflow.steps.segmenting import load_segmenter
from tests.evidence import cases_like
from tests.inference.predicting import CPU
from tests.workflow.predicting import predict
from tests.workflow.promising import STRUCTURES, taught, write_known


@pytest.fixture
def configuration(make_configuration: Callable[..., Configuration]) -> Configuration:
    """Not mirrored: the predictions of these tests are as they were validated."""
    plain = make_configuration(spacing_mm=(1.0, 1.0))
    return replace(plain, training=replace(plain.training, mirror_axes=()))


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_all_folds_that_are_scored_teach_it(model: Path) -> None:
    assert fit_promise(model) is None and not (model / PROMISE).exists()
    cases = taught(model)
    (model / "fold_4" / "metrics.json").unlink()  # that is not done
    promise = fit_promise(model)
    assert promise == learn_promise([known for known in cases if known.fold != "4"]) == read_promise(model)
    assert promise is not None and promise.folds == ("0", "1", "2", "3") and promise.cases == 24
    withdraw_results(model / "fold_0")  # it is trained anew
    assert not (model / PROMISE).exists() and not (model / "fold_0" / "evidence.json").exists()
    assert {known.fold for known in known_cases(model)} == {"1", "2", "3"}


def test_a_case_is_promised_what_the_other_folds_have_taught() -> None:
    cases = cases_like(45, 1, folds=3)
    said = promised_out_of_fold(cases)
    assert set(said) == {known.case for known in cases}
    first = cases[0]
    others = learn_promise([known for known in cases if known.fold != first.fold])
    assert said[first.case] == promised(others, first.evidence)
    kept = [
        known.dice[name] >= (said[known.case].of(name).promised_dice or 0) for known in cases for name in known.dice
    ]
    assert 0.75 < np.mean(kept) < 1
    assert promised_out_of_fold([known for known in cases if known.fold == "0"]) == {}


def test_of_a_subject_in_two_folds_none_teaches_what_is_promised_of_itself() -> None:
    cases = cases_like(45, 1, folds=3)
    again = replace(cases[0], case="again", fold="1")
    said = promised_out_of_fold([*cases, again])
    for known, others in ((cases[0], {"1", "2"}), (again, {"0", "2"})):
        taught_by = learn_promise([one for one in cases[1:] if one.fold in others])
        assert said[known.case] == promised(taught_by, known.evidence)


def test_without_a_fingerprint_subjects_are_as_names_say(model: Path) -> None:
    cases = enumerate(cases_like(30, names=STRUCTURES, folds=1))
    write_known(model, [replace(one, case=f"p{place // 2}_visit{place % 2}") for place, one in cases])
    assert {known.subject for known in known_cases(model)} == {f"p{place}" for place in range(15)}


def test_subjects_are_those_of_the_fingerprint(model: Path) -> None:
    cases = taught(model)
    measured = {
        **{"shape": [2, 2, 2], "spacing_mm": [1.0, 1.0, 1.0], "cropped_shape": [2, 2, 2], "class_voxels": [1, 1, 1]},
        **{"class_slices": [[1, 1, 1]] * 3, "class_centroids_mm": [[0.0, 0.0, 0.0]] * 3},
        **{"class_extents_mm": [[1.0, 1.0, 1.0]] * 3},
    }
    names = sorted(known.case for known in cases)
    listed = [
        {"case": name, "subject": f"subject_{place // 2}", "digest": name, **measured}
        for place, name in enumerate(names)
    ]
    intensity = dict.fromkeys(
        ("mean", "std", "median", "minimum", "maximum", "percentile_00_5", "percentile_99_5"), 1.0
    )
    content = {
        "dataset": "toy",
        "channels": ["T2"],
        "labels": [[name, 1 + place] for place, name in enumerate(STRUCTURES)],
    }
    write_json(model.parent / "fingerprint.json", {**content, "cases": listed, "intensities": [intensity]})
    promise = fit_promise(model)
    assert promise is not None and (promise.cases, promise.subjects) == (30, 15)


def test_evidence_at_another_temperature_or_of_other_structures_does_not_teach(model: Path) -> None:
    cases = taught(model)
    odd = [replace(known, evidence=replace(known.evidence, temperature=2.0)) for known in cases if known.fold == "3"]
    write_known(model, odd)
    write_known(model, [replace(known, fold="4") for known in cases_like(30, folds=1)][:6])  # of two structures
    assert {known.fold for known in known_cases(model)} == {"0", "1", "2"}


def test_scores_that_are_none_are_refused(model: Path) -> None:
    taught(model)
    (model / "fold_0" / "metrics.json").write_text('{"cases": [{"case": "a"}]}')
    with pytest.raises(PlanError, match="not scores of a fold"):
        fit_promise(model)


def test_what_was_learnt_is_said_in_a_line() -> None:
    cases = cases_like(40)
    said = describe_promise(learn_promise(cases))
    assert said == (
        "Promise: learnt from 40 subjects in the validation of 5 folds, for 90% of cases; "
        "flags at most 2% of usual ones"
    )
    few = learn_promise(cases[:4])
    assert describe_promise(few).startswith("No promise yet: 4 subjects in the validation of 4 folds; a bound on Dice")
    assert "no validation case" in describe_promise(None).lower()
    assert why_none(learn_promise(cases), withheld=False) == ""
    assert "4 subjects" in why_none(few, withheld=False) and "has none" in why_none(None, withheld=False)
    assert "as they were validated" in why_none(None, withheld=True)
    assert "together" in why_none(None, withheld=False, members=("2d", "3d_fullres"))


SAID = Promised(
    0.9,
    (StructurePromise("L5", 0.87654, 0.9, 37), StructurePromise("L4", None, None, 0, "not found")),
    (Flag("noise 5; and 1 in training", None, "intensity"), Flag("too small", "L4", "anatomy"), Flag("cut", "L4")),
)


def test_the_rows_of_a_case() -> None:
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in promise_rows("a", SAID)]
    assert [row["structure"] for row in rows] == [None, "L5", "L4"]
    assert [row["flags"] for row in rows] == ["noise 5, and 1 in training", "", "too small; cut"]
    assert [row["promised_dice"] for row in rows] == [None, "0.876", None]
    assert [row["confidence"] for row in rows] == [None, "0.9", None] and [row["cases"] for row in rows] == [
        None,
        37,
        0,
    ]
    assert [row[1] for row in promise_rows("a", replace(SAID, flags=SAID.flags[1:]))] == ["L5", "L4"]


def test_cases_that_need_a_look_are_named_in_two_lines() -> None:
    rows = [
        {"case": name, "structure": part, "flags": said}
        for name, part, said in (
            ("a", "", "noise 5; dark"),
            ("a", "L5", "small"),
            ("b", "L5", ""),
            ("c", "L4", "two islands"),
            ("d", "", "x"),
            ("e", "", "y"),
            ("f", "", "z"),
        )
    ]
    flagged = flagged_cases(rows)
    assert flagged == {"a": "noise 5", "c": "L4: two islands", "d": "x", "e": "y", "f": "z"}
    assert flagged_cases([{"case": "a"}, {"case": "b", "structure": None, "flags": "dark"}]) == {"b": "dark"}
    assert describe_flagged(flagged, 40, Path("out/promise.csv")) == [
        "5 of 40 cases need a look (promise.csv in out says why):",
        "  a (noise 5); c (L4: two islands); d (x); and 2 more",
    ]
    alone = describe_flagged({"a": "x"}, 1, Path("seg.promise.csv"))
    assert alone[0] == "1 of 1 case needs a look (seg.promise.csv in . says why):"
    assert describe_flagged({}, 40, Path("promise.csv")) == []


def test_a_prediction_writes_it_for_all_cases(model: Path, images: Path, tmp_path: Path) -> None:
    done, notes = predict(images, tmp_path / "none", model)
    assert not (tmp_path / "none" / "promise.csv").exists() and done.flagged == {}
    assert any("No promise of Dice: this model has none" in note for note in notes)
    taught(model, 60)
    fit_promise(model)
    done, notes = predict(images, tmp_path / "out", model)
    assert not any("No promise" in note for note in notes)
    rows = table(tmp_path / "out" / "promise.csv")
    assert tuple(rows[0]) == COLUMNS
    assert {row["case"] for row in rows} == set("abcde")
    assert {row["structure"] for row in rows} - {""} == set(STRUCTURES)
    # a network that nobody trained, on images of noise, is nothing that was seen in training
    assert set(done.flagged) == set("abcde") and all(done.flagged.values())
    again, notes = predict(images, tmp_path / "out", model)
    assert again.flagged == done.flagged and not again.seconds
    (tmp_path / "out" / "a.nii.gz").unlink()
    predict(images, tmp_path / "out", model)
    assert table(tmp_path / "out" / "promise.csv") == rows
    masks = [(tmp_path / place / "a.nii.gz").read_bytes() for place in ("none", "out")]
    assert masks[0] == masks[1]


def test_beside_a_single_file(model: Path, images: Path, tmp_path: Path) -> None:
    taught(model, 60)
    fit_promise(model)
    done, _ = predict(images / "a.nii.gz", tmp_path / "seg.nii.gz", model)
    assert {row["case"] for row in table(tmp_path / "seg.promise.csv")} == {"a"} == set(done.flagged)
    assert not list(tmp_path.glob("promise*"))


def test_cases_from_before_are_said_to_lack_it(model: Path, images: Path, tmp_path: Path) -> None:
    predict(images, tmp_path / "out", model)
    taught(model, 60)
    fit_promise(model)
    _, notes = predict(images, tmp_path / "out", model)
    assert any("5 case(s) had been predicted before, 5 without promise" in note for note in notes)
    assert not (tmp_path / "out" / "promise.csv").exists()


def test_used_in_another_way_it_promises_nothing(model: Path, images: Path, configuration: Configuration) -> None:
    taught(model)
    fit_promise(model)
    overlap = configuration.overlap
    mirrored = bool(configuration.training.mirror_axes)
    for settings, given in (
        (Settings(), True),
        (Settings(overlap=overlap), True),
        (Settings(overlap=overlap / 2), False),
        (Settings(mirror=False), not mirrored),
        (Settings(fast=True), overlap <= 0.25 and not mirrored),
        (Settings(exact=True), True),
    ):
        predictor = load_segmenter(model, CPU, settings).predictor
        assert (predictor.promise is not None) is given and predictor.origin.promise_withheld is not given


def test_a_fold_that_was_stopped_promises_nothing(model: Path) -> None:
    taught(model)
    fit_promise(model)
    (model / "fold_0" / WEIGHTS).rename(model / "fold_0" / BEST)
    predictor = load_segmenter(model, CPU, Settings()).predictor
    assert predictor.promise is None and predictor.origin.promise_withheld


def test_a_file_that_was_given_away_promises_the_same(model: Path, images: Path, tmp_path: Path) -> None:
    from autospine.workflow.export import ExportRequest, export_model

    cases = taught(model, 60)
    fit_promise(model)
    file = tmp_path / "a.autospine"
    export_model(file, ExportRequest(model, folds=("0",)))
    predict(images / "a.nii.gz", tmp_path / "one.nii.gz", model, folds=("0",))
    predict(images / "a.nii.gz", tmp_path / "two.nii.gz", file)
    assert (tmp_path / "one.promise.csv").read_text() == (tmp_path / "two.promise.csv").read_text()
    assert all(known.case.encode() not in file.read_bytes() for known in cases)


def test_a_promise_that_is_none_is_refused_when_the_model_is_loaded(model: Path, images: Path, tmp_path: Path) -> None:
    taught(model)
    fit_promise(model)
    table = json.loads((model / PROMISE).read_text())
    (model / PROMISE).write_text(json.dumps(table | {"confidence": 2}))
    with pytest.raises(PlanError, match="promise.json"):
        predict(images, tmp_path / "out", model)


def test_a_flagged_case_is_one_that_differs(model: Path, images: Path, tmp_path: Path) -> None:
    """The model's own evidence of images like these teaches it; one that is upside down and inverted is flagged."""
    predictor = load_segmenter(model, CPU, Settings()).predictor
    from autospine.evaluation.promise import Known
    from autospine.inference.segmentation import Wanted

    rng = np.random.default_rng(0)
    first = read_volume(images / "a.nii.gz")
    ramp = np.linspace(0, 60, first.array.shape[2]).reshape(1, 1, -1, 1)
    cases = []
    for number in range(24):
        image = replace(first, array=(100 + ramp + rng.normal(0, 10, first.array.shape)).astype(np.float32))
        evidence = predictor.predict(image, wanted=Wanted(evidence=True)).evidence
        assert evidence is not None
        cases.append(Known(f"{number}", f"{number}", str(number % 4), evidence, dict.fromkeys(STRUCTURES, 0.8)))
    write_known(model, cases)
    fit_promise(model)
    folder = tmp_path / "new"
    for name, way in (("usual", 1), ("turned", -1)):
        image = 100 + ramp[:, :, ::way] + np.random.default_rng(99).normal(0, 10, first.array.shape)
        write_volume(folder / f"{name}.nii.gz", replace(first, array=image.astype(np.float32)))
    done, _ = predict(folder, tmp_path / "out", model, folds=("0",))
    assert "turned" in done.flagged and "usual" not in done.flagged
