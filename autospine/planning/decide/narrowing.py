"""What a time budget takes from a configuration."""

from __future__ import annotations

from dataclasses import dataclass


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
