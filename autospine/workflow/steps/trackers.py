"""TensorBoard, MLflow and Weights & Biases, each told of a training in its own words.

They are installed by who wants them, and loaded where they are used. What each would send by itself (the command line,
the user's name, paths, the output of the terminal, statistics of use) is switched off: a tracker gets what is given to
it here and nothing else. Where that goes is the tracker's own setting: MLFLOW_TRACKING_URI, `wandb login` and the like.
"""

from __future__ import annotations

import importlib.util
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from autospine.errors import PlanError

TRACKERS = ("tensorboard", "mlflow", "wandb")
"""Their names, each that of the package which it is installed as."""
PROJECT = "autospine"
"""The experiment or project that runs belong to, where the tracker's own setting names no other."""
End = Literal["FINISHED", "FAILED", "KILLED"]
"""How a training came to its end, as MLflow calls it."""
_MOST_PARAMETERS, _MOST_LETTERS = 100, 500
"""Parameters in one request to MLflow, and letters in one of them, in every version of its server."""


@dataclass(frozen=True)
class About:
    """A training as a tracker is told of it; no case, no patient and no path is named."""

    folder: Path
    """Of the training: where trackers put their files; it is not sent."""
    name: str
    """What the run is called, such as `my-spines/2d/fold_0`."""
    group: str
    """What it shares with the other folds."""
    settings: Mapping[str, str | float]
    """Key of the plan -> value."""


class Tracker(Protocol):
    """What a training tells; each call may raise whatever the library raises, and take as long as a server takes."""

    title: str

    def begin(self, about: About, run: str | None, epoch: int) -> str:
        """Go on with `run` from `epoch` on, or begin a run; returns what it is known by."""

    def where(self) -> str:
        """How to see the run, in a few words."""

    def log(self, epoch: int, numbers: Mapping[str, float]) -> None:
        """Take the numbers of an epoch."""

    def score(self, epoch: int, numbers: Mapping[str, float], picture: Path | None) -> None:
        """Take the scores of the weights after `epoch`, and the picture of the curves."""

    def close(self, end: End) -> None:
        """Bring what was taken to where it belongs."""


def check_trackers(names: Sequence[str]) -> None:
    """Nothing, where all of these can be used here.

    Raises:
        PlanError: one is not known, or not installed.
    """
    if unknown := [name for name in names if name not in TRACKERS]:
        raise PlanError("--track", f"no such tracker: {', '.join(unknown)}", ", ".join(TRACKERS))
    if missing := [name for name in names if not _is_installed(name)]:
        remedy = f"pip install {' '.join(missing)}"
        raise PlanError(
            "--track", f"not installed: {', '.join(missing)}", f"the package {' and '.join(missing)}", remedy
        )


def make_tracker(name: str) -> Tracker:
    """The tracker of this name; nothing of it is loaded yet."""
    kinds: dict[str, type[Tracker]] = {"tensorboard": _TensorBoard, "mlflow": _MLflow, "wandb": _WandB}
    return kinds[name]()


def _is_installed(name: str) -> bool:
    """Whether a package is there; a folder `wandb` or `mlruns` beside the user is none, though Python would take it."""
    found = importlib.util.find_spec(name)
    return found is not None and found.origin is not None


