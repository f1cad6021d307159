"""What an MR image shows, as far as its description and the timing of its sequence tell: T1, T2, STIR, water, fat.

    "t2_tse_sag_384"              ->  T2
    "SAG T2 STIR", "t2_tirm_sag"  ->  STIR
    "T1W_TSE fs KM"               ->  T1, fat-suppressed, after contrast agent
    "t2_tse_dixon_sag_W"          ->  T2, water
    TE 12 ms, TR 560 ms           ->  T1, of a spin echo without any description

Scanners and hospitals call their series as they like. What no rule here knows stays open.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

_BEFORE, _AFTER = r"(?<![a-z0-9])", r"(?![a-z0-9])"
_LONG = r"(?<![a-z0-9])[a-z]{0,2}"
"""Philips puts letters before: sT2W, eT1W."""
_WEIGHTINGS = (
    ("STIR", r"stir|tirm"),
    ("DWI", rf"dwi|{_BEFORE}dti|diff(?!erence)|{_BEFORE}trace|{_BEFORE}ep2d|resolve"),
    ("T2*", rf"{_LONG}t2\s?(?:\*|star|s{_AFTER})|{_BEFORE}(?:medic|merge|m ?ffe|me[23]d\w*|swi|hemo){_AFTER}"),
    ("T1", rf"{_LONG}t1(?!\d|rho)"),
    ("FLAIR", r"flair|dark.?fluid"),
    ("T2", rf"{_LONG}t2(?!\d)"),
    ("PD", rf"{_BEFORE}(?:pd|pdw|proton.?density){_AFTER}"),
)
"""The first that is found counts: a T2 STIR is a STIR, a T2 FLAIR a FLAIR; GE calls T1 FLAIR what is a T1 of
the spine."""
_LEVELS = re.compile(rf"{_BEFORE}(?:c\d t1|t1 (?:t(?:[3-9]|1[0-2])|l\d)){_AFTER}")
"""Levels of the spine that look like a weighting: T1 to T12, C7 to T1; not T1 T2, which may be two weightings."""
_SUPPRESSED = re.compile(
    rf"{_BEFORE}(?:fs|fatsat|fsat|spair|spir|chess|dfs){_AFTER}|fat.?(?:sat|sup)|(?<=tse|fse)fs{_AFTER}"
)
_CONTRAST = re.compile(rf"{_BEFORE}(?:gd|gado?\w*|ce|km|post|contrast|kontrast){_AFTER}|\+\s?c{_AFTER}|{_BEFORE}c\+")
_WITHOUT = re.compile(rf"{_BEFORE}(?:pre|native?|non|no|without|ohne|w/o)(?:.?(?:gd|km|ce|contrast|kontrast))?{_AFTER}")
_PARTS = (
    ("in phase", rf"{_BEFORE}in.?phase{_AFTER}", ("in", "ip"), ("IN_PHASE", "IN", "IP")),
    (
        "opposed phase",
        rf"{_BEFORE}(?:opp\w*|out).?phase{_AFTER}",
        ("opp", "op", "out"),
        ("OPP_PHASE", "OUT_PHASE", "OPP", "OP", "OUT"),
    ),
    ("water", rf"{_BEFORE}water(?!.?(?:sat|sup|ex)){_AFTER}", ("w", "wat"), ("WATER", "W")),
    ("fat", rf"{_BEFORE}fat(?!.?(?:sat|sup|frac)){_AFTER}", ("f",), ("FAT", "F")),
)
"""Images of a Dixon sequence: by their word, by the end of a description that says Dixon, by their ImageType."""
_DIXON = re.compile(r"dixon|ideal|mdix|flex|lava")
_SHORT_ECHO_MS, _LONG_ECHO_MS = 30.0, 60.0
_SHORT_REPETITION_MS, _LONG_REPETITION_MS = 1000.0, 1800.0
"""Spin echoes of the spine: T1 at TR 400 to 900 and TE 7 to 20 ms, T2 at TR over 2000 and TE 80 to 130 ms. What lies
between stays open."""
_STIR_MS = (80.0, 300.0)
"""Inversion times that null fat, at 0.5 to 3 T."""

LOCALISER, COMPUTED = "a localiser", "computed from other images"
"""Why nobody means an image by itself."""
_LOCALISERS = re.compile(
    r"(?<![a-z])(?:loc|locs|locali[sz]ers?|scouts?|survey|topogram|smart ?brain|calibration|3 ?pl(?:anes?)?)(?![a-z])"
)
_COMPUTED = re.compile(
    r"(?<![a-z])(?:adc|e?adc map|m?mip|minip|sub|subtraction|fat fraction|pdff|colou?r map|screen ?(?:save|shot)s?"
    r"|key images?|batch movie|[rt] ?[12]s?\*? ?map)(?![a-z])"
)


@dataclass(frozen=True)
class Kind:
    """What is known of an image; what is not is empty or False."""

    weighting: str = ""
    """T1, T2, T2*, STIR, FLAIR, PD or DWI."""
    part: str = ""
    """Of a Dixon sequence: water, fat, in phase, opposed phase."""
    suppressed: bool = False
    """Whether fat is suppressed by its description."""
    contrast: bool = False
    """Whether it was taken after a contrast agent."""

    def __bool__(self) -> bool:
        """Whether anything tells it from other images."""
        return bool(self.weighting or self.part)

    def __str__(self) -> str:
        """`T1, fat-suppressed, after contrast agent`."""
        said = [self.weighting, self.part, "fat-suppressed" * self.suppressed, "after contrast agent" * self.contrast]
        return ", ".join(filter(None, said)) or "of no known weighting"


@dataclass(frozen=True)
class Timing:
    """When a sequence excites and listens, in ms, where its header says so."""

    echo_ms: float | None = None
    repetition_ms: float | None = None
    inversion_ms: float | None = None
    spin_echo: bool = False
    """Whether it is a spin echo and no gradient echo: TE and TR of these say little of their contrast."""


def kind_of_text(*texts: str) -> Kind:
    """What descriptions say, the first that says anything of a property counting for it."""
    said = [_kind_of(text) for text in texts]
    return Kind(
        next((one.weighting for one in said if one.weighting), ""),
        next((one.part for one in said if one.part), ""),
        any(one.suppressed for one in said),
        any(one.contrast for one in said),
    )


def kind_of_series(texts: Collection[str], image_type: Collection[str], timing: Timing, contrast: bool) -> Kind:
    """What a DICOM series shows, by its descriptions, its ImageType and, where these say nothing, its timing.

    Args:
        texts: descriptions, the most telling first.
        image_type: values of ImageType.
        timing: of its sequence.
        contrast: whether its header names a contrast agent.
    """
    said = kind_of_text(*texts)
    values = [value.upper() for value in list(image_type)[2:]]  # before them: ORIGINAL or DERIVED, PRIMARY or SECONDARY
    parts = [part for part, _, _, names in _PARTS if set(names) & set(values)]
    return Kind(
        said.weighting or weighting_of_timing(timing),
        parts[0] if len(parts) == 1 else said.part,
        said.suppressed,
        said.contrast or contrast,
    )


def weighting_of_timing(timing: Timing) -> str:
    """The weighting of a spin echo by its times; empty where they leave it open."""
    echo, repetition, inversion = timing.echo_ms, timing.repetition_ms, timing.inversion_ms
    if not timing.spin_echo or echo is None or repetition is None:
        return ""
    if inversion:
        return "STIR" if _STIR_MS[0] <= inversion <= _STIR_MS[1] and repetition >= _LONG_REPETITION_MS else ""
    if repetition <= _SHORT_REPETITION_MS:
        return "T1" if echo <= _SHORT_ECHO_MS else ""
    if repetition < _LONG_REPETITION_MS:
        return ""
    return "T2" if echo >= _LONG_ECHO_MS else "PD" if echo <= _SHORT_ECHO_MS else ""


def contradiction(wanted: Kind, found: Kind) -> str:
    """Why an image of the kind `found` is none of those `wanted`; empty where nothing speaks against it."""
    if wanted.weighting and found.weighting and wanted.weighting != found.weighting:
        return f"{found.weighting}, not {wanted.weighting}"
    if wanted.part and wanted.part != found.part and found:
        return f"{found.part or found.weighting}, not {wanted.part}"
    # an image in phase looks as one that is not of a Dixon sequence
    if wanted.weighting and not wanted.part and found.part in ("fat", "opposed phase"):
        return f"{found.part}, not {wanted.weighting}"
    return ""


def no_volume(text: str) -> str:
    """Why nobody means an image of this description by itself: `LOCALISER`, `COMPUTED`; empty where nothing says so."""
    plain = re.sub(r"[^a-z0-9*]+", " ", text.casefold())
    return LOCALISER if _LOCALISERS.search(plain) else COMPUTED if _COMPUTED.search(plain) else ""


def _kind_of(text: str) -> Kind:
    plain = re.sub(r"[^a-z0-9*+/]+", " ", text.casefold()).strip()
    plain = _LEVELS.sub(" ", plain)
    found = [name for name, pattern in _WEIGHTINGS if re.search(pattern, plain)]
    weighting = "" if not found or found[:2] == ["T1", "T2"] else found[0]  # of both none is told
    last = plain.rpartition(" ")[2] if _DIXON.search(plain) else ""
    part = next((name for name, word, ends, _ in _PARTS if re.search(word, plain) or last in ends), "")
    contrast = bool(_CONTRAST.search(plain)) and not _WITHOUT.search(plain)
    return Kind(weighting, part, bool(_SUPPRESSED.search(plain)), contrast)
