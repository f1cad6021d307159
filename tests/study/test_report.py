from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.evaluation.arm_scores import ArmScores, LesionTally
from autospine.evaluation.metrics import METRICS
from autospine.planning.document.configuration import Configuration
from autospine.report.wording import verdict
from autospine.study.arms import Arm, with_steps
from autospine.study.report import ArmRecord, StudyReport, write_study


@pytest.fixture
def report(make_configuration: Callable[..., Configuration]) -> StudyReport:
    """Three arms, eight subjects, two classes: `better` gains 0.05 in the small class, `same` nothing."""
    rng = np.random.default_rng(0)
    base = rng.uniform(0.6, 0.9, (8, 2, len(METRICS)))
    better, same = base.copy(), base.copy()
    better[:, 0] += 0.05 + rng.normal(0, 0.005, (8, 1))
    same += rng.normal(0, 0.001, same.shape)
    voxels = np.stack((rng.uniform(90, 110, 8), rng.uniform(900, 1100, 8)), axis=1)
    scores = ArmScores(
        ("base", "better", "same"),
        ("small", "large"),
        tuple(f"s{number}" for number in range(8)),
        9,
        np.stack((base, better, same)),
        voxels,
    )
    one = make_configuration(spacing_mm=(0.6, 0.6), median_shape=(96, 112), patch=(96, 112), batch=2)
    one = replace(one, network=replace(one.network, features=(16, 32)), training=with_steps(one.training, 800))
    arms = tuple(ArmRecord(Arm(name, f"what {name} is", one), 2_220_000, 12, 0.25) for name in scores.arms)
    return StudyReport("Ablation: toy", "What is it worth?", arms, scores, (0, 1), (), "CPU, 2 cores")


def test_a_report_says_what_is_beyond_noise(report: StudyReport, tmp_path: Path) -> None:
    path = write_study(report, tmp_path)
    text = path.read_text()
    assert "better against base: mean Dice +0.02" in text and "better, beyond noise." in text
    assert "same against base" in text and "within noise." in text
    assert "9 cases of 8 subjects" in text and "CPU, 2 cores" in text and "(folds 0, 1)" in text
    assert "| better | what better is | 12 | 0.6 x 0.6 | 96 x 112 | 2 | 21504 | 16 | 2.22 M | 800 | 0.25 |" in text
    assert "Not complete" not in text
    last = replace(report.arms[2], arm=replace(report.arms[2].arm, pretraining="masked"))
    pretrained = replace(report, arms=(*report.arms[:2], last))
    assert "| 2.22 M | 800 + 800 | 0.25 |" in write_study(pretrained, tmp_path).read_text()
    for picture in ("differences.png", "sizes.png"):
        assert picture in text and (tmp_path / picture).stat().st_size > 5000


def test_tables_can_be_read_again(report: StudyReport, tmp_path: Path) -> None:
    write_study(report, tmp_path)
    with (tmp_path / "scores.csv").open() as file:
        scores = list(csv.DictReader(file))
    assert len(scores) == 3 * 8 * 2
    first = next(row for row in scores if (row["arm"], row["subject"], row["class"]) == ("better", "s3", "small"))
    assert float(first["dice"]) == pytest.approx(report.scores.of("better")[3, 0], abs=1e-5)
    with (tmp_path / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * len(METRICS) * 3
    one = next(row for row in rows if (row["arm"], row["class"], row["metric"]) == ("better", "small", "dice"))
    gain = (report.scores.of("better") - report.scores.of("base"))[:, 0].mean()
    assert float(one["gain"]) == pytest.approx(gain, abs=1e-5)
    assert float(one["gain_low"]) < gain < float(one["gain_high"]) and float(one["p_holm"]) < 0.05
    assert next(row for row in rows if row["arm"] == "base")["gain"] == ""


def test_what_is_missing_stands_first(report: StudyReport, tmp_path: Path) -> None:
    text = write_study(replace(report, missing=("autospine study ablation toy --only same:2",)), tmp_path).read_text()
    assert text.index("Not complete") < text.index("--only same:2") < text.index("## Result")


def test_too_few_subjects_are_told(report: StudyReport) -> None:
    all_of = report.scores
    few = replace(all_of, subjects=all_of.subjects[:4], values=all_of.values[:, :4], voxels=all_of.voxels[:4])
    said = [verdict(one) for one in replace(report, scores=few).overall]
    assert all(
        "too few to tell it from noise, the smallest corrected p they can give is 0.25." in text for text in said
    )


def test_one_arm_and_no_subject(report: StudyReport, tmp_path: Path) -> None:
    alone = replace(report.scores, arms=("base",), values=report.scores.values[:1])
    text = write_study(replace(report, arms=report.arms[:1], scores=alone), tmp_path).read_text()
    assert "nothing to compare" in text and not list(tmp_path.glob("*.png"))
    nobody = replace(
        report.scores, subjects=(), cases=0, values=report.scores.values[:, :0], voxels=report.scores.voxels[:0]
    )
    text = write_study(replace(report, scores=nobody), tmp_path).read_text()
    assert "no subject to compare on" in text


def test_lesions_are_told_where_they_were_counted(report: StudyReport, tmp_path: Path) -> None:
    assert "## Lesions" not in write_study(report, tmp_path).read_text()
    counted = replace(
        report, lesions=(LesionTally("better", "small", 3, 1, 4, 1), LesionTally("same", "small", 0, 0, 0, 0))
    )
    text = write_study(counted, tmp_path).read_text()
    assert "| small | better | 3 | 1 | 1 | 0.750 | 0.800 |" in text and "| small | same | 0 | 0 | 0 | - | - |" in text
