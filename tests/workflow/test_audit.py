from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import autospine
from autospine.data.geometry import Volume
from autospine.data.structure import Region
from autospine.data.volume import read_volume, write_volume
from autospine.errors import AutospineError, OutputError, PlanError
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import plan_to_toml
from autospine.workflow.audit import Audited, AuditRequest, audit_dataset
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.steps import worklist
from autospine.workflow.steps.evidence import write_evidence
from tests.columns import GRID, NAMES, VALUES, column, predicted, write_dataset, write_run
from tests.evidence import evidence_of, structure_of
from tests.workflow.predicting import Noting

REQUEST = AuditRequest(count=2, workers=0)
CASES = tuple(f"c{number:02}" for number in range(10))
WRONG = "c04"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Ten columns; in one the upper two levels have each other's name, and one has no prediction."""
    masks = {name: column(number) for number, name in enumerate((*CASES, "new"))}
    masks[WRONG] = np.array([0, 1, 3, 2], np.uint8)[masks[WRONG]]
    return write_dataset(tmp_path / "data" / "spines", masks)


@pytest.fixture
def run(tmp_path: Path, dataset: Path, make_plan: Callable[..., Plan]) -> RunFolder:
    plan = make_plan(dataset="spines", labels=tuple(zip(NAMES, VALUES, strict=True)))
    predictions = {name: predicted(column(number), number) for number, name in enumerate(CASES)}
    return write_run(tmp_path / "runs", dataset, plan, predictions)


def audit(dataset: Path, run: RunFolder, **more: object) -> tuple[Audited, list[str]]:
    noting = Noting()
    return audit_dataset(
        dataset, run.runs, AuditRequest(**{"count": 2, "workers": 0} | more), progress=noting
    ), noting.notes  # type: ignore[arg-type]


def rows(audited: Audited) -> list[dict[str, str]]:
    with audited.worklist.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_wrong_mask_leads_the_worklist(dataset: Path, run: RunFolder) -> None:
    audited, notes = audit(dataset, run)
    table = rows(audited)
    assert audited.worklist == run.root / "audit" / "worklist.csv"
    assert list(table[0]) == "rank case structure reason score dice promised_dice detail picture".split()
    assert [row["rank"] for row in table] == [str(rank) for rank in range(1, 11)]
    assert {row["case"] for row in table} == set(CASES)
    first = table[0]
    assert (first["case"], first["structure"], first["reason"]) == (WRONG, "L2, L1", "swapped")
    assert first["detail"].startswith("L2 and L1 are exchanged") and float(first["dice"]) == 0
    scores = [float(row["score"]) for row in table]
    assert scores == sorted(scores, reverse=True) and scores[0] > 2 * scores[1]
    assert audited.without == ("new",) and any("1 case without out-of-fold prediction: new" in note for note in notes)


def test_pictures_and_folders_of_the_first(dataset: Path, run: RunFolder) -> None:
    audited, _ = audit(dataset, run, count=1)
    picture = rows(audited)[0]["picture"]
    assert picture == f"pictures/{WRONG}.png" and (audited.folder / picture).is_file()
    assert [row["picture"] for row in rows(audited)[1:]] == [""] * 9
    (folder,) = (audited.folder / "cases").iterdir()
    image = folder / f"{WRONG}_0000.nii.gz"
    assert image.resolve() == (dataset / "imagesTr" / image.name).resolve()
    mask = read_volume(dataset / "labelsTr" / f"{WRONG}.nii.gz")
    for name, right in (
        ("mask", mask),
        ("prediction", read_volume(next(run.root.rglob(f"validation/{WRONG}.nii.gz")))),
    ):
        for ending in (".nii.gz", ".seg.nrrd"):
            written = read_volume(folder / f"{name}{ending}")
            assert written.geometry == GRID and np.array_equal(written.array, right.array)
    assert '"L2"' in (folder / "labels.itksnap.txt").read_text()


def test_the_same_command_twice_writes_the_same(dataset: Path, run: RunFolder) -> None:
    first, _ = audit(dataset, run)
    table = first.worklist.read_bytes()
    again, notes = audit(dataset, run)
    assert again == first and again.worklist.read_bytes() == table
    assert not any("changed" in note for note in notes)
    fewer, _ = audit(dataset, run, count=0)
    assert fewer.cases == first.cases
    assert not list((fewer.folder / "pictures").iterdir()) and not list((fewer.folder / "cases").iterdir())


def test_what_was_corrected_in_a_folder_stays(dataset: Path, run: RunFolder) -> None:
    audited, _ = audit(dataset, run)
    mine = audited.folder / "cases" / WRONG / "mask.nii.gz"
    write_volume(mine, Volume(np.ones((1, *GRID.shape), np.uint8), GRID))
    kept = mine.read_bytes()
    _, notes = audit(dataset, run)
    assert mine.read_bytes() == kept and any(
        f"left as they are in {mine.parents[1]}: {WRONG}/mask.nii.gz" in note for note in notes
    )
    _, notes = audit(dataset, run, count=0)
    assert mine.read_bytes() == kept and any(note.endswith(f": {WRONG}") for note in notes)


@pytest.mark.slow
def test_several_processes_find_the_same(dataset: Path, run: RunFolder) -> None:
    alone, _ = audit(dataset, run)
    table = alone.worklist.read_bytes()
    together, _ = audit(dataset, run, workers=2)
    assert together == alone and together.worklist.read_bytes() == table


