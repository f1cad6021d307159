"""Evidence of validation cases: written by the training, and made again to the same where it is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autospine.errors import PlanError
from autospine.inference.predictor import Predictor
from autospine.planning.document.evidence import EVIDENCE
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.steps.evidence import ensure_evidence, read_evidence, write_evidence
from autospine.workflow.train import TrainRequest, train_fold
from tests.evidence import evidence_of, structure_of
from tests.workflow.conftest import Noting

CPU = torch.device("cpu")


def test_a_training_writes_it_without_a_second_pass_and_it_can_be_made_again(
    run: RunFolder, toy_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, noting = TrainRequest("2d", device="cpu", workers=0), Noting()
    folder = train_fold(toy_dataset, 0, run.root.parent, request, progress=noting).folder
    written = read_evidence(folder)
    assert written is not None and set(written) == {"toy_00", "toy_03"}
    assert all(list(one.structures) == ["upper", "lower"] for one in written.values())
    assert any(note.startswith("No promise yet: 2 subjects in the validation of 1 fold") for note in noting.notes)
    asked = (toy_dataset, run, "2d", [0], CPU, noting)
    with monkeypatch.context() as patched:
        patched.setattr(Predictor, "judged", lambda *_: pytest.fail("it stands there"))
        assert ensure_evidence(*asked) == {0: written}
    for spoilt in (
        None,
        {"toy_00": written["toy_00"]},
        {**written, "toy_03": replace(written["toy_03"], temperature=3.0)},
    ):
        if spoilt is None:
            (folder / EVIDENCE).unlink()
        else:
            write_evidence(folder, spoilt)
        made = ensure_evidence(*asked)
        assert made == {0: read_evidence(folder)} and set(made[0]) == {"toy_00", "toy_03"}
        for name, one in made[0].items():
            assert one.spacing_mm == written[name].spacing_mm and one.temperature == 1.0
            for structure, own in one.structures.items():
                assert own.soft_voxels == pytest.approx(written[name].structures[structure].soft_voxels, rel=1e-5)


def test_that_of_a_cascade(run: RunFolder, toy_dataset: Path) -> None:
    """It starts from what the previous stage says of cases that it had not seen."""
    for fold in range(3):
        train_fold(toy_dataset, fold, run.root.parent, TrainRequest("3d_lowres", device="cpu", workers=0))
    request = TrainRequest("3d_cascade_fullres", device="cpu", workers=0)
    folder = train_fold(toy_dataset, 1, run.root.parent, request).folder
    written = read_evidence(folder)
    (folder / EVIDENCE).unlink()
    made = ensure_evidence(toy_dataset, run, "3d_cascade_fullres", [1], CPU, Noting())[1]
    assert written is not None and made.keys() == written.keys() == {"toy_01", "toy_04"}
    for name in made:
        assert made[name].structures["upper"].inside == pytest.approx(
            written[name].structures["upper"].inside, rel=1e-4
        )


def test_what_is_none_is_refused_and_another_versions_is_made_anew(tmp_path: Path) -> None:
    assert read_evidence(tmp_path) is None
    write_evidence(tmp_path, {"a": evidence_of({"L5": structure_of(0.9)})})
    path = tmp_path / EVIDENCE
    table = json.loads(path.read_text())
    path.write_text(json.dumps(table | {"schema": 99}))
    assert read_evidence(tmp_path) is None
    table["cases"]["a"]["spacing_mm"] = "wide"
    path.write_text(json.dumps(table))
    with pytest.raises(PlanError, match="evidence.json, a, key spacing_mm") as fault:
        read_evidence(tmp_path)
    assert "delete the file" in fault.value.remedy
    path.write_text("[]")
    with pytest.raises(PlanError, match="no table of cases"):
        read_evidence(tmp_path)
