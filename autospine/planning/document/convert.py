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
from operator import attrgetter
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from autospine.errors import PlanError
from autospine.planning.document.limits import Limit

T = TypeVar("T")
REMEDY = "correct this key"
MOST_DOCUMENT_BYTES = 1 << 22
"""Of the file of a plan or a model: the largest, of hundreds of classes and folds, have some 10^6 (ours)."""
MOST_ITEMS = 10_000
"""Entries of a list: more than any data set has channels, labels or folds (ours)."""
MOST_FAULTS = 20
"""Faults that are told of one list or table; what follows is more of the same."""
MOST_SHOWN = 500
"""Characters that are shown of a value."""
REPLAN = "correct this key, or write the file anew with `autospine plan DATASET --overwrite`"
"""The remedy for files that `autospine plan` wrote."""
SCALARS: Mapping[type, tuple[Any, str]] = {
    bool: (bool, "true or false"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
    str: (str, "text"),
}
"""What may be read as such, and how it is called."""


class FaultsError(PlanError):
    """Several faults of one value, each of which names its own key."""

    def __init__(self, faults: Sequence[PlanError]) -> None:
        """Of `faults`, two or more."""
        self.faults = tuple(faults)
        where = ", ".join(fault.where for fault in faults)
        super().__init__(where, _listed(faults), "a value without faults", "correct these keys")


class Checks:
    """Collects what is wrong with a dataclass, beginning with the limits of its fields, to say all of it at once.

    with Checks(self, "training.") as check:
        check(self.epochs > 0, "epochs", "at least 1")
    """

    def __init__(self, part: Any, prefix: str = "") -> None:
        """Of the dataclass `part`; `prefix` goes before the name of each key."""
        self._part, self._prefix = part, prefix
        self._faults: list[PlanError] = []
        for name, _, said in _beyond(type(part), vars(part)):
            self(False, name, said)

    def __call__(self, condition: bool, key: str, expected: str, found: object = None) -> bool:
        """Note a fault at `key` unless `condition` holds or it has one; whether nothing is wrong with that key.

        `found` is the key's value where nothing else is given. What follows from a fault is none: let later checks
        depend on the result.
        """
        where = f"{self._prefix}{key}"
        if where in (fault.where for fault in self._faults):
            return False
        if not condition:
            value = attrgetter(key)(self._part) if found is None else found
            self._faults.append(PlanError(where, f"found {shown(value)}", expected, REMEDY))
        return condition

    def __enter__(self) -> Checks:
        """Further checks may follow."""
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
    """The dataclass `cls` from a table of the file `where`, as a `Reader` reads it; PlanError lists all faults."""
    reader = Reader(where, remedy)
    return reader.sound(reader.table(cls, table))


class Reader:
    """Reads the tables of the file `where` and collects what is wrong with them; `path` is a dotted key there."""

    def __init__(self, where: str, remedy: str = REMEDY) -> None:
        """`remedy` says in an error what to do about a wrong value."""
        self.where, self.remedy = where, remedy
        self.faults: list[PlanError] = []

    def place(self, path: str) -> str:
        """Where a key stands."""
        return f"{self.where}, key {path}" if path else self.where

    def refuse(self, path: str, value: object, expected: str) -> None:
        """Note that `value` is wrong."""
        self.note(path, f"found {shown(value)}", expected)

    def note(self, path: str, found: str, expected: str, remedy: str = REMEDY) -> None:
        """Note a fault."""
        self.faults.append(PlanError(self.place(path), found, expected, remedy))

    def sound(self, value: T | None) -> T:
        """`value`, which is there where there is no fault; else raises PlanError, one that lists them where several."""
        if len(self.faults) == 1:
            (fault,) = self.faults
            said = self.remedy if fault.remedy == REMEDY else fault.remedy
            raise PlanError(fault.where, fault.found, fault.expected, said)
        if self.faults:
            several = self.remedy.replace("this key", "these keys")
            raise PlanError(self.where, _listed(self.faults, self.where), "a file without faults", several)
        assert value is not None
        return value

    def table(self, cls: type[T], table: object, path: str = "", also: Sequence[str] = ()) -> T | None:
        """An instance of the dataclass `cls`; None where there was a fault in it or in a part of it.

        Every field must be there, except those whose type admits None, and lists that are empty where nothing is said.
        A fault is an unknown or missing key, a wrong type, or a value that the dataclass itself refuses. The keys
        `also` may stand there too and are not read.
        """
        if not isinstance(table, Mapping):
            self.refuse(path, table, "a table of keys")
            return None
        before, hints = len(self.faults), _hints(cls)  # type: ignore[arg-type]
        defaults = {field.name: field.default for field in fields(cls)}  # type: ignore[arg-type]
        self.unknown(table, [*defaults, *also], path)
        # a misspelt key is one fault, not a missing one beside it
        renamed = {fault.expected for fault in self.faults[before:]}
        values: dict[str, Any] = {}
        for name, default in defaults.items():
            if name in table:
                so_far = len(self.faults)
                value = self.value(hints[name], table[name], _joined(path, name))
                if len(self.faults) == so_far:
                    values[name] = value
            elif type(None) in get_args(hints[name]):
                values[name] = None
            elif default == ():
                values[name] = ()
            elif f"perhaps `{name}`" not in renamed:
                self.note(path, f"the key `{name}` is missing", f"the keys {', '.join(defaults)}")
        if len(self.faults) == before:
            return self.make(cls, values, path)
        for name, *beyond in _beyond(cls, values):  # it cannot be made, but its numbers can be looked at
            self.refuse(_joined(path, name), *beyond)
        return None

    def make(self, cls: type[T], values: Mapping[str, Any], path: str = "") -> T | None:
        """`cls` of these values; None where it refuses them."""
        try:
            return cls(**values)
        except PlanError as error:
            for fault in error.faults if isinstance(error, FaultsError) else (error,):
                # A part names its own table, as in `network.strides`; so does the path that leads to it.
                key = fault.where.removeprefix(f"{path.rpartition('.')[2]}.") if path else fault.where
                self.note(_joined(path, key), fault.found, fault.expected, fault.remedy)
            return None

    def unknown(self, keys: Iterable[str], known: Sequence[str], path: str = "") -> None:
        """Note each key that is not known, naming the nearest right one; of very many the first."""
        for key in islice((key for key in keys if key not in known), MOST_FAULTS + 1):
            named = key[:MOST_SHOWN]
            near = _nearest(named, known)
            expected = f"perhaps `{near[0]}`" if near else f"one of {', '.join(known)}"
            self.note(path, f"there is no key `{named}`", expected, "rename or remove the key")

    def value(self, hint: Any, value: Any, path: str) -> Any:
        """`value` as the annotation `hint` asks; None and a fault where it is something else."""
        origin, inner = get_origin(hint), get_args(hint)
        if origin is Annotated:
            return self.value(inner[0], value, path)
        if origin in (Union, types.UnionType):
            return self._either(inner, value, path)
        if origin is Literal:
            same = [option for option in inner if type(option) is type(value) and option == value]
            return same[0] if same else self.refuse(path, value, _options(value, inner))
        if origin is tuple:
            return self._list(inner, value, path)
        if is_dataclass(hint) and isinstance(hint, type):
            return self.table(hint, value, path)
        kinds, expected = SCALARS[hint]
        if not isinstance(value, kinds) or isinstance(value, bool) and hint is not bool:
            return self.refuse(path, value, expected)
        # a whole number may have more digits than a float can hold
        if hint is float and not abs(value) <= sys.float_info.max:
            return self.refuse(path, value, "a finite number")
        return hint(value)

    def _either(self, kinds: Sequence[Any], value: Any, path: str) -> Any:
        """`value` as one of the `kinds` asks: None, words, and one of anything."""
        if value is None and type(None) in kinds:
            return None
        some = (kind for kind in kinds if kind is not type(None))
        *literals, hint = sorted(some, key=_is_word, reverse=True)
        words = [word for literal in literals for word in get_args(literal)]
        if value in words:  # "auto" in the place of a number
            return value
        inside = Reader(self.where)
        converted = inside.value(hint, value, path)
        said = "".join(f", or {word!r}" for word in words)
        for fault in inside.faults:  # a word may stand for the whole value, not for a part of it
            expected = f"{fault.expected}{said}" if fault.where == self.place(path) else fault.expected
            self.faults.append(PlanError(fault.where, fault.found, expected, fault.remedy))
        return converted

    def _list(self, kinds: Sequence[Any], value: Any, path: str) -> Any:
        """`value` as a tuple of the `kinds`."""
        if not isinstance(value, list | tuple):
            return self.refuse(path, value, "a list")
        if len(value) > MOST_ITEMS:
            return self.refuse(path, value, f"a list of at most {MOST_ITEMS} values")
        kinds = [kinds[0]] * len(value) if Ellipsis in kinds else kinds
        if len(value) != len(kinds):
            return self.refuse(path, value, f"a list of {len(kinds)} values")
        items: list[Any] = []
        before = len(self.faults)
        for index, (kind, item) in enumerate(zip(kinds, value, strict=True)):
            items.append(self.value(kind, item, f"{path}[{index}]"))
            if len(self.faults) > before + MOST_FAULTS:
                break
        return tuple(items)


def _listed(faults: Sequence[PlanError], where: str = "") -> str:
    """A line for each fault, without the place `where` that all of them share."""
    lines = [f"{len(faults)} faults:"]
    for fault in faults[:MOST_FAULTS]:
        place = fault.where.removeprefix(where).removeprefix(", ")
        lines.append(f"{f'{place}: ' if place else ''}{fault.found}; expected: {fault.expected}")
    if len(faults) > MOST_FAULTS:
        lines.append(f"and {len(faults) - MOST_FAULTS} more")
    return "\n".join(lines)


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


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _nearest(word: str, options: Sequence[str]) -> list[str]:
    """The option that `word` may have meant, if any."""
    return difflib.get_close_matches(word, options, n=1, cutoff=0.6)


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


def _is_word(hint: Any) -> bool:
    return get_origin(hint) is Literal


def _options(value: object, options: Sequence[object]) -> str:
    """What may stand there, the nearest first to be named."""
    near = _nearest(shown(value).strip("'"), [str(option) for option in options])
    listed = "one of " + ", ".join(repr(option) for option in options)
    return f"{listed}; perhaps {near[0]!r}" if near else listed
