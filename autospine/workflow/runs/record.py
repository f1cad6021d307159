"""`run.toml`: what a training was asked, what it learnt from and what it took; where it stands, it has ended."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autospine import __version__
from autospine.data.disk.files import write_text
from autospine.workflow.runs.folder import RECORD

if TYPE_CHECKING:
    import torch

    from autospine.training.identity import Identity
    from autospine.training.progress import FitResult


def write_record(
    folder: Path,
    identity: Identity,
    flags: Mapping[str, Any],
    sources: Mapping[str, Any],
    device: torch.device,
    result: FitResult,
    more: Mapping[str, Any],
) -> None:
    """Write `run.toml` in `folder`: `sources` are tables of what was learnt from, `more` follow at the end.

    Of `flags` those that were not given, None or an empty tuple, are left out.
    """
    import tomlkit

    from autospine.machine.device import describe_device

    record = tomlkit.document()
    record["identity"] = identity.exact
    record["identity_any_length"] = identity.any_length
    record["flags"] = {
        key: str(value) if isinstance(value, Path) else value for key, value in flags.items() if value not in (None, ())
    }
    record.update(sources)
    record["versions"] = {"python": platform.python_version(), "autospine": __version__} | {
        name: version(name) for name in ("torch", "numpy", "scipy")
    }
    name = describe_device(device, result.precision)
    record["hardware"] = {"device": name, "system": f"{platform.system()} {platform.machine()}"}
    took: dict[str, float] = {"steps": result.step, "seconds": round(result.seconds, 1)}
    if result.seconds_per_step is not None:
        took["seconds_per_step"] = round(result.seconds_per_step, 4)
    if result.peak_memory_bytes is not None:
        took["peak_memory_mib"] = round(result.peak_memory_bytes / 2**20)
    record["result"] = took
    record.update(more)
    write_text(folder / RECORD, tomlkit.dumps(record))
