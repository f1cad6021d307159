from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from autospine.evaluation.promise import learn_promise
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.promised import promised
from autospine.workflow.steps.evidence import write_evidence
from autospine.workflow.steps.kept_evidence import out_of_fold_evidence, promised_out_of_fold
from tests.evidence import cases_like
from tests.workflow.predicting import made_model
from tests.workflow.promising import taught


def test_what_the_folds_have_kept(tmp_path: Path) -> None:
    known, said = cases_like(24), list[str]()
    for fold in "01":
        write_evidence(tmp_path / f"fold_{fold}", {one.case: one.evidence for one in known if one.fold == fold})
    (tmp_path / "fold_2").mkdir()
    (tmp_path / "fold_2" / "evidence.json").write_text("{}")
    found = out_of_fold_evidence(tmp_path, said.append)
    assert set(found) == {one.case for one in known if one.fold in "01"}
    assert len(said) == 1 and "fold_2" in said[0]


def test_what_is_promised_has_not_learnt_from_the_case(
    tmp_path: Path, make_configuration: Callable[..., Configuration]
) -> None:
    """A mask that is to be judged has no say in what its prediction is promised."""
    assert promised_out_of_fold(tmp_path) == {}
    model = made_model(tmp_path / "2d", make_configuration(spacing_mm=(1.0, 1.0)), 0)
    cases = taught(model, 45, folds=3)
    said, first = promised_out_of_fold(model), cases[0]
    others = learn_promise([one for one in cases if one.fold != first.fold])
    assert said[first.case, "upper"] == promised(others, first.evidence).of("upper").promised_dice
    assert said[first.case, "upper"] != promised(learn_promise(cases), first.evidence).of("upper").promised_dice
    (model / "fold_1" / "metrics.json").write_text("[]")
    assert promised_out_of_fold(model) == {}
