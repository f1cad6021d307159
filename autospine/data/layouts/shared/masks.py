"""Which mask belongs to which image, by their names.

`scan_seg`, `scan-label`, `scan.seg` and `seg_scan` are masks of `scan`; `scan_seg` is that of `scan_T2` where no other
image begins so; `sub-1_seg-vert_run-2_msk` is that of `sub-1_run-2_T2w`, whose entities it has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from autospine.data.layouts.shared.naming import BIDS, CHANNEL
from autospine.errors import DataError

_WORD = re.compile(
    r"seg|segs|segmentations?|masks?|msk|labels?|labelmap|gt|groundtruth|annotations?|dseg|roi|gmseg|wmseg|lesions?",
    re.IGNORECASE,
)
"""What masks are called."""
_FINDING = re.compile(r"roi|lesions?", re.IGNORECASE)
"""Those of the words that images are called by as well: after what they show."""
_IMAGE = re.compile(r"(?:img|images?|im|scan|vol|volume|mri)[-_. ](?P<rest>.+)", re.IGNORECASE)
_BETWEEN = re.compile(r"[-_. ]")
_MODALITY = "mod-"
"""Of BIDS names: the mask is that of the image with this ending (`sub-1_mod-T2w_seg-vert_msk` of `sub-1_T2w`)."""
PLAIN = "plain"
"""Kind of a mask that has the very name of its image."""


def says_mask(name: str) -> bool:
    """Whether any word of a name says that it is a mask: `seg`, `mask_L1`, `manual_seg`."""
    return any(_WORD.fullmatch(word) for word in _BETWEEN.split(name))


def is_mask_word(word: str) -> bool:
    """Whether this is one of the words that masks are called."""
    return _WORD.fullmatch(word) is not None


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


def surely_mask(name: str) -> bool:
    """Whether a name alone leaves no doubt: any of its words is one that only masks bear."""
    return is_mask_name(name) if name.startswith(BIDS) else any(_is_sure(word) for word in _BETWEEN.split(name))


def _is_sure(word: str) -> bool:
    return _WORD.fullmatch(word) is not None and _FINDING.fullmatch(word) is None


def masks_among(names: Collection[str], says: Callable[[str], bool] = is_mask_name) -> frozenset[str]:
    """Those of the names in one folder, without suffix, that are masks; `says` tells whether a name says so.

    Where another name extends one by a word of masks, that one is an image, whatever it is called:

        lesion_0  lesion_0_seg  ->  lesion_0_seg
        p1_T2  p1_seg  p1_seg_label  ->  p1_seg, p1_seg_label: what is called as the mask of another stays one
    """
    plain = {name: _without_channel(name) for name in names}
    called = {plain[name] for name in names if says(name)}
    images = set(plain.values()) - called
    known = {begin for name in images for begin in (name, *beginnings(name))}
    extended = {
        begin
        for name in plain.values()
        for begin in beginnings(name)
        if begin not in images and says_mask(name[len(begin) + 1 :])
    }
    for name in sorted(called, key=len):  # the shortest first: `a_seg` is known as a mask before `a_seg_label` is asked
        base, *_ = (*beginnings(name), "")
        of_another = bool(not base and images) or (_is_sure(name[len(base) + 1 :]) and base in known)
        of_image = any(begin in images and says_mask(name[len(begin) + 1 :]) for begin in beginnings(name))
        if name in extended and not of_another and not of_image:
            images.add(name)
    return frozenset(name for name, bare in plain.items() if bare not in images)


def masks_beside(names: Collection[str]) -> frozenset[str]:
    """Those of the names in a folder of images to segment that are masks.

    There an image without a mask may be called by any word: a mask is what is one of an image there, or what no image
    would be called (`seg`, `p2_mask`). Names that are all called so are images.
    """
    masks = masks_among(names)
    images = Images([_without_channel(name) for name in names if name not in masks])
    masks |= {name for name in names if images.led(_without_channel(name)) is not None}
    if len(masks) == len(names):
        return frozenset()
    return frozenset(name for name in masks if _is_of(_without_channel(name), images))


def _is_of(mask: str, images: Images) -> bool:
    """Whether a name is that of a mask of one of these images, or of none that is there."""
    if mask.startswith(BIDS) or images.led(mask) is not None:
        return True
    base, *_ = (*beginnings(mask), "")
    last = mask[len(base) + 1 :] if base else mask
    if _is_sure(last):
        return True
    exact = any(begin in images and says_mask(mask[len(begin) + 1 :]) for begin in beginnings(mask))
    return exact or (_WORD.fullmatch(last) is not None and images.of(mask) is not None)


def _without_channel(name: str) -> str:
    match = CHANNEL.fullmatch(name)
    return match["case"] if match else name


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

    def __contains__(self, name: str) -> bool:
        """Whether an image has this very name."""
        return name in self._names

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
    chosen = kind_to_read(sorted(kinds), asked, where, clash=clash)
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


def kind_to_read(kinds: Sequence[str], asked: str | None, where: Path, *, clash: bool) -> str | None:
    """As `choose_kind`; None for all of them where none was asked for and no image has two kinds (`clash`)."""
    return choose_kind(kinds, asked, where) if clash or (asked is not None and kinds) else None


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
