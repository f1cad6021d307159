"""A training, made up, of which a page can be made, and a reader of pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

import numpy as np

from autospine.planning.document.about import About
from autospine.planning.document.expected import Estimated
from autospine.planning.document.plan import Plan
from autospine.planning.measured.fingerprint import CaseFingerprint, Fingerprint, IntensityFingerprint
from autospine.report.page.blocks import Viewer
from autospine.report.page.material import FoldMaterial, RunMaterial
from autospine.report.page.scoreboard import Scoreboard
from autospine.report.page.slices import ShownCase, viewer_of

NASTY = "<script>alert('\"x\"')</script>"
"""A name as a stranger may give it."""
STRUCTURES = ("L1", NASTY, "L3")


def metrics_of(cases: Sequence[str], structures: Sequence[str] = STRUCTURES, missing: int = 0) -> dict[str, Any]:
    """metrics.json of cases whose Dice fall from 0.9, by 0.01 a case and 0.1 a structure; the first ones lack the last
    structure."""
    rows = []
    for place, case in enumerate(cases):
        held = {
            name: {"dice": 0.9 - 0.01 * place - 0.1 * number, "hd95_mm": 2.0 + place, "reference_voxels": 100}
            for number, name in enumerate(structures)
        }
        if place < missing:
            held[structures[-1]] = {"dice": None, "hd95_mm": None, "reference_voxels": 0}
        rows.append({"case": case, "classes": held})
    return {
        "rule": "An absent class is left out.",
        "mean": {"dice": 0.8, "hd95_mm": 2.5},
        "classes": {name: {"dice": 0.8} for name in structures},
        "cases": rows,
    }


def fingerprint_of(cases: Sequence[str], structures: Sequence[str] = STRUCTURES) -> Fingerprint:
    """Cases of one grid but for the first, whose structures have 1000, 2000, ... voxels."""
    held = tuple(
        CaseFingerprint(
            case=case,
            subject=case[:3],
            shape=(20, 30 + (place == 0), 10),
            spacing_mm=(1.0, 1.0, 4.0),
            cropped_shape=(20, 30, 10),
            class_voxels=tuple(1000 * (number + 1) for number in range(len(structures))),
            class_slices=((1, 1, 1),) * len(structures),
            class_centroids_mm=((1.0, 1.0, 1.0),) * len(structures),
            class_extents_mm=((1.0, 1.0, 1.0),) * len(structures),
            digest=str(place),
        )
        for place, case in enumerate(cases)
    )
    labels = tuple((name, value) for value, name in enumerate(structures, start=1))
    return Fingerprint("demo", ("T2",), labels, held, (IntensityFingerprint(1, 1, 1, 0, 2, 0, 2),))


def shown_case(name: str = "case", shape: tuple[int, int, int] = (16, 20, 6), seed: int = 0) -> ShownCase:
    """A case with two blocks, of which the prediction has one shifted by a voxel; sagittal slices."""
    rng = np.random.default_rng(seed)
    image = rng.normal(100, 20, shape).astype(np.float32)
    reference = np.zeros(shape, np.uint8)
    reference[2:6, 3:9, 1:5], reference[8:13, 4:12, 1:5] = 1, 2
    return ShownCase(name, image, reference, np.roll(reference, 1, axis=0), (1.0, 1.0, 4.0), 2)


def viewers_of(count: int, **more: Any) -> tuple[Viewer, ...]:
    names = [f"{NASTY}{place}" for place in range(count)]
    return tuple(
        viewer_of(shown_case(name, **more), STRUCTURES, "As it is", f"case-{place}", 100_000)
        for place, name in enumerate(names)
    )


def run_of(plan: Plan, cases: Sequence[str] = ("aaa", "bbb", "ccc"), **changes: Any) -> RunMaterial:
    """A training of one fold."""
    metrics = metrics_of(cases)
    record = {
        "flags": {"configuration": "3d_fullres", "init": "/home/somebody/secret/weights.safetensors"},
        "versions": {"autospine": "0.1.0"},
        "hardware": {"device": "CPU, 2 cores"},
        "result": {"steps": 100, "seconds": 120.0},
        "split": {"train": ["x"] * 4, "validation": list(cases)},
    }
    history = {"epoch": [0.0, 1.0], "train_loss": [1.0, 0.5], "validation_loss": [1.1, math.nan], "dice_L1": [0.1, 0.6]}
    given: dict[str, Any] = {
        "estimated": Estimated(plan),
        "configuration": plan.default,
        "fingerprint": fingerprint_of(cases),
        "folds": (FoldMaterial("0", history, record, metrics, (0.8, 0.7)),),
        "planned_folds": 5,
        "scores": Scoreboard.of({"0": metrics}, {case: case for case in cases}),
        "about": About(autospine="0.1.0", limits=("No medical device.",)),
        "viewers": viewers_of(2),
        "commands": ("autospine train demo 0",),
    }
    return RunMaterial(**given | changes)


class Reader(HTMLParser):
    """What a page has: its elements with their attributes, its text, whether all that is opened is closed."""

    _EMPTY = frozenset(("meta", "link", "img", "input", "br", "hr"))

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.unclosed: list[str] = []
        self.feed(text)
        self.unclosed += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self._EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()
        else:
            self.unclosed.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("style", "script"):
            self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]
