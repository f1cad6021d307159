from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autospine.data.folds import Fold, write_folds
from autospine.data.geometry import Volume
from autospine.data.inputs import images_digest
from autospine.data.structure import Files
from autospine.data.volume import read_volume, write_volume
from autospine.errors import AutospineError, DataError, PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.evidence import Evidence
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import plan_to_toml
from autospine.workflow import next_cases
from autospine.workflow.next_cases import Chosen, NextRequest, choose_next
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.steps.evidence import write_evidence
from autospine.workflow.steps.segmenting import Segmenter
from tests.evidence import CHANNEL, evidence_of, structure_of
from tests.workflow.predicting import GRID, Noting, made_model, put_image

LABELS = (("upper", 1), ("middle", 2), ("lower", 3))
BRIGHT = {"a": 10.0, "b": 11.0, "c": 12.0, "d": 50.0, "e": 51.0}
"""Intensity of each scan: two clusters, of three and two."""


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two annotated cases."""
    root = tmp_path / "data" / "spines"
    for number, name in enumerate("xy"):
        put_image(root / "imagesTr" / f"{name}_0000.nii.gz", 50 + number)
        write_volume(root / "labelsTr" / f"{name}.nii.gz", Volume(np.ones((1, *GRID.shape), np.uint8), GRID))
    labels = {"background": 0, **dict(LABELS)}
    content = {"channel_names": {"0": "T2"}, "labels": labels, "numTraining": 2, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(content))
    return root


@pytest.fixture
def run(
    tmp_path: Path, dataset: Path, make_configuration: Callable[..., Configuration], make_plan: Callable[..., Plan]
) -> RunFolder:
    run, configuration = RunFolder.of(tmp_path / "runs", dataset), make_configuration(spacing_mm=(1.0, 1.0))
    made_model(run.model("2d"), configuration, 0)
    run.plan.write_text(plan_to_toml(make_plan(configuration, dataset="spines", labels=LABELS)))
    return run


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The scans that were segmented; each has the evidence of its intensity, and the second cluster is unsure."""
    done: list[str] = []

    def segment(self: Segmenter, name: str, images: Any, *more: Any, wanted: Any) -> Any:
        done.append(name)
        if name == "broken":
            raise DataError("broken.nii.gz", "cannot be segmented")
        labels = Volume(np.full((1, *GRID.shape), len(done) % 3 + 1, np.uint8), GRID)
        return SimpleNamespace(labels=labels, evidence=evidence_like(BRIGHT[name]))

    monkeypatch.setattr(Segmenter, "segment", segment)
    return done


def evidence_like(bright: float) -> Evidence:
    unsure = bright > 40
    structure = structure_of(0.6 if unsure else 0.9, 500.0, entropy=0.4 if unsure else 0.1)
    channel = replace(CHANNEL, percentiles=(bright,) * 7)
    flaw = int(bright == BRIGHT["e"])
    return evidence_of({name: structure for name, _ in LABELS}, channels=(channel,), levels_missing=flaw)


def choose(dataset: Path, run: RunFolder, scans: Path, **more: Any) -> tuple[Chosen, list[str]]:
    noting, out = Noting(), more.pop("out", None)
    return choose_next(dataset, scans, run.runs, out, NextRequest(device="cpu", **more), progress=noting), noting.notes


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for seed, name in enumerate(BRIGHT):
        put_image(tmp_path / "scans" / f"{name}.nii.gz", seed)
    return tmp_path / "scans"


def test_both_clusters_are_chosen_with_why(dataset: Path, run: RunFolder, scans: Path, asked: list[str]) -> None:
    chosen, _ = choose(dataset, run, scans, count=2)
    assert asked == sorted(BRIGHT)
    with chosen.table.open(newline="") as file:
        table = list(csv.DictReader(file))
    assert {row["case"] for row in table} in ({"b", "d"}, {"b", "e"}) and chosen.candidates == 5
    assert list(table[0]) == "rank case reason uncertainty expected_dice distance stands_for segmentation".split()
    unsure = next(row for row in table if row["case"] != "b")
    assert float(unsure["expected_dice"]) == pytest.approx(0.6) and "expected Dice 0.60" in unsure["reason"]
    assert float(unsure["uncertainty"]) > 0.6
    assert "less sure than 75% of the others" in unsure["reason"] or "less sure than 100%" in unsure["reason"]
    second = table[1]
    assert "differs from what is chosen in intensities" in second["reason"] and float(second["distance"]) > 0
    folder = chosen.folder / "cases" / "b"
    assert (folder / "b.nii.gz").resolve() == (scans / "b.nii.gz").resolve()
    segmented = read_volume(chosen.folder / "segmentations" / "b.nii.gz")
    assert np.array_equal(read_volume(folder / "segmentation.seg.nrrd").array, segmented.array)
    assert sorted(path.name for path in (chosen.folder / "cases").iterdir()) == sorted(row["case"] for row in table)


