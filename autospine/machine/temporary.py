"""Where temporary files lie."""

from __future__ import annotations

import os
import tempfile
from collections.abc import MutableMapping

from autospine.errors import OutputError
from autospine.machine.memory import SHARED


def find_temporary_folder(environment: MutableMapping[str, str] = os.environ) -> None:
    """Have temporary files lie in shared memory where none of the usual folders takes one.

    torch and matplotlib want a folder for them while they are imported, and a container may have none: its disk is
    read-only, or full. Processes that are started later inherit it.

    Raises:
        OutputError: shared memory takes none either.
    """
    try:
        tempfile.gettempdir()
        return
    except FileNotFoundError:
        environment["TMPDIR"] = str(SHARED)
    try:
        tempfile.gettempdir()
    except FileNotFoundError as fault:
        found = "no folder takes temporary files: each is read-only or full"
        raise OutputError("TMPDIR", found, "one that does", "set TMPDIR to a folder that you may write to") from fault
