"""The plan that is edited."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import plan_to_toml


@pytest.fixture
def text(make_plan: Callable[..., Plan]) -> str:
    return plan_to_toml(make_plan())
