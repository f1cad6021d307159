"""What a U-Net costs on a patch: feature-map elements (memory) and multiply-adds (time).

Both are counted on paper from the plan's numbers, so planning needs no torch. The element count is the reference
planner's: each convolution's output, the transposed convolutions and the finest segmentation head.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from autospine.planning.document.parts import Encoder, NetworkPlan


def stage_sizes(patch: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """Feature-map size of each stage: patch (32, 32) and strides (1, 1), (2, 2) give (32, 32), (16, 16)."""
    sizes: list[tuple[int, ...]] = []
    size = tuple(patch)
    for stride in strides:
        size = tuple(edge // step for edge, step in zip(size, stride, strict=True))
        sizes.append(size)
    return tuple(sizes)


def feature_map_elements(
    patch: Sequence[int],
    strides: Sequence[Sequence[int]],
    features: Sequence[int],
    out_channels: int,
    blocks: Sequence[int],
    convs_decoder: int = 2,
    encoder: Encoder = "plain",
) -> int:
    """Elements of all convolution outputs of a U-Net on one patch (batch 1).

    A residual stage counts two convolutions a block and one projection where its width or size changes; before it
    stands a stem. Equal to the reference's `compute_conv_feature_map_size` without deep supervision heads; the MSFF
    bottleneck is left out, at 1/1000 of the sum it decides nothing.
    """
    voxels = [prod(size) for size in stage_sizes(patch, strides)]
    stages = [width * size for width, size in zip(features, voxels, strict=True)]
    if encoder == "plain":
        total = sum(count * stage for count, stage in zip(blocks, stages, strict=True))
    else:
        changes = [features[i] != features[i - 1] or voxels[i] != voxels[i - 1] for i in range(1, len(stages))]
        total = stages[0] + sum(2 * count * stage for count, stage in zip(blocks, stages, strict=True))
        total += sum(stage for stage, change in zip(stages[1:], changes, strict=True) if change)
    # A decoder stage holds its convolutions and the transposed convolution that feeds it.
    return total + (convs_decoder + 1) * sum(stages[:-1]) + out_channels * voxels[0]


def multiply_adds(network: NetworkPlan, patch: Sequence[int], batch: int) -> int:
    """Multiply-adds of one forward pass of a batch; a training step is about three times that."""
    voxels = [prod(size) for size in stage_sizes(patch, network.strides)]
    kernels = [prod(kernel) for kernel in network.kernels]
    residual = network.encoder == "residual"
    total, entering = 0, network.in_channels
    if residual:  # the stem brings the channels to the first width
        entering = network.features[0]
        total += voxels[0] * kernels[0] * network.in_channels * entering
    for count, width, size, kernel in zip(network.blocks, network.features, voxels, kernels, strict=True):
        convs = 2 * count if residual else count
        total += size * kernel * width * (entering + (convs - 1) * width)
        if residual and entering != width:
            total += size * entering * width  # projection of the skip
        entering = width
    for stage in range(len(voxels) - 1):
        width, size, kernel = network.features[stage], voxels[stage], kernels[stage]
        total += size * width * network.features[stage + 1]  # transposed convolution: one tap per output voxel
        total += size * kernel * width * (2 * width + (network.convs_decoder - 1) * width)
        total += size * width * network.out_channels
    return total * batch
