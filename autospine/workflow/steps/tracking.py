"""A training's history for trackers: what `history.csv` holds, epoch by epoch, then its scores and curves.

    history.csv ── rows that were not sent ── a thread for each tracker ── TensorBoard, MLflow, Weights & Biases
                                                       │
                                   tracked_by_<tracker>.json: its run, epochs it has, epochs it was scored after

No training waits for a tracker, nor ends with it: one that fails is said once and gets no more. What it has is written
down beside the training, so that a training that goes on goes on in the same run, and a command that is repeated sends
what is missing, also of a training that has ended or was begun without a tracker.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

from autospine import __version__
from autospine.data.disk.files import read_json, write_json
from autospine.errors import PlanError, Stopped
from autospine.planning.document.convert import to_table
from autospine.workflow.steps.ahead import ENDING_S, has_ended, in_background
from autospine.workflow.steps.trackers import About, End, Tracker, make_tracker

if TYPE_CHECKING:
    from autospine.training.progress import EpochRecord
    from autospine.workflow.steps.training import Training

CLOSING_S = 60.0
"""Seconds that all trackers together have to take the rest, once a training has ended (ours)."""
PICTURE = "progress.png"
_MOST_LETTERS = 300


@dataclass(frozen=True)
class Sent:
    """What a tracker has of a training."""

    run: str | None = None
    """What the tracker knows it by; None: it has nothing."""
    epochs: int = 0
    scored: int = 0
    """Epochs after which its scores were sent; 0: they were not."""

    @staticmethod
    def read(path: Path) -> Sent:
        """What the file at `path` says; nothing, where it is not there or not what was written there."""
        try:
            held = read_json(path, PlanError)
            run, epochs, scored = held["run"], held["epochs"], held["scored"]
        except (PlanError, KeyError, TypeError):
            return Sent()
        if not (isinstance(run, str) and all(type(number) is int and number >= 0 for number in (epochs, scored))):
            return Sent()
        return Sent(run, epochs, scored)


@contextmanager
def tracked(training: Training[Any], names: Sequence[str]) -> Iterator[Tracking]:
    """A block that trains, and tells the trackers of these names, which are there (`check_trackers`)."""
    tracking = Tracking(names, training)
    try:
        yield tracking
    except BaseException as fault:
        # who has stopped it does not wait for a server
        failed = isinstance(fault, Exception) and not isinstance(fault, Stopped)
        tracking.close("FAILED" if failed else "KILLED", ENDING_S)
        raise
    tracking.close("FINISHED", CLOSING_S)


class Tracking:
    """A training's trackers; where there are none, nothing is done."""

    def __init__(self, names: Sequence[str], training: Training[Any]) -> None:
        """Nothing is sent before the first epoch, or the scores, of `training`."""
        self._note = training.progress.note
        about, begins = about_run(training), training.course == "begins"
        self._lines = [_Line(name, about, begins) for name in dict.fromkeys(names)]

    def on_epoch(self, record: EpochRecord) -> None:
        """An epoch has ended, and the history has it."""
        for line in self._lines:
            line.give(line.send_history)
        self._say()

    def scored(self, metrics: Mapping[str, Any] | None) -> None:
        """The validation cases are scored; None where there are none."""
        numbers = {} if metrics is None else score_numbers(metrics)
        for line in self._lines:
            line.give(line.send_history)
            line.give(partial(line.send_scores, numbers))

    def close(self, end: End, seconds: float) -> None:
        """Let the trackers take what is left, for so many seconds at most, and say where it did not come to that."""
        until = monotonic() + seconds
        for line in self._lines:
            line.close(end)
        for line in self._lines:
            line.wait(until - monotonic())
        self._say()

    def _say(self) -> None:
        for line in self._lines:
            for text in line.news():
                self._note(text)


