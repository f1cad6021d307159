from __future__ import annotations

from collections.abc import Callable

import pytest

from autospine.errors import PlanError
from autospine.machine.arithmetic import Machine
from autospine.planning.decide.basis import Basis, Outline
from autospine.planning.decide.network import NOTHING, Narrowing
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.fingerprint import Fingerprint

Make = Callable[..., Fingerprint]


@pytest.fixture
def thick(make_fingerprint: Make) -> Basis:
    """12 slices, 4 of 5 mm and one of 3 mm: the tenth percentile of the thickness is 3.8 mm."""
    spacings = [(5.0, 1.0, 1.0)] * 4 + [(3.0, 1.0, 1.0)]
    return Basis.of(make_fingerprint([(12, 200, 220)] * 5, spacings), Recipe())


def test_slices_keep_their_own_spacing(thick: Basis) -> None:
    flat, full = (Outline.of(thick, name, NOTHING) for name in ("2d", "3d_fullres"))
    assert (flat.patch_axes, flat.frame.spacing_mm, flat.frame.median_shape) == ((1, 2), (1.0, 1.0), (200.0, 220.0))
    assert flat.why_spacing == "slices keep their own spacing; in plane the median of 5 cases (nnU-Net v2.8)"
    assert full.patch_axes == (0, 1, 2) and full.frame.spacing_mm == pytest.approx((3.8, 1.0, 1.0))
    assert "their 10th percentile stands for them" in full.why_spacing
    # 12 slices of 5 mm are 16 (15.8) of 3.8 mm
    assert full.frame.dataset_voxels == 5 * 16 * 200 * 220


def test_a_spacing_that_a_time_budget_keeps_has_its_reason(thick: Basis) -> None:
    whole = Outline.of(thick, "3d_fullres", NOTHING)
    kept = Outline.of(thick, "3d_fullres", Narrowing(spacing_mm=whole.frame.spacing_mm))
    assert (kept.grid, kept.why_spacing) == (whole.grid, whole.why_spacing)
    coarse = Outline.of(thick, "2d", Narrowing(spacing_mm=(2.0, 2.0), max_batch=4, patch_limit=(64, 64)))
    assert coarse.frame.median_shape == (100.0, 110.0)
    assert (coarse.frame.max_batch, coarse.frame.limit) == (4, (64, 64))
    assert coarse.grid.spacing_mm[0] == whole.grid.spacing_mm[0]


def test_a_low_resolution_that_does_not_pay_is_no_configuration(thick: Basis) -> None:
    for name in ("3d_lowres", "3d_cascade_fullres"):
        with pytest.raises(PlanError, match=f"{name}: a patch of full resolution sees"):
            Outline.of(thick, name, NOTHING)


def test_the_low_resolution_of_narrower_networks_is_another(make_fingerprint: Make) -> None:
    basis = Basis.of(make_fingerprint([(400, 400, 400)] * 2, [(1.0, 1.0, 1.0)] * 2), Recipe(), Machine("float32"))
    assert basis.low.seen == 128**3 / 400**3
    assert Outline.of(basis, "3d_fullres", NOTHING).low == basis.low
    narrow = Outline.of(basis, "3d_fullres", Narrowing(base_features=8))
    assert narrow.low.seen > basis.low.seen
    assert Outline.of(basis, "3d_cascade_fullres", Narrowing(base_features=8)).low == basis.low
    assert Outline.of(basis, "3d_lowres", NOTHING).why_spacing == basis.low.why
