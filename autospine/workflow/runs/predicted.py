"""What a prediction keeps account of in its OUT, and what it may replace there.

    out/prediction.json             case -> its file, the model that made it, digests of its images and of the file
    .seg.nii.gz.prediction.json     the same beside the single file seg.nii.gz, hidden: the folder may hold images

Digests of contents say what was made of what: a copied or moved image is the same image, and one that has been changed
is another. What no record names is not autospine's, and what differs from its record was corrected by hand: neither is
replaced. Cases that could not be segmented are named there with why, until they are. While cases are made, `sharing`
keeps what became of each.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from autospine.data.disk.files import file_digest, hidden_name, read_json
from autospine.data.disk.temporaries import temporary_beside
from autospine.data.inputs import images_digest
from autospine.data.not_to_segment import PREDICTED, record_beside
from autospine.data.wording import listed
from autospine.errors import AutospineError, DataError, OutputError

LOCK = ".prediction.lock"
WORKING = ".prediction"
_CHUNK = 1 << 20
E = TypeVar("E", "Made", "Failed")


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
        return record_beside(self.path) if self.single else self.path / PREDICTED

    @property
    def lock(self) -> Path:
        """What one process at a time holds, for moments."""
        if not self.single:
            return self.path / LOCK
        return self.path.with_name(hidden_name(f".{self.path.name}.lock", self.path.name, "lock"))

    @property
    def working(self) -> Path:
        """The folder by which processes share the cases, as long as they do."""
        if not self.single:
            return self.path / WORKING
        return self.path.with_name(hidden_name(f".{self.path.name}{WORKING}", self.path.name, "prediction"))


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
    replaced: str = ""
    """Digest of the file that it takes the place of: a process that is killed in between leaves that."""
    image: str = ""
    """First file of its image, from the root of the disk on: what pictures are drawn on."""


@dataclass(frozen=True)
class Failed:
    """A case that could not be segmented: the parts of its error."""

    source: str
    """IN, of the prediction that tried it, from the root of the disk on."""
    where: str
    found: str
    expected: str = ""
    remedy: str = ""

    @staticmethod
    def of(fault: AutospineError, source: Path) -> Failed:
        """What is kept of an error: its text alone, since the error itself may hold on to an image."""
        return Failed(os.path.abspath(source), fault.where, fault.found, fault.expected, fault.remedy)

    def error(self) -> DataError:
        """The error again."""
        return DataError(self.where, self.found, self.expected, self.remedy)


@dataclass(frozen=True)
class Standing:
    """What stands where a segmentation is to be written."""

    digest: str = ""
    """Of its content; empty where nothing stands there."""
    stays: bool = False
    changed: bool = False
    """Whether it differs from what was written: somebody has corrected it."""


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
    failed: Mapping[str, Failed] = field(default_factory=dict)
    """Case -> why it could not be segmented when that was last tried."""

    @staticmethod
    def read(target: Target, identity: str) -> Account:
        """The account of `target`; what its record says in no known way is left out."""
        content = read_json(target.record, OutputError) if target.record.is_file() else None
        return Account(target, identity, _read_all(content, "cases", Made), _read_all(content, "failed", Failed))

    def to_json(self) -> dict[str, Any]:
        """The record, without what is said of the last prediction."""
        cases = {name: asdict(one) for name, one in self.made.items()}
        failed = {name: asdict(one) for name, one in sorted(self.failed.items())}
        return {"model": self.identity, "cases": cases, "failed": failed}

    def with_cases(self, new: Mapping[str, Made | Failed | None], gone: Iterable[str] = ()) -> Account:
        """The account with what became of cases: made, failed, or (None) done before; failures `gone` are left out."""
        made = {name: one for name, one in new.items() if isinstance(one, Made)}
        files = {one.file for one in made.values()}
        kept = {name: one for name, one in self.made.items() if one.file not in files}
        out = {*new, *gone}
        failed = {name: one for name, one in self.failed.items() if name not in out}
        failed |= {name: one for name, one in new.items() if isinstance(one, Failed)}
        return replace(self, made=kept | made, failed=failed)

    @cached_property
    def by_file(self) -> Mapping[str, Made]:
        """File name -> its segmentation."""
        return {one.file: one for one in self.made.values()}

    def judge(self, path: Path, images: Sequence[Path | None], overwrite: bool) -> Standing:
        """What stands at `path`, where the segmentation of `images` is to be, and whether it stays.

        Raises:
            OutputError: it cannot be read, is not autospine's, or was made of what the images are no more.
            DataError: the images cannot be read.
        """
        if not os.path.lexists(path):
            return Standing()
        made = self.by_file.get(path.name)
        if made is None:
            found = f"{self.target.record.name} does not name it: somebody made it, or an earlier version"
            raise OutputError(str(path), found, "a free name (move it away, or choose another OUT)")
        digest = file_digest(path, OutputError)
        changed = digest not in (made.mask, made.replaced)
        if overwrite:
            return Standing(digest, changed, changed)
        if digest == made.replaced != made.mask:
            found = "--overwrite had begun to replace it"
        elif made.images != images_digest(images):
            found = "made of another image, or its image changed since it was segmented"
        else:
            return Standing(digest, True, changed)
        way = "move its mask, which was corrected, away" if changed else "move its mask away, or use --overwrite"
        raise OutputError(str(path), found, f"a segmentation of this image ({way})")

    def refuse_others(self, outputs: Mapping[str, Path], overwrite: bool) -> list[str]:
        """Files of other models that stay beside `outputs`, which are case -> file that is to be written.

        Raises:
            OutputError: without `overwrite`, for any file of another model; for files that all are nobody's that is
                known; for segmentations of the same cases in another format.
        """
        folder, record = self.target.folder, self.target.record.name
        standing = [one for one in self.made.values() if os.path.lexists(folder / one.file)]
        others = sorted(one.file for one in standing if one.model != self.identity)
        if others and not overwrite:
            found = f"{len(others)} file(s) that another model, or this one by other settings, made, as {record} says"
            remedy = "choose another OUT; with --overwrite those of other images stay"
            raise OutputError(str(folder), f"{found}: {listed(others)}", "segmentations of one model", remedy)
        known = {one.file for one in standing}
        if all(path.name not in known and os.path.lexists(path) for path in outputs.values()):
            found = f"{len(outputs)} file(s) that {record} does not name, such as {min(outputs.values()).name}"
            remedy = "somebody made them, or an earlier version: move them away, or choose another OUT"
            raise OutputError(str(folder), found, "free names, or segmentations that autospine made", remedy)
        written = {path.name for path in outputs.values()}
        twins = [one.file for name, one in self.made.items() if name in outputs and one.file in known - written]
        if twins:
            found = f"segmentations of the same cases in another format: {listed(twins)}"
            raise OutputError(str(folder), found, "one of each case", "choose another OUT, or move them away")
        return [name for name in others if name not in written]


def refuse_newcomer(path: Path, before: Standing, mask: str) -> None:
    """Raise `OutputError` where other content has this name than before, or got it under another spelling.

    The `mask` itself, by its digest, is no other: without locks two processes may make the same case.
    """
    if (file_digest(path, OutputError) if os.path.lexists(path) else "") not in (before.digest, mask):
        found = "a file of this name has been made or changed meanwhile"
        raise OutputError(str(path), found, "a free name", "move it away, or choose another OUT")


def refuse_images(
    target: Target, outputs: Mapping[str, Path], cases: Iterable[Sequence[Path | None]], source: Path
) -> None:
    """Raise `OutputError` where `target` or a file in it is an image of `cases`, or it is a folder of theirs."""
    files = [path for images in cases for path in files_of(images)]
    places = [source, *files]
    if not target.single:
        places += {path.parent for path in files if not path.is_dir()}
    if any(_same(target.path, place) for place in places):
        raise OutputError(str(target.path), "holds the images themselves", "another place", "choose another OUT")
    numbers: dict[tuple[int, int] | None, Path] = {number: path for path in files if (number := _number(path))}
    for path in outputs.values():
        if (image := numbers.get(_number(path))) is not None:
            raise OutputError(str(path), f"is one of the images, {image}", "another place", "choose another OUT")


def files_of(images: Sequence[Path | None]) -> list[Path]:
    """The files of a case, without what it lacks."""
    return [path for path in images if path is not None]


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


def read_entry(kind: type[E], entry: object) -> E | None:
    """What a record says of a case; None where that is not as it is written, or names a file elsewhere."""
    if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
        return None
    try:
        read = kind(**entry)
    except TypeError:
        return None
    if isinstance(read, Made) and (Path(read.file).name != read.file or read.file in ("", "..")):
        return None
    return read


def _read_all(content: object, key: str, kind: type[E]) -> dict[str, E]:
    """Case -> what the record says of it under `key`."""
    held = content.get(key) if isinstance(content, dict) else None
    entries = held.items() if isinstance(held, dict) else ()
    return {name: read for name, entry in entries if (read := read_entry(kind, entry))}
