"""The network: what enters it beside the slice or patch itself, what leaves it, and its stages."""

from __future__ import annotations

from dataclasses import dataclass

from autospine.planning.decide.decided import RULE, Decided, numbers, settle
from autospine.planning.decide.topology import NetworkFamily, Topology
from autospine.planning.document.configuration import CASCADE, LOW, VOLUMES
from autospine.planning.document.data import DataPlan
from autospine.planning.document.model_card import Entering
from autospine.planning.document.parts import Bottleneck, Encoder, NetworkPlan
from autospine.planning.document.recipe import Recipe

ENCODERS: dict[Encoder, str] = {
    "plain": f"plain convolutions, the default of {RULE}",
    "residual": "residual blocks, deeper and slower (the ResEnc presets of Isensee et al. 2024, arXiv 2404.09556)",
}
"""What an encoder stage is made of."""
BLOCKS: dict[Encoder, tuple[int, ...]] = {"plain": (2,), "residual": (1, 3, 4, 6)}
"""Convolutions (plain) or residual blocks per encoder stage, finest first; the last stands for all deeper ones."""
DECODER_CONVS: dict[Encoder, int] = {"plain": 2, "residual": 1}
"""Convolutions in each decoder stage."""
BOTTLENECK: Decided[Bottleneck] = Decided(
    "plain",
    "multi-scale feature fusion gained nothing beyond noise on lumbar spines and the cord (docs/benchmarks/budget.md)",
)
"""What a recipe's `bottleneck = "auto"` comes to. Ours."""
BOTTLENECKS: dict[Bottleneck, str] = {
    "plain": "no module beyond the U-Net",
    "msff": "multi-scale feature fusion widens the view at the bottleneck",
    "control": "as many weights as multi-scale feature fusion has, at one scale, to compare it with",
}


@dataclass(frozen=True)
class Narrowing:
    """What a time budget may take from a configuration; None leaves the rule's own."""

    spacing_mm: tuple[float, ...] | None = None
    """Target spacing of the configuration's axes, planned order."""
    base_features: int | None = None
    """Feature maps of the finest stage."""
    feature_cap: int | None = None
    """Cap of the feature maps."""
    max_batch: int | None = None
    """Largest batch; may lie below the rules' own minimum."""
    patch_limit: tuple[float, ...] | None = None
    """Largest patch in voxels, planned order; poolings may pad it up."""
    blocks: int | None = None
    """Convolutions (plain) or residual blocks in every encoder stage."""
    decoder_convs: int | None = None
    """Convolutions in every decoder stage."""


NOTHING = Narrowing()
"""All that the rules ask for."""


def planned_network(
    recipe: Recipe, name: str, data: DataPlan, family: NetworkFamily, net: Topology
) -> Decided[NetworkPlan]:
    """The network of the configuration `name`: one of the `family`, with the topology of a patch."""
    stages, what = len(net.strides), "volumes" if name in VOLUMES else "slices"
    features = family.features_of(stages)
    widened = "3 along an axis once its spacing is below twice the finest, 1 before"
    halved = "an axis is halved while that leaves 4 voxels and its spacing is below twice the finest"
    return settle(
        NetworkPlan,
        dimension=Decided(len(net.patch), f"the configuration {name} works on {what}"),
        in_channels=planned_entering(data, planned_neighbours(recipe, name).value, planned_previous(name).value),
        out_channels=planned_outputs(data),
        features=Decided(features, f"{features[0]}, doubled at each stage, none wider than {max(features)}"),
        kernels=Decided(net.kernels, f"{widened}: thick slices do not mix with neighbours too early ({RULE})"),
        strides=Decided(net.strides, f"{halved}: the deepest stage sees {numbers(net.bottom)} voxels ({RULE})"),
        blocks=Decided(family.blocks_of(stages), encoder_blocks(recipe).why),
        encoder=Decided(recipe.encoder, f"{recipe.said}: {ENCODERS[recipe.encoder]}"),
        convs_decoder=Decided(family.convs_decoder, decoder_convs(recipe).why),
        bottleneck=planned_bottleneck(recipe),
    )


def planned_neighbours(recipe: Recipe, name: str) -> Decided[int]:
    """Slices on either side that enter beside the one that is segmented."""
    if name == "2.5d":
        together = f"{2 * recipe.neighbours + 1} slices enter together and the middle one is segmented"
        return Decided(recipe.neighbours, f"{recipe.said}: {together}")
    return Decided(0, "the patch holds its neighbours itself" if name in VOLUMES else "each slice enters alone")


def planned_previous(name: str) -> Decided[str | None]:
    """The configuration whose segmentation enters."""
    if name != CASCADE:
        return Decided(None)
    why = "its segmentation tells the whole anatomy where the patch sees a part, and is refined at full resolution"
    return Decided(LOW, why)


def planned_entering(data: DataPlan, neighbours: int, previous: str | None) -> Decided[int]:
    """Channels that enter."""
    images, optional = len(data.channels), len(data.optional)
    why = "one input per image channel"
    if neighbours:
        why = f"{images} image channel(s) of {2 * neighbours + 1} slices"
    if previous is not None:
        why = f"{images} image channel(s), and one per label of {previous}"
    why += f", and {optional} that say{'s' * (optional == 1)} what is missing" if optional else ""
    return Decided(Entering.of(data, neighbours, previous).count, why)


def planned_outputs(data: DataPlan) -> Decided[int]:
    """Channels that leave."""
    if data.regions:
        return Decided(data.outputs, f"{len(data.regions)} regions of {data.classes} labels")
    return Decided(data.outputs, f"background and {data.classes} labels")


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
    if recipe.bottleneck == "auto":
        return BOTTLENECK
    return Decided(recipe.bottleneck, f"{recipe.said}: {BOTTLENECKS[recipe.bottleneck]}")
