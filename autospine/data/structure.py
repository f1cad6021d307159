"""What a dataset is made of: channels, classes, cases and their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.geometry import Volume

Files = tuple[Path | None, ...]
"""Of a case in the order of its channels, None for one that it lacks."""
IGNORED = 255
"""In loaded masks and the targets of losses: nobody knows what is there, or it lies beside the image. Such voxels count
neither in training nor in scores."""
MOST_CLASSES = IGNORED - 1
"""Beside the background: a class index is uint8."""


def missing_of(files: Files) -> tuple[int, ...]:
    """The channels, from 0, that a case lacks."""
    return tuple(index for index, path in enumerate(files) if path is None)


def in_a_class(label: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.bool_]:
    """Which voxels of a loaded mask belong to a class: neither background nor `IGNORED`."""
    held: npt.NDArray[np.bool_] = (label > 0) & (label != IGNORED)
    return held


@dataclass(frozen=True)
class Label:
    """A class of a dataset."""

    name: str
    """What the structure is called."""
    value: int
    """Its value in the masks on disk, above 0."""


@dataclass(frozen=True)
class Region:
    """A union of classes that is segmented as one; regions may overlap."""

    name: str
    values: tuple[int, ...]
    """Values in the masks of the classes in it."""
    written: int
    """Value that it is written as, one of `values`."""


@dataclass(frozen=True)
class Case:
    """The files of one image and its mask."""

    name: str
    """File name without channel and suffix."""
    images: tuple[Path | None, ...]
    """One file per channel in order, None for one that the case lacks, or one file that holds all channels; a folder
    stands for its DICOM series."""
    label: Path | None
    """The mask; None for an image without one."""
    subject: str = ""
    """Who was imaged, empty as long as only names could tell; cases of a subject stay on one side of a split."""
    taken: tuple[int, ...] | None = None
    """Channels, from 0, that are read of one file that holds all `of`; None: all that it has."""
    of: int = 0
    """Channels that the file holds, where some are taken."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The image files that there are."""
        return tuple(path for path in self.images if path is not None)

    @property
    def missing(self) -> tuple[int, ...]:
        """Channels, from 0, that the case lacks."""
        return missing_of(self.images)

    @property
    def shown(self) -> str:
        """Its image files, for messages."""
        return ", ".join(map(str, self.files))


@dataclass(frozen=True)
class Dataset:
    """What is in a dataset's folder."""

    name: str
    """Name of the folder, or of the manifest."""
    root: Path
    channels: tuple[str, ...]
    """Channel names in order."""
    labels: tuple[Label, ...]
    """Classes without the background, by value; class i is index i + 1 in loaded masks."""
    cases: tuple[Case, ...]
    """By name."""
    sides: tuple[tuple[str, str], ...] = ()
    """(left, right) names of labels that the dataset pairs itself."""
    ignore: int | None = None
    """Value in the masks on disk of voxels that are not annotated."""
    regions: tuple[Region, ...] = ()
    """What is segmented, where that are overlapping unions of classes; later ones are written over earlier ones."""
    layout: str = ""
    """Name of the layout that it was read in."""
    notes: tuple[str, ...] = ()
    """What lies there and was left aside, and why."""


@dataclass(frozen=True)
class LoadedCase:
    """A case in memory, in canonical orientation."""

    case: Case
    image: Volume
    """float32 (C, Z, Y, X), all channels; 0 in those that the case lacks."""
    label: npt.NDArray[np.uint8] | None
    """Class indices (Z, Y, X), 0 the background, or `IGNORED`; None for a case without a mask."""


@dataclass(frozen=True)
class Reading:
    """How a folder is to be read, where it does not say so itself."""

    subjects: str | None = None
    """Regular expression: its first group, else its whole match, in a case's name is the subject."""
    layout: str | None = None
    """Name of a layout; None: whichever fits."""
    masks: str | None = None
    """Kind of masks, where images have several (`seg-vert`, `label-SC_seg`)."""
    allow_missing: bool = False
    """Whether a case may lack the file of a channel."""
    channels: tuple[str, ...] | None = None
    """Names of the channels to read; None: all. Cases that have none of them are left out."""

    def to_json(self) -> dict[str, str | bool | None]:
        """By key, as files hold it and a command line has it: the channels as one text, with commas between them."""
        return vars(self) | {"channels": None if self.channels is None else ",".join(self.channels)}

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Reading:
        """The reading that `content` holds, beside whatever else; what is not there is as by default.

        Raises:
            ValueError: values that are none of these, all named.
        """
        kept = {key.name: content.get(key.name, key.default) for key in fields(Reading)}
        kinds = {key: bool if key == "allow_missing" else str | None for key in kept}
        if wrong := [f"{key} is {value!r}" for key, value in kept.items() if not isinstance(value, kinds[key])]:
            raise ValueError(", ".join(wrong))
        names = kept.pop("channels")
        return Reading(**kept, channels=None if names is None else split_names(names))


def split_names(text: str) -> tuple[str, ...]:
    """The names in `text`, between commas: `T1, T2` -> T1 and T2."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def dataset_name(path: Path) -> str:
    """What the dataset at `path` is called: its folder, or the file of a manifest (of its folder, if a `manifest`)."""
    resolved = path.resolve()
    if resolved.is_file():
        return resolved.parent.name if resolved.stem.lower() == "manifest" else resolved.stem
    return resolved.name
