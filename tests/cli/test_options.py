from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from autospine.cli.options import ReadingOptions, grouped
from autospine.data.structure import Reading


@dataclass(frozen=True)
class Light:
    """A group with a group inside."""

    colour: Annotated[str, typer.Option(help="Which.")] = "white"
    reading: ReadingOptions = ReadingOptions()  # noqa: RUF009
    bright: Annotated[bool, typer.Option("--bright")] = False


def test_options_of_a_group_stand_where_it_stands_and_reach_the_command_as_one() -> None:
    got: list[object] = []
    app = typer.Typer()

    @app.command()
    @grouped
    def look(place: str, light: Light = Light(), last: int = 3) -> None:  # noqa: B008
        got.extend((place, light, last))

    names = ["place", "colour", "subjects", "layout", "masks", "allow_missing", "channels", "bright", "last"]
    assert list(inspect.signature(look).parameters) == names
    for words, light in (
        ((), Light()),
        (("--bright", "--channels", "T1, T2"), Light(bright=True, reading=ReadingOptions(channels="T1, T2"))),
    ):
        got.clear()
        result = CliRunner().invoke(app, ["here", *words])
        assert result.exit_code == 0, result.output
        assert got == ["here", light, 3]


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        (ReadingOptions(), Reading()),
        (ReadingOptions("(a)", "bids", "seg", True), Reading("(a)", "bids", "seg", True)),
        (ReadingOptions(channels="T1 ,T2"), Reading(channels=("T1", "T2"))),
        (ReadingOptions(channels=" , "), Reading(channels=())),
    ],
)
def test_the_options_are_a_reading(typed: ReadingOptions, read: Reading) -> None:
    assert typed() == read
