"""What a promise is learnt of is kept where it is given: in nine cases of ten, with few flags."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.evaluation import promise as learning
from autospine.evaluation.promise import FEWEST, Known, learn_promise
from autospine.planning.document.evidence import Evidence
from autospine.planning.document.promise import KINDS, MOST_GAUGED, read_promise, write_promise
from autospine.planning.document.promised import Promised, promised
from autospine.planning.document.quantities import off_scale, on_scale
from tests.evidence import CHANNEL, NAMES, cases_like, evidence_of, missing, structure_of


def test_promises_are_kept_in_nine_of_ten_and_near_what_the_noise_allows() -> None:
    """The Dice is the expected one and noise of .3 as a logit: nine of ten lie above expected - 1.28 x .3."""
    promise = learn_promise(cases_like(100, 1))
    new = cases_like(500, 2)
    kept, off = [], []
    for known in new:
        said = promised(promise, known.evidence)
        for name in NAMES:
            dice, expected = said.of(name).promised_dice, said.of(name).expected_dice
            assert dice is not None and expected is not None
            kept.append(known.dice[name] >= dice)
            off.append(on_scale(dice) - (on_scale(expected) - 1.2816 * 0.3 * 0.98))
    assert 0.87 < np.mean(kept) < 0.94
    assert abs(np.median(off)) < 0.08
    assert promise.bounds[0].cases == 100 == promise.subjects and promise.folds == ("0", "1", "2", "3", "4")


@pytest.mark.parametrize("seed", [0, 2])
def test_few_usual_cases_are_flagged(seed: int) -> None:
    promise = learn_promise(cases_like(80, seed))
    flagged = [bool(promised(promise, known.evidence).flags) for known in cases_like(300, seed + 10)]
    assert np.mean(flagged) < 0.09 and promise.alarms <= 0.03
    assert [gauge.kind for gauge in promise.gauges] == list(KINDS)


def usual(**more: object) -> Evidence:
    return evidence_of({name: structure_of(0.9, math.exp(7)) for name in NAMES}, **more)


def flags(promised_of_it: Promised) -> str:
    return "; ".join(f"{flag.structure}: {flag.text}" for flag in promised_of_it.flags)


def test_what_is_off_is_flagged_and_said() -> None:
    promise = learn_promise(cases_like(60, 4))
    assert not promised(promise, usual()).flags
    planes = np.array(CHANNEL.layout).reshape(5, 5, 5)
    upside_down = replace(CHANNEL, layout=tuple(planes[::-1].ravel().tolist()))
    elsewhere = replace(CHANNEL, layout=tuple(np.roll(CHANNEL.layout, 61).tolist()))
    structures = usual().structures
    for evidence, said in (
        (usual(size_mm=(30.0, 200.0, 100.0)), "image from bottom to top, mm 30"),
        (usual(spacing_mm=(3.0, 3.0, 1.0)), "voxel size from front to back, mm 3"),
        (usual(channels=(upside_down,)), "it would look more like the training flipped from bottom to top"),
        (usual(channels=(elsewhere,)), "bright and dark lie elsewhere"),
        (usual(channels=(replace(CHANNEL, noise=5.0),)), "intensities unlike those of the training: noise 5"),
        (usual(levels_misplaced=1), "levels in the wrong order 1, and 0 in training"),
        (evidence_of({**structures, "upper": structure_of(0.1, math.exp(7))}), "upper: expected Dice 0.1"),
        (evidence_of({**structures, "upper": missing()}), "upper: not found"),
        (evidence_of({**structures, "lower": structure_of(0.9, 20.0)}), "lower: volume, mm3 20"),
        (evidence_of({**structures, "lower": structure_of(0.9, math.exp(7), islands=9)}), "lower: islands 9"),
    ):
        assert said in flags(promised(promise, evidence)), said


def test_of_too_few_subjects_nothing_is_promised() -> None:
    assert learn_promise(cases_like(FEWEST, 0)).bounds
    few = learn_promise(cases_like(FEWEST - 1, 0))
    assert not few.bounds and not few.gauges and few.subjects == FEWEST - 1
    said = promised(few, usual())
    assert said.flags == () and all(one.promised_dice is None for one in said.structures)
    # and of many cases of few
    several = [replace(known, subject=f"subject_{place % 4}") for place, known in enumerate(cases_like(40, 0))]
    assert not learn_promise(several).bounds


def test_nine_subjects_are_held_to_the_worst_of_them() -> None:
    """The share of usual cases that are flagged is said: one of ten."""
    promise = learn_promise(cases_like(9, 3))
    assert promise.alarms == pytest.approx(0.1)
    assert learn_promise(cases_like(19, 3)).alarms == pytest.approx(0.05)
    assert learn_promise(cases_like(100, 3)).alarms == pytest.approx(1 - 98 / 101)


def test_cases_of_a_subject_are_left_out_together() -> None:
    """Each Dice is there twice: who learns of the twin foretells it better than who does not, and promises too much."""
    once = cases_like(30, 5)
    twins = [replace(known, case=f"{known.case}_again") for known in once]
    folds = {known.case: str(place % 5) for place, known in enumerate([*once, *twins])}
    edited = [replace(known, fold=folds[known.case]) for known in [*once, *twins]]
    promise = learn_promise(edited)
    first = promise.bounds[0]
    assert promise.cases == 60 and promise.subjects == 30 == first.subjects and first.cases == 60
    assert sum(first.weights) == pytest.approx(30)
    # sorted by name a twin follows its case
    assert first.left_out[::2] == first.left_out[1::2]


def test_a_structure_that_few_have_has_no_bound_and_the_others_do() -> None:
    cases = cases_like(40, 6)
    rare = [
        replace(known, evidence=evidence_of({**known.evidence.structures, "lower": missing()}))
        if place >= FEWEST - 1
        else known
        for place, known in enumerate(cases)
    ]
    assert learn_promise(rare).names == ("upper",)
    unknown = [replace(known, dice={"upper": known.dice["upper"]}) for known in cases]
    assert learn_promise(unknown).names == ("upper",)


def test_all_alike_is_no_trouble(tmp_path: Path) -> None:
    """Constant features and Dice: the promise is what was seen, and a case like these is no odd one."""
    cases = [Known(f"{place}", f"{place}", "0", usual(), dict.fromkeys(NAMES, 0.8)) for place in range(12)]
    promise = learn_promise(cases)
    said = promised(promise, usual())
    assert said.of("upper").promised_dice == pytest.approx(0.8, abs=1e-5) and said.flags == ()
    assert promised(promise, usual(size_mm=(30.0, 100.0, 50.0))).flags
    write_promise(tmp_path, promise)
    assert read_promise(tmp_path) == promise


def test_what_is_learnt_does_not_hang_on_the_order_of_cases_and_is_read_as_it_was_written(tmp_path: Path) -> None:
    cases = cases_like(25, 7)
    promise = learn_promise(cases)
    assert learn_promise(cases[::-1]) == promise
    write_promise(tmp_path, promise)
    assert read_promise(tmp_path) == promise
    assert "case_0" not in json.dumps((tmp_path / "promise.json").read_text())  # nothing of anybody


def test_less_evidence_never_promises_more() -> None:
    promise = learn_promise(cases_like(60, 8))
    dice = [
        promised(promise, evidence_of({**usual().structures, "upper": structure_of(expected, math.exp(7))})).of("upper")
        for expected in (0.95, 0.9, 0.7, 0.4, 0.1)
    ]
    values = [one.promised_dice or 0.0 for one in dice]
    assert values == sorted(values, reverse=True) and values[-1] < 0.3 < off_scale(1.0) < values[0]


def test_evidence_of_two_kinds_is_a_fault_of_ours() -> None:
    cases = cases_like(12, 9)
    mixed = [replace(cases[0], evidence=replace(cases[0].evidence, temperature=2.0)), *cases[1:]]
    with pytest.raises(ValueError, match="2 temperatures"):
        learn_promise(mixed)


def test_of_many_cases_some_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of both structures together 40 of 120, by which the bound is the same but for chance."""
    cases = cases_like(60, 11)
    whole = learn_promise(cases)
    monkeypatch.setattr(learning, "_MOST_REMEMBERED", 40)
    promise = learn_promise(cases)
    assert [bound.cases for bound in promise.bounds] == [20, 20] and [bound.cases for bound in whole.bounds] == [60, 60]
    few, all_of_them = (promised(one, usual()).of("upper").promised_dice for one in (promise, whole))
    assert few == pytest.approx(all_of_them, abs=0.06)


