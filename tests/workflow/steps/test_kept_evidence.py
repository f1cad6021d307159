from __future__ import annotations

from pathlib import Path

from autospine.evaluation.promise import learn_promise
from autospine.planning.document.promise import write_promise
from autospine.planning.document.promised import promised
from autospine.workflow.steps.evidence import write_evidence
from autospine.workflow.steps.kept_evidence import out_of_fold_evidence, promised_dice
from tests.evidence import cases_like


def test_what_the_folds_have_kept_and_what_is_promised(tmp_path: Path) -> None:
    known, said = cases_like(24), list[str]()
    for fold in "01":
        write_evidence(tmp_path / f"fold_{fold}", {one.case: one.evidence for one in known if one.fold == fold})
    (tmp_path / "fold_2").mkdir()
    (tmp_path / "fold_2" / "evidence.json").write_text("{}")
    found = out_of_fold_evidence(tmp_path, said.append)
    assert set(found) == {one.case for one in known if one.fold in "01"}
    assert len(said) == 1 and "fold_2" in said[0]
    assert promised_dice(tmp_path, found) == {}
    promise = learn_promise(known)
    write_promise(tmp_path, promise)
    dice = promised_dice(tmp_path, found)
    first = known[0]
    assert len(dice) == 2 * len(found)
    assert dice[first.case, "upper"] == promised(promise, first.evidence).of("upper").promised_dice
    (tmp_path / "promise.json").write_text("broken")
    assert promised_dice(tmp_path, found) == {}
