from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from autospine.cli.show import plans
from autospine.planning.document.data import LevelsPlan
from autospine.planning.document.plan import Plan


@pytest.mark.parametrize(
    ("value", "read", "written"),
    [
        ((64, 96), "64 x 96", "[64, 96]"),
        (((1, 2), (3, 4)), "1 x 2 / 3 x 4", "[[1, 2], [3, 4]]"),
        ((("disc", 1), ("cord", 2)), "disc x 1 / cord x 2", "disc = 1, cord = 2"),
        ((), "none", "[]"),
        (True, "yes", "true"),
        (0.123456, "0.1235", "0.123456"),
        (None, "none", "none"),
    ],
)
def test_values_are_read_in_tables_and_written_as_in_the_file(value: object, read: str, written: str) -> None:
    assert (plans._text(value), plans._written(value)) == (read, written)


def test_keys_by_what_they_are_called() -> None:
    called = {"training.mirror_axes": "mirror axes", "loss.kind": "loss", "spacing_mm": "spacing (mm)"}
    assert {key: plans._readable(key) for key in called} == called
    assert plans._readable("presence.channels") == "may be missing"


def test_levels_and_other_scanners_are_told_in_words(make_plan: Callable[..., Plan]) -> None:
    plan = make_plan(levels=LevelsPlan((3, 2, 1), 0, 1.1, (0.9, 0.8)))
    (one,) = plan.configurations
    whole = "L3 to L1, found whole and named together; what a view does not tell is said to be unknown"
    assert dict(plans._in_words(plan)) == {"levels": whole}
    shown = replace(one, training=replace(one.training, narrow_view=0.5, random_contrast=0.25))
    reasons = {f"{one.name}.training.random_contrast": "the data hold 2 kinds of scan"}
    told = dict(plans._in_words(replace(plan, configurations=(shown,), reasons=reasons)))
    assert told["levels"].startswith(f"{whole}. ") and f"50% of the samples of {one.name}" in told["levels"]
    assert told["other scanners"] == "25% of the samples get a random contrast: the data hold 2 kinds of scan"
    assert not dict(plans._in_words(make_plan()))
