"""Whether a training keeps the pace that its plan was made for: said once, early, while planning anew still pays."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from autospine.planning.document.expected import Expected
from autospine.planning.document.parts import TrainingPlan
from autospine.planning.estimate.duration import spoken
from autospine.workflow.progress import Update

if TYPE_CHECKING:
    from autospine.training.progress import FitProgress

AFTER_S, AFTER_SHARE = 60.0, 0.05
"""The pace is judged after a minute of this call's training, or after this share of a budget where that is less."""
STARVED = 0.1
"""Share of an epoch that a GPU waits for batches from which on it is said."""
OFF_PACE = 1.5
"""Times as long, or as short, as expected from which a step is far from the plan's; a machine's moods stay below."""


def watch_pace(
    expected: Expected, training: TrainingPlan, device: str, command: str | None, note: Callable[[str], None]
) -> Callable[[FitProgress], None]:
    """A function for after each step that notes once where the training is far from the pace its plan expects.

    `command` plans anew, where that can be done. On another `device` than the one that the plan was timed on nothing is
    expected. A plan that was not fitted to a time (`expected.steps` is None) is no poorer on a machine that is faster.
    """
    if expected.seconds_per_step is None or expected.device != device:
        return lambda state: None
    planned_s = expected.seconds_per_step
    after_s = AFTER_S if training.budget_s is None else min(AFTER_S, AFTER_SHARE * training.budget_s)
    judged = False

    def judge(state: FitProgress) -> None:
        nonlocal judged
        if judged or state.seconds_per_step is None or state.here_s < after_s:
            return
        judged = True
        times = state.seconds_per_step / planned_s
        if times > OFF_PACE:
            note(_slow_text(state, expected, times, training, command if expected.steps is not None else None))
        elif times < 1 / OFF_PACE and expected.steps is not None and command is not None:
            found = f"A step takes {state.seconds_per_step:.3g} s where the plan expects {planned_s:.3g} s"
            note(f"{found}: this machine could train a richer plan in that time. To plan anew: {command}")

    return judge


def _slow_text(
    state: FitProgress, expected: Expected, times: float, training: TrainingPlan, command: str | None
) -> str:
    planned_s = expected.seconds_per_step
    assert state.seconds_per_step is not None and planned_s is not None
    text = f"A step takes {state.seconds_per_step:.3g} s, {times:.1f} times as long as the plan expects "
    text += f"({planned_s:.3g} s)"
    if training.budget_s is not None:
        left = max(0.0, training.budget_s - state.seconds)
        steps, meant = state.step + left / state.seconds_per_step, expected.steps or training.budget_s / planned_s
        text += f": about {steps:.0f} steps in this time instead of {meant:.0f}"
    else:
        left = (training.steps - state.step) * state.seconds_per_step
        text += f": about {spoken(left)} to go instead of {spoken(left / times)}"
    text += ". Something else may be using this machine"
    if training.budget_s is None and (state.threads or 1) > 1:  # by the clock, threads are chosen as it runs
        text += "; beside that one thread may be faster (OMP_NUM_THREADS=1 before the command)"
    if command is None:
        return text
    return f"{text}; if that is to stay, stop here (Ctrl-C), plan anew with `{command}` and train with --overwrite"


def watch_threads(note: Callable[[str], None]) -> Callable[[FitProgress], None]:
    """A function for after each step that notes where steps go over to another number of threads."""
    before: int | None = None

    def watch(state: FitProgress) -> None:
        nonlocal before
        if before is not None and state.threads is not None and state.threads != before:
            many = f"{state.threads} thread{'s' * (state.threads != 1)} instead of {before}"
            note(f"Steps are computed by {many}: faster now, beside what else this machine does")
        before = state.threads

    return watch


def watch_feeding(device: str, note: Callable[[str], None]) -> Callable[[FitProgress], None]:
    """A function for after each step that notes once where a GPU waits for its batches for much of an epoch.

    `device` is its type; a CPU that builds the batches itself does not wait for them.
    """
    told = device == "cpu"

    def watch(state: FitProgress) -> None:
        nonlocal told
        if told or state.waiting is None or state.waiting < STARVED:
            return
        told = True
        found = f"The GPU waited for batches for {state.waiting:.0%} of the epoch"
        note(f"{found}: more processes would feed it faster (--workers), as far as this machine has cores for them")

    return watch


def shown(update: Update, *then: Callable[[FitProgress], None]) -> Callable[[FitProgress], None]:
    """A function for after each step that shows how far the training is, and does what is to be done `then`."""

    def on_step(state: FitProgress) -> None:
        loss = "" if state.loss is None else f", loss {state.loss:.3f}"
        dice = "" if state.dice is None else f", Dice {state.dice:.3f}"
        fed = "" if state.waiting is None else f", {state.waiting:.0%} of the time for batches"
        update(f"step {state.step}{loss}{dice}{fed}", state.progress)
        for one in then:
            one(state)

    return on_step
