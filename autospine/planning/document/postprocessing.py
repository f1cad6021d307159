"""`postprocessing.json`: what is done to a segmentation after the network, each step chosen because it helped.

    {"schema": 1, "steps": [{"kind": "above", "structure": "L5", "volume_mm3": 300.0}]}

`autospine select` writes it beside `model.json`, for an ensemble beside `selection.json`. A folder without one leaves
segmentations as the network makes them. It may come from a stranger: nothing in it is believed before it is checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from autospine.data.disk.files import write_json
from autospine.errors import PlanError
from autospine.planning.document.convert import Checks, shown
from autospine.planning.document.data import DataPlan
from autospine.planning.document.limits import Above0
from autospine.planning.document.plain import PLAIN, is_plain
from autospine.planning.document.versioned import read_versioned, versioned_table

POSTPROCESSING = "postprocessing.json"
POSTPROCESSING_SCHEMA = 1
MOST_STEPS = 1000
"""Two for each of the classes that a mask can hold, and some (ours)."""
FOREGROUND = "all structures together"
"""How a step that is for no structure by itself is called."""
_REMEDY = "run `autospine select` again, or remove this file: segmentations are then as the network makes them"

StepKind = Literal["largest", "above", "fill"]


@dataclass(frozen=True)
class Step:
    """One thing that is done to one structure, in the whole volume; voxels that touch by a corner are connected."""

    kind: StepKind
    """`largest` keeps the largest connected component alone, `above` those of `volume_mm3` or more, `fill` fills
    holes."""
    structure: str | None = None
    """Name of the class or region; None: all structures together are one."""
    volume_mm3: Above0 | None = None
    """Of the smallest component that `above` keeps (in a 2D image its area in mm2); None for the other kinds."""

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        with Checks(self) as check:
            above = self.kind == "above"
            expected = "a volume" if above else f"null: {self.kind} knows no volume"
            check((self.volume_mm3 is not None) == above, "volume_mm3", expected, self.volume_mm3 or "null")
            which = self.structure is not None or self.kind != "fill"
            check(which, "structure", "a name: a hole in all of them together is of none", "null")
            check(is_plain(self.structure or ""), "structure", PLAIN, ascii(self.structure))

    @property
    def described(self) -> str:
        """`L5: components below 300 mm3 removed`."""
        done = {
            "largest": "largest component alone",
            "above": f"components below {self.volume_mm3 or 0:g} mm3 removed",
            "fill": "holes filled",
        }
        return f"{self.structure or FOREGROUND}: {done[self.kind]}"


@dataclass(frozen=True)
class Postprocessing:
    """What is done to a segmentation, in this order."""

    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        """Check that no step stands there twice."""
        with Checks(self) as check:
            check(len(self.steps) <= MOST_STEPS, "steps", f"at most {MOST_STEPS}", len(self.steps))
            kinds = [(step.kind == "fill", step.structure) for step in self.steps]
            expected = "for each structure one step that removes components and one that fills, at most"
            check(len(set(kinds)) == len(kinds), "steps", expected, [step.described for step in self.steps])

    def __bool__(self) -> bool:
        """Whether anything is done."""
        return bool(self.steps)


NOTHING = Postprocessing()


def write_postprocessing(folder: Path, postprocessing: Postprocessing) -> None:
    """Write `postprocessing.json` in a model folder; where nothing is to be done, one that stands there is removed."""
    if postprocessing:
        write_json(folder / POSTPROCESSING, postprocessing_table(postprocessing))
    else:
        (folder / POSTPROCESSING).unlink(missing_ok=True)


def postprocessing_table(postprocessing: Postprocessing) -> dict[str, Any]:
    """The content of its file."""
    return versioned_table(POSTPROCESSING_SCHEMA, postprocessing)


def read_postprocessing(folder: Path, data: DataPlan) -> Postprocessing:
    """What is done to segmentations of the model in `folder`, which are of `data`; nothing where it has no such file.

    Raises:
        PlanError: the file is there and is not one that autospine writes, or names a structure that `data` has not.
    """
    path = folder / POSTPROCESSING
    if not path.exists():
        return NOTHING
    read = read_versioned(Postprocessing, path, POSTPROCESSING_SCHEMA, _REMEDY)
    unknown = [step.structure for step in read.steps if step.structure not in (None, *data.targets)]
    if unknown:
        found = f"steps for structures that the model does not segment: {shown(unknown)}"
        raise PlanError(str(path), found, f"some of {', '.join(data.targets)}", _REMEDY)
    return read
