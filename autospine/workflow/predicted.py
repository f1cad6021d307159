"""What a prediction keeps account of in its OUT, and what it may replace there.

    out/prediction.json             case -> its file, the model that made it, digests of its images and of the file
    .seg.nii.gz.prediction.json     the same beside the single file seg.nii.gz, hidden: the folder may hold images

Digests of contents say what was made of what: a copied or moved image is the same image, and one that has been changed
is another. Whoever predicts into a place has it alone for as long as that takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from autospine.data.aside import PREDICTED
from autospine.data.files import file_digest, read_json, write_json
from autospine.data.locks import locked
from autospine.data.temporaries import temporary_beside
from autospine.data.volume import read_volume
from autospine.errors import DataError, OutputError
from autospine.workflow.segmenting import files_of

LOCK = ".prediction.lock"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Target:
    """Where segmentations go."""

    path: Path
    """OUT: a file for one case, else a folder."""
    single: bool
    """Whether it is that file."""

    @property
    def folder(self) -> Path:
        """The folder that is written to."""
        return self.path.parent if self.single else self.path

    @property
    def record(self) -> Path:
        """The account of what was made."""
        return self.path.with_name(f".{self.path.name}.{PREDICTED}") if self.single else self.path / PREDICTED

    @property
    def lock(self) -> Path:
        """What one process at a time holds."""
        return self.path.with_name(f".{self.path.name}.lock") if self.single else self.path / LOCK


@dataclass(frozen=True)
class Made:
    """A segmentation that was made."""

    file: str
    """Its name in the folder."""
    model: str
    """Identity of the model and the settings that made it."""
    images: str
    """Digest of the images that it was made of."""
    mask: str
    """Digest of the file as it was written."""


@contextmanager
def held(target: Target, tell: Callable[[str], None]) -> Iterator[None]:
    """A block in which this process alone writes to `target`; it waits for others, and `tell` says for whom.

    Raises:
        OutputError: nothing can be written there.
    """
    there = target.folder.exists()
    check_writable(target.folder)
    try:
        with locked(target.lock, target.path, tell):
            try:
                yield
            finally:
                # whoever waits for a file that is gone makes a new one
                with suppress(OSError):
                    target.lock.unlink()
    finally:
        if not there:
            with suppress(OSError):  # where something lies in it, it stays
                target.folder.rmdir()


def check_writable(folder: Path, size: int = 1) -> None:
    """Raise `OutputError` where a file of `size` bytes cannot be written to `folder`, which is made where missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary_beside(folder / "room") as (temporary, _), temporary.open("wb") as file:
            for start in range(0, size, _CHUNK):
                file.write(bytes(min(_CHUNK, size - start)))
    except (OSError, UnicodeError) as fault:
        found = f"cannot be written to ({getattr(fault, 'strerror', None) or fault})"
        remedy = "choose an OUT in a folder that you may write to and that has space left"
        raise OutputError(str(folder), found, "a folder that can be written", remedy) from fault


