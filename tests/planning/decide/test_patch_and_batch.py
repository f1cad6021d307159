from __future__ import annotations

from collections.abc import Callable

from autospine.planning.decide.network import BLOCKS, DECODER_CONVS
from autospine.planning.decide.patch_and_batch import Frame, Size, planned_overlap, size_for_memory
from autospine.planning.decide.topology import NetworkFamily
from autospine.planning.document.recipe import Recipe

PLAIN = NetworkFamily("plain", BLOCKS["plain"], DECODER_CONVS["plain"], 32, 320, 6)


def nothing(size: Size) -> float:
    return 0.0


def sized(
    shape: tuple[float, ...],
    gb: float,
    peak: Callable[[Size], float] = nothing,
    spacing: tuple[float, ...] = (1.0, 1.0, 1.0),
    max_batch: int | None = None,
) -> Size:
    return size_for_memory(Frame(spacing, shape, PLAIN, 1e12, 1.0, max_batch), gb, peak)


def test_the_rules_of_the_tier_below_the_memory_count() -> None:
    shape = (300.0, 300.0, 300.0)
    eight, eleven = (sized(shape, gb) for gb in (8.0, 11.9))
    assert eight == eleven
    assert (eight.fit.topology.patch, eight.batch, eight.memory_gb) == ((128, 128, 128), 2, 8.0)
    assert "is kept" not in eight.why_patch + eight.why_batch


def test_a_smaller_tier_that_shows_more_is_kept() -> None:
    spacing, shape = (0.4108, 1.6399, 1.8353), (18.0, 408.0, 471.0)
    four, six = (sized(shape, gb, spacing=spacing) for gb in (4.0, 6.0))
    # at 4 GB two patches of 16 x 192 x 160 fit, at 2 GB three of 11 x 192 x 160
    assert (four.fit.topology.patch, four.batch) == ((11, 192, 160), 3)
    assert four.memory_gb == 2.0
    kept = "the rule for 4 GB would show fewer voxels a step, that for 2 GB is kept (ours): "
    assert four.why_patch.startswith(kept) and four.why_batch.startswith(kept)
    assert "is kept" not in six.why_patch
    assert six.voxels >= 3 * 11 * 192 * 160 > 2 * 16 * 192 * 160


def test_an_estimate_over_the_memory_lowers_the_batch() -> None:
    shape = (64.0, 64.0, 64.0)
    rule = sized(shape, 8.0)
    # feature maps: 5 of 32 and 6 classes on 64^3, 5 of 64, 128, 256 on an eighth each, 2 of 320 on 4^3: 57.3 million
    assert rule.batch == 20
    lowered = sized(shape, 8.0, lambda size: size.batch * 0.7)
    assert (lowered.batch, lowered.fit, lowered.why_patch) == (11, rule.fit, rule.why_patch)
    assert lowered.why_batch == f"{rule.why_batch}; lowered until the estimated peak stays within 8 GB (ours)"


def test_an_estimate_over_the_memory_takes_a_smaller_patch_where_two_do_not_fit() -> None:
    def peak(size: Size) -> float:
        return size.batch * size.fit.elements * 1e-8  # 8 GB hold 400 million elements in two patches, the rule 560

    shape = (300.0, 300.0, 300.0)
    size = sized(shape, 8.0, peak)
    assert (size.memory_gb, size.batch) == (4.0, 2)
    assert size.why_patch.startswith("the rule for 8 GB would not fit by our estimate, that for 4 GB is kept (ours): ")
    assert peak(size) <= 8.0


def test_nothing_fits_at_all() -> None:
    size = sized((300.0,) * 3, 8.0, lambda size: 9.0)
    assert size.why_patch.startswith("the smallest patch there is; even that exceeds the estimate for 2 GB")
    assert (size.memory_gb, size.batch) == (2.0, 2)


def test_a_batch_below_the_rules_own_is_heeded() -> None:
    size = sized((300.0,) * 3, 8.0, max_batch=1)
    assert size.batch == 1
    assert size.why_batch.endswith("; held at 1 for the time budget (ours)")


def test_a_batch_that_the_rules_make_is_not_held() -> None:
    size = sized((300.0,) * 3, 8.0, max_batch=2)
    assert size.batch == 2
    # 128^3 of 557 million elements, of which 560 million go twice: 2.01
    assert size.why_batch == "8 GB allow 2, 100% of the data set's voxels allow 476837; at least 2 (nnU-Net v2.8)"


def test_tiles_overlap_as_the_recipe_says() -> None:
    assert planned_overlap(Recipe()).value == 0.5
    assert str(planned_overlap(Recipe()).why).endswith("share 50%: no voxel is seen at an edge only (nnU-Net v2.8)")
    assert "nnU-Net" not in planned_overlap(Recipe(overlap=0.25)).why