class _Line:
    """A tracker in a thread of its own."""

    def __init__(self, name: str, about: About, begins: bool) -> None:
        """Nothing is read or loaded yet; a training that `begins` has nothing to do with what was sent before."""
        self._name, self._about, self._begins = name, about, begins
        self._file = about.folder / f"tracked_by_{name}.json"
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._said: SimpleQueue[str] = SimpleQueue()
        self._tracker: Tracker = make_tracker(name)
        self._open = False
        self._sent: Sent | None = None
        self._end: End = "FINISHED"
        self._work: Future[None] | None = None
        self._gave_up = False

    def give(self, job: Callable[[], None]) -> None:
        """Have `job` done when those before it are; after a fault, nothing more."""
        if self._work is None:
            self._work = in_background(self._run)
        self._jobs.put(job)

    def close(self, end: End) -> None:
        """Have the tracker closed when all is done; there is nothing to close where nothing was given."""
        self._end = end
        self._jobs.put(None)

    def wait(self, seconds: float) -> None:
        """Wait until it is closed, so many seconds at most."""
        if self._work is not None and not has_ended(self._work, max(seconds, 0.0)):
            self._gave_up = True
            self._said.put(f"{self._tracker.title} does not answer: what it has not taken {self._again()}")

    def news(self) -> Iterator[str]:
        """What is to be said since the last call; a fault once."""
        while not self._said.empty():
            yield self._said.get()
        if self._work is not None and self._work.done() and not self._gave_up:
            self._gave_up = True
            if (fault := self._work.exception()) is not None:
                lines = f"{type(fault).__name__}: {fault}".strip().splitlines()
                yield f"{self._tracker.title} takes no more ({lines[0][:_MOST_LETTERS]}): the rest {self._again()}"

    def _again(self) -> str:
        return f"of {self._about.name} is sent where the same command is repeated after the training"

    def _run(self) -> None:
        """The thread: job after job."""
        while (job := self._jobs.get()) is not None:
            job()
        if self._open:
            self._tracker.close(self._end)

    def send_history(self) -> None:
        """The rows of `history.csv` that the tracker does not have."""
        from autospine.report.figures import read_history
        from autospine.training.progress import HISTORY

        path, sent = self._about.folder / HISTORY, self._known()
        if not path.is_file():
            return
        for row in history_rows(read_history(path)):
            epoch = int(row["epoch"])
            if epoch >= sent.epochs:
                self._ensure_open()
                self._tracker.log(epoch, {key: value for key, value in row.items() if key != "epoch"})
                self._keep(epochs=epoch + 1)

    def send_scores(self, numbers: Mapping[str, float]) -> None:
        """The scores and the curves of a training that has ended, unless the tracker has them."""
        sent = self._known()
        if sent.epochs and sent.scored != sent.epochs:
            self._ensure_open()
            picture = self._about.folder / PICTURE
            self._tracker.score(sent.epochs - 1, numbers, picture if picture.is_file() else None)
            self._keep(scored=sent.epochs)

    def _known(self) -> Sent:
        if self._sent is None:
            self._sent = Sent() if self._begins else Sent.read(self._file)
        return self._sent

    def _ensure_open(self) -> None:
        if not self._open:
            sent = self._known()
            run = self._tracker.begin(self._about, sent.run, sent.epochs)
            self._open = True
            self._keep(run=run)
            self._said.put(f"{self._tracker.title} has {self._about.name}: {self._tracker.where()}")

    def _keep(self, **news: Any) -> None:
        self._sent = replace(self._known(), **news)
        write_json(self._file, {"schema": 1, **asdict(self._sent)})


def about_run(training: Training[Any]) -> About:
    """What trackers are told of `training`: how it is called below `--runs`, and the numbers of its configuration."""
    run, folder = training.run, training.folder
    # an arm of a study lies inside the run folder of its dataset
    name = folder.relative_to((run.lender or run.root).parent).as_posix()
    told = {"autospine": __version__, "dataset": training.plan.data.dataset, **flat(to_table(training.configuration))}
    return About(folder, name, name.rpartition("/")[0], told)


def flat(table: Mapping[str, Any], before: str = "") -> dict[str, str | float]:
    """Dotted key -> number or text, of nested tables; lists as text, and what is None is left out."""
    found: dict[str, str | float] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{key}.")
        elif isinstance(value, list):
            found[f"{before}{key}"] = str(value)
        elif value is not None:
            found[f"{before}{key}"] = value
    return found


def history_rows(columns: Mapping[str, Sequence[float]]) -> Iterator[dict[str, float]]:
    """The rows of a history, each without the cells that hold no number; `dice_L1` is called `dice/L1`."""
    names = {name: name.replace("dice_", "dice/", 1) if name.startswith("dice_") else name for name in columns}
    for cells in zip(*columns.values(), strict=True):
        row = dict(zip(columns, cells, strict=True))
        yield {names[name]: value for name, value in row.items() if math.isfinite(value)}


def score_numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """What `metrics.json` says in the mean and of each class; nothing of single cases."""
    found = {f"scores/{key}": value for key, value in metrics["mean"].items()}
    for name, values in metrics["classes"].items():
        found |= {f"scores/{name}/{key}": value for key, value in values.items()}
    return {key: value for key, value in found.items() if isinstance(value, int | float)}
