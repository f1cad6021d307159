from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from autospine.errors import PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.decisions import decisions, find_decisions
from autospine.planning.document.expected import Estimated, Expected
from autospine.planning.document.plan import Plan

REASONS = {
    "default": "the slices are thick",
    "2d.patch": "it fits",
    "3d_fullres.network.strides": "halved once",
    "left_out.3d_lowres": "the patch sees enough",
}


@pytest.fixture
def plan(make_plan: Callable[..., Plan], make_configuration: Callable[..., Configuration]) -> Estimated:
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    thick = replace(flat, name="2.5d", neighbours=1, network=replace(flat.network, in_channels=3))
    full = make_configuration()
    made = make_plan(configurations=(flat, thick, full), default="3d_fullres", reasons=REASONS)
    return Estimated(made, {"2.5d": Expected(1.5, why="it was counted")})


def keys(plan: Estimated, key: str | None) -> list[str]:
    return [decision.key for decision in find_decisions(plan, key)]


def test_every_decision_stands_once_with_its_value_and_reason(plan: Estimated) -> None:
    found = {decision.key: decision for decision in decisions(plan)}
    assert len(found) == len(decisions(plan))
    assert found["2d.patch"].value == (16, 16)
    assert found["2d.patch"].reason == "it fits"
    assert found["2d.batch"].reason == ""
    assert found["3d_fullres.network.strides"].sections == ("3d_fullres", "3d_fullres.network")
    assert found["2.5d.expected.memory_gb"].value == 1.5
    assert found["2.5d.expected.memory_gb"].reason == "it was counted"
    assert found["2.5d.expected.memory_gb"].sections == ("2.5d", "2.5d.expected")
    assert not any(key.endswith(".why") for key in found)
    assert not any(key.startswith("2d.expected") for key in found)
    assert found["labels"].value == (("L1", 1), ("L2", 2), ("L3", 3))
    assert found["left_out.3d_lowres"].value is None
    assert set(REASONS) <= set(found)
    assert not any(key.endswith(".name") for key in found)


def test_a_whole_key_or_section_is_taken_as_it_stands(plan: Estimated) -> None:
    assert keys(plan, "2d.patch") == ["2d.patch"]
    assert keys(plan, "default") == ["default"]
    assert set(keys(plan, "2.5d")) == {decision.key for decision in decisions(plan) if decision.key.startswith("2.5d.")}
    assert keys(plan, "2d.resampling") == [
        f"2d.resampling.{key}"
        for key in ("order_image", "order_label", "order_probability", "order_through_plane", "anisotropy_threshold")
    ]
    assert keys(plan, "left_out") == ["left_out.3d_lowres"]
    assert len(keys(plan, None)) == len(decisions(plan))


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("patch", ["3d_fullres.patch"]),
        ("network.strides", ["3d_fullres.network.strides"]),
        ("strides", ["3d_fullres.network.strides"]),
        ("memory_gb", ["2.5d.expected.memory_gb"]),
        ("3d_lowres", ["left_out.3d_lowres"]),
        (" PATCH[0]", ["3d_fullres.patch"]),
        ("strides[1][2]", ["3d_fullres.network.strides"]),
    ],
)
def test_a_shorter_key_is_that_of_the_default_configuration_first(plan: Estimated, key: str, found: list[str]) -> None:
    assert keys(plan, key) == found


def test_a_section_is_that_of_the_default_configuration(plan: Estimated) -> None:
    assert keys(plan, "loss") == [
        f"3d_fullres.loss.{key}"
        for key in (
            "kind",
            "class_weights",
            "batch_dice",
            "smooth",
            "alpha",
            "weight_cap",
            "usual_sizes",
            "largest_size",
        )
    ]


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("pach", "`patch`"),
        ("2d.pach", "`2d.patch`"),
        ("los", "`loss`"),
        ("2d.stride", "`network.strides`"),
        ("5d", "`2.5d`"),
        ("5d.patch", "`2.5d.patch`"),
        ("3d_fulres", "`3d_fullres`"),
        ("zzz", "such as `2d`, `loss` or `patch`"),
    ],
)
def test_an_unknown_key_names_the_nearest(plan: Estimated, key: str, near: str) -> None:
    with pytest.raises(PlanError) as caught:
        find_decisions(plan, key)
    assert caught.value.found == f"no decision `{key}`"
    assert near in caught.value.expected