def test_a_case_that_cannot_be_read_stops_no_other(dataset: Path, run: RunFolder) -> None:
    (dataset / "labelsTr" / "c07.nii.gz").write_bytes(b"no mask")
    prediction = next(run.root.rglob("validation/c08.nii.gz"))
    write_volume(
        prediction,
        Volume(read_volume(prediction).array[:, :-1], GRID.__class__(**{**vars(GRID), "shape": (63, 18, 8)})),
    )
    audited, notes = audit(dataset, run)
    assert [name for name, _ in audited.left_out] == ["c07", "c08"]
    assert "not on the grid of c08_0000.nii.gz" in audited.left_out[1][1]
    assert sum(note.startswith("Left out: ") for note in notes) == 2
    assert len(rows(audited)) == 8


def test_a_case_that_cannot_be_drawn_costs_its_picture_alone(dataset: Path, run: RunFolder) -> None:
    first = audit(dataset, run)[0]
    image = dataset / "imagesTr" / f"{WRONG}_0000.nii.gz"
    content = image.read_bytes()
    image.write_bytes(content[: len(content) // 2])  # its header is whole
    audited, notes = audit(dataset, run)
    assert [row["case"] for row in rows(audited)] == [row["case"] for row in rows(first)]
    assert rows(audited)[0]["picture"] == "" and rows(audited)[1]["picture"]
    assert not (audited.folder / "pictures" / f"{WRONG}.png").exists()
    assert any(note.startswith(f"{WRONG} is not drawn: ") for note in notes)


def test_regions_are_drawn_as_a_prediction_writes_them(
    dataset: Path, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two levels are one region: the mask has both, the prediction one, and nothing is wrong."""
    regions = (Region("low", (VALUES[0],), VALUES[0]), Region("high", VALUES[1:], VALUES[2]))
    plan = run.read_plan()
    (configuration,) = plan.configurations
    network = replace(configuration.network, out_channels=2)
    loss = replace(configuration.loss, class_weights=(1.0, 1.0))
    outputs = replace(configuration, network=network, loss=loss)
    changed = replace(plan, configurations=(outputs,), data=replace(plan.data, regions=regions))
    run.plan.write_text(plan_to_toml(changed))
    for path in run.root.rglob("validation/*.nii.gz"):
        found = read_volume(path)
        write_volume(path, Volume(np.where(found.array == VALUES[1], VALUES[2], found.array), found.geometry))
    drawn = list[tuple[set[int], set[int]]]()

    def draw(path: Path, image: object, *masks: np.ndarray, **named: object) -> None:
        mask, prediction = (set(np.unique(one)) for one in masks[:2])
        drawn.append((mask, prediction))

    monkeypatch.setattr(worklist, "write_case_picture", draw)
    audited, _ = audit(dataset, run, count=len(CASES))
    assert drawn and all(mask == prediction == {0, 1, 3} for mask, prediction in drawn)
    kept = next((audited.folder / "cases").glob("*/mask.nii.gz"))  # what is to be corrected is the mask as it is
    assert set(np.unique(read_volume(kept).array)) == {0, *VALUES}


def test_of_few_subjects_nothing_is_told(dataset: Path, run: RunFolder) -> None:
    for case in CASES[3:]:
        next(run.root.rglob(f"validation/{case}.nii.gz")).unlink()
    audited, notes = audit(dataset, run)
    assert all(one.score == 0 for one in audited.cases)
    assert "Nothing can be told of masks of 3 subjects: what is usual takes 4" in notes


def test_evidence_and_subjects_are_used_where_they_are(dataset: Path, run: RunFolder) -> None:
    """A network that was unsure of the two levels is believed less."""
    plainly = audit(dataset, run, count=0)[0].cases[0].score
    for number, part in enumerate((CASES[::2], CASES[1::2])):
        evidence = {case: evidence_of({name: structure_of(0.9) for name in NAMES}) for case in part}
        if WRONG in part:
            evidence[WRONG] = evidence_of({name: structure_of(0.9 if name == "L3" else 0.45) for name in NAMES})
        write_evidence(run.fold("3d_fullres", number), evidence)
    assert audit(dataset, run, count=0)[0].cases[0].score == pytest.approx(plainly / 4, rel=1e-3)


def test_what_is_not_there_is_one_clear_message(dataset: Path, run: RunFolder, tmp_path: Path) -> None:
    def said(where: Path, request: AuditRequest = REQUEST, runs: Path = run.runs) -> str:
        with pytest.raises(AutospineError) as fault:
            audit_dataset(where, runs, request)
        return str(fault.value)

    assert "autospine plan" in said(dataset, runs=tmp_path / "elsewhere")
    assert "nothing_such" in said(dataset, AuditRequest("nothing_such"))
    for path in list(run.root.rglob("validation/*.nii.gz")):
        path.unlink()
    assert "no out-of-fold prediction of any of 11 cases" in said(dataset) and "train the folds" in said(dataset)
    content = json.loads((dataset / "dataset.json").read_text())
    (dataset / "dataset.json").write_text(
        json.dumps(content | {"labels": {"background": 0, "L3": 4, "L2": 7, "Th12": 9}})
    )
    with pytest.raises(PlanError, match="other labels now"):
        audit_dataset(dataset, run.runs, REQUEST)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_takes_no_file(dataset: Path, run: RunFolder) -> None:
    run.root.chmod(0o500)
    try:
        with pytest.raises(OutputError):
            audit_dataset(dataset, run.runs, REQUEST)
    finally:
        run.root.chmod(0o700)


def test_from_python(dataset: Path, run: RunFolder) -> None:
    found = autospine.audit(dataset, runs=run.runs, count=0, workers=0)
    assert found.cases[0].suspicions[0].detail == "L2 and L1 are exchanged"
