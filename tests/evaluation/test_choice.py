"""What is chosen, and what it is worth on cases that did not choose it: by hand."""

from __future__ import annotations

import numpy as np
import pytest

from autospine.evaluation.choice import FEWEST_SUBJECTS, by_subject, case_dice, dice_of, judge, pick
from autospine.evaluation.paired import interval, least_p

NAN = np.nan


def test_dice_of_counts() -> None:
    overlaps = np.array([[[3, 5, 4], [0, 0, 0]], [[0, 2, 0], [2, 2, 2]]])
    np.testing.assert_allclose(dice_of(overlaps), [[6 / 9, NAN], [0.0, 1.0]])
    np.testing.assert_allclose(case_dice(overlaps), [6 / 9, 0.5])


def test_a_subject_counts_once_however_many_cases() -> None:
    found = by_subject(np.array([0.2, 0.4, 1.0, NAN, NAN]), ["b", "b", "a", "a", "c"])
    np.testing.assert_allclose(found, [1.0, 0.3, NAN])


def test_so_few_subjects_could_all_agree_by_chance() -> None:
    assert least_p(FEWEST_SUBJECTS) < 0.05 <= least_p(FEWEST_SUBJECTS - 1)


def test_each_part_is_judged_by_what_the_others_choose() -> None:
    """Option 1 looks better by one case of part 0; the other parts do not choose it for that."""
    differences = np.array(
        [
            [0.01, 0.01, 0.02, 0.02, 0.03, 0.03],  # helps everybody
            [0.90, 0.00, 0.00, 0.00, 0.00, 0.00],  # one lucky case
        ]
    )
    subjects, parts = list("abcdef"), [0, 0, 1, 1, 2, 2]
    judged = judge(differences, subjects, parts)
    assert judged.option == 1  # its mean 0.15 is above 0.02
    # part 0 is judged by option 0 (0.025 against 0 on the others), parts 1 and 2 by option 1 (0.225 or so)
    assert judged.gain.mean == pytest.approx(np.mean([0.01, 0.01, 0, 0, 0, 0]))
    assert not judged.helps  # half of the draws have none of the two
    sound = judge(differences[:1], subjects, parts)
    assert sound.option == 0 and sound.helps and sound.gain.mean == pytest.approx(0.02)
    assert sound.gain.low > 0


def test_noise_is_not_chosen() -> None:
    """Of twenty options that do nothing in the mean, the luckiest is taken, and unmasked."""
    rng = np.random.default_rng(5)
    differences = rng.normal(0, 0.02, (20, 30))
    judged = judge(differences, [str(index) for index in range(30)], [index % 5 for index in range(30)])
    assert judged.option is not None and differences[judged.option].mean() > 0.003
    assert judged.gain.mean < differences[judged.option].mean() / 2
    assert not judged.helps


def test_nothing_is_an_option_and_ties_take_the_first() -> None:
    subjects, parts = list("abcdefgh"), [0, 1] * 4
    nothing = judge(np.array([[-0.1] * 8, [0.0] * 8]), subjects, parts)
    assert nothing.option is None and not nothing.helps and nothing.gain.mean == 0
    same = judge(np.array([[0.1] * 8, [0.1] * 8]), subjects, parts)
    assert same.option == 0 and same.helps


def test_few_subjects_are_not_beyond_noise_however_much_they_gain() -> None:
    judged = judge(np.full((1, 10), 0.1), ["a", "b", "c", "d", "e"] * 2, [0, 1, 0, 1, 0] * 2)
    assert judged.option == 0 and judged.gain.subjects == 5 and judged.gain.low > 0 and not judged.helps


def test_what_changes_a_few_of_many_subjects_rests_on_these_few() -> None:
    """Five of a hundred gain: hardly a draw has none of them, but five that agree are within chance."""
    subjects, parts = [f"s{index:03}" for index in range(100)], [index % 5 for index in range(100)]
    differences = np.zeros((1, 100))
    differences[0, :5] = 0.1, 0.2, 0.1, 0.2, 0.1
    judged = judge(differences, subjects, parts)
    assert judged.option == 0 and judged.gain.subjects == 100 and judged.gain.low > 0
    assert judged.moved == 5 < FEWEST_SUBJECTS and not judged.helps
    differences[0, 5] = 0.1
    judged = judge(differences, subjects, parts)
    assert judged.moved == 6 and judged.helps
    base = np.full(100, 0.8)
    picked = pick(np.stack([base, base + differences[0] - 0.1 * (np.arange(100) == 5)]), [1, 2], subjects, parts)
    assert picked.candidate == 0 and picked.compared[1].moved == 5


def test_what_nobody_knows_is_left_out() -> None:
    differences = np.array([[NAN, NAN, 0.1, 0.2, 0.1, 0.2, 0.1, 0.2]])
    judged = judge(differences, list("abcdefgh"), [0, 1] * 4)
    assert judged.gain.subjects == 6 and judged.gain.mean == pytest.approx(0.15)


def subject_names(count: int) -> list[str]:
    return [f"s{index:02}" for index in range(count)]


def test_the_best_alone_is_taken_unless_an_ensemble_is_better_beyond_noise() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(0.8, 0.05, 12)
    better = base + rng.uniform(0.005, 0.02, 12)
    noisy = base + rng.normal(0.002, 0.03, 12)
    subjects, parts = subject_names(12), [index % 3 for index in range(12)]
    picked = pick(np.stack([base, base - 0.1, better]), [1, 1, 2], subjects, parts)
    assert picked.candidate == 2
    assert [one.better for one in picked.compared] == [False, False, True]
    assert picked.compared[1].worse and picked.compared[0].difference is None
    assert picked.compared[2].difference == interval(better - base)
    picked = pick(np.stack([base, base - 0.1, noisy]), [1, 1, 2], subjects, parts)
    assert picked.candidate == 0 and not picked.compared[2].better


def test_a_better_single_model_needs_no_proof_but_is_told_without() -> None:
    first, second = np.array([0.8, 0.7, 0.9, 0.8]), np.array([0.9, 0.7, 0.8, 0.81])
    picked = pick(np.stack([first, second]), [1, 1], list("abcd"), [0, 0, 1, 1])
    assert picked.candidate == 1
    assert picked.compared[0].difference is not None and not picked.compared[0].worse


def test_the_choice_is_repeated_without_each_part() -> None:
    """Part 0 alone speaks for the second; the others would take the first, and get its Dice there."""
    first = np.array([0.5, 0.5, 0.8, 0.8, 0.8, 0.8])
    second = np.array([1.0, 1.0, 0.7, 0.7, 0.7, 0.7])
    picked = pick(np.stack([first, second]), [1, 1], subject_names(6), [0, 0, 1, 1, 2, 2])
    assert picked.candidate == 1  # 0.8 against 0.7
    # part 0: the others say 0.8 > 0.7, first: 0.5; parts 1 and 2: 0.65 < 0.85, second: 0.7
    assert picked.unseen.mean == pytest.approx((2 * 0.5 + 4 * 0.7) / 6)


def test_a_single_part_chooses_and_nobody_is_left_to_judge() -> None:
    picked = pick(np.array([[0.5, 0.6], [0.7, 0.8]]), [1, 1], ["a", "b"], [0, 0])
    assert picked.candidate == 1 and picked.unseen.subjects == 0 and np.isnan(picked.unseen.mean)
    alone = pick(np.array([[0.7, 0.8]]), [1], ["a", "b"], [0, 0])  # nothing was chosen
    assert alone.candidate == 0 and alone.unseen.mean == pytest.approx(0.75)
