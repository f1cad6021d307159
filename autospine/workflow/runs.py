"""Where everything of a dataset's runs lies: the one place that knows the names below `--runs`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autospine.data.files import atomic_path
from autospine.errors import PlanError
from autospine.planning.model import MODEL
from autospine.planning.plan import Plan
from autospine.planning.plan_file import plan_from_toml


@dataclass(frozen=True)
class RunFolder:
    """The run folder of one dataset, `<runs>/<dataset>`."""

    root: Path

    @staticmethod
    def of(runs: Path, dataset: Path) -> RunFolder:
        """The run folder of the dataset at `dataset`, found by the folder's name alone."""
        return RunFolder(runs / dataset.resolve().name)

    @property
    def fingerprint(self) -> Path:
        """`fingerprint.json`."""
        return self.root / "fingerprint.json"

    @property
    def plan(self) -> Path:
        """`plan.toml`."""
        return self.root / "plan.toml"

    @property
    def splits(self) -> Path:
        """`splits.json`."""
        return self.root / "splits.json"

    def prepared(self, configuration: str) -> Path:
        """The store of a configuration's prepared cases."""
        return self.root / "prepared" / configuration

    def model(self, configuration: str) -> Path:
        """The model folder of a configuration."""
        return self.root / configuration

    def fold(self, configuration: str, fold: int) -> Path:
        """The folder of one trained fold."""
        return self.model(configuration) / f"fold_{fold}"

    def read_plan(self) -> Plan:
        """The plan that stands here.

        Raises:
            PlanError: there is none, or it is not a valid one.
        """
        if not self.plan.is_file():
            found = "this dataset has not been planned"
            raise PlanError(str(self.plan), found, remedy="run `autospine plan DATASET` first, with the same --runs")
        return plan_from_toml(self.plan.read_text(encoding="utf-8"), str(self.plan))

    def check_writable(self) -> None:
        """Raise `OutputError` before any work where nothing can be written here."""
        probe = self.root / ".writable"
        with atomic_path(probe) as temporary:
            temporary.touch()
        probe.unlink()


def find_model(runs: Path) -> Path:
    """The only model folder below `runs`.

    Raises:
        PlanError: none stands there, or several.
    """
    found = sorted(path.parent for path in runs.glob(f"*/*/{MODEL}"))
    if not found:
        remedy = "train one, or name its folder with --model"
        raise PlanError(str(runs), "no trained model here", "runs/<dataset>/<configuration>/model.json", remedy)
    if len(found) > 1:
        names = ", ".join(str(path) for path in found)
        raise PlanError(str(runs), f"{len(found)} models stand here: {names}", "one", "choose with --model")
    return found[0]
