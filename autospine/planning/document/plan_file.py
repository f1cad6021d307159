"""The plan as a file: TOML both ways, each decision with its reason.

One table per configuration, a `# why:` line above each key. What is written is the same to the byte for the same
plan, floats come back exactly, and the reasons come back from their comments.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.items import AoT, Comment, Table

from autospine.data.disk.files import read_text
from autospine.errors import PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.convert import MOST_DOCUMENT_BYTES, REPLAN, Reader, shown, to_table
from autospine.planning.document.data import DataPlan
from autospine.planning.document.plan import PLAN_SCHEMA, Plan


def plan_to_toml(plan: Plan) -> str:
    """The plan as TOML, the same bytes for the same plan; each reason is a `# why:` line above its key."""
    left, data = dict(plan.reasons), plan.data
    document = tomlkit.document()
    document.add(tomlkit.comment(f"Plan of {_one_line(data.dataset)}. Numbers may be edited; axes: see axis_order."))
    stands = vars(plan) | vars(data)
    for name in ("schema", "dataset", "recipe", "fingerprint_hash", "channels", "default"):
        _add(document, name, stands[name], name, left)
    if data.sides:
        _add(document, "sides", data.sides, "sides", left)
    labels = tomlkit.table()
    for label, value in data.labels:
        labels.add(label, value)
    document.add("labels", labels)
    for name in ("presence", "levels"):
        if stands[name] is not None:
            document.add(name, _table(stands[name], name, left))
    for name in ("regions", "intensities"):
        if stands[name]:
            document.add(name, tomlkit.aot())
        for part in stands[name]:  # the reasons of all stand in the first
            document[name].append(_table(part, name, left))
    configurations = tomlkit.table(is_super_table=True)
    for configuration in plan.configurations:
        configurations.add(configuration.name, _table(configuration, configuration.name, left, skip=("name",)))
    document.add("configurations", configurations)
    if left:
        rest = tomlkit.table()
        for key in sorted(left):
            rest.add(key, _one_line(left[key]))
        document.add("reasons", rest)
    return tomlkit.dumps(document)


def losses_to_toml(plan: Plan, text: str) -> str:
    """`text`, a plan's file, with the losses of `plan`; all else stays as written, somebody's comments too."""
    document = tomlkit.parse(text)
    left = dict(plan.reasons)
    for configuration in plan.configurations:
        table: Any = document["configurations"]
        table[configuration.name]["loss"] = _table(configuration.loss, f"{configuration.name}.loss", left)
    return tomlkit.dumps(document)


def plan_from_toml(text: str, where: str = "plan.toml") -> Plan:
    """The plan that `plan_to_toml` wrote, perhaps edited; reasons come back from the `# why:` lines.

    Raises PlanError naming `where` and the key for broken TOML, another schema, unknown or missing keys, wrong
    types and impossible values; several faults are listed in one error.
    """
    try:
        table: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        remedy = REPLAN.replace("this key", "this line")
        raise PlanError(where, f"not readable as TOML: {error}", "a plan written by `autospine plan`", remedy) from None
    schema = table.get("schema")
    if schema != PLAN_SCHEMA:
        remedy = "plan the dataset again with `autospine plan DATASET --overwrite`"
        expected = f"{PLAN_SCHEMA}, the format this version reads"
        raise PlanError(f"{where}, key schema", f"found {shown(schema)}", expected, remedy)
    reader = Reader(where, REPLAN)
    rest = table.get("reasons", {})
    if not isinstance(rest, dict) or not all(isinstance(reason, str) for reason in rest.values()):
        reader.refuse("reasons", rest, "a table of sentences")
    labels = _labels(table["labels"], reader) if "labels" in table else {}
    read = reader.table(_Head, table | labels, also=("configurations", "reasons"))
    configurations = _configurations(table.get("configurations"), reader)
    head = vars(reader.sound(read))
    data = DataPlan(**{item.name: head[item.name] for item in fields(DataPlan)})
    own = {name: head[name] for name in _Head.__annotations__}
    # comments are read of a sound file alone: it takes a hundred times as long
    reasons = {**_reasons(tomlkit.parse(text)), **rest}
    return reader.sound(reader.make(Plan, {**own, "data": data, "configurations": configurations, "reasons": reasons}))


def read_plan_file(path: Path) -> Plan:
    """The plan in the file `path`; PlanError where that is none, or not a valid one."""
    return plan_from_toml(read_text(path, PlanError, MOST_DOCUMENT_BYTES), str(path))


def _labels(table: object, reader: Reader) -> dict[str, list[list[object]]]:
    """The table of labels as the pairs that a plan holds."""
    if not isinstance(table, dict):
        reader.refuse("labels", table, "a table of names and values")
        return {"labels": []}
    whole = {name: value for name, value in table.items() if isinstance(value, int) and not isinstance(value, bool)}
    for name in (name for name in table if name not in whole):
        reader.refuse(f"labels.{name}", table[name], "the label's value on disk, a whole number")
    return {"labels": [[name, value] for name, value in whole.items()]}


def _configurations(table: object, reader: Reader) -> tuple[Configuration, ...]:
    """The configurations that have no fault."""
    if not isinstance(table, dict):
        reader.refuse("configurations", table, "a table for each configuration, such as [configurations.2d]")
        return ()
    found = []
    for name, inner in table.items():
        path = f"configurations.{name}"
        if isinstance(inner, dict) and "name" in inner:
            reader.note(path, "there is no key `name`", "the name in the table's own header", "remove the key")
        else:
            named = {"name": name, **inner} if isinstance(inner, dict) else inner
            found.append(reader.table(Configuration, named, path))
    return tuple(one for one in found if one is not None)


@dataclass(frozen=True, kw_only=True)
class _Head(DataPlan):
    """A plan's keys as they stand in the file, without its configurations and the reasons, which are comments."""

    recipe: str
    fingerprint_hash: str
    default: str
    schema: int


