"""What a run folder holds, for the benchmarks that look into one."""

from __future__ import annotations

from pathlib import Path

from autospine.preprocessing.keys import store_name, stored_key
from autospine.preprocessing.store import Store, find_store
from autospine.workflow.runs.folder import RunFolder


def open_run(path: Path, name: str) -> tuple[RunFolder, Store]:
    """A run, and the prepared cases of the configuration called `name`, which a training has made."""
    run = RunFolder(path)
    plan = run.read_plan()
    configuration = plan.configuration(name)
    key = stored_key(plan, configuration)
    found = (find_store(place, key) for place in run.stores(store_name(plan, configuration), key))
    return run, next(store for store in found if store is not None)
