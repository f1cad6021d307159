"""Images to predict in a data set: the same layouts as for a training, of which no mask is opened.

    dataset.json  imagesTs/        ->  the test images; without any, those of imagesTr/
    sub-01/ses-1/anat/..._T2w      ->  sub-01_ses-1_T2w, the image that the model is for; of two channels sub-01_ses-1
    manifest.csv                   ->  its rows, in the columns that are called as the model's channels

A folder with images in itself is a folder of images, whatever lies beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autospine.data.description import DATASET_FILE, channel_names
from autospine.data.disk.files import read_json
from autospine.data.geometry import orient_geometry
from autospine.data.layouts import bids, cases, decathlon, folders, manifest, nnunet
from autospine.data.layouts.dicom_tree import dicom_among
from autospine.data.layouts.shared.naming import named_images
from autospine.data.series_choice import Candidate, Sought, choose, refuse_asked
from autospine.data.slices import PLANES, slices_of
from autospine.data.structure import Case, Files, Reading
from autospine.data.volume import read_geometry, stem
from autospine.data.weighting import contradiction, kind_of_text, no_volume
from autospine.data.wording import listed
from autospine.errors import DataError

Found = list[tuple[str, Files]]
Plain = Callable[[Path, Sequence[str], Collection[int]], Found]
"""The cases of a folder of images that has such channels, of which some may be missing."""
_TEST, _TRAINING = "imagesTs", "imagesTr"


@dataclass(frozen=True)
class DatasetInputs:
    """How the images of a data set become the cases of a model."""

    channels: Sequence[str]
    """Of the model."""
    optional: Collection[int]
    """Those that a case may lack, from 0."""
    sought: Sought
    plain: Plain
    tell: Callable[[str], None]
    report: Callable[[DataError], None]

    def find(self, root: Path) -> Found | None:
        """The cases of the data set at `root`, by name; None where it is none.

        Raises:
            DataError: its description is faulty, or it has other channels than the model takes.
        """
        if manifest.evidence(root):
            refuse_asked(root, self.sought.series)
            contents = manifest.read(root, Reading(), labelled=False)
            return self._listed(root, contents.channels, contents.cases, contents.notes)
        if not root.is_dir() or named_images(root, None, lambda fault: None):
            return None
        found = self._found(root)
        if found is not None and (series := dicom_among(root)) is not None:
            self.tell(f"{series}, left aside: give that folder to predict them")
        return found

    def _found(self, root: Path) -> Found | None:
        """The cases of a folder that holds no images itself."""
        if decathlon.evidence(root) or nnunet.evidence(root):
            refuse_asked(root, self.sought.series)
            return self._described(root)
        if bids.evidence(root):
            return self._sessions(root, bids.images_by_case(root), by_file=True)
        if folders.evidence(root) and any(True for _ in folders.image_folder(root).iterdir()):
            refuse_asked(root, self.sought.series)
            return self.plain(folders.image_folder(root), self.channels, self.optional)
        if cases.evidence(root):
            return self._sessions(root, cases.images_by_case(root), by_file=False)
        return None

    def _described(self, root: Path) -> Found:
        """The cases of a data set with a `dataset.json`: its test images, else those that it was trained on."""
        content = read_json(root / DATASET_FILE)
        if not isinstance(content, dict):
            raise DataError(str(root / DATASET_FILE), "not a JSON object", 'keys "channel_names", "labels"')
        own = channel_names(content, root / DATASET_FILE)
        if decathlon.evidence(root):
            tests = decathlon.tested_on(root)
            held = [Case(stem(path), (path,), None) for path in tests] or decathlon.read(root, Reading()).cases
            return self._listed(root, own, held, self._chosen_note(bool(tests)))
        if "dataset" in content:
            return self._listed(root, own, nnunet.read(root, Reading()).cases, ())
        there = [folder for name in (_TEST, _TRAINING) if (folder := root / name).is_dir() and any(folder.iterdir())]
        if not there:
            raise DataError(str(root), f"{DATASET_FILE} and no images", f"{_TEST}/ or {_TRAINING}/")
        if len(there) > 1:
            for note in self._chosen_note(True):
                self.tell(note)
        order = self._order(root, own)
        unwanted = set(range(len(own))) - set(order)
        lacking = {order[index] for index in self.optional} | unwanted
        found = self.plain(there[0], own, sorted(place for place in lacking if place is not None))
        return self._in_order(own, order, found)

    def _chosen_note(self, tested: bool) -> tuple[str, ...]:
        note = f"the test images are predicted; give {_TRAINING} to predict those that it was trained on"
        return (note,) if tested else ()

    def _listed(self, root: Path, own: Sequence[str], held: Sequence[Case], notes: Sequence[str]) -> Found:
        """Cases whose files are named one by one."""
        for note in notes:
            self.tell(note)
        order = self._order(root, own)
        names = [case.name for case in held]
        unique = []
        for case in sorted(held, key=lambda case: case.name):
            if names.count(case.name) > 1 or not case.name or {"/", "\\", "\0"} & set(case.name) or case.name[0] == ".":
                expected = "names that files can bear, each of one case"
                self.report(DataError(case.name or str(root), "no name for a file, or that of several", expected))
            else:
                unique.append((case.name, case.images))
        return self._in_order(own, order, unique)

    def _in_order(self, own: Sequence[str], order: Sequence[int | None], found: Found) -> Found:
        """The files of each case in the order of the model's channels."""
        kept = []
        for name, files in found:
            whole = len(files) == 1 and len(own) > 1
            if whole and tuple(order) != tuple(range(len(own))):
                said = f"one file with {', '.join(own)}"
                self.report(DataError(name, said, ", ".join(self.channels), "save each channel as a file of its own"))
                continue
            taken = files if whole else tuple(None if place is None else files[place] for place in order)
            absent = [self.channels[index] for index, path in enumerate(taken) if path is None]
            needed = [one for one in absent if self.channels.index(one) not in self.optional]
            gone = [str(path) for path in taken if path is not None and not path.exists()]
            if needed or gone or len(absent) == len(taken):
                said = f"no {', '.join(needed or absent)}" if needed or not gone else f"no such files: {listed(gone)}"
                self.report(DataError(name, said, f"files for {', '.join(self.channels)}"))
                continue
            kept.append((name, taken))
        return kept

    def _order(self, root: Path, own: Sequence[str]) -> tuple[int | None, ...]:
        """Which of the data set's channels each of the model's is: by its name, by what that says, else by number."""
        plain = [name.casefold() for name in own]
        kinds = [kind_of_text(name) for name in own]
        order: list[int | None] = []
        for channel in self.channels:
            wanted = kind_of_text(channel)
            alike = [place for place, name in enumerate(plain) if name == channel.casefold()]
            alike = alike or [place for place, kind in enumerate(kinds) if wanted and kind == wanted]
            order.append(alike[0] if len(alike) == 1 else None)
        if all(place is not None or index in self.optional for index, place in enumerate(order)) and any(
            place is not None for place in order
        ):
            return tuple(order)
        against = [
            said
            for channel, kind in zip(self.channels, kinds, strict=False)
            if (said := contradiction(kind_of_text(channel), kind))
        ]
        if len(own) != len(self.channels) or against or any(place is not None for place in order):
            found = f"channels {', '.join(own)}"
            remedy = "give the folder of its images, to have them taken by their numbers all the same"
            raise DataError(str(root), found, f"those of the model ({', '.join(self.channels)})", remedy)
        if len(own) > 1:
            self.tell(f"{', '.join(own)} of the data set are taken as {', '.join(self.channels)}, by their numbers")
        return tuple(range(len(own)))

    def _sessions(self, root: Path, shown: Mapping[str, Mapping[str, Path]], *, by_file: bool) -> Found:
        """A case for each session or folder, of the images in it that the model is for.

        Where the model takes one channel, the case of a session is called as its file is if `by_file`.
        """
        found: dict[str, Files] = {}
        for name, held in shown.items():
            try:
                files = self._chosen(name, held)
            except DataError as fault:
                self.report(fault)
                continue
            only = files[0] if len(files) == 1 and by_file else None
            found[name if only is None else stem(only)] = files
        return sorted(found.items())

    def _chosen(self, name: str, held: Mapping[str, Path]) -> Files:
        """The images of a session for each channel: those that are called like it, else those that fit it best."""
        called = {shows.casefold(): path for shows, path in held.items()}
        by_name = tuple(called.get(channel.casefold()) for channel in self.channels)
        needed = [index for index in range(len(by_name)) if index not in self.optional]
        if any(by_name) and all(by_name[index] for index in needed) and not self.sought.series:
            return by_name
        several = len(held) > 1
        candidates = [_candidate(shows, path, placed=several) for shows, path in held.items()]
        chosen = choose(name, candidates, self.channels, self.optional, self.sought)
        if several:
            self.tell(f"{name}: {chosen.why}")
        return tuple(None if one is None else one.path for one in chosen.files)


def _candidate(shows: str, path: Path, *, placed: bool) -> Candidate:
    """What an image is chosen by; its header is read where there are several to choose from (`placed`)."""
    kind, aside = kind_of_text(shows), no_volume(shows)
    if not placed:
        return Candidate(path, shows, kind, aside=aside)
    try:
        geometry = read_geometry(path)
    except DataError as fault:
        return Candidate(path, shows, kind, aside=aside or f"it cannot be read: {fault.found}")
    canonical = orient_geometry(geometry)
    axis = slices_of(canonical)
    return Candidate(
        path, shows, kind, slices=canonical.shape[axis], plane=PLANES[axis], geometry=canonical, aside=aside
    )
