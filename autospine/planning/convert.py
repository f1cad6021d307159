"""Frozen dataclasses to plain tables and back, every fault named by its key.

Plans, recipes and model files are text that people edit and strangers send: they are data, so what is read is
checked key by key against the dataclass' own annotations, and nothing in it is ever looked up or executed.
"""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from autospine.errors import PlanError

T = TypeVar("T")
REMEDY = "correct this key, or remove the file and let `autospine plan` write it again"


def require(condition: bool, where: str, found: object, expected: str) -> None:
    """Nothing; raises PlanError naming the key `where` unless `condition` holds."""
    if not condition:
        raise PlanError(where, f"found {found!r}", expected, REMEDY)


def to_table(value: Any) -> Any:
    """Plain dicts, lists and scalars of a dataclass, ready for JSON (None stays None)."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_table(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [to_table(item) for item in value]
    if isinstance(value, Mapping):
        return {key: to_table(item) for key, item in value.items()}
    return value


def from_table(cls: type[T], table: object, where: str) -> T:
    """An instance of the dataclass `cls` from a plain table.

    Every field must be there, except those whose type admits None. Raises PlanError with `where` and the dotted
    key on an unknown or missing key, a wrong type, or a value that the dataclass itself refuses.
    """
    if not isinstance(table, Mapping):
        raise PlanError(where, f"found {table!r}", "a table of keys", REMEDY)
    hints = get_type_hints(cls)
    known = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    check_keys(table, known, where)
    values: dict[str, Any] = {}
    for name in known:
        if name not in table:
            if not _admits_none(hints[name]):
                raise PlanError(where, f"the key `{name}` is missing", f"the keys {', '.join(known)}", REMEDY)
            values[name] = None
        else:
            values[name] = _convert(hints[name], table[name], f"{where}, key {name}")
    try:
        return cls(**values)
    except PlanError as error:
        raise PlanError(f"{where}, key {error.where}", error.found, error.expected, error.remedy) from None


def check_keys(table: Mapping[str, Any], known: list[str], where: str) -> None:
    """Nothing; raises PlanError for a key that is not known, naming the nearest right one."""
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            expected = f"perhaps `{near[0]}`" if near else f"one of {', '.join(known)}"
            raise PlanError(where, f"there is no key `{key}`", expected, "rename or remove the key")


def _admits_none(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint)


def _convert(hint: Any, value: Any, where: str) -> Any:
    """`value` as the annotation `hint` asks, or PlanError."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        (hint,) = [option for option in inner if option is not type(None)]
        return _convert(hint, value, where)
    if origin is Literal:
        same = [option for option in inner if type(option) is type(value) and option == value]
        require(bool(same), where, value, "one of " + ", ".join(repr(option) for option in inner))
        return same[0]
    if origin is tuple:
        require(isinstance(value, list | tuple), where, value, "a list")
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(_convert(inner[0], item, where) for item in value)
        require(len(value) == len(inner), where, value, f"a list of {len(inner)} values")
        return tuple(_convert(kind, item, where) for kind, item in zip(inner, value, strict=True))
    if is_dataclass(hint) and isinstance(hint, type):
        return from_table(hint, value, where)
    if hint is bool:
        require(isinstance(value, bool), where, value, "true or false")
        return bool(value)
    if hint is int:
        require(isinstance(value, int) and not isinstance(value, bool), where, value, "a whole number")
        return int(value)
    if hint is float:
        require(isinstance(value, int | float) and not isinstance(value, bool), where, value, "a number")
        require(math.isfinite(value), where, value, "a finite number")
        return float(value)
    if hint is str:
        require(isinstance(value, str), where, value, "text")
        return str(value)
    raise TypeError(f"no rule to read {hint!r} at {where}")
