"""Which mask belongs to which image, by their names.

`scan_seg`, `scan-label`, `scan.seg` and `seg_scan` are masks of `scan`; `scan_seg` is that of `scan_T2` where no other
image begins so; `sub-1_seg-vert_run-2_msk` is that of `sub-1_run-2_T2w`, whose entities it has.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from autospine.data.layouts.naming import BIDS
from autospine.errors import DataError

_WORD = re.compile(
    r"seg|segs|segmentations?|masks?|msk|labels?|labelmap|gt|groundtruth|annotations?|dseg|roi|gmseg|wmseg|lesions?",
    re.IGNORECASE,
)
"""What masks are called."""
_IMAGE = re.compile(r"(?:img|images?|im|scan|vol|volume|mri)[-_. ](?P<rest>.+)", re.IGNORECASE)
_BETWEEN = re.compile(r"[-_. ]")
_MODALITY = "mod-"
"""Of BIDS names: the mask is that of the image with this ending (`sub-1_mod-T2w_seg-vert_msk` of `sub-1_T2w`)."""
PLAIN = "plain"
"""Kind of a mask that has the very name of its image."""


def says_mask(name: str) -> bool:
    """Whether any word of a name says that it is a mask: `seg`, `mask_L1`, `manual_seg`."""
    return any(_WORD.fullmatch(word) for word in _BETWEEN.split(name))


def is_mask_name(name: str) -> bool:
    """Whether a file name without suffix says that it is a mask: `scan_seg`, `scan-label`, `mask`, `sub-01_dseg`.

    The first of several words does not count (`label_study_T2`), and of BIDS names an entity `label-6` alone says
    nothing: it may tell two crops apart.
    """
    if name.startswith(BIDS):
        parts = [part.split("-") for part in name.split("_")]
        said = [part[0] for part in parts if part[0] != "label"] + [parts[-1][0]]
        return any(_WORD.fullmatch(word) for word in said)
    first, *others = _BETWEEN.split(name)
    return any(_WORD.fullmatch(word) for word in others or [first])


class Images:
    """Names of images, looked up by those of their masks."""

    def __init__(self, names: Collection[str]) -> None:
        """`names` are without suffix and channel."""
        self._names = frozenset(names)
        led = ((match["rest"], name) for name in names if (match := _IMAGE.fullmatch(name)))
        self._rest = {**dict(led), **{name: name for name in names}}
        self._beginning: dict[str, list[str]] = {}
        for name in sorted(names):
            for prefix in beginnings(name):
                self._beginning.setdefault(prefix, []).append(name)

    def of(self, mask: str) -> tuple[tuple[str, ...], str] | None:
        """The images that a mask of this name belongs to, and its kind; None where it belongs to none."""
        if mask in self._names:
            return (mask,), PLAIN
        for image in beginnings(mask):  # the longest first: `a_T2_seg` is of `a_T2`, not of `a`
            if image in self._names and says_mask(mask[len(image) + 1 :]):
                return (image,), mask[len(image) + 1 :]
        led = self.led(mask)
        if led is not None:
            return led
        if not is_mask_name(mask):
            return None
        if mask.startswith(BIDS):
            kinds = {image: _bids_kind(mask, image) for image in self._beginning.get(mask.split("_")[0], ())}
            owners = tuple(image for image, kind in kinds.items() if kind is not None)
            return (owners, min((kind for kind in kinds.values() if kind is not None), key=len)) if owners else None
        words = _BETWEEN.split(mask)
        place = next(place for place, word in enumerate(words) if place and _WORD.fullmatch(word)) if words[1:] else 0
        base = mask[: len("_".join(words[:place]))]
        owners = tuple(self._beginning.get(base, ()))
        return (owners, mask[len(base) + 1 :]) if owners else None

    def led(self, mask: str) -> tuple[tuple[str, ...], str] | None:
        """As `of`, for a mask that has its kind before the name of its image: `seg_7` of `7` or of `img_7`."""
        first = _BETWEEN.split(mask)[0]
        image = self._rest.get(mask[len(first) + 1 :])
        return ((image,), first) if _WORD.fullmatch(first) and image is not None else None


def beginnings(name: str) -> Iterator[str]:
    """What stands before each separator of a name, the longest first."""
    return (name[: match.start()] for match in reversed(list(_BETWEEN.finditer(name))) if match.start())


def _bids_kind(mask: str, image: str) -> str | None:
    """What a BIDS name has more than that of an image; None where it is not a mask of that image."""
    parts, own = mask.split("_"), image.split("_")
    # of the image's name only what it shows (T2w) may be missing in the mask's, which names no other
    shows = {part for part in parts if "-" not in part and not _WORD.fullmatch(part)}
    named = {part.removeprefix(_MODALITY) for part in parts if part.startswith(_MODALITY)}
    if parts[0] != own[0] or any("-" in part for part in own if part not in parts) or not shows | named <= set(own):
        return None
    return "_".join(part for part in parts if part.removeprefix(_MODALITY) not in own)


def pair_masks(images: Collection[str], masks: Mapping[str, Path], asked: str | None, where: Path) -> dict[str, Path]:
    """Image name -> its mask; a mask that belongs to none keeps its own name.

    Raises:
        MaskKindError: an image has masks of several kinds and none was asked for, or one that is not there.
        DataError: an image has two masks of one kind, or a mask may be of several images.
    """
    known = Images(images)
    kinds: dict[str, dict[str, list[str]]] = {}
    strangers = {}
    for name, path in masks.items():
        found = known.of(name)
        if found is None:
            strangers[name] = path
            continue
        owners, kind = found
        if len(owners) > 1:
            said = f"{name} may be the mask of {' or '.join(owners)}"
            remedy = "name it after its image, or write a manifest (docs/data.md)"
            raise DataError(str(path), said, "one image that a mask belongs to", remedy)
        kinds.setdefault(kind, {}).setdefault(owners[0], []).append(name)
    of_images = [image for held in kinds.values() for image in held]
    clash = len(of_images) > len(set(of_images))
    chosen = choose_kind(sorted(kinds), asked, where) if clash or (asked is not None and kinds) else None
    paired: dict[str, Path] = {}
    for kind, held in kinds.items():
        for image, names in held.items() if chosen in (None, kind) else ():
            if len(names) > 1:
                said = f"{image} has {len(names)} masks: {', '.join(names)}"
                raise DataError(str(where), said, "one", "move the others away")
            paired[image] = masks[names[0]]
    return paired | strangers


class MaskKindError(DataError):
    """Images have masks of several kinds, and none was chosen."""

    def __init__(self, where: Path, kinds: Sequence[str], asked: str | None) -> None:
        """`kinds` are those that are there."""
        self.kinds = tuple(kinds)
        held = f"masks of {len(kinds)} kinds: {', '.join(kinds)}" if len(kinds) > 1 else f"masks of the kind {kinds[0]}"
        found = held + (f"; none is {asked!r}" if asked else "")
        super().__init__(str(where), found, "one kind", f"choose with --masks, such as --masks {kinds[0]}")


def choose_kind(kinds: Sequence[str], asked: str | None, where: Path) -> str:
    """The one of several kinds of masks that was asked for.

    Raises:
        MaskKindError: none was asked for, or one that is not there.
    """
    if asked is not None and asked in kinds:
        return asked
    alike = [kind for kind in kinds if asked and asked in kind]
    if len(alike) == 1:
        return alike[0]
    raise MaskKindError(where, kinds, asked)
