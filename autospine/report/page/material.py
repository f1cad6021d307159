"""What a workflow has gathered for a page: documents as they were read, nothing of it judged yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autospine.planning.document.about import About
from autospine.planning.document.expected import Estimated
from autospine.planning.measured.fingerprint import Fingerprint
from autospine.report.page.blocks import Picture, Viewer
from autospine.report.page.scoreboard import Scoreboard

Row = Mapping[str, str]
"""Of a CSV file, by column."""


@dataclass(frozen=True)
class FoldMaterial:
    """A trained fold."""

    name: str
    history: Mapping[str, Sequence[float]]
    """Columns of history.csv; empty where there is none."""
    record: Mapping[str, Any]
    """What run.toml says."""
    metrics: Mapping[str, Any]
    """What metrics.json says; empty where nothing was scored."""
    fast: tuple[float, float] | None = None
    """Mean Dice as it was predicted, and with `--fast`."""
    expected_dice: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Case -> structure -> Dice that the network itself expects, where evidence was gathered."""


@dataclass(frozen=True)
class OtherConfiguration:
    """Another trained configuration of the same plan."""

    name: str
    folds: int
    dice: float
    """Mean over the cases that it was scored on; NaN where none was."""
    cases: int


@dataclass(frozen=True)
class RunMaterial:
    """A configuration that was trained, with the data and the plan that it comes from."""

    estimated: Estimated
    configuration: str
    fingerprint: Fingerprint | None
    folds: tuple[FoldMaterial, ...]
    planned_folds: int
    scores: Scoreboard
    others: tuple[OtherConfiguration, ...] = ()
    about: About | None = None
    readme: str = ""
    promise: Mapping[str, Any] = field(default_factory=dict)
    """What promise.json says."""
    promised_dice: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """(case, structure) -> what the cases of all other folds promise of it."""
    postprocessing: Mapping[str, Any] = field(default_factory=dict)
    temperature: float | None = None
    selection: Mapping[str, Any] = field(default_factory=dict)
    """What selection.json says."""
    worklist: tuple[Row, ...] = ()
    """Rows of audit/worklist.csv."""
    worklist_pictures: tuple[Picture, ...] = ()
    """Of its first cases."""
    sheet: tuple[Picture, ...] = ()
    """A slice of each of some cases, with its mask."""
    viewers: tuple[Viewer, ...] = ()
    commands: tuple[str, ...] = ()
    """By which it came about."""


@dataclass(frozen=True)
class PredictionMaterial:
    """A folder of segmentations."""

    name: str
    """Of the folder."""
    record: Mapping[str, Any]
    """What prediction.json says."""
    cases: tuple[str, ...]
    statistics: tuple[Row, ...]
    promises: tuple[Row, ...]
    failed: Mapping[str, str]
    """Case -> why it could not be segmented."""
    scores: Scoreboard | None
    previews: tuple[Picture, ...] = ()
    viewers: tuple[Viewer, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """An arm of a study against the first."""

    arm: str
    reference: str
    differences: tuple[tuple[str, float], ...]
    """(subject, mean Dice minus that of the reference)."""
    mean: float | None
    low: float | None
    high: float | None
    verdict: str


@dataclass(frozen=True)
class ClassGain:
    """What an arm gains in one class."""

    label: str
    voxels: float | None
    """Median of a subject's in the reference; None where none has it."""
    arm: str
    mean: float | None
    low: float | None
    high: float | None
    subjects: int


@dataclass(frozen=True)
class PlainTable:
    """Columns and rows of text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class StudyMaterial:
    """A study."""

    title: str
    question: str
    summary: str
    verdicts: tuple[str, ...]
    missing: tuple[str, ...]
    """Commands of what is not trained yet."""
    arms: PlainTable
    means: PlainTable
    classes: PlainTable
    lesions: PlainTable
    comparisons: tuple[Comparison, ...]
    gains: tuple[ClassGain, ...]
    notes: tuple[str, ...]
