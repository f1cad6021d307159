from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest

from autospine.errors import PlanError
from autospine.planning.document.convert import MOST_FAULTS, REPLAN, Checks, Reader, from_table, to_table
from autospine.planning.document.limits import between


@dataclass(frozen=True)
class Inner:
    size: Annotated[int, between(1, 9)]
    word: Literal["auto"] | float = "auto"
    pair: tuple[int, str] | None = None

    def __post_init__(self) -> None:
        with Checks(self, "inner.") as check:
            if check(self.size != 5, "size", "no five"):
                check(self.word != 0.0, "size", "a word beside it", "zero")


@dataclass(frozen=True)
class Outer:
    inner: Inner
    names: tuple[str, ...] = ()
    yes: bool = False


def refused(table: dict[str, Any]) -> PlanError:
    with pytest.raises(PlanError) as error:
        from_table(Outer, table, "a.json")
    return error.value


def test_what_may_be_left_out_is_none_or_empty() -> None:
    read = from_table(Outer, {"inner": {"size": 3, "word": 2}, "yes": True}, "a.json")
    assert read == Outer(Inner(3, 2.0), (), True) and isinstance(read.inner.word, float)
    assert to_table(read) == {"inner": {"size": 3, "word": 2.0, "pair": None}, "names": [], "yes": True}


@pytest.mark.parametrize(
    ("table", "key", "found", "expected"),
    [
        ({"inner": 3, "yes": True}, "inner", "found 3", "a table of keys"),
        (
            {"inner": {"size": True, "word": "auto"}, "yes": True},
            "inner.size",
            "found True",
            "a whole number",
        ),
        (
            {"inner": {"size": 3, "word": "x"}, "yes": True},
            "inner.word",
            "found 'x'",
            "a number, or 'auto'",
        ),
        (
            {"inner": {"size": 3, "word": 10**400}, "yes": True},
            "inner.word",
            "found 1000",
            "a finite number",
        ),
        (
            {"inner": {"size": 3, "word": 1, "pair": [1, 2]}, "yes": True},
            "inner.pair[1]",
            "found 2",
            "text",
        ),
        (
            {"inner": {"size": 3, "word": 1, "pair": [1]}, "yes": True},
            "inner.pair",
            "found [1]",
            "of 2 values",
        ),
        ({"inner": {"size": 12, "word": 1}, "yes": True}, "inner.size", "found 12", "from 1 to 9"),
        ({"inner": {"size": 5, "word": 0}, "yes": True}, "inner.size", "found 5", "no five"),
        ({"inner": {"size": 4, "word": 0}, "yes": True}, "inner.size", "found 'zero'", "a word beside it"),
        ({"inner": {"size": 3, "word": 1}, "yse": True}, "", "there is no key `yse`", "perhaps `yes`"),
        ({"inner": {"size": 3, "word": 1}}, "", "the key `yes` is missing", "the keys inner, names, yes"),
    ],
)
def test_a_fault_names_its_key(table: dict[str, Any], key: str, found: str, expected: str) -> None:
    error = refused(table)
    assert error.where == (f"a.json, key {key}" if key else "a.json")
    assert (error.found or "").startswith(found) and expected in (error.expected or "")


def test_several_faults_are_listed_and_of_many_the_first() -> None:
    error = refused({"inner": {"size": 12, "word": "x"}, "names": list(range(30)), "yes": True})
    lines = (error.found or "").splitlines()
    assert lines[0] == f"{MOST_FAULTS + 3} faults:" and lines[-1] == "and 3 more"
    assert lines[1] == "key inner.word: found 'x'; expected: a number, or 'auto'"
    assert lines[2] == "key inner.size: found 12; expected: from 1 to 9"


def test_a_reader_says_what_to_do() -> None:
    reader = Reader("a.json", REPLAN)
    reader.refuse("size", 3, "four")
    with pytest.raises(PlanError) as error:
        reader.sound(None)
    assert error.value.remedy == REPLAN
    reader.note("", "nothing", "something", "look again")
    with pytest.raises(PlanError, match="correct these keys"):
        reader.sound(None)
