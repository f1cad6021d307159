from __future__ import annotations

from dataclasses import replace

import pytest

from autospine.planning.budget.ladder import COARSEST, NEAR_VIEW, coarsest_factor, ladder, near_view_mm
from autospine.planning.decide.basis import Basis
from autospine.planning.decide.planner import make_plan
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.recipe import Recipe
from autospine.planning.estimate.cost import multiply_adds
from autospine.planning.measured.fingerprint import Fingerprint
from tests.planning.conftest import MakeFingerprint


def planned(fingerprint: Fingerprint, name: str = "2d") -> Configuration:
    return make_plan(fingerprint, Recipe()).configuration(name)


def basis(fingerprint: Fingerprint, recipe: Recipe = Recipe()) -> Basis:  # noqa: B008
    return Basis.of(fingerprint, recipe)


@pytest.fixture
def cord(make_fingerprint: MakeFingerprint) -> Fingerprint:
    """Axial slices with a small round thing and a smaller one inside it: 160 and 40 pixels a slice, 15 mm wide."""
    return make_fingerprint(
        [(20, 320, 320)] * 8, [(3.0, 0.5, 0.5)] * 8, ("white", "grey"), voxels=(1600, 400), extent_mm=15.0
    )


@pytest.mark.parametrize("name", ["2d", "2.5d", "3d_fullres"])
def test_each_rung_costs_less(lumbar: Fingerprint, name: str) -> None:
    configuration = planned(lumbar, name)
    rungs = [configuration, *(rung.configuration for rung in ladder(basis(lumbar), configuration))]
    work = [multiply_adds(rung.network, rung.patch, rung.batch) for rung in rungs]
    assert all(narrower < 0.95 * wider for wider, narrower in zip(work, work[1:], strict=False))
    assert work[1] > work[-1] * 20
    assert {rung.axis_order for rung in rungs} == {configuration.axis_order}


def test_ordered_levels_keep_the_whole_view(lumbar: Fingerprint) -> None:
    configuration = planned(lumbar)
    # the levels lie one above the other, and further back from one to the next
    assert near_view_mm(basis(lumbar), configuration)[0] == float("inf")
    for rung in ladder(basis(lumbar), configuration):
        edge, spacing = rung.configuration.patch[0], rung.configuration.spacing_mm[0]
        assert edge * spacing >= 224


def test_tiny_anatomy_keeps_its_pixels_and_gives_up_the_view(cord: Fingerprint) -> None:
    configuration = planned(cord)
    assert coarsest_factor(cord, configuration) == 1.0  # 40 pixels are too few already
    assert near_view_mm(basis(cord), configuration) == (NEAR_VIEW * 15.0, NEAR_VIEW * 15.0)
    rungs = ladder(basis(cord), configuration)
    assert {rung.configuration.spacing_mm for rung in rungs} == {(0.5, 0.5)}
    # 60 mm are 120 pixels, padded to what four poolings divide by
    assert rungs[1].configuration.patch == (128, 128)
    assert "view" in rungs[1].what


def test_resolution_is_given_up_as_far_as_the_smallest_class_allows(make_fingerprint: MakeFingerprint) -> None:
    def factor(voxels: int) -> float:
        made = make_fingerprint([(20, 200, 200)] * 4, [(4.0, 1.0, 1.0)] * 4, ("a",), voxels=(voxels,))
        return coarsest_factor(made, planned(made))

    # over ten slices: 300 pixels a slice may become 75, which is twice the spacing
    assert factor(3000) == pytest.approx(2.0, abs=0.03)
    assert factor(1000) == pytest.approx((100 / 75) ** 0.5, abs=0.02)
    assert factor(100_000) == COARSEST
    assert factor(0) == 1.0


def test_thick_slices_are_left_alone_until_the_others_have_caught_up(lumbar: Fingerprint) -> None:
    rungs = ladder(basis(lumbar), planned(lumbar, "3d_fullres"))
    spacings = [rung.configuration.spacing_mm for rung in rungs]
    assert all(spacing[0] == 4.0 for spacing in spacings)
    assert len(set(spacings)) > 1


def test_a_recipe_that_is_narrow_already_is_not_widened(lumbar: Fingerprint) -> None:
    recipe = replace(Recipe(), base_features=8)
    rungs = ladder(basis(lumbar, recipe), make_plan(lumbar, recipe).configuration("2d"))
    assert {rung.configuration.network.features[0] for rung in rungs} == {8}


def test_small_lesions_keep_their_surroundings(make_fingerprint: MakeFingerprint) -> None:
    made = make_fingerprint([(200, 200, 200)] * 4, [(1.0, 1.0, 1.0)] * 4, ("lesion",), voxels=(60,), extent_mm=5.0)
    configuration = planned(made)
    assert near_view_mm(basis(made), configuration) == (96.0, 96.0)


def test_a_low_resolution_keeps_its_view(make_fingerprint: MakeFingerprint) -> None:
    made = make_fingerprint([(400, 500, 500)] * 4, [(1.0, 1.0, 1.0)] * 4, voxels=(9000, 9000), extent_mm=20.0)
    low = planned(made, "3d_lowres")
    rungs = ladder(basis(made), low)
    assert len(rungs) > 2
    assert all("view" not in rung.what for rung in rungs)
    assert any("view" in rung.what for rung in ladder(basis(made), planned(made, "3d_fullres")))


def test_a_spacing_that_is_kept_is_kept_exactly(make_fingerprint: MakeFingerprint) -> None:
    made = make_fingerprint([(20, 320, 320)] * 4, [(3.0, 0.46875, 0.46875)] * 4, ("a",), voxels=(400,), extent_mm=15.0)
    rungs = ladder(basis(made), planned(made))
    assert {rung.configuration.spacing_mm for rung in rungs} == {(0.46875, 0.46875)}
    assert all("resolution" not in rung.what for rung in rungs)


def test_the_residual_encoder_gets_shallow(lumbar: Fingerprint) -> None:
    recipe = replace(Recipe(), encoder="residual")
    rungs = ladder(basis(lumbar, recipe), make_plan(lumbar, recipe).configuration("2d"))
    assert {max(rung.configuration.network.blocks) for rung in rungs} == {1}
    assert {rung.configuration.network.encoder for rung in rungs} == {"residual"}
