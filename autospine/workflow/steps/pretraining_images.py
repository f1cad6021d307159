"""Which images a pretraining learns from, and which it leaves out, each with why (`data.held_out`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from autospine.data.check import image_digest
from autospine.data.dataset import load_case
from autospine.data.disk.files import json_digest, read_json, write_json
from autospine.data.folds import Fold
from autospine.data.held_out import Seen, leave_out
from autospine.data.images import Images, open_images, single
from autospine.data.layouts.shared.naming import subject_names
from autospine.data.structure import Case, Dataset, Reading
from autospine.errors import DataError
from autospine.planning.measured.fingerprint import CaseFingerprint, Fingerprint
from autospine.preprocessing.images import ImageSource

TEST = "a test image"


@dataclass(frozen=True)
class Found:
    """The images of one path that the user named, or of the dataset that is pretrained for."""

    path: Path
    images: Images
    named: bool
    """Whether its images are to be used; of one that is not, the test images are still left out elsewhere."""
    own: bool
    """Whether it is the dataset that is pretrained for."""


@dataclass(frozen=True)
class _Candidate:
    """An image that is read."""

    found: Found
    case: Case
    learnt: bool
    """Whether nothing is known against learning from it; else its copies are what is looked for."""


@dataclass(frozen=True)
class Chosen:
    """What is learnt from."""

    sources: tuple[ImageSource, ...]
    seen: tuple[Seen, ...]
    """The same images, as they are recognised."""
    left_out: tuple[tuple[str, str], ...]
    """(image, why) of what the user named and is not used."""


def open_all(
    paths: Sequence[Path], dataset: Path, own_reading: Reading, channels: Sequence[str], optional: Sequence[int]
) -> tuple[Found, ...]:
    """The images at `paths`, and those of `dataset` where it is none of them; headers are read alone.

    `dataset` is read as `own_reading` says.

    Raises:
        DataError: everything that is wrong with any of them.
    """
    found, wrong = [], []
    named = {path.resolve(): path for path in paths}
    for place, path in {dataset.resolve(): dataset, **named}.items():
        own = place == dataset.resolve()
        reading = own_reading if own else Reading(allow_missing=bool(optional))
        try:
            images = open_images(path, channels, optional, reading)
        except DataError as fault:
            wrong.append(str(fault))
            continue
        found.append(Found(path, images, place in named, own))
    if wrong:
        listed, remedy = "\n".join(wrong), "correct them, or leave them out"
        raise DataError("images", f"{len(wrong)} of these cannot be used:\n{listed}", "images as the plan's", remedy)
    return tuple(found)


def choose_images(
    found: Sequence[Found],
    fingerprint: Fingerprint,
    fold: int | None,
    split: Fold,
    pattern: str | None,
    cache: Path,
    progress: Callable[[str, int, int], None],
) -> Chosen:
    """What of `found` may be learnt from for fold `fold` with this `split`; for None with one that trains on nothing.

    Where the `pattern` that found the dataset's subjects finds one in another folder's names, that counts there too.
    Images of which the fingerprint knows no digest are read; the digests are kept in the file `cache`.

    Raises:
        DataError: images that cannot be read, all of them; or nothing is left.
    """
    known = {case.case: case for case in fingerprint.cases}
    judged = [case for case in fingerprint.cases if case.case not in split.train]
    called = partial(subject_names, pattern=pattern)
    held = [
        Seen(fingerprint.dataset, case.case, case.subject, case.digest, called(case.case, case.subject))
        for case in judged
    ]
    candidates, left = _sort_out(found, known, fold, split, several=len(fingerprint.channels) > 1)
    learnt: list[tuple[ImageSource, Seen]] = []
    for candidate, (source, channels) in zip(candidates, _read_all(candidates, known, cache, progress), strict=True):
        one, case = candidate.found, candidate.case
        subject = known[case.name].subject if one.own and case.name in known else case.subject
        names = called(case.name, subject)
        image = Seen(one.images.dataset.name, case.name, subject, source.digest, names, channels)
        if candidate.learnt:
            learnt.append((source, image))
        else:
            held.append(image)
    reasons = leave_out([image for _, image in learnt], held)
    left += [(learnt[place][1].shown, why) for place, why in sorted(reasons.items())]
    kept = [pair for place, pair in enumerate(learnt) if place not in reasons]
    if not kept:
        why = "; ".join(f"{image}: {reason}" for image, reason in left[:6]) + ("; ..." if len(left) > 6 else "")
        remedy = "name a fold with --fold, to use the cases that it trains on, or give images of other people"
        raise DataError("images", f"none is left to learn from ({why or 'none was found'})", "one at least", remedy)
    sources, seen = zip(*kept, strict=True)
    return Chosen(sources, seen, tuple(left))


def _sort_out(
    found: Sequence[Found], known: Mapping[str, CaseFingerprint], fold: int | None, split: Fold, *, several: bool
) -> tuple[list[_Candidate], list[tuple[str, str]]]:
    """What has to be read, and (image, why) of what the user named and is left out by what it is."""
    candidates: list[_Candidate] = []
    left: list[tuple[str, str]] = []
    for one in found:
        for case in one.images.dataset.cases:
            why = _held_out(one, case, known, fold, split)
            if why is not None and one.named:
                left.append((f"{one.images.dataset.name}/{case.name}", why))
            # what is held out is read too, to find its copies, unless the fingerprint knows each channel of it
            is_read = one.named if why is None else several or not (one.own and case.name in known)
            if is_read:
                candidates.append(_Candidate(one, case, learnt=why is None))
    return candidates, left


def _held_out(
    one: Found, case: Case, known: Mapping[str, CaseFingerprint], fold: int | None, split: Fold
) -> str | None:
    """Why a case is not learnt from by what it is; None where nothing is known against it."""
    if case.name in one.images.test:
        return TEST
    if not one.own:
        return None
    masked = case.name in known or (case.label is not None and case.label.exists())
    if not masked or case.name in split.train:
        return None
    if fold is None:
        return "has a mask, and some fold is judged by it; --fold says for which fold the weights are"
    return f"validation of fold {fold}" if case.name in split.validation else f"not in the training of fold {fold}"


def _read_all(
    candidates: Sequence[_Candidate],
    known: Mapping[str, CaseFingerprint],
    cache: Path,
    progress: Callable[[str, int, int], None],
) -> list[tuple[ImageSource, tuple[str, ...]]]:
    """Each image with what it holds and the digests of its channels, where it has several.

    From the fingerprint, the cache or the files; raises all that cannot be read at once.
    """
    digests = _read_cache(cache)
    before = len(digests)
    sources: list[tuple[ImageSource, tuple[str, ...]]] = []
    wrong = []
    try:
        for done, one in enumerate(candidates, 1):
            try:
                sources.append(_read(one, known, digests))
            except DataError as fault:
                wrong.append(str(fault))
                continue
            progress(one.case.name, done, len(candidates))
    finally:
        if len(digests) > before:
            write_json(cache, digests)
    if wrong:
        listed, remedy = "\n".join(wrong), "correct or remove them"
        raise DataError("images", f"{len(wrong)} cannot be read:\n{listed}", "images without errors", remedy)
    return sources


def _read(
    candidate: _Candidate, known: Mapping[str, CaseFingerprint], digests: dict[str, Any]
) -> tuple[ImageSource, tuple[str, ...]]:
    """An image with what it holds, and the digests of its channels; what is read of it is added to `digests`."""
    one, case = candidate.found, candidate.case
    (dataset, image), order = single(one.images.dataset, case), one.images.order
    measured = known.get(case.name) if one.own and case.name not in one.images.test else None
    if measured is not None and len(order) == 1:
        return ImageSource(dataset, image, order, measured.digest, measured.spacing_mm), ()
    key = _stamp(case, order)
    if key not in digests:
        digests[key] = _measure(dataset, image, order)
    digest, (z, y, x), channels = digests[key]
    return ImageSource(dataset, image, order, digest, (z, y, x)), tuple(channels)


def _read_cache(cache: Path) -> dict[str, Any]:
    """What is known of images that were read before; nothing where the file is not what was written."""
    try:
        content = read_json(cache)
    except DataError:
        return {}
    return content if isinstance(content, dict) else {}


def _stamp(case: Case, order: tuple[int, ...]) -> str:
    """Another one where the image files, or what is kept of them, are others: by path, size and time of writing."""
    files = [part for path in case.files for part in (sorted(path.iterdir()) if path.is_dir() else [path])]
    stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return json_digest([stats, case.missing, case.taken, order, "channels"])


def _measure(dataset: Dataset, case: Case, order: tuple[int, ...]) -> list[Any]:
    """Digest of the channels in `order`, canonical spacing, and where there are several the digest of each it has."""
    image = load_case(dataset, case).image
    each = [index for index in order if index not in case.missing] if len(order) > 1 else []
    digests = [image_digest(image.array[[index]]) for index in each]
    return [image_digest(image.array[list(order)]), list(image.geometry.spacing_mm), digests]
