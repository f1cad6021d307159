"""Everything wrong with a dataset, at once, before any work is done with it.

A fault that stops training is an error, what merely looks wrong is a warning. Each file is read once: what needs the
voxels is looked at while they are there, and what compares cases works on what was noted.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.dataset import read_case
from autospine.data.findings import Finding
from autospine.data.masks.structures import is_structures, structure_files
from autospine.data.structure import Case, Dataset, LoadedCase, in_a_class
from autospine.data.survey import Note, compare_cases, note_case
from autospine.data.volume import header_remarks
from autospine.errors import DataError
from autospine.machine.jobs import Progress


def check_dataset(dataset: Dataset, *, progress: Progress = lambda case, done, total: None) -> tuple[Finding, ...]:
    """Every finding of every case, then those of the dataset.

    Of the dataset are identical images, classes that occur nowhere, and what is odd beside the rest (`survey`).
    """
    findings: list[Finding] = []
    digests: dict[str, str] = {}
    notes: list[Note] = []
    for done, case in enumerate(dataset.cases, start=1):
        loaded, found = inspect_case(dataset, case)
        progress(case.name, done, len(dataset.cases))
        findings += found
        if loaded is not None:
            digests[case.name] = image_digest(loaded.image.array)
            notes.append(note_case(loaded, len(dataset.labels)))
    findings += absent_channels(dataset)
    identical = identical_images(dataset, digests)
    copies = {finding.case for finding in identical}
    findings += [*identical, *compare_cases(dataset, [note for note in notes if note.case not in copies])]
    if len(notes) == len(dataset.cases):  # with a case missing, a class may be in that one
        held = {index for note in notes for index in note.held}
        findings += [
            Finding("warning", "", str(dataset.root), f"no mask holds {label.name!r} ({label.value})", "", "")
            for index, label in enumerate(dataset.labels)
            if index not in held
        ]
    return tuple(findings)


def inspect_case(dataset: Dataset, case: Case) -> tuple[LoadedCase | None, tuple[Finding, ...]]:
    """The loaded case and all that is wrong with it; the case is None after any error. Each file is read once."""
    findings: list[Finding] = []

    def note(fault: DataError) -> None:
        findings.append(Finding("error", case.name, fault.where, fault.found, fault.expected, fault.remedy))

    loaded = read_case(dataset, case, note)
    if loaded is not None:
        findings += _doubts(dataset, loaded)
        findings += _header_doubts(case)
    return loaded, tuple(findings)


def absent_channels(dataset: Dataset) -> tuple[Finding, ...]:
    """An error for each channel that no case with a mask has: nothing could be learnt of it."""
    root, labelled = str(dataset.root), [case for case in dataset.cases if case.label is not None]
    return tuple(
        Finding("error", "", root, f"no case with a mask has {name}", "every channel in some", "leave it out")
        for index, name in enumerate(dataset.channels)
        if labelled and all(index in case.missing for case in labelled)
    )


def identical_images(dataset: Dataset, digests: dict[str, str]) -> tuple[Finding, ...]:
    """A warning for each image whose voxels equal those of an earlier case; `digests` maps case to image digest."""
    first: dict[str, Case] = {}
    remedy = "remove one of them; until then both count as one subject and stay on one side of a split"
    pairs = [(case, first.setdefault(digests[case.name], case)) for case in dataset.cases if case.name in digests]
    return tuple(
        Finding("warning", case.name, case.shown, f"the same image as case {twin.name}", "every image once", remedy)
        for case, twin in pairs
        if twin is not case
    )


def image_digest(image: npt.NDArray[Any]) -> str:
    """SHA-256 of an image's shape, type and voxels, (C, Z, Y, X), as 64 hexadecimal digits."""
    digest = hashlib.sha256(f"{image.shape} {image.dtype.str}".encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def _header_doubts(case: Case) -> list[Finding]:
    """Warnings of what the headers of a readable case's files contradict themselves in."""
    files: dict[str, list[str]] = {}
    for path in (*case.files, *([] if case.label is None else [case.label])):
        for said in header_remarks(path):
            files.setdefault(said, []).append(str(path))
    expected, remedy = "a header that says one place", "look whether it lies right in your viewer, or correct it"
    return [Finding("warning", case.name, ", ".join(where), said, expected, remedy) for said, where in files.items()]


def _doubts(dataset: Dataset, loaded: LoadedCase) -> list[Finding]:
    """Warnings of a case that can be used: a constant channel, an empty mask, no mask."""
    case, findings = loaded.case, []

    def doubt(file: str, found: str, expected: str, remedy: str) -> None:
        findings.append(Finding("warning", case.name, file, found, expected, remedy))

    for index, (name, channel) in enumerate(zip(dataset.channels, loaded.image.array, strict=True)):
        if index not in case.missing and channel.min() == channel.max():
            found = f"every voxel of channel {name!r} has the value {float(channel.min()):g}"
            doubt(case.shown, found, "an image", "export it again")
    if case.label is not None and case.label.is_dir() and is_structures(case.label):
        absent = sorted({label.name for label in dataset.labels} - structure_files(case.label).keys())
        if absent:
            found = f"no file for {', '.join(absent)}: taken for background"
            remedy = "if it was not annotated, leave the case out or name the structure no label"
            doubt(str(case.label), found, "a file for each structure", remedy)
    if loaded.label is None:
        doubt(case.shown, "no mask", "", "it is left out of training")
    elif not in_a_class(loaded.label).any():
        doubt(str(case.label), "an empty mask", "", "keep it only if nothing is to be seen")
    return findings
