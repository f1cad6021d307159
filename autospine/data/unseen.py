"""What must not be learnt from: images that a network is judged by, and whatever may show the same person.

    held out         the validation of a fold, test images
    left out too     the same voxels under any name; every image of a subject of that name, wherever it lies

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
        digests.setdefault(image.digest, image)
        subjects.setdefault(image.subject.casefold(), image)

    for image in held_out:
        note(image)
    found = True
    while found:
        found = False
        for place, image in enumerate(images):
            same, namesake = digests.get(image.digest), subjects.get(image.subject.casefold())
            if place in reasons or (same is None and namesake is None):
                continue
            if same is not None:
                reasons[place] = f"the same image as {same.shown}, which is left out"
            elif namesake is not None and namesake.dataset == image.dataset:
                reasons[place] = f"of the subject {image.subject}, of whom {namesake.shown} is left out"
            elif namesake is not None:
                reasons[place] = f"a subject called {image.subject}, as that of {namesake.shown}, which is left out"
            note(image)
            found = True
    first: dict[str, Seen] = {}
    for place, image in enumerate(images):
        if place not in reasons and first.setdefault(image.digest, image) is not image:
            reasons[place] = f"the same image as {first[image.digest].shown}, which is used"
    return reasons
