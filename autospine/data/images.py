"""Images to learn from without masks: those of a dataset, or of any folder, and the test images that belong to it.

A dataset is read in its layout, as for a training; its masks are not opened, and need not be there. Where no layout
fits, a folder is one of images, read as for a prediction. What lies in a folder `imagesTs` is there to be tested on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autospine.data.dataset import chosen_channels, open_dataset, with_channels
from autospine.data.inputs import find_inputs
from autospine.data.layouts import LAYOUTS, bids, manifest
from autospine.data.layouts.folders import IMAGES, MASKS
from autospine.data.layouts.shared.masks import MaskKindError
from autospine.data.layouts.shared.naming import subjects_of
from autospine.data.structure import Case, Dataset, Reading, dataset_name
from autospine.data.wording import plural, shortened
from autospine.errors import DataError

TEST_IMAGES = "imagests"
"""Name of a folder of test images (nnU-Net's and the Decathlon's), in lower case."""


@dataclass(frozen=True)
class Images:
    """The images of one path."""

    dataset: Dataset
    """Its cases, without labels; those for testing as well, after the others."""
    order: tuple[int, ...]
    """For each channel wanted, which of the dataset's it is."""
    in_order_given: bool
    """Whether the dataset calls its channels by other names, so that they are taken in its own order."""
    test: frozenset[str]
    """Names of the cases in a folder of test images."""


def open_images(root: Path, channels: Sequence[str], optional: Collection[int], reading: Reading) -> Images:
    """The images at `root`, which have `channels` but for some of those that are `optional`, from 0.

    Channels with the wanted names, upper or lower case, are put in the wanted order, and those beside them left aside;
    where no name is a wanted one, all are taken as they stand. Of test images the same channels are read.

    Raises:
        DataError: there are none, they cannot be told apart, their channels are not as many as wanted, or some have
            wanted names and others not.
    """
    dataset = _open(root, channels, optional, reading)
    every, wanted = dataset.channels, [name.casefold() for name in channels]
    if reading.channels is not None:
        every = _open(root, channels, optional, replace(reading, channels=None)).channels
    elif len(every) > len(wanted) and set(wanted) <= {name.casefold() for name in every}:
        # it has more channels than are wanted: those with the wanted names
        reading = replace(reading, channels=tuple(name for name in every if name.casefold() in wanted))
        dataset = _open(root, channels, optional, reading)
    own = [name.casefold() for name in dataset.channels]
    if len(own) != len(wanted):
        said = f"{plural(len(own), 'channel')} ({', '.join(dataset.channels)})"
        raise DataError(str(root), said, f"the {len(wanted)} of the plan ({', '.join(channels)})")
    alike = sorted(own) == sorted(wanted) and len(set(own)) == len(own)
    if not alike and set(own) & set(wanted):
        found = f"channels {', '.join(dataset.channels)}, of which some are the plan's and others not"
        raise DataError(str(root), found, ", ".join(channels), "name its channels as the plan does, in their order")
    order = tuple(own.index(name) for name in wanted) if alike else tuple(range(len(own)))
    may = {order[index] for index in optional}
    _check_files(root, dataset, may)
    within = {case.name for case in dataset.cases if any(_is_test(path) for path in case.files)}
    names = {case.name for case in dataset.cases}
    # what is for testing may be called like what is not
    tests = [
        replace(case, name=f"imagesTs-{case.name}") if case.name in names else case
        for case in _test_images(root, every, may, reading)
    ]
    whole = replace(dataset, cases=(*dataset.cases, *tests))
    return Images(whole, order, not alike, frozenset(within | {case.name for case in tests}))


def _check_files(root: Path, dataset: Dataset, may: Collection[int]) -> None:
    """Raise `DataError` where files are not there, or cases lack other channels than those they `may`."""
    absent = [str(path) for case in dataset.cases for path in case.files if not path.exists()]
    if absent:
        raise DataError(str(root), f"no such files: {shortened(absent)}", "every channel of every image", "add them")
    short = [case for case in dataset.cases if not set(case.missing) <= set(may)]
    if short:
        lacking = sorted({dataset.channels[index] for case in short for index in case.missing if index not in may})
        found = f"no {', '.join(lacking)} in {shortened([case.name for case in short])}"
        remedy = "leave these images out, or plan with data that lack it as well"
        raise DataError(str(root), found, "what the plan cannot do without", remedy)


