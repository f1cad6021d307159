"""A server around a small model; models are made once for all tests, which leave them as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import PresencePlan
from autospine.workflow.steps.segmenting import Segmenter
from tests.serve.serving import Server, segmenter_of

Models = dict[str, Segmenter]


@pytest.fixture(scope="session")
def models() -> Models:
    return {}


@pytest.fixture
def segmenter(
    models: Models, make_configuration: Callable[..., Configuration], tmp_path_factory: pytest.TempPathFactory
) -> Segmenter:
    """A model of one channel."""
    if "lumbar" not in models:
        models["lumbar"] = segmenter_of(tmp_path_factory.mktemp("models") / "lumbar", make_configuration())
    return models["lumbar"]


@pytest.fixture
def two_channels(
    models: Models, make_configuration: Callable[..., Configuration], tmp_path_factory: pytest.TempPathFactory
) -> Segmenter:
    """A model of T1 and T2, which can do without the second."""
    if "two" not in models:
        network = replace(make_configuration().network, in_channels=3)  # the third says whether there is a T2
        configuration = make_configuration(normalisation=("zscore", "zscore"), network=network)
        presence = PresencePlan((1,), 0.25)
        models["two"] = segmenter_of(tmp_path_factory.mktemp("models") / "two", configuration, presence=presence)
    return models["two"]


@pytest.fixture
def make_server(segmenter: Segmenter, tmp_path: Path) -> Callable[..., Server]:
    """A function from the fields of a server to one, with a model of one channel."""
    folder = tmp_path / "private"
    folder.mkdir()

    def make(**fields: Any) -> Server:
        return Server(**{"segmenter": segmenter, "folder": folder, **fields})

    return make


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server()