def test_the_same_command_takes_up_what_is_there(dataset: Path, run: RunFolder, scans: Path, asked: list[str]) -> None:
    first, _ = choose(dataset, run, scans, count=2)
    table = first.table.read_bytes()
    again, notes = choose(dataset, run, scans, count=2)
    assert len(asked) == 5 and again == first and first.table.read_bytes() == table
    assert "Segmented before: 5 scans" in notes
    put_image(scans / "c.nii.gz", 77)
    (first.folder / "segmentations" / "d.nii.gz").unlink()
    choose(dataset, run, scans, count=3)
    assert asked[5:] == ["c", "d"]


def test_what_is_annotated_is_not_chosen_again(dataset: Path, run: RunFolder, scans: Path, asked: list[str]) -> None:
    (scans / "again.nii.gz").write_bytes((dataset / "imagesTr" / "x_0000.nii.gz").read_bytes())
    fold = run.fold("2d", 0)
    write_evidence(fold, {"x": evidence_like(50.5), "y": evidence_like(50.2)})
    (fold / "metrics.json").write_text("{}")
    write_folds(run.splits, [Fold(("x",), ("y",))])
    chosen, notes = choose(dataset, run, scans, count=1)
    assert "Annotated already, passed over: 1 scan" in notes and "again" not in asked
    assert [scan.case for scan in chosen.scans] in (["a"], ["b"], ["c"])  # the other cluster is known, although unsure
    assert "differs from what is annotated or chosen in intensities" in chosen.scans[0].reason
    only = scans.parent / "only"
    only.mkdir()
    (scans / "again.nii.gz").rename(only / "again.nii.gz")
    with pytest.raises(DataError, match="annotated already"):
        choose(dataset, run, only)


def test_a_scan_that_cannot_be_segmented_stops_no_other(
    dataset: Path, run: RunFolder, scans: Path, asked: list[str]
) -> None:
    put_image(scans / "broken.nii.gz", 9)
    chosen, notes = choose(dataset, run, scans, count=9)
    assert len(chosen.scans) == 5 and chosen.left_out is not None and "broken" in str(chosen.left_out)
    assert any(note.startswith("Left out: broken") for note in notes)
    flawed = next(scan for scan in chosen.scans if scan.case == "e")
    assert "levels or sides that no anatomy has" in flawed.reason


def test_a_file_that_cannot_be_read_stops_no_other(
    dataset: Path, run: RunFolder, scans: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_image(scans / "lost.nii.gz", 9)

    def read(images: Files) -> str:
        if "lost" in str(images) or "x_0000" in str(images):  # a scan, and an image that is annotated
            raise DataError(str(images[0]), "cannot be read")
        return images_digest(images)

    monkeypatch.setattr(next_cases, "images_digest", read)
    chosen, _ = choose(dataset, run, scans, count=9)
    assert len(chosen.scans) == 5 and "lost.nii.gz: cannot be read" in str(chosen.left_out)


def test_another_place_and_a_model_of_other_structures(
    dataset: Path, run: RunFolder, scans: Path, asked: list[str], tmp_path: Path, make_plan: Callable[..., Plan]
) -> None:
    chosen, _ = choose(dataset, run, scans, out=tmp_path / "there", count=1)
    assert chosen.folder == tmp_path / "there" and (tmp_path / "there" / "next.csv").is_file()
    plan = run.read_plan()
    other = replace(plan, data=replace(plan.data, labels=(("upper", 1), ("middle", 2), ("disc", 3))))
    run.plan.write_text(plan_to_toml(other))
    with pytest.raises(PlanError, match="segments upper, middle, lower"):
        choose(dataset, run, scans, model=run.model("2d"))


def test_without_a_model_there_is_one_message(dataset: Path, run: RunFolder, scans: Path) -> None:
    with pytest.raises(AutospineError):
        choose(dataset, run, scans, configuration="3d_fullres")
    with pytest.raises(AutospineError):
        choose_next(dataset, scans, run.runs / "elsewhere", None, next_cases.NextRequest(device="cpu"))


def test_an_ensemble_does_not_say_how_sure_it_is(
    dataset: Path, run: RunFolder, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = next_cases.load_segmenter
    members = ("2d", "3d_fullres")
    monkeypatch.setattr(next_cases, "load_segmenter", lambda *given: replace(load(*given), members=members))
    with pytest.raises(PlanError, match=r"an ensemble \(2d \+ 3d_fullres\)"):
        choose(dataset, run, scans)