class _TensorBoard:
    """Event files in the training's folder."""

    title = "TensorBoard"
    _FOLDER = "tensorboard"

    def begin(self, about: About, run: str | None, epoch: int) -> str:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = about.folder / self._FOLDER
        # of an earlier training in this folder, or of epochs that were lost, nothing is shown any more
        self._writer: Any = SummaryWriter(str(self._folder), purge_step=epoch)
        if run is None:
            lines = ["| key | value |", "|---|---|", *(f"| {key} | {value} |" for key, value in about.settings.items())]
            self._writer.add_text("plan", "\n".join(lines), 0)
        return self._FOLDER

    def where(self) -> str:
        return f"tensorboard --logdir {self._folder}"

    def log(self, epoch: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def score(self, epoch: int, numbers: Mapping[str, float], picture: Path | None) -> None:
        self.log(epoch, numbers)
        if picture is not None:
            import numpy as np
            from PIL import Image

            with Image.open(picture) as opened:
                pixels = np.asarray(opened.convert("RGB"))
            self._writer.add_image("progress", pixels, epoch, dataformats="HWC")

    def close(self, end: End) -> None:
        self._writer.close()


class _MLflow:
    """A run at MLFLOW_TRACKING_URI; without one MLflow keeps it in files of this machine."""

    title = "MLflow"

    def begin(self, about: About, run: str | None, epoch: int) -> str:
        for name in ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"):
            os.environ.setdefault(name, "true")
        # the client alone: `mlflow.start_run` would send the user's name and the path of the program as well
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client: Any = MlflowClient()
        if run is None:
            tags = {"group": about.group}
            self._run = self._client.create_run(self._experiment(), tags=tags, run_name=about.name).info.run_id
            told = [Param(key, str(value)[:_MOST_LETTERS]) for key, value in about.settings.items()]
            for first in range(0, len(told), _MOST_PARAMETERS):
                self._client.log_batch(self._run, params=told[first : first + _MOST_PARAMETERS])
        else:
            self._run = run
            self._client.update_run(run, status="RUNNING")
        return str(self._run)

    def _experiment(self) -> str:
        """The experiment that the user has set, or ours, which is made where it is not there."""
        from mlflow.exceptions import MlflowException

        if given := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return given
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        if (found := self._client.get_experiment_by_name(name)) is None:
            try:
                return str(self._client.create_experiment(name))
            except MlflowException:  # another fold, trained elsewhere at this moment, was first
                if (found := self._client.get_experiment_by_name(name)) is None:
                    raise
        return str(found.experiment_id)

    def where(self) -> str:
        return f"run {self._run}; mlflow ui"

    def log(self, epoch: int, numbers: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now_ms = int(time.time() * 1000)
        # MLflow allows letters of all scripts, and few signs
        told = [Metric(re.sub(r"[^\w\-. /]", "_", name), value, now_ms, epoch) for name, value in numbers.items()]
        self._client.log_batch(self._run, metrics=told)

    def score(self, epoch: int, numbers: Mapping[str, float], picture: Path | None) -> None:
        self.log(epoch, numbers)
        if picture is not None:
            self._client.log_artifact(self._run, str(picture))

    def close(self, end: End) -> None:
        self._client.set_terminated(self._run, end)


class _WandB:
    """A run of Weights & Biases: where the user has logged in, else in files that `wandb sync` sends later."""

    title = "Weights & Biases"
    _ANSWERS_S = 30
    """Seconds that its server has to take a run."""

    def begin(self, about: About, run: str | None, epoch: int) -> str:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        mode = os.environ.get("WANDB_MODE")
        if mode is None and not _has_key(wandb):  # it would ask for one, and a training at night waits
            mode = "offline"
        settings = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            host=PROJECT,
            init_timeout=self._ANSWERS_S,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
        )
        project = os.environ.get("WANDB_PROJECT", PROJECT)
        place, told = str(about.folder), dict(about.settings) if run is None else None
        named = {"project": project, "name": about.name, "group": about.group, "id": run, "resume": "allow"}
        self._run: Any = wandb.init(**named, dir=place, config=told, mode=mode, settings=settings)
        return str(self._run.id)

    def where(self) -> str:
        if self._run.offline:
            return f"not sent; `wandb sync {Path(self._run.dir).parent}` sends it"
        return str(self._run.url)

    def log(self, epoch: int, numbers: Mapping[str, float]) -> None:
        self._run.log(dict(numbers), step=epoch)

    def score(self, epoch: int, numbers: Mapping[str, float], picture: Path | None) -> None:
        import wandb

        self._run.summary.update(dict(numbers))
        if picture is not None:
            self._run.log({"progress": wandb.Image(str(picture))}, step=epoch)

    def close(self, end: End) -> None:
        self._run.finish(exit_code=0 if end == "FINISHED" else 1)


def _has_key(wandb: Any) -> bool:
    """Whether the user has logged in to Weights & Biases, now or before; nobody is asked."""
    try:
        return bool(wandb.login(prompt=False, verify=False))
    except TypeError:  # of earlier versions, that know no `prompt`
        return bool(wandb.api.api_key)
