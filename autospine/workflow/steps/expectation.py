"""How true the plan's expectation was: seconds a step, steps and memory, expected against found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autospine.planning.document.expected import Expected

if TYPE_CHECKING:
    from autospine.training.progress import FitResult


@dataclass(frozen=True)
class Comparison:
    """One expected figure beside the one that was found."""

    key: str
    """Field of `Expected`."""
    expected: float
    actual: float
    of_process: bool = False
    """Whether the actual figure is the growth of the whole process, where tensors alone were expected."""

    @property
    def difference(self) -> float:
        """(actual - expected) / expected; of little meaning where the two are not of the same thing."""
        return self.actual / self.expected - 1

    def __str__(self) -> str:
        """A line for people."""
        if self.of_process:
            return (
                f"memory in GB: {self.expected:.3g} expected for tensors, the whole process grew by {self.actual:.3g}"
            )
        what = {"memory_gb": "memory in GB", "seconds_per_step": "seconds a step", "steps": "steps"}[self.key]
        return f"{what}: {self.expected:.4g} expected, {self.actual:.4g} found ({self.difference:+.0%})"


def compare_expected(
    expected: Expected, memory_gb: float, result: FitResult, device: str, *, same_schedule: bool = True
) -> tuple[Comparison, ...]:
    """What was expected of a training that ran on `device`, beside what `result` says.

    `memory_gb` is the estimate for this device; on a CPU it counts tensors alone, but what is found is the growth of
    the process: libraries, batches, and freed memory that the system has not got back come on top. Times are compared
    only on the device on which the plan timed a step, steps only where the training kept the plan's budget
    (`same_schedule`).
    """
    found: list[tuple[str, float | None, float | None]] = []
    if expected.device == device:
        found.append(("seconds_per_step", expected.seconds_per_step, result.seconds_per_step))
        if same_schedule:
            found.append(("steps", expected.steps, result.step))
    if result.peak_memory_bytes is not None:
        found.append(("memory_gb", memory_gb, result.peak_memory_bytes / 1e9))
    return tuple(
        Comparison(key, float(before), float(after), key == "memory_gb" and device.startswith("CPU"))
        for key, before, after in found
        if before and after is not None
    )


def describe_comparisons(comparisons: Sequence[Comparison]) -> str:
    """One line of all of them, empty where there is none."""
    return "; ".join(str(comparison) for comparison in comparisons)
