from __future__ import annotations

import pytest

from autospine.cli.show import plans


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
