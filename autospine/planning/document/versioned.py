"""JSON documents with the version of their schema beside the keys of a dataclass: `{"schema": 1, ...}`.

A file of another version is refused as a whole: what its keys mean nobody here knows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from autospine.data.disk.files import read_json
from autospine.errors import PlanError
from autospine.planning.document.convert import MOST_DOCUMENT_BYTES, from_table, shown, to_table

T = TypeVar("T")


def versioned_table(schema: int, document: Any) -> dict[str, Any]:
    """The content of the file of a dataclass."""
    return {"schema": schema, **to_table(document)}


def read_versioned(cls: type[T], path: Path, schema: int, remedy: str) -> T:
    """The dataclass `cls` in the file `path`; `remedy` says what to do where it is none.

    Raises:
        PlanError: there is no such file, it is of another schema, or its keys are wrong; all of them are listed.
    """
    content = read_json(path, PlanError, MOST_DOCUMENT_BYTES, remedy)
    if not isinstance(content, dict) or content.get("schema") != schema:
        found = f"schema {shown(content.get('schema'))}" if isinstance(content, dict) else "not a table of keys"
        raise PlanError(
            str(path), found, f"schema {schema}", f"use the version of autospine that wrote it, or {remedy}"
        )
    return from_table(cls, {key: value for key, value in content.items() if key != "schema"}, str(path), remedy)
