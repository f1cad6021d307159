"""The recipes that plans are recorded with: the shipped ones, and one for each choice that is not the default."""

from __future__ import annotations

from functools import cache
from typing import Any

from autospine.planning.document.recipe import Recipe, load_recipe

SHIPPED = ("default", "any-contrast", "lumbar", "metastases", "tumour")
CHOICES: dict[str, dict[str, Any]] = {
    "residual": {"encoder": "residual"},
    "residual-24gb": {"encoder": "residual", "memory_gb": 24.0},
    "residual-msff": {"encoder": "residual", "bottleneck": "msff"},
    "control": {"bottleneck": "control"},
    "blocks": {"encoder_blocks": (1, 3, 4), "decoder_convs": 1},
    "narrow": {"base_features": 8, "max_features_2d": 64, "max_features_3d": 48},
    "4gb": {"memory_gb": 4.0},
    "24gb": {"memory_gb": 24.0},
    "80gb": {"memory_gb": 80.0},
    "fraction": {"dataset_fraction": 0.002},
    "neighbours": {"neighbours": 2},
    "plain-loss": {"loss": "dice_ce"},
    "adaptive": {"loss": "dice_size_adaptive_ce", "alpha": 1.0, "weight_cap": 3.0},
    "component": {"loss": "dice_size_adaptive_ce", "unit": "component"},
    "batch": {"loss": "dice_size_adaptive_ce", "size_source": "batch"},
    "ratio": {"size_ratio": 2.0},
    "mirror-none": {"mirror": "none"},
    "mirror-all": {"mirror": "all"},
    "optional": {"optional_channels": ("T1",), "channel_dropout": 0.5},
    "optional-all": {"optional_channels": "all"},
    "adamw": {"optimiser": "adamw", "learning_rate": 1e-3, "weight_decay": 0.02, "warmup": 0.1},
    "sgd": {"optimiser": "sgd"},
    "schedule": {"epochs": 7, "steps_per_epoch": 30, "validation_steps": 3, "momentum": 0.9, "poly_power": 1.0},
    "sampling": {"oversample_foreground": 0.5, "foreground_jitter": 0.4, "shift": 0.3, "scale_range": (0.8, 1.2)},
    "unlabelled": {"ignore_unlabelled_slices": True, "overlap": 0.25, "seed": 7, "clip_norm": 1.0},
    "flat-first": {"default": "2d"},
    "cascade-first": {"default": "3d_cascade_fullres"},
    "between": {"configurations": ("2.5d",)},
    "coarse": {"configurations": ("3d_lowres", "3d_cascade_fullres")},
    "without-low": {"configurations": ("3d_cascade_fullres", "2d")},
}
"""Name -> what is not as in the default recipe."""


@cache
def recipe(name: str) -> Recipe:
    """A shipped recipe, or one of `CHOICES`."""
    return load_recipe(name) if name in SHIPPED else Recipe(name=name, **CHOICES[name])