@dataclass(frozen=True)
class Account:
    """What was made in a place, as its record says, and what stands there."""

    target: Target
    identity: str
    """Of the model that predicts now."""
    made: Mapping[str, Made]
    """Case -> its segmentation."""
    standing: frozenset[tuple[int, int]] = frozenset()
    """Files that stood there at the beginning, as the file system numbers them: these may be replaced."""

    @staticmethod
    def read(target: Target, identity: str) -> Account:
        """The account of `target`, which has to be held; what its record says in no known way is left out."""
        content = read_json(target.record, OutputError) if target.record.is_file() else {}
        cases = content.get("cases") if isinstance(content, dict) else None
        made = {
            name: Made(**{key: str(value) for key, value in entry.items()})
            for name, entry in (cases.items() if isinstance(cases, dict) else ())
            if isinstance(entry, dict) and entry.keys() == Made.__dataclass_fields__.keys()
        }
        there = target.folder.iterdir()
        return Account(target, identity, made, frozenset(number for path in there if (number := _number(path))))

    def write(self, last: Mapping[str, object]) -> None:
        """Write the record, with what is said of the `last` prediction: its folds, its device."""
        cases = {name: asdict(one) for name, one in self.made.items()}
        write_json(self.target.record, {"model": self.identity, **last, "cases": cases})

    def with_case(self, name: str, new: Made) -> Account:
        """The account with a segmentation that was made now."""
        others = {case: one for case, one in self.made.items() if one.file != new.file}
        return replace(self, made=others | {name: new})

    def after(self, path: Path) -> Account:
        """The account once `path` was written, which may not be replaced again."""
        number = _number(path)
        return self if number is None else replace(self, standing=self.standing - {number})

    def made_here(self, path: Path) -> Made | None:
        """What this very model made as `path`, where that stands there."""
        found = [one for one in self.made.values() if (one.file, one.model) == (path.name, self.identity)]
        return found[0] if found and path.is_file() else None

    def refuse_newcomer(self, path: Path) -> None:
        """Raise `OutputError` where a file has got this name since the beginning, or under another spelling of it."""
        number = _number(path)
        if number is not None and number not in self.standing:
            found = "a file of this name has been made meanwhile"
            raise OutputError(str(path), found, "a free name", "move it away, or choose another OUT")

    def refuse_strangers(
        self, outputs: Mapping[str, Path], done: Sequence[str], values: Sequence[int], overwrite: bool
    ) -> list[str]:
        """Files of other models that stay beside `outputs`; raises `OutputError` where something would be harmed.

        Without `overwrite` nothing is replaced that this model did not make of these images, and no other model's
        segmentations get company. With it segmentations are replaced, and what is none never is.

        Args:
            outputs: case -> file that is to be written.
            done: cases that stay as they are.
            values: of the model's labels, by which a segmentation is known that no record names.
            overwrite: whether files may be replaced.
        """
        folder, by_file = self.target.folder, {one.file: one for one in self.made.values()}
        strangers = [path for name, path in outputs.items() if os.path.lexists(path) and name not in done]
        if strangers and not overwrite:
            named = f"such as {strangers[0].name}"
            found = f"{len(strangers)} file(s) that another model, other images or somebody made, {named}"
            raise OutputError(str(folder), found, "free names", "choose another OUT, or use --overwrite")
        images = [path for path in strangers if not _is_segmentation(path, by_file.get(path.name), values)]
        if images:
            found = f"{len(images)} file(s) that are no segmentations by this model's labels, such as {images[0].name}"
            remedy = "choose another OUT, or move them away: what may be an image is never replaced"
            raise OutputError(str(folder), found, "segmentations or free names", remedy)
        written = {path.name for path in outputs.values()}
        stay = {
            name: one for name, one in self.made.items() if one.file not in written and (folder / one.file).exists()
        }
        twins = sorted(stay[name].file for name in outputs.keys() & stay.keys())
        if twins:
            found = f"segmentations of the same cases in another format, such as {twins[0]}"
            raise OutputError(str(folder), found, "one of each case", "choose another OUT, or move them away")
        others = sorted(one.file for one in stay.values() if one.model != self.identity)
        if others and not overwrite:
            found = (
                f"{len(others)} file(s) that another model, or this one by other settings, made, such as {others[0]}"
            )
            remedy = (
                f"choose another OUT; with --overwrite they stay, and {self.target.record.name} says what made which"
            )
            raise OutputError(str(folder), found, "segmentations of one model", remedy)
        return others


def refuse_images(
    target: Target, outputs: Mapping[str, Path], cases: Sequence[tuple[str, Sequence[Path | None]]], source: Path
) -> None:
    """Raise `OutputError` where `target` or a file in it is an image to segment, or it is a folder of theirs."""
    files = [path for _, images in cases for path in files_of(images)]
    places = [source, *files]
    if not target.single:
        places += {path.parent for path in files if not path.is_dir()}
    if any(_same(target.path, place) for place in places):
        raise OutputError(str(target.path), "holds the images themselves", "another place", "choose another OUT")
    numbers = {number: path for path in files if (number := _number(path))}
    for path in outputs.values():
        number = _number(path)
        if number in numbers:
            found = f"is one of the images, {numbers[number]}"
            raise OutputError(str(path), found, "another place", "choose another OUT")


def _number(path: Path) -> tuple[int, int] | None:
    """How the file system numbers a file, whatever it is called; None where there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _same(one: Path, other: Path) -> bool:
    """Whether two paths lead to the same place, through links and whatever the case of letters means there."""
    try:
        return one.samefile(other)
    except OSError:
        return one.resolve() == other.resolve()


def _is_segmentation(path: Path, made: Made | None, values: Sequence[int]) -> bool:
    """Whether a file is what was `made`, or holds whole numbers that all are of `values` or 0."""
    if path.is_symlink() or not path.is_file():
        return False
    if made is not None and file_digest(path, OutputError) == made.mask:
        return True
    try:
        array = read_volume(path).array
    except DataError:
        return False
    return len(array) == 1 and array.dtype.kind in "iub" and set(np.unique(array).tolist()) <= {0, *values}
