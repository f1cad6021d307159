"""`autospine check`: everything that is wrong with a dataset, before any work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autospine.data.check import check_dataset
from autospine.data.dataset import open_dataset
from autospine.data.findings import Finding
from autospine.data.structure import Dataset, Reading
from autospine.workflow.progress import Progress, Silent, counted


@dataclass(frozen=True)
class Checked:
    """A dataset that was looked through."""

    dataset: Dataset
    findings: tuple[Finding, ...]
    """Of every case, then of the dataset."""

    @property
    def errors(self) -> int:
        """How many of the findings stop a training; the others are warnings."""
        return sum(finding.severity == "error" for finding in self.findings)


def check_folder(path: Path, reading: Reading, *, progress: Progress | None = None) -> Checked:
    """The dataset at `path`, every file of it read once.

    Raises:
        DataError: it cannot be opened at all.
    """
    dataset = open_dataset(path, reading)
    with (progress or Silent()).task("Reading the dataset") as update:
        return Checked(dataset, check_dataset(dataset, progress=counted(update)))
