"""A server around a small model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autospine.planning.document.configuration import Configuration
from tests.serve.serving import Server, segmenter_of


@pytest.fixture
def make_server(make_configuration: Callable[..., Configuration], tmp_path: Path) -> Callable[..., Server]:
    """A function from the fields of a server to one, with a model of one channel."""
    segmenter = segmenter_of(tmp_path / "models" / "lumbar", make_configuration())
    folder = tmp_path / "private"
    folder.mkdir()

    def make(**fields: Any) -> Server:
        return Server(segmenter, folder, **fields)

    return make


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server()
