"""The prepared cases of a configuration: opened where they stand, made where they do not."""

from __future__ import annotations

from pathlib import Path

from autospine.planning.plan import Configuration, Plan
from autospine.preprocessing.store import Store, find_store, prepare_dataset, store_name, stored_key
from autospine.workflow.progress import Progress, counted
from autospine.workflow.runs import RunFolder


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
