"""Frozen dataclasses to plain tables and back, every fault named by its key.

Plans, recipes and model files are text that people edit and strangers send: they are data, so what is read is
checked key by key against the dataclass' own annotations, and nothing in it is ever looked up or executed.
"""

from __future__ import annotations

import difflib
import sys
import types
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import islice
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from autospine.errors import PlanError
from autospine.planning.document.limits import Limit

T = TypeVar("T")
REMEDY = "correct this key"
MOST_BYTES = 1 << 22
"""Of the file of a plan or a model: the largest, of hundreds of classes and folds, have some 10^6 (ours)."""
MOST_ITEMS = 10_000
"""Entries of a list: more than any data set has channels, labels or folds (ours)."""
MOST_FAULTS = 20
"""Faults that are told of one list or table; what follows is more of the same."""
MOST_SHOWN = 500
"""Characters that are shown of a value."""
REPLAN = "correct this key, or write the file anew with `autospine plan DATASET --overwrite`"
"""The remedy for files that `autospine plan` wrote."""


class FaultsError(PlanError):
    """Several faults of one value, each of which names its own key."""

    def __init__(self, faults: Sequence[PlanError]) -> None:
        """Keep `faults`, two or more."""
        self.faults = tuple(faults)
        where = ", ".join(fault.where for fault in faults)
        super().__init__(where, _listed(faults), "a value without faults", "correct these keys")


def single_faults(error: PlanError) -> tuple[PlanError, ...]:
    """Each fault that `error` tells of."""
    return error.faults if isinstance(error, FaultsError) else (error,)


class Checks:
    """Collects what is wrong with a dataclass, so that all of it is said at once.

    with Checks("training.") as check:
        check.ranges(self)
        check(self.epochs > 0, "epochs", self.epochs, "at least 1")
    """

    def __init__(self, prefix: str = "") -> None:
        """`prefix` goes before the name of each key."""
        self._prefix = prefix
        self._faults: list[PlanError] = []

    def __call__(self, condition: bool, key: str, found: object, expected: str) -> bool:
        """Note a fault at `key` unless `condition` holds; whether nothing is wrong with that key.

        The first fault of a key is enough, and what follows from it is none: let later checks depend on the result.
        """
        where = f"{self._prefix}{key}"
        if where in (fault.where for fault in self._faults):
            return False
        if not condition:
            self._faults.append(_fault(where, "", found, expected))
        return condition

    def ranges(self, part: Any) -> None:
        """Note each field of the dataclass `part` that is beyond its limit."""
        for beyond in _beyond(type(part), vars(part)):
            self(False, *beyond)

    def __enter__(self) -> Checks:
        """Nothing is noted yet."""
        return self

    def __exit__(self, kind: object, fault: object, trace: object) -> None:
        """Raise what was noted: PlanError, or FaultsError where it is several."""
        if kind is None and self._faults:
            raise self._faults[0] if len(self._faults) == 1 else FaultsError(self._faults)


