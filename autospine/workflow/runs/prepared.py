"""The prepared cases of a configuration: opened where they stand, made where they do not."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from autospine.data.disk.locks import find_holder
from autospine.errors import OutputError, PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.plan import Plan
from autospine.preprocessing.cases import prepare_dataset
from autospine.preprocessing.keys import store_name, stored_key
from autospine.preprocessing.store import Store, find_store
from autospine.workflow.progress import Progress, counted
from autospine.workflow.runs.folder import RunFolder


def ensure_prepared(
    dataset: Path,
    run: RunFolder,
    plan: Plan,
    configuration: Configuration,
    progress: Progress,
    workers: int | None = None,
) -> Store:
    """The store of `configuration`, prepared from `dataset` as far as it is not there yet.

    At most `workers` processes share that work (None: by cores and memory alone). Configurations that prepare alike
    share the store, whichever is asked for first.
    """
    name, key = store_name(plan, configuration), stored_key(plan, configuration)
    places = run.stores(name, key)
    for place in places:
        store = find_store(place, key)
        if store is not None:
            return store
    users = [other.name for other in plan.configurations if store_name(plan, other) == name]
    check_unused(places[-1], key, run, [f"{user}/.fold_*.lock" for user in users])
    # read here alone: a machine that got the prepared cases needs no image library
    from autospine.data.dataset import open_dataset

    with progress.task(f"Preparing {name}") as update:
        return prepare_dataset(
            open_dataset(dataset, run.read_reading()),
            plan,
            configuration,
            places[-1],
            workers=workers,
            fingerprint=run.read_fingerprint() if run.fingerprint.is_file() else None,
            progress=counted(update),
        )


def check_unused(place: Path, key: str, run: RunFolder, locks: Iterable[str]) -> None:
    """Nothing; raises `OutputError` where another process trains on what is in `place`, which would make way for `key`.

    `locks` are patterns below the run folder, of the locks of trainings that may use it.
    """
    try:
        if Store(place).key == key:
            return
    except PlanError:
        return
    for lock in (lock for pattern in locks for lock in sorted(run.root.glob(pattern))):
        holder = find_holder(lock)
        if holder is not None:
            found = f"these cases were prepared for another plan, and are in use by {holder}"
            raise OutputError(str(place), found, "one plan at a time", "wait until it has ended, or stop it")
