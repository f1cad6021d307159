"""What a user's wishes come to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from autospine.errors import PlanError
from autospine.inference.settings import FAST_OVERLAP, Settings
from autospine.planning.document.configuration import Configuration


def test_a_fast_prediction_overlaps_least_and_does_not_mirror() -> None:
    fast = Settings(fast=True)
    assert not fast.mirrored and fast.overlap_of(0.5) == FAST_OVERLAP
    assert fast.overlap_of(0.1) == 0.1  # never more than planned
    assert Settings(fast=True, overlap=0.6).overlap_of(0.5) == 0.6  # what was asked for
    assert Settings().mirrored and Settings().overlap_of(0.5) == 0.5
    assert not Settings(mirror=False).mirrored and Settings(overlap=0.0).overlap_of(0.5) == 0.0


def test_one_fold_and_several_are_refused() -> None:
    Settings(folds=("1",), fast=True).check()
    Settings(folds=("0", "1")).check()
    with pytest.raises(PlanError, match=r"--fast, which predicts with one fold, beside --folds 0,1"):
        Settings(folds=("0", "1"), fast=True).check()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings(overlap=-0.1), "overlap by -0.1"),
        (Settings(overlap=1.0), "0 to 0.9"),
        (Settings(overlap=float("nan")), "overlap by nan"),
        (Settings(memory_bytes=0), "a limit of 0 bytes"),
    ],
)
def test_what_cannot_be_is_refused(settings: Settings, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        settings.check()


def test_what_is_used_as_it_was_validated(make_configuration: Callable[..., Configuration]) -> None:
    configuration = make_configuration(overlap=0.5)
    mirrored = replace(configuration, training=replace(configuration.training, mirror_axes=(0, 1)))
    plain = replace(configuration, training=replace(configuration.training, mirror_axes=()))
    for settings, with_mirrors, without in (
        (Settings(), True, True),
        (Settings(folds=("0",), exact=True, overlap=0.5), True, True),
        (Settings(mirror=False), False, True),
        (Settings(overlap=0.25), False, False),
        (Settings(fast=True), False, False),
    ):
        assert settings.as_validated(mirrored) is with_mirrors and settings.as_validated(plain) is without
