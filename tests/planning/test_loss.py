from __future__ import annotations

from dataclasses import replace

import pytest

from autospine.planning.fingerprint import Fingerprint
from autospine.planning.loss import fold_loss
from autospine.planning.planner import make_plan
from autospine.planning.recipe import Recipe


@pytest.fixture
def uneven(lumbar: Fingerprint) -> Fingerprint:
    """The first case's last class is far smaller than that of the others."""
    sizes = [(400, 400, 400, 400, 100)] + [(400, 400, 400, 400, 25)] * (len(lumbar.cases) - 1)
    cases = [replace(case, class_voxels=voxels) for case, voxels in zip(lumbar.cases, sizes, strict=True)]
    return replace(lumbar, cases=tuple(cases))


@pytest.mark.parametrize("name", ["2d", "3d_fullres"])
def test_a_fold_weighs_by_its_own_training_cases(uneven: Fingerprint, name: str) -> None:
    configuration = make_plan(uneven, Recipe()).configuration(name)
    names = [case.case for case in uneven.cases]
    assert configuration.loss.class_weights == (1, 1, 1, 1, 1, 4)
    assert fold_loss(configuration, uneven, names) == configuration.loss
    assert fold_loss(configuration, uneven, names[1:]).class_weights == (1, 1, 1, 1, 1, 4)
    assert fold_loss(configuration, uneven, names[:1]).class_weights == (1, 1, 1, 1, 1, 2)
    assert fold_loss(configuration, uneven, names[:2]).class_weights == pytest.approx((1, 1, 1, 1, 1, 6.4**0.5))


def test_edited_weights_and_the_plain_loss_stay(uneven: Fingerprint) -> None:
    configuration = make_plan(uneven, Recipe()).configuration()
    edited = replace(configuration, loss=replace(configuration.loss, class_weights=(1, 1, 1, 1, 1, 3)))
    assert fold_loss(edited, uneven, [uneven.cases[0].case]) == edited.loss
    plain = make_plan(uneven, Recipe(loss="dice_ce")).configuration()
    assert fold_loss(plain, uneven, [uneven.cases[0].case]) == plain.loss
