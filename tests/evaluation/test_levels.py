"""Levels counted one by one: columns of plain boxes in which one thing at a time is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import write_volume
from autospine.evaluation.folders import evaluate_folders
from autospine.evaluation.label_pair import LabelPair
from autospine.evaluation.levels import Vertebra, chains_named, chains_of, chains_planned, count_levels
from autospine.evaluation.score import score_cases
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import LevelsPlan
from tests.cards import card_of

LABELS = (("L5", 1), ("L4", 2), ("L3", 3), ("L2", 4))
CHAIN = (("L2", 4), ("L3", 3), ("L4", 2), ("L5", 1))


def column(*values: int) -> np.ndarray:
    """(6, 12 n, 8): from the top a vertebra of 4 x 8 x 4 voxels of each of `values`, 4 voxels apart; 0 is none."""
    array = np.zeros((6, 12 * len(values), 8), np.uint8)
    for place, value in enumerate(values):
        array[1:5, 12 * place + 2 : 12 * place + 10, 2:6] = value
    return array


TRUE = column(4, 3, 2, 1)


def counted(prediction: np.ndarray, reference: np.ndarray = TRUE, ignored: int | None = None) -> list[tuple[str, str]]:
    """(level, kind) of all that is not right."""
    found = count_levels(LabelPair(prediction, reference, ignored), chains_named(LABELS))
    return [(one.level, one.kind) for one in found if one.kind != "right"]


def test_chains_are_told_by_names() -> None:
    assert chains_named(LABELS) == (CHAIN,)
    assert chains_named(LABELS[:2]) == ()
    others = (("sacrum", 9), ("left L4 facet", 10), ("spinal_canal", 11), ("tumour", (1, 2)))
    assert chains_named((*others, *LABELS)) == (CHAIN,)
    discs = (("disc L4/L5", 21), ("L3-L4", 22), ("IVD_L5-S1", 23))
    assert chains_named((*discs, *LABELS)) == (CHAIN, (("L3-L4", 22), ("disc L4/L5", 21), ("IVD_L5-S1", 23)))
    thoracic = (("vertebrae_T12", 1), ("vertebrae_T9", 2), ("vertebrae_L1", 3))
    assert [name for name, _ in chains_named(thoracic)[0]] == ["vertebrae_T9", "vertebrae_T12", "vertebrae_L1"]
    # two labels of one level: nobody knows which is the vertebra
    assert chains_named((*LABELS, ("vertebra_L4", 7))) == ()
    assert chains_of([("b", "a"), ("a", "x")], (("a", 1), ("b", 2))) == ((("b", 2), ("a", 1)),)


def test_chains_of_a_plan_are_its_levels_where_names_do_not_tell(
    make_configuration: Callable[..., Configuration],
) -> None:
    levels = LevelsPlan((2, 1, 3), 0, 1.5, (0.5, 0.5))
    plain = card_of(make_configuration(), labels=(("b", 30), ("a", 10), ("c", 20)), levels=levels).data
    assert chains_planned(plain) == ((("a", 2), ("b", 1), ("c", 3)),)
    assert chains_planned(replace(plain, levels=None)) == ()
    named = replace(plain, labels=(("L5", 30), ("L4", 10), ("L3", 20)), levels=None)
    assert chains_planned(named) == ((("L3", 3), ("L4", 2), ("L5", 1)),)


def test_all_right() -> None:
    assert counted(TRUE) == []
    assert count_levels(LabelPair(TRUE, TRUE), (CHAIN,)) == tuple(
        Vertebra(name, "right", (name,)) for name in ("L2", "L3", "L4", "L5")
    )


def test_a_column_one_level_too_high_is_wrong_throughout() -> None:
    shifted = column(5, 4, 3, 2)
    assert counted(shifted) == [("L2", "missed"), ("L3", "wrong"), ("L4", "wrong"), ("L5", "wrong")]
    (vertebra,) = (one for one in count_levels(LabelPair(shifted, TRUE), (CHAIN,)) if one.level == "L4")
    assert vertebra == Vertebra("L4", "wrong", ("L3",))


def test_found_from_a_quarter_on() -> None:
    quarter, less = TRUE.copy(), TRUE.copy()
    quarter[:, 14:20], less[:, 14:20] = 0, 0  # of L3, which is 8 long, two rows are left
    assert counted(quarter) == []
    less[1, 20, 2] = 0
    assert counted(less) == [("L3", "missed")]


def test_mixed_from_a_fifth_of_what_is_covered_on() -> None:
    mixed = TRUE.copy()
    mixed[:, 14:16] = np.where(mixed[:, 14:16] > 0, 4, 0)  # a quarter of L3 is called L2
    assert counted(mixed) == [("L3", "mixed")]
    (vertebra,) = (one for one in count_levels(LabelPair(mixed, TRUE), (CHAIN,)) if one.kind == "mixed")
    assert vertebra.called == ("L3", "L2")
    slip = TRUE.copy()
    slip[:, 14:15] = np.where(slip[:, 14:15] > 0, 4, 0)  # an eighth
    assert counted(slip) == []


def test_extra_pieces_beside_all_vertebrae() -> None:
    reference = column(4, 3, 2, 1, 0, 0)
    assert counted(column(4, 3, 2, 1, 1, 0), reference) == [("L5", "extra")]
    assert counted(column(4, 3, 2, 1, 1, 1), reference) == [("L5", "extra"), ("L5", "extra")]
    crumb = reference.copy()
    crumb[1:5, 60:61, 2:6] = 1  # 16 of 128 voxels
    assert counted(crumb, reference) == []
    crumb[1:5, 60:62, 2:6] = 1
    assert counted(crumb, reference) == [("L5", "extra")]
    # a vertebra that runs over is none
    over = reference.copy()
    over[1:5, 46:56, 2:6] = 1
    assert counted(over, reference) == []


def test_where_the_reference_has_none_each_is_extra() -> None:
    assert counted(TRUE, TRUE * 0) == [(name, "extra") for name in ("L2", "L3", "L4", "L5")]
    assert counted(TRUE * 0, TRUE * 0) == []


def test_what_is_not_annotated_counts_for_nothing() -> None:
    reference = column(4, 3, 2, 0, 0)
    reference[:, 36:] = 255
    assert counted(column(4, 3, 2, 1, 1), reference, 255) == []


def test_other_structures_are_no_levels() -> None:
    """A canal through a vertebra covers nothing of it, and other labels are no extra."""
    prediction = np.where(TRUE == 3, 9, TRUE).astype(np.uint8)
    assert counted(prediction) == [("L3", "missed")]


def test_scores_name_each_mistake() -> None:
    cases = [("a", column(4, 3, 2, 1), TRUE, (4.0, 1.0, 1.0)), ("b", column(4, 4, 2, 0), TRUE, (4.0, 1.0, 1.0))]
    content = json.loads(json.dumps(score_cases(cases, LABELS).to_json()))
    levels = content["levels"]
    assert levels["chains"] == [["L2", "L3", "L4", "L5"]]
    assert [levels[key] for key in ("vertebrae", "right", "mixed", "wrong", "missed", "extra")] == [8, 6, 0, 1, 1, 0]
    assert levels["by_level"]["L3"] == {
        "vertebrae": 2,
        "right": 1,
        "unknown": 0,
        "mixed": 0,
        "wrong": 1,
        "missed": 0,
        "extra": 0,
    }
    assert levels["mistakes"] == [
        {"case": "b", "level": "L3", "kind": "wrong", "called": ["L2"]},
        {"case": "b", "level": "L5", "kind": "missed", "called": []},
    ]
    assert content["cases"][1]["levels"]["right"] == 2
    plain = score_cases(cases, (("a", 1), ("b", 2), ("c", 3))).to_json()
    assert "levels" not in plain and "levels" not in plain["cases"][0]
    told = score_cases(cases, (("a", 1), ("b", 2), ("c", 3)), chains=((("a", 1), ("b", 2)),)).to_json()
    assert told["levels"]["chains"] == [["a", "b"]]


@pytest.mark.parametrize("named", [True, False])
def test_levels_of_folders(tmp_path: Path, named: bool) -> None:
    grid = Geometry(TRUE.shape, (4.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    write_volume(tmp_path / "labelsTr/a.nii.gz", Volume(TRUE[None], grid))
    write_volume(tmp_path / "pred/a.nii.gz", Volume(column(4, 2, 3, 1)[None], grid))
    names = dict(LABELS) if named else {f"v{value}": value for _, value in LABELS}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, **names}}))
    given = () if named else (("v4", "v3", "v2", "v1"),)
    content = evaluate_folders(tmp_path / "pred", tmp_path / "labelsTr", levels=given).to_json()
    assert (content["levels"]["right"], content["levels"]["wrong"]) == (2, 2)
    assert "levels" not in evaluate_folders(tmp_path / "pred", tmp_path / "labelsTr").to_json() or named


def test_a_level_that_is_not_certain_is_unknown_right_or_wrong() -> None:
    reference = np.zeros((30, 4, 4), np.uint8)
    for value in (1, 2, 3):
        reference[10 * value - 8 : 10 * value - 2] = value
    prediction = reference.copy()
    prediction[reference == 3] = 2
    chains = chains_named((("L3", 1), ("L4", 2), ("L5", 3)))
    kinds = {one.level: one.kind for one in count_levels(LabelPair(prediction, reference), chains)}
    assert kinds == {"L3": "right", "L4": "right", "L5": "wrong"}
    unsure = {one.level: one.kind for one in count_levels(LabelPair(prediction, reference), chains, {"L4"})}
    assert unsure == {"L3": "right", "L4": "unknown", "L5": "unknown"}
