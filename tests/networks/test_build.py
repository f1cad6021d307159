"""A network is built as the plan says, or refused before torch would fail inside."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autospine.errors import PlanError
from autospine.networks.build import build_network
from autospine.networks.msff import MSFF
from autospine.networks.residual import ResidualBlock
from autospine.planning.document.parts import NetworkPlan

PLAN_2D = NetworkPlan(
    dimension=2,
    in_channels=2,
    out_channels=4,
    features=(8, 16, 32),
    kernels=((3, 3),) * 3,
    strides=((1, 1), (2, 2), (2, 2)),
    blocks=(2, 2, 2),
)


@pytest.mark.parametrize(
    ("plan", "patch", "message"),
    [
        (PLAN_2D, (10, 8), "divided"),
        (PLAN_2D, (8, 8, 8), "2 numbers"),
        (PLAN_2D, (0, 8), "divided"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(plan: NetworkPlan, patch: tuple[int, ...], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        build_network(plan, patch)


def test_every_choice_of_the_plan_is_built() -> None:
    plain = build_network(PLAN_2D, (16, 16))
    assert [len(stage) for stage in plain.encoder] == [2, 2, 2] and plain.divisor == (4, 4)
    assert plain.heads[0].weight.shape == (4, 8, 1, 1) and not isinstance(plain.msff, MSFF)
    chosen = build_network(replace(PLAN_2D, encoder="residual", bottleneck="msff", blocks=(1, 2, 3)), (16, 16))
    assert [len(stage) for stage in chosen.encoder] == [1, 2, 3]
    assert isinstance(chosen.encoder[0][0], ResidualBlock) and isinstance(chosen.msff, MSFF)
