"""How many cases can be prepared at once: as many as there are cores, and as fit into free memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from math import prod
from pathlib import Path

from autospine.data.geometry import canonical_orientation, orient_geometry
from autospine.errors import DataError
from autospine.planning.plan import Configuration

_PROCESS_BYTES = 250_000_000
"""An interpreter with numpy, scipy and the image reader loaded."""
_SHARE = 0.8
"""Of the free memory that is planned with; the rest is for what else the machine does."""
_CGROUP = Path("/sys/fs/cgroup")


def bounded_workers(cases: Iterable[Sequence[Path]], configuration: Configuration) -> int:
    """Worker processes for `cases`, each given by its channel files; only headers are read. At least 1."""
    cases = [images for images in cases if images]
    if len(cases) < 2:
        return 1
    largest = max(case_bytes(images, configuration) for images in cases)
    fitting = int(free_bytes() * _SHARE // (largest + _PROCESS_BYTES))
    return max(1, min(available_cores(), fitting, len(cases)))


def case_bytes(images: Sequence[Path], configuration: Configuration) -> int:
    """Bytes that preparing a case takes at its peak, by the header of its first channel; 0 where it is unreadable."""
    from autospine.data.volume import read_geometry  # reads images; a process that only opens a store does not

    try:
        geometry = read_geometry(images[0])
    except DataError:
        return 0  # the worker that reads it says what is wrong
    native, channels = prod(geometry.shape), len(configuration.normalisation)
    spacing_mm = geometry.spacing_mm
    # a 2D configuration keeps the slices as they are
    lying = orient_geometry(geometry, canonical_orientation(geometry))
    kept_mm = lying.spacing_mm[configuration.axis_order[0]] if len(configuration.spacing_mm) == 2 else 1.0
    prepared = native * prod(spacing_mm) / (prod(configuration.spacing_mm) * kept_mm)
    # float32 as read, cropped and normalised; two float64 intermediates of one channel; the float32 result
    return int(12 * channels * native + 16 * max(native, prepared) + (4 * channels + 4) * prepared)


def free_bytes() -> int:
    """Memory that can be had now without swapping; a container's own limit counts."""
    free = 4_000_000_000  # where the system does not say: enough for one or two cases
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        try:
            free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, OSError, ValueError):
            pass
    try:
        limit, used = ((_CGROUP / name).read_text(encoding="ascii") for name in ("memory.max", "memory.current"))
        free = min(free, max(0, int(limit) - int(used)))
    except (OSError, ValueError):
        pass
    return free


def total_bytes() -> int | None:
    """All memory of this machine, or a container's share of it where that is less; None where no one says."""
    total: int | None = None
    with suppress(AttributeError, OSError, ValueError):
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # "max" is no number: no limit
        limit = int((_CGROUP / "memory.max").read_text(encoding="ascii"))
        total = limit if total is None else min(total, limit)
    return total


def available_cores() -> int:
    """Cores this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
