"""A plan.toml that is edited by hand."""

from __future__ import annotations

from collections.abc import Callable

from autospine.planning.document.configuration import Configuration

FILE = "runs/demo/plan.toml"
REMEDY = "correct this key, or write the file anew with `autospine plan DATASET --overwrite`"
HERE = "configurations.3d_fullres"


def edit(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert text.count(old) >= 1, old
        text = text.replace(old, new, 1)
    return text


def flat(make_configuration: Callable[..., Configuration], **changes: object) -> Configuration:
    return make_configuration(spacing_mm=(1.0, 1.0), **changes)
