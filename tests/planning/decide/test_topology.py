from __future__ import annotations

from math import prod

from hypothesis import given, settings
from hypothesis import strategies as st

from autospine.planning.decide.network import BLOCKS, DECODER_CONVS
from autospine.planning.decide.topology import (
    REFERENCE_BATCH,
    NetworkFamily,
    batch_by_memory,
    fit_patch,
    fits,
    initial_patch,
    memory_elements,
    topology,
)
from autospine.planning.document.parts import Encoder


def test_memory_grows_with_the_presets() -> None:
    assert [memory_elements(3, gb) for gb in (4.0, 8.0, 24.0, 80.0)] == [280e6, 560e6, 1680e6, 5600e6]
    assert [memory_elements(2, gb) for gb in (2.0, 8.0)] == [21.25e6, 85e6]
    residual = [memory_elements(3, gb, "residual") for gb in (4.0, 8.0, 16.0, 24.0, 32.0, 40.0, 80.0)]
    assert residual == [340e6, 680e6, 1390e6, 2.1e9, 2.85e9, 3.6e9, 7.2e9]
    assert [memory_elements(2, gb, "residual") for gb in (6.0, 8.0, 24.0, 40.0)] == [101.25e6, 135e6, 380e6, 560e6]


def test_what_must_fit_before_a_patch_stops_shrinking() -> None:
    # plain 2D: two patches at 8 GB, where 85e6 elements a patch go 12 times
    assert fits(2, 510_000_000, 8.0)
    assert not fits(2, 510_000_001, 8.0)
    assert fits(3, 560_000_000, 8.0)
    assert not fits(3, 560_000_001, 8.0)
    # residual 2D: all twelve
    assert fits(2, 135_000_000, 8.0, "residual")
    assert not fits(2, 135_000_001, 8.0, "residual")


def test_batches_fill_the_memory() -> None:
    assert batch_by_memory(2, 85_000_000, 8.0) == 12
    assert batch_by_memory(3, 280_000_000, 24.0) == 12
    assert batch_by_memory(3, 500_000_000, 24.0, "residual") == 8  # 2.1e9 / 500e6 x 2 = 8.4


def family(dimension: int, encoder: Encoder = "plain", out_channels: int = 6) -> NetworkFamily:
    cap = 512 if dimension == 2 else 320
    return NetworkFamily(encoder, BLOCKS[encoder], DECODER_CONVS[encoder], 32, cap, out_channels)


def test_a_lone_axis_needs_three_times_the_smallest_edge() -> None:
    assert topology((1.0, 1.0), (11, 4)).strides == ((1, 1),)
    assert topology((1.0, 1.0), (12, 4)).strides == ((1, 1), (2, 1))


def test_a_short_fine_axis_does_not_end_the_network() -> None:
    # 11 slices of 1 mm are never halved; in plane, pixels of 2 mm go on to 5 x 5
    net = topology((1.0, 2.0, 2.0), (11, 300, 300))
    assert net.strides == ((1, 1, 1), *((1, 2, 2),) * 6)
    assert net.patch == (11, 320, 320)


def test_odd_sizes_are_halved_upwards_and_padded() -> None:
    # 15 -> 8 -> 4 and 30 -> 15 -> 8 -> 4: the second axis halves a third time only beside the first.
    net = topology((1.0, 1.0), (15, 30))
    assert net.divisors == (4, 4)
    assert net.patch == (16, 32)


def test_the_first_patch_is_as_long_in_mm_along_each_axis() -> None:
    large = (10_000, 10_000, 10_000)
    assert initial_patch((4.0, 1.0, 1.0), large) == (102, 406, 406)  # 256^3 voxels
    assert initial_patch((1.0, 1.0), (300.5, 5000), limit=(400, 100)) == (300.5, 100)


