from __future__ import annotations

import pytest
import typer

from autospine.cli.quantities import (
    format_duration,
    format_size,
    named_folds,
    parse_bytes,
    parse_duration,
    parse_folds,
    parse_millimetres,
    parse_share,
    parse_size,
)
from autospine.machine.ranks import Share


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), (" 1H 5 m", 3900), ("0.5h", 1800)]
)
def test_durations_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "5x", "5m and more", "0s", "400000h"])
def test_other_durations_are_usage_errors(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_duration(text)


@pytest.mark.parametrize(("seconds", "text"), [(8.4, "8 s"), (750, "12 min 30 s"), (3900, "1 h 05 min")])
def test_durations_are_shown_in_their_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "gigabytes"),
    [("8", 8.0), ("8GB", 8.0), ("24GB", 24.0), ("80G", 80.0), ("11.5", 11.5), (" 11.5 gb ", 11.5), ("1", 1.0)],
)
def test_sizes_as_people_write_them(text: str, gigabytes: float) -> None:
    assert parse_size(text) == gigabytes


@pytest.mark.parametrize(
    "text", ["", "GB", "much", "8TB", "512MB", "8 GiB", "-8", "8,5", "1e3", "nan", "inf", "8GB 8GB"]
)
def test_other_sizes_are_usage_errors(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="gigabytes"):
        parse_size(text)


@pytest.mark.parametrize("text", ["0", "0.5GB", "9" * 400])
def test_impossible_sizes_are_usage_errors(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_size(text)


def test_sizes_are_shown_with_what_is_known_of_them() -> None:
    assert [format_size(size) for size in (7.64, 23.96, 1.0, 0.0412)] == ["7.6 GB", "24.0 GB", "1.0 GB", "0.041 GB"]


def test_shares_as_people_write_them() -> None:
    assert parse_share(" 2/8 ") == Share(2, 8)
    with pytest.raises(typer.BadParameter, match="write it like 2/8"):
        parse_share("9/8")


@pytest.mark.parametrize(("text", "size"), [("500MB", 500_000_000), ("2gb", 2 * 10**9), (" 1.5 kB ", 1500)])
def test_sizes_of_files_as_people_write_them(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "500", "MB", "0MB", "-1MB", "8 MiB", "9999999999GB", "nanMB"])
def test_other_sizes_of_files_are_usage_errors(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="500MB"):
        parse_bytes(text)


@pytest.mark.parametrize(("text", "folds"), [("all", None), ("0", (0,)), (" 1, 0 ", (1, 0)), ("2,", (2,))])
def test_folds_as_people_write_them(text: str, folds: tuple[int, ...] | None) -> None:
    assert parse_folds(text) == folds
    assert named_folds(text) == (folds if folds is None else tuple(map(str, folds)))


@pytest.mark.parametrize("text", ["", ",", "first", "-1", "0-2", "0 1", "²", "all,0", "../0"])
def test_other_folds_are_usage_errors(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="0,1,2, or all"):
        named_folds(text)


@pytest.mark.parametrize(("text", "length"), [("1", 1.0), (1.0, 1.0), ("0.5 mm", 0.5), ("0", 0.0), ("2MM", 2.0)])
def test_lengths_as_people_write_them(text: str | float, length: float) -> None:
    assert parse_millimetres(text) == length


@pytest.mark.parametrize("text", ["", "-1", "nan", "inf", "1cm", "1e3", "1,5"])
def test_other_lengths_are_usage_errors(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="no length"):
        parse_millimetres(text)
