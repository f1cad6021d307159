from __future__ import annotations

from math import prod

from hypothesis import given, settings
from hypothesis import strategies as st

from autospine.planning.rules import REFERENCE_BATCH, memory_elements
from autospine.planning.topology import fit_patch, initial_patch, topology


def test_a_lone_axis_needs_three_times_the_smallest_edge() -> None:
    assert topology((1.0, 1.0), (11, 4)).strides == ((1, 1),)
    assert topology((1.0, 1.0), (12, 4)).strides == ((1, 1), (2, 1))


def test_odd_sizes_are_halved_upwards_and_padded() -> None:
    # 15 -> 8 -> 4 and 30 -> 15 -> 8 -> 4: the second axis halves a third time only beside the first.
    net = topology((1.0, 1.0), (15, 30))
    assert net.divisors == (4, 4)
    assert net.patch == (16, 32)


def test_the_first_patch_is_as_long_in_mm_along_each_axis() -> None:
    large = (10_000, 10_000, 10_000)
    assert initial_patch((4.0, 1.0, 1.0), large) == (102, 406, 406)  # 256^3 voxels
    assert initial_patch((1.0, 1.0), (300.5, 5000), limit=(400, 100)) == (300.5, 100)


def test_memory_that_cannot_be_met_ends() -> None:
    fit = fit_patch((1.0, 1.0), (64, 64), out_channels=1_000_000, base_features=32, feature_cap=512, memory_gb=0.01)
    assert fit.elements > memory_elements(2, 0.01)
    assert min(fit.topology.patch) >= 1


spacings = st.floats(0.2, 8.0, allow_nan=False)


@settings(max_examples=40)
@given(
    st.integers(2, 3).flatmap(
        lambda size: st.tuples(
            st.tuples(*[spacings] * size), st.tuples(*[st.integers(1, 500)] * size), st.sampled_from((2.0, 8.0, 24.0))
        )
    )
)
def test_patches_divide_stay_large_and_fit(drawn: tuple[tuple[float, ...], tuple[int, ...], float]) -> None:
    spacing, shape, memory = drawn
    size = len(shape)
    cap = 512 if size == 2 else 320
    fit = fit_patch(spacing, shape, out_channels=6, base_features=32, feature_cap=cap, memory_gb=memory)
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
    assert len(net.kernels) == len(net.strides) == len(fit.features)
    assert fit.elements / REFERENCE_BATCH[size] * 2 <= memory_elements(size, memory)
