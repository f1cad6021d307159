from __future__ import annotations

from autospine.data.folds import Fold
from autospine.planning.measured.absent import Shown, unseen_in_folds


def test_what_no_training_case_of_a_fold_shows_is_told() -> None:
    shown = {
        "a": Shown(frozenset({0, 1}), frozenset({1, 2})),
        "b": Shown(frozenset({0}), frozenset({1})),
        "c": Shown(frozenset({0}), frozenset({1})),
    }
    folds = [Fold(("b", "c"), ("a",)), Fold(("a", "c"), ("b",)), Fold(("b", "gone"), ("a",)), Fold(("gone",), ("a",))]
    first = unseen_in_folds(shown, ("T1", "T2"), ("L5", "L4"), [(0, folds[0])])
    assert first == (
        "No training case of fold 0 has T2: its network will not know what that shows",
        "No training case of fold 0 holds L4: its network cannot learn to find it",
    )
    # fold 1 has case a; of fold 3 nothing is known
    every = unseen_in_folds(shown, ("T1", "T2"), ("L5", "L4"), enumerate(folds))
    assert every == (
        "No training case of the folds 0, 2 has T2: their networks will not know what that shows",
        "No training case of the folds 0, 2 holds L4: their networks cannot learn to find it",
    )
