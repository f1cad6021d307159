"""Configurations with data that they fit."""

from __future__ import annotations

from typing import Any

from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import DataPlan, IntensityPlan
from autospine.planning.document.model_card import ModelCard


def card_of(configuration: Configuration, **data: Any) -> ModelCard:
    """The card of `configuration` for data of as many channels and classes, with some fields of these changed."""
    channels = len(configuration.normalisation)
    names = ("T2",) if channels == 1 else tuple(f"T{index}" for index in range(1, channels + 1))
    fitting: dict[str, Any] = {
        "dataset": "toy",
        "channels": names,
        "labels": tuple((f"L{value}", value) for value in range(1, configuration.network.out_channels)),
        "intensities": (IntensityPlan(100.0, 20.0, 10.0, 200.0),) * channels,
    }
    return ModelCard(DataPlan(**fitting | data), configuration)
