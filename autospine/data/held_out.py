"""What must not be learnt from: images that a network is judged by, and whatever may show the same person.

    held out         the validation of a fold, test images
    left out too     the same voxels, in one channel or all, under any name; every image of a subject of that name,
                     wherever it lies

An image that is left out for its voxels takes its subject along, and one that is left out for its subject its voxels,
until nothing more is found. Names of subjects that agree by chance cost an image; the other mistake costs a result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Seen:
    """An image as far as it can be recognised."""

    dataset: str
    """Name of the dataset or folder."""
    case: str
    subject: str
    """Who was imaged."""
    digest: str
    """Of its voxels."""
    names: tuple[str, ...] = ()
    """What the subject may be called as well, in lower case."""
    channels: tuple[str, ...] = ()
    """Digests of its channels each, where it has several: a copy may lack some."""

    @property
    def people(self) -> tuple[str, ...]:
        """What the subject may be called, in lower case."""
        return tuple(dict.fromkeys((self.subject.casefold(), *self.names)))

    @property
    def prints(self) -> tuple[str, ...]:
        """Digests by which it is known again."""
        return (self.digest, *self.channels)

    @property
    def shown(self) -> str:
        """For messages."""
        return f"{self.dataset}/{self.case}"


def leave_out(images: Sequence[Seen], held_out: Sequence[Seen]) -> Mapping[int, str]:
    """Place in `images` -> why it must be left out, beside `held_out`; and of equal images all but the first."""
    reasons: dict[int, str] = {}
    digests: dict[str, Seen] = {}
    subjects: dict[str, Seen] = {}

    def note(image: Seen) -> None:
        for digest in image.prints:
            digests.setdefault(digest, image)
        for name in image.people:
            subjects.setdefault(name, image)

    for image in held_out:
        note(image)
    found = True
    while found:
        found = False
        for place, image in enumerate(images):
            same = next((digests[digest] for digest in image.prints if digest in digests), None)
            name = next((name for name in image.people if name in subjects), "")
            namesake, called = subjects.get(name), image.subject if name == image.subject.casefold() else name
            if place in reasons or (same is None and namesake is None):
                continue
            if same is not None:
                reasons[place] = f"the same image as {same.shown}, which is left out"
            elif namesake is not None and namesake.dataset == image.dataset:
                reasons[place] = f"of the subject {called}, of whom {namesake.shown} is left out"
            elif namesake is not None:
                reasons[place] = f"a subject called {called}, as that of {namesake.shown}, which is left out"
            note(image)
            found = True
    first: dict[str, Seen] = {}
    for place, image in enumerate(images):
        if place not in reasons and first.setdefault(image.digest, image) is not image:
            reasons[place] = f"the same image as {first[image.digest].shown}, which is used"
    return reasons