def test_a_family_fills_its_stages() -> None:
    deep = family(3, "residual")
    assert deep.features_of(6) == (32, 64, 128, 256, 320, 320)
    assert deep.blocks_of(6) == (1, 3, 4, 6, 6, 6)
    assert deep.blocks_of(2) == (1, 3)
    assert family(2).blocks_of(3) == (2, 2, 2)
    # the reference counts 129 531 904 for seven stages; the eighth adds a decoder stage at 8 x 8, and at 4 x 4 six
    # blocks of two convolutions and a projection
    net = topology((1.0, 1.0), (512, 512))
    assert family(2, "residual", out_channels=3).elements(net) == 129_531_904 + 2 * 64 * 512 + 13 * 16 * 512


def test_the_residual_encoder_shrinks_until_twelve_slices_fit() -> None:
    spacing, shape = (1.0, 1.0), (900, 700)
    plain, residual = (fit_patch(spacing, shape, family(2, encoder), 8.0) for encoder in ("plain", "residual"))
    assert plain.elements / 6 <= 85e6
    assert residual.elements <= 135e6
    assert residual.shrunk > plain.shrunk


def test_a_patch_says_what_holds_it() -> None:
    def why(shape: tuple[float, ...], limit: tuple[float, ...] | None = None) -> str:
        return fit_patch((1.0, 1.0), shape, family(2), 8.0, limit).why

    padded = "; each edge is padded to what its poolings divide by (nnU-Net v2.8)"
    assert why((64.0, 64.0)) == f"the median case fits 8 GB whole{padded}"
    assert (
        why((64.0, 64.0), (32.0, 80.0)) == f"the part of the median case that the time budget leaves fits 8 GB{padded}"
    )
    assert why((64.0, 64.0), (64.0, 80.0)) == f"the median case fits 8 GB whole{padded}"
    # 2048 x 2048 voxels, which 8 GB do not hold
    shrunk = fit_patch((1.0, 1.0), (5000.0, 5000.0), family(2), 8.0).shrunk
    assert f"shrunk {shrunk} time(s)" in why((5000.0, 5000.0)) and shrunk > 0
    # along a line the volume that the rule begins with ends before the case does
    assert "2048 x 2048 voxels, which the rule begins with" in why((4.0, 9000.0))


def test_the_deepest_stage_sees_what_the_poolings_leave() -> None:
    # 11 slices are never halved, 320 pixels six times
    assert topology((1.0, 2.0, 2.0), (11, 300, 300)).bottom == (11, 5, 5)


def test_memory_that_cannot_be_met_ends() -> None:
    fit = fit_patch((1.0, 1.0), (64, 64), family(2, out_channels=1_000_000), 0.01)
    assert fit.why.startswith("the smallest patch there is; even that exceeds the estimate for 0.01 GB")
    assert fit.elements > memory_elements(2, 0.01)
    assert min(fit.topology.patch) >= 1


spacings = st.floats(0.2, 8.0, allow_nan=False)


@settings(max_examples=40)
@given(
    st.integers(2, 3).flatmap(
        lambda size: st.tuples(
            st.tuples(*[spacings] * size),
            st.tuples(*[st.integers(1, 500)] * size),
            st.sampled_from((2.0, 8.0, 24.0)),
            st.sampled_from(("plain", "residual")),
        )
    )
)
def test_patches_divide_stay_large_and_fit(drawn: tuple[tuple[float, ...], tuple[int, ...], float, Encoder]) -> None:
    spacing, shape, memory, encoder = drawn
    size = len(shape)
    fit = fit_patch(spacing, shape, family(size, encoder), memory)
    net = fit.topology
    for axis in range(size):
        edges, edge = [], net.patch[axis]
        for stride in net.strides:
            assert edge % stride[axis] == 0
            edge //= stride[axis]
            edges.append(edge)
        pooled = prod(stride[axis] for stride in net.strides)
        assert pooled == net.divisors[axis]
        assert pooled == 1 or min(edges) >= 4
    assert len(net.kernels) == len(net.strides)
    batch = REFERENCE_BATCH[size] if encoder == "residual" else 2
    assert fit.elements / REFERENCE_BATCH[size] * batch <= memory_elements(size, memory, encoder)
    assert "smallest" not in fit.why