def _one_line(text: str) -> str:
    """Text that may stand in a TOML comment."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))


def _add(container: Any, key: str, value: Any, dotted: str, reasons: dict[str, str]) -> None:
    """Put `key = value` into a TOML container, its reason above it; the reason is taken out of `reasons`."""
    if dotted in reasons:
        container.add(tomlkit.comment(f"why: {_one_line(reasons.pop(dotted))}"))
    container.add(key, to_table(value))


def _table(value: Any, dotted: str, reasons: dict[str, str], skip: tuple[str, ...] = ()) -> Table:
    """A dataclass as TOML table: plain keys first, since TOML wants tables last."""
    table = tomlkit.table()
    named = [(item.name, getattr(value, item.name)) for item in fields(value) if item.name not in skip]
    for name, part in named:
        if not is_dataclass(part) and part is not None:
            _add(table, name, part, f"{dotted}.{name}", reasons)
    for name, part in named:
        if is_dataclass(part):
            table.add(name, _table(part, f"{dotted}.{name}", reasons))
    return table


def _reasons(document: Any, prefix: str = "") -> dict[str, str]:
    """The `# why:` comments of a parsed document by the dotted key below them."""
    found: dict[str, str] = {}
    waiting: str | None = None
    container = document.value if isinstance(document, Table) else document
    for key, item in container.body:
        if isinstance(item, Comment):
            match = re.fullmatch(r"#\s*why:\s*(.*)", item.as_string().strip())
            waiting = match.group(1) if match else waiting
        elif key is not None:
            dotted = f"{prefix}{key.key}"
            if waiting is not None:
                found[dotted.removeprefix("configurations.")] = waiting
                waiting = None
            for table in item.body if isinstance(item, AoT) else [item] if isinstance(item, Table) else []:
                found |= _reasons(table, f"{dotted}.")
    return found