def single(dataset: Dataset, case: Case) -> tuple[Dataset, Case]:
    """The dataset with this image alone, without its mask: small to hand to another process."""
    image = replace(case, label=None)
    return replace(dataset, cases=(image,)), image


def _open(root: Path, channels: Sequence[str], optional: Collection[int], reading: Reading) -> Dataset:
    """The dataset at `root`, or its folder of images as one."""
    try:
        try:
            return open_dataset(root, reading, labelled=False)
        except MaskKindError as fault:  # no mask is opened: whichever
            return open_dataset(root, replace(reading, masks=fault.kinds[0]), labelled=False)
    except DataError:
        masked = _without_masks(root, channels, reading)
        if masked is not None:
            return masked
        plain = _plain_folder(root)
        if plain is None:
            raise
    return _inputs(plain, dataset_name(root), channels, optional, reading)


def _without_masks(root: Path, channels: Sequence[str], reading: Reading) -> Dataset | None:
    """The dataset of a layout that says which image is of whom, and has no masks; None where it is none."""
    if manifest.evidence(root):
        contents = manifest.read(root, reading, labelled=False)
    elif root.is_dir() and bids.evidence(root):
        contents = bids.read_images(root, channels, reading.allow_missing)
    else:
        return None
    subjects = subjects_of([case.name for case in contents.cases], None)
    cases = tuple(replace(case, subject=case.subject or subjects[case.name]) for case in contents.cases)
    return Dataset(dataset_name(root), root, contents.channels, (), cases)


def _plain_folder(root: Path) -> Path | None:
    """The folder whose files are images and nothing else: `root`, or its only one of images where it has no masks."""
    if not root.exists():
        return None
    if root.is_dir() and root.name.lower() not in IMAGES:
        called = {entry.name.lower(): entry for entry in sorted(root.iterdir()) if entry.is_dir()}
        images = [entry for name, entry in called.items() if name in IMAGES]
        if len(images) == 1 and not called.keys() & set(MASKS):
            return images[0]
    return root if not root.is_dir() or not any(layout.evidence(root) for layout in LAYOUTS) else None


def _inputs(folder: Path, name: str, channels: Sequence[str], optional: Collection[int], reading: Reading) -> Dataset:
    """Images of a folder as for a prediction."""
    notes: list[str] = []
    found = find_inputs(folder, channels, optional, tell=notes.append)
    subjects = subjects_of([case for case, _ in found], reading.subjects)
    cases = tuple(Case(case, files, None, subjects[case]) for case, files in found)
    return Dataset(name, folder, tuple(channels), (), cases, notes=tuple(notes))


def _test_images(root: Path, channels: Sequence[str], optional: Collection[int], reading: Reading) -> tuple[Case, ...]:
    """The cases of the folder of test images in `root`, where there is one that holds any."""
    folders = [entry for entry in sorted(root.iterdir()) if entry.name.lower() == TEST_IMAGES] if root.is_dir() else []
    held = [folder for folder in folders if folder.is_dir() and any(folder.iterdir())]
    if reading.channels is None:
        return tuple(case for one in held for case in _inputs(one, one.name, channels, optional, reading).cases)
    wanted = chosen_channels(reading.channels, channels, root)
    unwanted = set(range(len(channels))) - set(wanted)
    lacking = {wanted[index] for index in optional} | unwanted
    found = (case for one in held for case in _inputs(one, one.name, channels, sorted(lacking), reading).cases)
    kept = (with_channels(case, wanted, len(channels)) for case in found)
    return tuple(case for case in kept if case is not None)


def _is_test(path: Path) -> bool:
    """Whether a file, or what it is a link to, lies in a folder of test images, however deep."""
    places = (*path.absolute().parents, *path.resolve().parents, path)
    return any(folder.name.lower() == TEST_IMAGES for folder in places)