def to_table(value: Any) -> Any:
    """Plain dicts, lists and scalars of a dataclass, ready for JSON (None stays None)."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_table(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [to_table(item) for item in value]
    if isinstance(value, Mapping):
        return {key: to_table(item) for key, item in value.items()}
    return value


def from_table(cls: type[T], table: object, where: str, remedy: str = REMEDY) -> T:
    """An instance of the dataclass `cls` from a plain table.

    Every field must be there, except those whose type admits None, and lists that are empty where nothing is said.
    Raises PlanError with `where` and the dotted key on an unknown or missing key, a wrong type, or a value that the
    dataclass itself refuses; several faults are listed in one error. `remedy` says what to do about a wrong value.
    """
    faults: list[PlanError] = []
    value = read_table(cls, table, where, "", faults)
    raise_faults(where, faults, remedy)
    assert value is not None
    return value


def read_table(
    cls: type[T], table: object, where: str, path: str, faults: list[PlanError], also: Sequence[str] = ()
) -> T | None:
    """As `from_table` for the table at the dotted key `path` of the file `where`; faults are added to `faults`.

    None where there was a fault in it or in a part of it. The keys `also` may stand there too and are not read.
    """
    if not isinstance(table, Mapping):
        faults.append(_fault(where, path, table, "a table of keys"))
        return None
    before = len(faults)
    hints = _hints(cls)  # type: ignore[arg-type]
    defaults = {field.name: field.default for field in fields(cls)}  # type: ignore[arg-type]
    known = list(defaults)
    place = f"{where}, key {path}" if path else where
    unknown = unknown_keys(table, [*known, *also], place)
    faults += unknown
    renamed = {fault.expected for fault in unknown}  # a misspelt key is one fault, not a missing one beside it
    values: dict[str, Any] = {}
    for name in known:
        inner = f"{path}.{name}" if path else name
        if name in table:
            so_far = len(faults)
            value = _convert(hints[name], table[name], where, inner, faults)
            if len(faults) == so_far:
                values[name] = value
        elif _admits_none(hints[name]) or defaults[name] == ():
            values[name] = None if _admits_none(hints[name]) else ()
        elif f"perhaps `{name}`" not in renamed:
            faults.append(PlanError(place, f"the key `{name}` is missing", f"the keys {', '.join(known)}", REMEDY))
    if len(faults) > before:
        # it cannot be made, but its numbers can be looked at
        beyond = _beyond(cls, values)
        faults += [_fault(where, f"{path}.{name}" if path else name, *said) for name, *said in beyond]
        return None
    try:
        return cls(**values)
    except PlanError as error:
        for fault in single_faults(error):
            # A part names its own table, as in `network.strides`; so does the path that leads to it.
            key = fault.where.removeprefix(f"{path.rpartition('.')[2]}.") if path else fault.where
            dotted = f"{path}.{key}" if path else key
            faults.append(PlanError(f"{where}, key {dotted}", fault.found, fault.expected, fault.remedy))
        return None


def raise_faults(where: str, faults: Sequence[PlanError], remedy: str = REMEDY) -> None:
    """Nothing where there are no faults; the fault where there is one; one PlanError that lists them where several.

    `remedy` takes the place of the general one.
    """
    if len(faults) == 1:
        (fault,) = faults
        said = remedy if fault.remedy == REMEDY else fault.remedy
        raise PlanError(fault.where, fault.found, fault.expected, said)
    if faults:
        several = remedy.replace("this key", "these keys")
        raise PlanError(where, _listed(faults, where), "a file without faults", several)


def _listed(faults: Sequence[PlanError], where: str = "") -> str:
    """A line for each fault, without the place `where` that all of them share."""
    lines = [f"{len(faults)} faults:"]
    for fault in faults[:MOST_FAULTS]:
        place = fault.where.removeprefix(where).removeprefix(", ")
        lines.append(f"{f'{place}: ' if place else ''}{fault.found}; expected: {fault.expected}")
    if len(faults) > MOST_FAULTS:
        lines.append(f"and {len(faults) - MOST_FAULTS} more")
    return "\n".join(lines)


def unknown_keys(keys: Iterable[str], known: Sequence[str], where: str) -> list[PlanError]:
    """A fault for each key that is not known, naming the nearest right one; of very many the first."""
    found = []
    for key in islice((key for key in keys if key not in known), MOST_FAULTS + 1):
        named = key[:MOST_SHOWN]
        near = difflib.get_close_matches(named, known, n=1, cutoff=0.6)
        expected = f"perhaps `{near[0]}`" if near else f"one of {', '.join(known)}"
        found.append(PlanError(where, f"there is no key `{named}`", expected, "rename or remove the key"))
    return found


def shown(value: object) -> str:
    """A value as it stands in a file, cut where it is long; tuples are shown as lists."""
    if isinstance(value, list | tuple):
        value = value[: MOST_SHOWN + 1]
    elif isinstance(value, dict):
        value = dict(islice(value.items(), MOST_SHOWN + 1))
    try:
        text = repr(to_table(value))
    except ValueError:  # Python does not write out what has thousands of digits
        return "a number of thousands of digits"
    except RecursionError:
        return "lists or tables inside each other, hundreds of levels deep"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def _fault(where: str, path: str, found: object, expected: str) -> PlanError:
    return PlanError(f"{where}, key {path}" if path else where, f"found {shown(found)}", expected, REMEDY)


@cache
def _hints(cls: Hashable) -> dict[str, Any]:
    """The annotations of a class, which take longer to work out than a table to read."""
    return get_type_hints(cls, include_extras=True)


@cache
def _limits(cls: Hashable) -> dict[str, Limit]:
    """The limits of a class's fields, by name; that of a number which a word or nothing may stand for is inside."""
    found = {}
    for name, hint in _hints(cls).items():
        for kind in (hint, *get_args(hint)):
            if get_origin(kind) is Annotated:
                found[name] = next(one for one in get_args(kind) if isinstance(one, Limit))
    return found


