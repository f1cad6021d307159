"""A small store, written without reading any image."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from autospine.planning.document.configuration import Configuration
from autospine.preprocessing.locations import class_locations
from autospine.preprocessing.prepare import prepare_case
from autospine.preprocessing.store import Store

CASES = ("a", "b", "c")
SHAPE = (12, 20, 18)
KEY = "k" * 64


@pytest.fixture
def small_store(tmp_path: Path, make_configuration: Callable[..., Configuration]) -> Store:
    """Three cases with two blocks each; class 3 occurs nowhere."""
    root = tmp_path / "prepared"
    root.mkdir()
    for number, name in enumerate(CASES):
        rng = np.random.default_rng(number)
        label = np.zeros(SHAPE, np.uint8)
        label[3:9, 2:9, 3 + number : 12] = 1
        label[3:9, 11:18, 5 : 14 + number] = 2
        image = rng.normal(0, 0.3, SHAPE) + label
        configuration = make_configuration()
        case = prepare_case(image[None].astype(np.float32), label, (1.0, 1.0, 1.0), configuration, (), name)
        assert case.label is not None
        np.save(root / f"{name}.image.npy", case.image)
        np.save(root / f"{name}.label.npy", case.label)
        np.save(root / f"{name}.reference.npy", label)
        voxels = class_locations(case.label, (1, 2, 3), 0)
        np.savez(root / f"{name}.locations.npz", **{str(value): found for value, found in voxels.items() if len(found)})
        (root / f"{name}.properties.json").write_text(json.dumps({"key": KEY, **asdict(case.properties)}))
    (root / "store.json").write_text(json.dumps({"key": KEY, "cases": dict.fromkeys(CASES, True)}))
    return Store(root)


@pytest.fixture
def quick(make_configuration: Callable[..., Configuration]) -> Configuration:
    """A configuration of which a step takes milliseconds."""
    base = make_configuration()
    return replace(
        base,
        network=replace(base.network, features=(4, 8)),
        training=replace(base.training, epochs=3, steps_per_epoch=4, validation_steps=1),
    )
