"""Commands as a user types them, such as the `autospine plan` that a plan answers: what people are told has to work."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autospine.data.folds import FoldName
from autospine.planning.budget.default_time import DEFAULT_S
from autospine.planning.document.recipe import shipped_files

RUNS = "runs"
"""Where runs are kept unless `--runs` says otherwise."""
RECIPE_FILE = "recipe_file"
"""Key of a request: where the recipe lay, if it was a file."""
OPTIONS = {
    "recipe": "--recipe",
    "memory_gb": "--memory",
    "source": "--from",
    "subjects": "--subjects",
    "layout": "--layout",
    "masks": "--masks",
    "channels": "--channels",
    "epochs": "--epochs",
    "budget_s": "--budget",
    "device": "--device",
}
"""Options by the key of a request, in the order in which they are shown."""


TRAIN_OPTIONS = {
    "configuration": "-c",
    "budget_s": "--budget",
    "epochs": "--epochs",
    "device": "--device",
    "workers": "--workers",
    "init": "--init",
}
"""Options of a training by the field of its request; what a dataset is read by is in its plan."""


def option_of(key: str) -> str:
    """The option by which a user gives a part of a request."""
    return OPTIONS.get(key, f"--{key.replace('_', '-')}")


def plan_command(dataset: Path, runs: Path, request: Mapping[str, Any] | None) -> str:
    """The command that shows the plan of `request`, and renews what of it has to be; None: a request of no options."""
    words = ["autospine", "plan", str(dataset)]
    asked = request or {}
    for key, option in OPTIONS.items():
        value = asked.get(key)
        if key == "recipe" and asked.get(RECIPE_FILE):
            value = asked[RECIPE_FILE]
        if value is not None and (key, value) not in (("recipe", "default"), ("device", "auto")):
            words += [option, _typed(key, value)]
    if asked.get("allow_missing"):
        words.append("--allow-missing")
    if str(runs) != RUNS:
        words += ["--runs", str(runs)]
    return shlex.join(words)


def replan_command(dataset: Path, runs: Path, request: Mapping[str, Any] | None, budget_s: float | None) -> str | None:
    """The command that plans anew by the same recipe and reading, for `budget_s` here, or for the default time.

    None where there is none: a plan that was moved from other data, or that no command has made (a study's).
    """
    if request is None or request.get("source") is not None:
        return None
    kept = {key: value for key, value in request.items() if key not in ("epochs", "budget_s", "source")}
    return f"{plan_command(dataset, runs, {**kept, 'budget_s': budget_s})} --overwrite"


def half_hour_command(dataset: Path, runs: Path, request: Mapping[str, Any] | None) -> str | None:
    """The command that plans anew what can be trained in the default time, or None as for `replan_command`."""
    return replan_command(dataset, runs, request, DEFAULT_S)


def train_command(dataset: Path, fold: FoldName, runs: Path, asked: Mapping[str, Any]) -> str:
    """The command that trains a fold; `asked` are the fields of its request."""
    words = ["autospine", "train", str(dataset), str(fold)]
    for key, option in TRAIN_OPTIONS.items():
        if asked[key] is not None and (key, asked[key]) != ("device", "auto"):
            words += [option, _typed(key, asked[key])]
    for tracker in asked["track"]:
        words += ["--track", tracker]
    if str(runs) != RUNS:
        words += ["--runs", str(runs)]
    return shlex.join(words)


def _typed(key: str, value: Any) -> str:
    match key:
        case "recipe":
            return str(value) if str(value) in shipped_files() or str(value).endswith(".toml") else f"{value}.toml"
        case "memory_gb":
            return f"{value:g}GB"
        case "budget_s":
            return f"{value / 60:g}m" if value % 60 == 0 else f"{value:g}s"
        case "source":
            return "PLAN"  # only what it held is kept, not where it lay
        case _:
            return str(value)
