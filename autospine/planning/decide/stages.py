"""The stages of a network around a topology: what they are made of, and how wide they are."""

from __future__ import annotations

from typing import Any

from autospine.planning.decide.decided import RULE, Decided, numbers
from autospine.planning.decide.narrowing import Narrowing
from autospine.planning.decide.topology import NetworkFamily, Topology
from autospine.planning.document.parts import Bottleneck, Encoder
from autospine.planning.document.recipe import Recipe

BLOCKS: dict[Encoder, tuple[int, ...]] = {"plain": (2,), "residual": (1, 3, 4, 6)}
"""Convolutions (plain) or residual blocks per encoder stage, finest first; the last stands for all deeper ones."""
DECODER_CONVS: dict[Encoder, int] = {"plain": 2, "residual": 1}
"""Convolutions in each decoder stage."""
BOTTLENECK: Decided[Bottleneck] = Decided(
    "plain",
    "multi-scale feature fusion gained nothing beyond noise on lumbar spines and the cord (docs/benchmarks/budget.md)",
)
"""What a recipe's `bottleneck = "auto"` comes to. Ours."""


def network_family(recipe: Recipe, dimension: int, outputs: int, less: Narrowing) -> NetworkFamily:
    """The recipe's networks of that dimension, narrowed."""
    blocks, convs = encoder_blocks(recipe).value, decoder_convs(recipe).value
    return NetworkFamily(
        encoder=recipe.encoder,
        blocks=blocks if less.blocks is None else (less.blocks,),
        convs_decoder=convs if less.decoder_convs is None else less.decoder_convs,
        base_features=less.base_features or recipe.base_features,
        feature_cap=less.feature_cap or (recipe.max_features_2d if dimension == 2 else recipe.max_features_3d),
        out_channels=outputs,
    )


def planned_stages(recipe: Recipe, family: NetworkFamily, net: Topology) -> dict[str, Decided[Any]]:
    """What a network plan says of the stages, by its keys: a network of the `family` with the topology of a patch."""
    stages = len(net.strides)
    features = family.features_of(stages)
    kernels = "3 along an axis once its spacing is below twice the finest, 1 before: "
    kernels += f"thick slices do not mix with neighbours too early ({RULE})"
    strides = "an axis is halved while that leaves 4 voxels and its spacing is below twice the finest: "
    strides += f"the deepest stage sees {numbers(net.bottom)} voxels ({RULE})"
    return {
        "features": Decided(features, f"{features[0]}, doubled at each stage, none wider than {max(features)}"),
        "kernels": Decided(net.kernels, kernels),
        "strides": Decided(net.strides, strides),
        "blocks": Decided(family.blocks_of(stages), encoder_blocks(recipe).why),
        "encoder": planned_encoder(recipe),
        "convs_decoder": Decided(family.convs_decoder, decoder_convs(recipe).why),
        "bottleneck": planned_bottleneck(recipe),
    }


def planned_encoder(recipe: Recipe) -> Decided[Encoder]:
    """What an encoder stage is made of."""
    if recipe.encoder == "plain":
        made = f"plain convolutions, the default of {RULE}"
    else:
        made = "residual blocks, deeper and slower (the ResEnc presets of Isensee et al. 2024, arXiv 2404.09556)"
    return Decided(recipe.encoder, f"{recipe.said}: {made}")


def encoder_blocks(recipe: Recipe) -> Decided[tuple[int, ...]]:
    """Convolutions or residual blocks per encoder stage, the last for all deeper ones."""
    counted = "convolutions" if recipe.encoder == "plain" else "residual blocks"
    if recipe.encoder_blocks == "auto":
        return Decided(BLOCKS[recipe.encoder], f"{counted} of the {RULE} presets")
    return Decided(recipe.encoder_blocks, f"{recipe.said} says so: {counted}")


def decoder_convs(recipe: Recipe) -> Decided[int]:
    """Convolutions in each decoder stage."""
    if recipe.decoder_convs == "auto":
        return Decided(DECODER_CONVS[recipe.encoder], f"as in the {RULE} {recipe.encoder} presets")
    return Decided(recipe.decoder_convs, f"{recipe.said} says so")


def planned_bottleneck(recipe: Recipe) -> Decided[Bottleneck]:
    """What stands in the deepest stage."""
    match recipe.bottleneck:
        case "auto":
            return BOTTLENECK
        case "msff":
            why = "multi-scale feature fusion widens the view at the bottleneck"
        case "control":
            why = "as many weights as multi-scale feature fusion has, at one scale, to compare it with"
        case "plain":
            why = "no module beyond the U-Net"
    return Decided(recipe.bottleneck, f"{recipe.said}: {why}")