def _beyond(cls: Any, values: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """(name, value, what is expected) of each value beyond its limit; None and words stand for no number."""
    for name, limit in _limits(cls).items():
        value = values.get(name)
        if value is not None and not isinstance(value, str) and not limit.holds(value):
            yield name, value, limit.said


def _admits_none(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint)


def _is_word(hint: Any) -> bool:
    return get_origin(hint) is Literal


def _convert(hint: Any, value: Any, where: str, path: str, faults: list[PlanError]) -> Any:
    """`value` as the annotation `hint` asks; None and a fault where it is something else."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _convert(inner[0], value, where, path, faults)

    def refuse(expected: str) -> None:
        faults.append(_fault(where, path, value, expected))

    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        *words, hint = sorted((option for option in inner if option is not type(None)), key=_is_word, reverse=True)
        if any(value in get_args(word) for word in words):  # "auto" in the place of a number
            return value
        inside: list[PlanError] = []
        converted = _convert(hint, value, where, path, inside)
        said = "".join(f", or {option!r}" for word in words for option in get_args(word))
        here = _fault(where, path, value, "").where
        for fault in inside:  # a word may stand for the whole value, not for a part of it
            expected = f"{fault.expected}{said}" if fault.where == here else fault.expected
            faults.append(PlanError(fault.where, fault.found, expected, fault.remedy))
        return converted
    if origin is Literal:
        same = [option for option in inner if type(option) is type(value) and option == value]
        return same[0] if same else refuse(_options(value, inner))
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return refuse("a list")
        if len(value) > MOST_ITEMS:
            return refuse(f"a list of at most {MOST_ITEMS} values")
        kinds = [inner[0]] * len(value) if len(inner) == 2 and inner[1] is Ellipsis else list(inner)
        if len(value) != len(kinds):
            return refuse(f"a list of {len(kinds)} values")
        items: list[Any] = []
        before = len(faults)
        for index, (kind, item) in enumerate(zip(kinds, value, strict=True)):
            items.append(_convert(kind, item, where, f"{path}[{index}]", faults))
            if len(faults) > before + MOST_FAULTS:
                break
        return tuple(items)
    if is_dataclass(hint) and isinstance(hint, type):
        return read_table(hint, value, where, path, faults)
    if hint is bool:
        return value if isinstance(value, bool) else refuse("true or false")
    if hint is int:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return int(value) if whole else refuse("a whole number")
    if hint is float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return refuse("a number")
        # a whole number may have more digits than a float can hold
        finite = abs(value) <= sys.float_info.max
        return float(value) if finite else refuse("a finite number")
    if hint is str:
        return str(value) if isinstance(value, str) else refuse("text")
    raise TypeError(f"no rule to read {hint!r} at {where}, key {path}")


def _options(value: object, options: Sequence[object]) -> str:
    """What may stand there, the nearest first to be named."""
    near = difflib.get_close_matches(shown(value).strip("'"), [str(option) for option in options], n=1, cutoff=0.6)
    listed = "one of " + ", ".join(repr(option) for option in options)
    return f"{listed}; perhaps {near[0]!r}" if near else listed