def test_of_very_many_quantities_fewer_directions_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "_MOST_ALONG", 2 * 125)
    promise = learn_promise(cases_like(20, 12))
    kept = {gauge.kind: len(gauge.directions) for gauge in promise.gauges if gauge.directions}
    assert kept == {"intensity": 12, "layout": 2, "orientation": 2}
    monkeypatch.setattr(learning, "MOST_GAUGED", 100)
    assert {gauge.kind for gauge in learn_promise(cases_like(20, 12)).gauges} == set(KINDS) - {"layout", "orientation"}


def test_no_threshold_lies_below_what_is_usual() -> None:
    """What is said of kinds in which nothing is odd would else be told."""
    assert learning._threshold([-1.0] * 9, [str(place) for place in range(9)])[0] == 0


def test_many_structures_are_not_more_than_a_file_may_hold() -> None:
    names = [f"structure {place}" for place in range(60)]
    cases = [
        Known(
            str(place),
            str(place),
            str(place % 3),
            evidence_of({name: structure_of(0.8 + 0.01 * place) for name in names}),
            {name: 0.8 + 0.01 * place for name in names},
        )
        for place in range(12)
    ]
    promise = learn_promise(cases)
    assert len(promise.bounds) == 60 and all(len(gauge.names) <= MOST_GAUGED for gauge in promise.gauges)
