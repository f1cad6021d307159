"""`selection.json` of a run: which model or ensemble predicts, and the evidence that it was chosen by.

    runs/<dataset>/selection.json                 the choice; for an ensemble postprocessing.json beside it
    runs/<dataset>/selection/<candidate>/         what `autospine select` measured of each case, so that it can go on
    runs/<dataset>/<configuration>/calibration.json, postprocessing.json     of each model that it looked at

A run folder that holds a selection is a model: `predict --model runs/<dataset>` segments with what was chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autospine.data.disk.files import write_json
from autospine.planning.document.configuration import ConfigurationName
from autospine.planning.document.convert import Checks
from autospine.planning.document.limits import AtLeast0, Count, Part
from autospine.planning.document.plain import PLAIN, is_plain
from autospine.planning.document.postprocessing import Step
from autospine.planning.document.versioned import read_versioned, versioned_table
from autospine.workflow.runs.folder import SELECTION

SELECTION_SCHEMA = 1
WORK = "selection"
"""In the run folder: what was measured of each case."""
_REMEDY = "run `autospine select` again, or remove this file: models are then chosen with --model"


@dataclass(frozen=True)
class Range:
    """A mean over subjects with its 95 % interval; None where there are too few."""

    mean: float | None
    low: float | None
    high: float | None
    subjects: Count


@dataclass(frozen=True)
class Candidate:
    """A model or an ensemble that could be chosen."""

    members: tuple[ConfigurationName, ...]
    dice: Range
    """Mean over the structures of a subject, out of fold, before postprocessing."""
    difference: Range | None
    """To the best single model; None of itself."""
    beyond_noise: bool
    """Whether that difference is."""
    chosen: bool


@dataclass(frozen=True)
class JudgedSteps:
    """Steps of postprocessing for one structure that were looked at."""

    steps: tuple[Step, ...]
    """Those that all cases together choose."""
    gain: Range
    """In the mean Dice of a subject, on cases that did not choose."""
    used: bool
    """Whether it is beyond noise."""

    @property
    def described(self) -> str:
        """`L5: holes filled, components below 300 mm3 removed`."""
        first, *more = (step.described for step in self.steps)
        return ", ".join((first, *(one.partition(": ")[2] for one in more)))


@dataclass(frozen=True)
class Calibration:
    """How sure a model may be taken to be, on cases that did not choose its temperature."""

    member: ConfigurationName
    temperature: AtLeast0
    ece_before: Part | None
    ece_after: Part | None
    nll_before: AtLeast0
    nll_after: AtLeast0
    used: bool
    """Whether the likelihood is larger beyond noise; the temperature is 1 otherwise."""


@dataclass(frozen=True)
class MemberWeights:
    """Which weights a fold of a model had."""

    member: ConfigurationName
    fold: str
    sha256: str


@dataclass(frozen=True)
class Selection:
    """The choice of a run."""

    members: tuple[ConfigurationName, ...]
    """Whose probabilities are averaged, or the one that predicts."""
    dice: Part | None
    """Of the choice on all cases that were looked at, before postprocessing."""
    cases: Count
    unseen: Range
    """Dice of the choice on cases that did not choose."""
    candidates: tuple[Candidate, ...]
    steps: tuple[JudgedSteps, ...]
    """Of the choice."""
    calibrations: tuple[Calibration, ...]
    weights: tuple[MemberWeights, ...]

    def __post_init__(self) -> None:
        """Check that a model is chosen, and that names can be shown."""
        with Checks(self) as check:
            distinct = len(set(self.members)) == len(self.members) > 0
            check(distinct, "members", "one or more distinct configurations")
            texts = [text for one in self.weights for text in (one.fold, one.sha256)]
            check(all(map(is_plain, texts)), "weights", PLAIN, "control characters")

    @property
    def name(self) -> str:
        """`2d + 3d_fullres`."""
        return " + ".join(self.members)

    @property
    def better_member(self) -> ConfigurationName:
        """Of the members the one that is better alone."""
        alone = {one.members[0]: one.dice.mean or 0.0 for one in self.candidates if len(one.members) == 1}
        return max(self.members, key=lambda member: alone.get(member, 0.0))

    def describe_others(self, digests: Mapping[tuple[str, str], str]) -> str:
        """What is to be said where weights (member, fold) -> SHA-256 are not those that were looked at; else empty."""
        known: dict[tuple[str, str], str] = {(one.member, one.fold): one.sha256 for one in self.weights}
        other = sorted(f"{name} fold {fold}" for (name, fold), own in digests.items() if known.get((name, fold)) != own)
        if not other:
            return ""
        return f"{', '.join(other)}: trained since {SELECTION} was written; `autospine select` chooses anew"


def write_selection(run: Path, selection: Selection) -> None:
    """Write `selection.json` in the folder of a run."""
    write_json(run / SELECTION, versioned_table(SELECTION_SCHEMA, selection))


def read_selection(run: Path) -> Selection:
    """The selection in the folder of a run.

    Raises:
        PlanError: there is none, or it is not one that autospine writes.
    """
    return read_versioned(Selection, run / SELECTION, SELECTION_SCHEMA, _REMEDY)


@dataclass(frozen=True)
class Chosen:
    """Which model folders segment where a folder was named."""

    home: Path
    """The folder that is told: the model folder, or for an ensemble that of the run."""
    folders: tuple[Path, ...]
    selection: Selection | None = None
    """None where a model was named itself."""


def choose_models(folder: Path, *, fast: bool = False) -> Chosen:
    """The models that segment where `folder` is named: itself, or what was chosen in it; `fast`: one at most.

    Raises:
        PlanError: its selection cannot be read.
    """
    if not (folder / SELECTION).is_file():
        return Chosen(folder, (folder,))
    selection = read_selection(folder)
    members = (selection.better_member,) if fast else selection.members
    folders = tuple(folder / member for member in members)
    return Chosen(folders[0] if len(folders) == 1 else folder, folders, selection)
