"""What prepared cases depend on, as a key: where it is the same, nothing is prepared or kept twice."""

from __future__ import annotations

from dataclasses import asdict

from autospine.data.disk.files import json_digest
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.plan import Plan

STORE_FORMAT = 3
"""Grows when the files of a store or the numbers in them change their meaning; part of the key."""


def stored_key(plan: Plan, configuration: Configuration) -> str:
    """SHA-256 of everything the prepared cases depend on: data, classes, intensities, axes, spacing, interpolation.

    What only training reads (patch, network, loss, schedule) has no part in it.
    """
    content = {
        "format": STORE_FORMAT,
        "fingerprint": plan.fingerprint_hash,
        "channels": plan.data.channels,
        "labels": plan.data.labels,
        "intensities": [asdict(intensity) for intensity in plan.data.intensities],
        "axis_order": configuration.axis_order,
        "spacing_mm": configuration.spacing_mm,
        "normalisation": configuration.normalisation,
        "use_mask": configuration.use_mask,
        "ignore_unlabelled_slices": configuration.ignore_unlabelled_slices,
        "resampling": asdict(configuration.resampling),
        **({"components": True} if configuration.by_component else {}),
    }
    return json_digest(content)


def store_name(plan: Plan, configuration: Configuration) -> str:
    """Name of the folder that holds the prepared cases of `configuration`.

    Configurations with the same key (2d and 2.5d, 3d_fullres and its cascade) share that of the plan's first of them.
    """
    key = stored_key(plan, configuration)
    alike = (other.name for other in plan.configurations if stored_key(plan, other) == key)
    return next(alike, configuration.name)


def images_key(plan: Plan, configuration: Configuration) -> str:
    """SHA-256 of everything that images prepared alone depend on."""
    return json_digest(["images", stored_key(plan, configuration)])


def images_name(plan: Plan, configuration: Configuration) -> str:
    """Name of the folder that holds images prepared alone for `configuration`."""
    return f"images_{store_name(plan, configuration)}"
