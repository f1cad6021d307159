"""Segmentations as files: the one door to all formats that they are written in.

    nifti      .nii.gz      labels under the header of the image where that is NIfTI
    nrrd       .nrrd        labels
    seg-nrrd   .seg.nrrd    segments of 3D Slicer, with names, colours and codes
    mha        .mha         labels
    mgz        .mgz         labels
    dicom-seg  .dcm         a DICOM-SEG object, of an image that was DICOM

Without a choice, a segmentation has the format of its image, and that of a DICOM series is a DICOM-SEG object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autospine.data.codes.structures import Structure
from autospine.data.disk.files import check_name
from autospine.data.formats import dicom_seg_writing, slicer_writing
from autospine.data.formats.dicom_seg_writing import check_dicom_seg, write_dicom_seg
from autospine.data.formats.slicer_writing import is_segment_field, segment_fields
from autospine.data.geometry import Geometry, Volume
from autospine.data.made_by import MadeBy
from autospine.data.volume import WRITTEN_AS, check_format, is_series, suffix_of, write_volume
from autospine.errors import OutputError

DICOM_SEG = dicom_seg_writing.SUFFIX
SEGMENTS = slicer_writing.SUFFIX
FORMATS = {
    "nifti": ".nii.gz",
    "nrrd": ".nrrd",
    "seg-nrrd": SEGMENTS,
    "mha": ".mha",
    "mgz": ".mgz",
    "dicom-seg": DICOM_SEG,
}
"""Name of a format -> how its files end."""
NAMED = (SEGMENTS, DICOM_SEG)
"""Endings of files that name their structures; beside others stand `label_tables`."""


def is_segmentation_name(path: Path) -> bool:
    """Whether a file name ends as that of an image or of a DICOM-SEG object."""
    return bool(suffix_of(path)) or is_dicom_seg_name(path)


def is_dicom_seg_name(path: Path) -> bool:
    """Whether a DICOM-SEG object is meant by this name."""
    return path.name.lower().endswith(DICOM_SEG) and path.name.lower() != DICOM_SEG


def ending_for(image: Path, chosen: str | None = None) -> str:
    """How the file of the segmentation of `image` ends, in the `chosen` format or that of the image.

    Raises:
        OutputError: `chosen` is no format.
    """
    if chosen is not None:
        check_chosen(chosen)
        return FORMATS[chosen]
    return DICOM_SEG if is_series(image) else WRITTEN_AS[suffix_of(image)]


def check_chosen(chosen: str) -> None:
    """Raise `OutputError` where `chosen` is no format that segmentations are written in."""
    if chosen not in FORMATS:
        raise OutputError(f"format {chosen!r}", "not a format that segmentations are written in", ", ".join(FORMATS))


def refuse_other_format(path: Path, chosen: str) -> None:
    """Raise `OutputError` where the name of a file says another format than the `chosen` one."""
    name = path.name.lower()
    endings = sorted((*FORMATS.items(), ("nifti", ".nii"), ("mgz", ".mgh")), key=lambda one: -len(one[1]))
    said = next((key for key, ending in endings if name.endswith(ending)), None)
    if said != chosen:
        found = f"a name that ends as {said or 'another format'}, and --format {chosen}"
        remedy = "leave --format out, or give the file this ending"
        raise OutputError(str(path), found, f"a name that ends in {FORMATS[chosen]}", remedy)


def check_segmentation(
    path: Path, geometry: Geometry | None = None, sources: Sequence[Path | None] | None = None
) -> None:
    """Raise `OutputError` where no segmentation, or none of this image, can be written under the name of `path`.

    `geometry` and `sources` are the grid and the files of the image, where they are known. Of a DICOM series the
    headers are read, and `DataError` raised as `read_volume` does.
    """
    if not is_dicom_seg_name(path):
        check_format(path, geometry)
        return
    check_name(path, OutputError)
    if sources is not None:
        check_dicom_seg(_series(path, sources))


def write_segmentation(
    path: Path, labels: Volume, structures: Sequence[Structure], sources: Sequence[Path | None], made_by: MadeBy
) -> None:
    """Write a segmentation in the format that the name of `path` ends with, whole or not at all.

    Args:
        path: the file.
        labels: (1, Z, Y, X), values of `structures` or 0, on the grid of the image.
        structures: what the values mean.
        sources: the image's files or folders, one for each channel, None for one that it lacks; a DICOM-SEG object
            refers to the first that is there.
        made_by: what made it, for formats with a place for that.

    Raises:
        OutputError: the format cannot hold it, or the file cannot be written.
        DataError: the series that a DICOM-SEG object is to refer to cannot be read.
    """
    path = Path(path)
    if is_dicom_seg_name(path):
        write_dicom_seg(path, labels, structures, _series(path, sources), made_by)
    elif path.name.lower().endswith(SEGMENTS):
        own = tuple((key, value) for key, value in labels.metadata if not is_segment_field(key))
        write_volume(path, replace(labels, metadata=own + segment_fields(labels, structures)))
    else:
        write_volume(path, labels)


def _series(path: Path, sources: Sequence[Path | None]) -> Path:
    """The series that the DICOM-SEG object `path` is to refer to."""
    first = next((source for source in sources if source is not None), None)
    if first is None or not is_series(first):
        found = f"a DICOM-SEG object refers to a DICOM series, and {first.name if first else 'the image'} is none"
        raise OutputError(str(path), found, "an image that was read as DICOM", "choose another format, such as nifti")
    return first
