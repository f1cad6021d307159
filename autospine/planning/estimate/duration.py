"""How long a training takes: by the clock where it has a time budget, else by its steps and what one of them takes."""

from __future__ import annotations

from autospine.planning.document.configuration import Configuration
from autospine.planning.document.expected import Expected
from autospine.planning.document.parts import TrainingPlan

VALIDATION_SHARE = 1 / 3
"""What a validation batch takes of a training step, which has a pass forward, and one back of twice the work."""
LONG_S = 86400.0
"""Seconds from which a training on a CPU is warned of; our own figure: whoever waits longer should have been told."""


def training_seconds(training: TrainingPlan, expected: Expected, device: str | None = None) -> float | None:
    """Seconds that a training takes; None where no step of it was timed (on `device`, if given)."""
    if training.budget_s is not None:
        return training.budget_s
    if expected.seconds_per_step is None or device not in (None, expected.device):
        return None
    per_epoch = training.steps_per_epoch + VALIDATION_SHARE * training.validation_steps
    return training.epochs * per_epoch * expected.seconds_per_step


def spoken(seconds: float) -> str:
    """`45 s`, `28 min`, `3.5 h` or `12 days`: as much as an estimate is good for."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.2g} h"
    return f"{seconds / 86400:.0f} days"


def describe_length(
    configuration: Configuration, expected: Expected, device: str, command: str | None
) -> tuple[str, ...]:
    """What a training of `configuration` takes on `device`, in a few words; where it takes a CPU over a day, a warning.

    That names the `command` that plans for a time, where there is one.
    """
    training = configuration.training
    seconds = training_seconds(training, expected, device)
    if training.budget_s is not None:
        said = f"{spoken(training.budget_s)} by the clock"
    else:
        said = f"{training.epochs} epoch{'s' * (training.epochs != 1)}, {training.steps} steps"
        unknown = f"; how long that takes on {device} is not known, since no step was timed there"
        said += unknown if seconds is None else f": about {spoken(seconds)} on {device}"
    if seconds is None or seconds <= LONG_S or not device.startswith("CPU"):
        return (said,)
    warning = f"{configuration.name} would train for about {spoken(seconds)} on this CPU"
    warning += f": `{command}` plans what it can train in half an hour" if command else ": --budget ends it"
    return said, warning
