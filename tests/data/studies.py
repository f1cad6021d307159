"""Made-up DICOM studies: a localiser, several weightings in several planes, a report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

from autospine.data.geometry import Geometry
from tests.data.dicom_files import PATIENT_ID, write_series

SHAPE = (4, 6, 5)
COLUMNS = {
    # X, Y, Z of the array: the directions of columns and rows, and of the slices
    "sagittal": ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0), (-1.0, 0.0, 0.0)),
    "axial": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "coronal": ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0)),
}


def grid(plane: str = "sagittal", spacing_mm: tuple[float, float, float] = (4.4, 0.7, 0.7)) -> Geometry:
    direction = np.array(COLUMNS[plane]).T
    return Geometry(SHAPE, spacing_mm, (0.0, 0.0, 0.0), tuple(direction.ravel().tolist()))


@dataclass(frozen=True)
class Study:
    """Where the series of one study are written."""

    root: Path
    uid: str
    patient: str = PATIENT_ID
    frame: str = "1.2.3.4"

    @staticmethod
    def of(root: Path, patient: str = PATIENT_ID) -> Study:
        return Study(root, generate_uid(), patient)

    def add(
        self,
        folder: str,
        number: int | None,
        description: str,
        plane: str = "sagittal",
        *,
        geometry: Geometry | None = None,
        uid: str | None = None,
        seed: int = 0,
        begin: str = "",
        change: Callable[[int, FileDataset], None] = lambda index, header: None,
        **header: Any,
    ) -> list[Path]:
        """Write a series of 4 slices into `folder` below the root; the names of its files start with `begin`."""

        def said(index: int, one: FileDataset) -> None:
            one.SeriesNumber, one.SeriesDescription, one.FrameOfReferenceUID = number, description, self.frame
            one.ImageType = ["ORIGINAL", "PRIMARY", "M", "SE"]
            for key, value in header.items():
                setattr(one, key, value)
            change(index, one)

        array = np.random.default_rng(seed).integers(0, 900, SHAPE).astype(np.uint16)
        place = geometry or grid(plane)
        return write_series(
            self.root / folder,
            array[: place.shape[0]],
            place,
            names=lambda index: f"{begin}{0 if number is None else number:03d}_{index:03d}",
            change=said,
            uid=uid,
            study=self.uid,
            patient=self.patient,
        )


def whole_study(study: Study, place: Callable[[str], str] = lambda name: name, begin: str = "") -> None:
    """What a scan of a lumbar spine leaves: each series in the folder that `place` gives its name."""
    add = partial(study.add, begin=begin)
    add(place("loc"), 1, "localizer", change=_turn, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER", "M"])
    add(place("t1"), 2, "t1_tse_sag", seed=1)
    add(place("t2"), 3, "t2_tse_sag", seed=2)
    add(place("stir"), 4, "t2_tirm_sag", seed=3)
    add(place("t2ax"), 5, "t2_tse_tra", "axial", seed=4)
    add(place("sub"), 6, "SUB t1_tse_sag", seed=5, ImageType=["DERIVED", "SECONDARY", "SUB"])
    add(place("sr"), 99, "dose report", change=_report)


def _turn(index: int, header: FileDataset) -> None:
    """Every slice in another plane."""
    first, second, _ = list(COLUMNS.values())[index % 3]
    header.ImageOrientationPatient = [*first, *second]


def _report(index: int, header: FileDataset) -> None:
    from pydicom.uid import BasicTextSRStorage

    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    header.Modality = "SR"


def moved(geometry: Geometry, slices: int) -> Geometry:
    """The grid that goes on so many slices further."""
    step = geometry.axes()[:, 0] * geometry.spacing_mm[0] * slices
    return replace(geometry, origin_mm=tuple((np.asarray(geometry.origin_mm) + step).tolist()))
