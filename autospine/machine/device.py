"""Where a network runs: what `auto` means, which device is not there, and what a device is called and has."""

from __future__ import annotations

import torch

from autospine.errors import DeviceError
from autospine.machine.arithmetic import Machine
from autospine.machine.memory import total_bytes
from autospine.machine.precision import Choice, Precision, gpu_precision
from autospine.machine.ranks import Rank


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


def device_of_rank(name: str, rank: Rank) -> torch.device:
    """As `resolve_device`; several processes of one machine take turns in having its GPUs, unless one is named."""
    device = resolve_device(name)
    if device.type == "cuda" and device.index is None and rank.local_count > 1:
        return torch.device("cuda", rank.local % torch.cuda.device_count())
    return device


def step_machine(device: torch.device, precision: Precision = "float32") -> Machine:
    """How `device` computes a training step, as the estimate of memory has to know it.

    A GPU's precision is its own. A CPU computes in `precision`; float32, which takes more, is what is planned for as
    long as no network is there to be timed.
    """
    if device.type == "cuda":
        return Machine("half", 1)
    return Machine("float32" if precision == "float32" else "bfloat16", torch.get_num_threads())


def device_memory_gb(device: torch.device) -> float | None:
    """All memory of `device` in 10^9 bytes: the GPU's own, or for the CPU the machine's; None where no one says."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory / 1e9)
    total = total_bytes()
    return None if total is None else total / 1e9


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was too little: torch has an error of its own for a GPU, and a sentence for a CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(said in str(error) for said in ("can't allocate memory", "std::bad_alloc"))


def describe_device(device: torch.device, precision: Precision | Choice = "float32") -> str:
    """A line for plans and `run.toml`: a GPU's name and precision, or a CPU's cores that torch uses and `precision`.

    A `Choice` says why it is that one, for messages.
    """
    if device.type == "cuda":
        computed = precision if isinstance(precision, Choice) else gpu_precision(device)
        return f"{torch.cuda.get_device_name(device)}, {computed}"
    return f"CPU, {torch.get_num_threads()} cores, {precision}"


def device_names(device: torch.device) -> dict[str, Precision]:
    """What `describe_device` may call `device`, with the precision that each name says."""
    if device.type == "cuda":
        return {describe_device(device): gpu_precision(device)}
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    return {describe_device(device, precision): precision for precision in precisions}
