"""The layouts that datasets come in: each module says what speaks for it, and reads it.

A folder that describes itself (a manifest, a dataset.json) is read as it says. Where nothing does, its names decide;
where two readings fit, the user does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from autospine.data.layouts import beside, bids, cases, decathlon, dicom_tree, folders, manifest, nnunet
from autospine.data.layouts.shared.contents import Contents
from autospine.data.layouts.shared.naming import unread_below
from autospine.data.structure import Reading
from autospine.data.volume import IMAGE_SUFFIXES, suffix_of
from autospine.data.wording import listed
from autospine.errors import DataError


class Layout(NamedTuple):
    """One way to lay a dataset out."""

    name: str
    """As `--layout` calls it."""
    title: str
    """What it looks like."""
    evidence: Callable[[Path], str | None]
    """What in a folder speaks for it; None where nothing does."""
    read: Callable[[Path, Reading], Contents]
    described: bool = False
    """Whether a file says so, rather than names."""


LAYOUTS = (
    Layout("manifest", "a CSV or TSV table, or a folder with manifest.csv", manifest.evidence, manifest.read, True),
    Layout("nnunet", "dataset.json, imagesTr/, labelsTr/ (nnU-Net raw)", nnunet.evidence, nnunet.read, True),
    Layout("decathlon", 'dataset.json with "training" (4D images)', decathlon.evidence, decathlon.read, True),
    Layout("bids", "sub-*/anat/ with masks under derivatives*/ (BIDS)", bids.evidence, bids.read),
    Layout("folders", "images/ and labels/ with files of the same names", folders.evidence, folders.read),
    Layout("beside", "masks beside their images (case.nii.gz, case_seg.nii.gz)", beside.evidence, beside.read),
    Layout(
        "cases",
        "a folder per case with its images and its mask, or with segmentations/ of a file per structure",
        cases.evidence,
        cases.read,
    ),
    Layout("dicom", "a folder of DICOM series per case, with its mask", dicom_tree.evidence, dicom_tree.read),
)


def find_layout(root: Path, asked: str | None) -> Layout:
    """The layout of a dataset: the one asked for, or the one that fits.

    Raises:
        DataError: none fits, or several.
    """
    if asked is not None:
        return _named(root, asked)
    if not root.exists():
        raise DataError(str(root), "no such folder", _known())
    if root.is_file():
        table = layout_called("manifest")
        if not table.evidence(root):
            raise DataError(str(root), "a file", "a folder, or a table of files (.csv, .tsv)")
        return table
    fitting = {layout: said for layout in LAYOUTS if layout.described and (said := layout.evidence(root))}
    if len(fitting) == 1:
        layout = next(iter(fitting))
        return layout if layout.name == "manifest" else _noting(layout, _dicom_beside)  # a table says it all
    if not fitting:
        fitting = {layout: said for layout in LAYOUTS if not layout.described and (said := layout.evidence(root))}
        series = fitting.get(layout_called("dicom"))
        # a tree of DICOM files beside a converted dataset is where that came from; among its files it is a question
        if len(fitting) > 1 and series is not None and series != dicom_tree.HERE:
            del fitting[layout_called("dicom")]
            if len(fitting) == 1:
                note = f"{series}, left aside (--layout dicom reads them)"
                return _noting(next(iter(fitting)), lambda root, contents: note)
    if not fitting:
        unread = unread_below(root)
        if unread:
            found = f"files of formats that are not read: {listed(unread)}"
            expected = f"images that end in {', '.join(IMAGE_SUFFIXES)}, or DICOM"
            raise DataError(str(root), found, expected, "convert them to NIfTI")
        held = sorted(entry.name for entry in root.iterdir())
        raise DataError(str(root), f"no layout of a dataset: it holds {listed(held) or 'nothing'}", _known())
    if len(fitting) > 1:
        found = " and ".join(f"{layout.name} ({said})" for layout, said in fitting.items())
        remedy = "say which: " + " or ".join(f"--layout {layout.name}" for layout in fitting)
        raise DataError(str(root), f"{len(fitting)} readings fit: {found}", "one", remedy)
    return next(iter(fitting))


def _noting(layout: Layout, note: Callable[[Path, Contents], str | None]) -> Layout:
    """The layout, which says as well what `note` finds of the contents that it reads in a folder."""

    def read(root: Path, reading: Reading) -> Contents:
        contents = layout.read(root, reading)
        said = note(root, contents)
        return contents if said is None else replace(contents, notes=(*contents.notes, said))

    return layout._replace(read=read)


def _dicom_beside(root: Path, contents: Contents) -> str | None:
    """Where DICOM files lie in a dataset that describes itself and are none of its images."""
    if any(not suffix_of(path) for case in contents.cases for path in case.files):  # they are its images
        return None
    series = dicom_tree.dicom_among(root)
    return None if series is None else f"{series}, left aside"


def layout_called(name: str) -> Layout:
    """The layout of this name; `KeyError` for any other."""
    return {layout.name: layout for layout in LAYOUTS}[name]


def _named(root: Path, asked: str) -> Layout:
    """The layout of this name, where it is one that can be read there."""
    names = [layout.name for layout in LAYOUTS]
    if asked not in names:
        raise DataError(f"--layout {asked}", "no such layout", ", ".join(names))
    layout = layout_called(asked)
    if not root.exists():
        raise DataError(str(root), "no such folder", layout.title)
    if (root.is_file() and layout.name != "manifest") or not layout.evidence(root):
        raise DataError(str(root), f"nothing here speaks for the layout {asked}", layout.title)
    return layout


def _known() -> str:
    return "; ".join(layout.title for layout in LAYOUTS) + ". Whatever it is, a manifest can name the files"
