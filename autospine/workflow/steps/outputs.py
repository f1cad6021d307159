"""What a prediction writes of a case, and where.

    OUT/<case>.nii.gz                   the segmentation, written last: where it stands, the case is done
    OUT/dseg.tsv, labels.itksnap.txt    what its values mean, where the format has no place for that
    OUT/probabilities/<case>.b2nd       what was asked for beside it
    OUT/uncertainty/<case>.nii.gz
    OUT/instances/<case>.nii.gz         each vertebra by its number from below
    OUT/statistics/<case>.csv, OUT/statistics.csv
    OUT/preview/<case>.png
    OUT/promise/<case>.csv, OUT/promise.csv            where the model promises something
    OUT/levels/<case>.csv, OUT/levels.csv              where its labels are the levels of a column

Beside a single file `seg.nii.gz` they are called `seg.preview.png` and so on.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from autospine.data.codes.structures import Structure, structures_of
from autospine.data.dataset import read_images
from autospine.data.disk.files import staged_path, unwritable
from autospine.data.disk.tables import read_rows
from autospine.data.label_tables import write_label_tables
from autospine.data.layouts.shared.naming import raise_fault
from autospine.data.made_by import MadeBy
from autospine.data.masks.files import mask_stem
from autospine.data.not_to_segment import (
    INSTANCES,
    LEVELS,
    PREVIEWS,
    PROBABILITIES,
    PROMISED,
    SIDES,
    STATISTICS,
    UNCERTAINTY,
)
from autospine.data.segmentation_files import (
    NAMED,
    check_chosen,
    check_segmentation,
    ending_for,
    is_dicom_seg_name,
    refuse_other_format,
    write_segmentation,
)
from autospine.data.statistics import combine_statistics, measure_structures, write_statistics
from autospine.data.structure import Files, missing_of
from autospine.data.volume import write_volume
from autospine.errors import OutputError
from autospine.inference.segmentation import Segmentation, Wanted
from autospine.planning.document.data import DataPlan
from autospine.workflow.steps import levels
from autospine.workflow.steps.promise import COLUMNS, flagged_cases, write_promised

ENDINGS = {
    PROBABILITIES: ".b2nd",
    UNCERTAINTY: ".nii.gz",
    STATISTICS: ".csv",
    PREVIEWS: ".png",
    PROMISED: ".csv",
    LEVELS: ".csv",
    INSTANCES: ".nii.gz",
}
"""Of the files that are written beside a segmentation, by their kind."""


@dataclass(frozen=True)
class ModelFacts:
    """What of a model is written down with what it makes."""

    structures: tuple[Structure, ...]
    """What the values in its segmentations mean."""
    channels: tuple[str, ...]
    made_by: MadeBy
    promises: bool = False
    """Whether it promises something of what it makes: then that is written, too."""
    levels: bool = False
    """Whether its labels are the levels of a column: then what is said of each vertebra is written, too."""

    @staticmethod
    def of(data: DataPlan, made_by: MadeBy, *, promises: bool = False) -> ModelFacts:
        """Of a model for such data."""
        return ModelFacts(structures_written(data), data.channels, made_by, promises, data.levels is not None)


def structures_written(data: DataPlan) -> tuple[Structure, ...]:
    """What the values in segmentations mean: of the classes that regions are made of, those that one is written as."""
    written = {region.written for region in data.regions}
    return structures_of([(name, value) for name, value in data.labels if not written or value in written])


@dataclass(frozen=True)
class CaseOutput:
    """A case with the place of its segmentation."""

    name: str
    images: Files
    path: Path
    """The file of the segmentation."""
    single: bool
    """Whether OUT is that file, and not the folder that it lies in."""
    model: ModelFacts

    def beside(self, kind: str) -> Path:
        """The file of what is written beside the segmentation, such as `preview`."""
        if not self.single:
            return self.path.parent / kind / f"{self.name}{ENDINGS[kind]}"
        return _beside_single(self.path, kind)

    @property
    def missing(self) -> tuple[int, ...]:
        """Channels, from 0, that it lacks."""
        return missing_of(self.images)


@dataclass(frozen=True)
class Outputs:
    """What the user wants written."""

    format: str | None = None
    """One of `segmentation_files.FORMATS`; None: that of each image, for DICOM a DICOM-SEG object."""
    probabilities: bool = False
    uncertainty: bool = False
    statistics: bool = False
    preview: bool = False
    instances: bool = False

    def check(self, single: Path | None = None) -> None:
        """Raise `OutputError` where the format is none, or OUT is a file, `single`, and its name says another one."""
        if self.format is None:
            return
        check_chosen(self.format)
        if single is not None:
            refuse_other_format(single, self.format)

    def name_of(self, case: str, image: Path) -> str:
        """The file of the segmentation of a case whose first image is `image`."""
        return f"{case}{ending_for(image, self.format)}"

    def check_case(self, case: CaseOutput) -> None:
        """Raise `OutputError` where the segmentation of a case cannot be written, before it is made.

        Of a DICOM-SEG object the headers of the series are read, and `DataError` raised as that does.
        """
        if is_dicom_seg_name(case.path):
            check_segmentation(case.path, sources=case.images)

    def wanted(self, case: CaseOutput) -> Wanted:
        """What the predictor is asked for beside labels."""
        probabilities = case.beside(PROBABILITIES) if self.probabilities else None
        if probabilities is not None:
            _make_folder(probabilities.parent)
            self.drop(case)  # of an earlier prediction
        return Wanted(probabilities, self.uncertainty, case.model.promises, self.instances)

    def drop(self, case: CaseOutput) -> None:
        """Take away probabilities that belong to no segmentation: they are written before it."""
        if self.probabilities:
            with suppress(OSError):
                case.beside(PROBABILITIES).unlink()

    def lacking(self, case: CaseOutput) -> set[str]:
        """What is asked for beside a segmentation that is there, and does not lie there."""
        return {kind for kind in self._asked(case.model) if not case.beside(kind).is_file()}

    @contextmanager
    def written(self, temporary: Path, case: CaseOutput, made: Segmentation) -> Iterator[None]:
        """A block before which all that is asked for of a case is written, the segmentation itself last.

        What lies beside the segmentation gets its name when the block ends well, and is removed when it does not.

        Args:
            temporary: where the segmentation is written, with the suffix of `case.path`; whoever calls gives it its
                name after the block.
            case: the case.
            made: its segmentation; probabilities are written already (`wanted`).

        Raises:
            OutputError: a file cannot be written.
            DataError: the image, which statistics and previews need, cannot be read again.
        """
        if self.probabilities and not case.beside(PROBABILITIES).is_file():
            raise ValueError("no probabilities of a segmentation that they were asked for")
        if self.uncertainty and made.uncertainty is None:
            raise ValueError("no uncertainty in a segmentation that it was asked for")
        if self.instances and made.instances is None:
            raise ValueError("no instances in a segmentation that they were asked for")
        if case.model.promises and made.promise is None:
            raise ValueError("no promise of a segmentation that it was asked for")
        first = case.single and not os.path.lexists(case.path)
        with ExitStack() as stack:
            if made.uncertainty is not None and self.uncertainty:
                with staged_path(case.beside(UNCERTAINTY), stack) as beside:
                    write_volume(beside, made.uncertainty)
            if made.instances is not None and self.instances:
                with staged_path(case.beside(INSTANCES), stack) as beside:
                    write_volume(beside, made.instances)
            if made.promise is not None and case.model.promises:
                with staged_path(case.beside(PROMISED), stack) as beside:
                    write_promised(beside, case.name, made.promise)
            if case.model.levels:
                with staged_path(case.beside(LEVELS), stack) as beside:
                    levels.write_levels(beside, case.name, made.column)
            if self.statistics or self.preview:
                self._write_of_image(case, made, stack)
            if not case.single and not case.path.name.lower().endswith(NAMED):
                write_label_tables(case.path.parent, case.model.structures)
            write_segmentation(temporary, made.labels, case.model.structures, case.images, case.model.made_by)
            yield
            if not first:  # files that happen to be called so beside a single one are the user's
                self._remove_older(case)

    def finish(self, target: Path, single: bool, model: ModelFacts) -> None:
        """Put the tables of all cases in OUT together, where there are any now or were before.

        Raises:
            OutputError: a table cannot be written.
        """
        if single or not os.access(target, os.W_OK):  # a finished OUT may be one that takes no file
            return
        table, promised, named = (target / f"{kind}{ENDINGS[kind]}" for kind in (STATISTICS, PROMISED, LEVELS))
        if self.statistics or table.is_file():
            combine_statistics(target / STATISTICS, table)
        if model.promises or promised.is_file():
            combine_statistics(target / PROMISED, promised, COLUMNS)
        if model.levels or named.is_file():
            combine_statistics(target / LEVELS, named, levels.COLUMNS)

    def _write_of_image(self, case: CaseOutput, made: Segmentation, stack: ExitStack) -> None:
        """What needs the image, which is read again: it would take memory while the networks compute."""
        image = read_images(case.images, raise_fault)
        assert image is not None  # None only after a fault, and a fault has been raised
        if self.statistics:
            measured = measure_structures(made.labels, made.structures, image, case.missing)
            with staged_path(case.beside(STATISTICS), stack) as beside:
                write_statistics(beside, case.name, measured, case.model.channels)
        if self.preview:
            from autospine.report.preview import write_preview

            with staged_path(case.beside(PREVIEWS), stack) as beside:
                write_preview(beside, image, made.labels, case.model.structures, case.name)

    def _remove_older(self, case: CaseOutput) -> None:
        """Take away what an earlier prediction left beside the segmentation: of another one it would be wrong."""
        for kind in set(SIDES) - self._asked(case.model):
            with suppress(OSError):
                case.beside(kind).unlink()

    def _asked(self, model: ModelFacts) -> set[str]:
        """The kinds of what is written beside a segmentation of this model."""
        asked = {STATISTICS: self.statistics, PREVIEWS: self.preview, UNCERTAINTY: self.uncertainty}
        asked |= {PROMISED: model.promises, LEVELS: model.levels, INSTANCES: self.instances}
        return {kind for kind in SIDES if asked.get(kind, self.probabilities)}


def read_flagged(target: Path, single: bool, cases: Collection[str]) -> dict[str, str]:
    """Case -> what is off first, of those of these `cases` in OUT that are flagged.

    Raises:
        OutputError: the table cannot be read.
    """
    rows = read_rows(table_of(PROMISED, target, single), OutputError)
    return {name: why for name, why in flagged_cases(rows).items() if name in cases}


def read_unnamed(target: Path, single: bool, cases: Collection[str]) -> dict[str, list[str]]:
    """Case -> what is said of its vertebrae without a certain level, of those of these `cases` in OUT that have any.

    Raises:
        OutputError: the table cannot be read.
    """
    rows = read_rows(table_of(LEVELS, target, single), OutputError)
    return {name: said for name, said in levels.unnamed_cases(rows).items() if name in cases}


def table_of(kind: str, target: Path, single: bool) -> Path:
    """The table of all promises, or levels, in OUT, or beside OUT where that is a `single` file."""
    return _beside_single(target, kind) if single else target / f"{kind}{ENDINGS[kind]}"


def _beside_single(path: Path, kind: str) -> Path:
    """The file of what is written beside a single segmentation."""
    stem = path.stem if is_dicom_seg_name(path) else mask_stem(path)
    return path.with_name(f"{stem}.{kind}{ENDINGS[kind]}")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise unwritable(folder, fault) from fault
