"""Where a network runs and in which precision.

One place decides what `auto` means, refuses a device that is not there, and knows which processors gain
from bfloat16: a CPU without AVX512-BF16 or AMX only emulates it and would be slower than in float32.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from autospine.errors import DeviceError
from autospine.machine import total_bytes
from autospine.planning.memory import Machine

_CPU_INFO = Path("/proc/cpuinfo")


def resolve_device(name: str = "auto") -> torch.device:
    """The device called `name`: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`.

    Raises:
        DeviceError: no such device on this machine, or a name that is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name != "cpu" and name != "cuda" and not (name.startswith("cuda:") and name[5:].isdigit()):
        raise DeviceError(f"--device {name}", "no such kind of device", "auto, cpu, cuda or cuda:N")
    device = torch.device(name)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            found = "this machine has no CUDA device that torch can use"
            remedy = "use --device cpu (or auto), or install a CUDA build of torch and its driver"
            raise DeviceError(f"--device {name}", found, remedy=remedy)
        if device.index is not None and device.index >= torch.cuda.device_count():
            found = f"this machine has {torch.cuda.device_count()} CUDA device(s)"
            raise DeviceError(f"--device {name}", found, f"cuda:0 to cuda:{torch.cuda.device_count() - 1}")
    return device


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """The half precision that pays on `device`; None where float32 is the faster."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if _cpu_has_bf16() else None


def step_machine(device: torch.device) -> Machine:
    """How `device` computes a training step, as the estimate of memory has to know it."""
    threads = 1 if device.type == "cuda" else torch.get_num_threads()
    return Machine("float32" if autocast_dtype(device) is None else "half", threads)


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """A context in which the forward pass runs in the precision of `autocast_dtype`."""
    dtype = autocast_dtype(device)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def device_memory_gb(device: torch.device) -> float | None:
    """All memory of `device` in 10^9 bytes: the GPU's own, or for the CPU the machine's; None where no one says."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory / 1e9)
    total = total_bytes()
    return None if total is None else total / 1e9


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch found too little memory: it has an error of its own for a GPU, and a sentence for a CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def describe_device(device: torch.device) -> str:
    """A line for logs and `run.toml`: the device, the cores that torch uses or its name, and the precision."""
    precision = str(autocast_dtype(device) or torch.float32).removeprefix("torch.")
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {precision}"
    return f"CPU, {torch.get_num_threads()} cores, {precision}"


def _cpu_has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware (Linux tells; elsewhere: no)."""
    try:
        flags = _CPU_INFO.read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
