"""What was planned, and why: the decisive values first, with the plan's own reasons, the rest to be opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autospine.data.geometry import times
from autospine.planning.document.decisions import LEFT_OUT, Decision, decisions
from autospine.report.page.blocks import Block, Cell, Column, Folded, Notes, Section, Table
from autospine.report.page.material import RunMaterial

DECISIVE = {
    "spacing_mm": "Voxel size that the network sees, mm",
    "patch": "Patch: what it sees at once, voxels",
    "batch": "Patches in a step",
    "normalisation": "Scaling of intensities",
    "network.features": "Width of the network, feature maps by stage",
    "network.strides": "How each stage shrinks the image",
    "loss.kind": "Loss",
    "training.optimiser": "Optimiser",
    "training.epochs": "Epochs",
    "training.budget_s": "Time that was given, s",
    "training.mirror_axes": "Axes that may be mirrored",
    "expected.memory_gb": "Memory that was expected, GB",
}
"""Keys of a configuration that decide most of what comes out, in the words of a reader."""


def plan_section(run: RunMaterial) -> Section:
    """The decisions for what was trained."""
    found = decisions(run.estimated)
    name = run.configuration
    mine = {one.key.removeprefix(f"{name}."): one for one in found if one.key.startswith(f"{name}.")}
    first = [(title, mine[key]) for key, title in DECISIVE.items() if key in mine]
    default = [("What was to be trained first", one) for one in found if one.key == "default"]
    blocks: list[Block] = [_table("What decides most", [*default, *first])]
    left = tuple(f"{one.key.removeprefix(f'{LEFT_OUT}.')}: {one.reason}" for one in found if LEFT_OUT in one.sections)
    if left:
        blocks.append(Notes(left, "Left out"))
    rest = [(key, one) for key, one in mine.items() if key not in DECISIVE]
    blocks.append(Folded(f"Everything else about {name}", (_table(f"Other decisions for {name}", rest),)))
    configurations = {one.name for one in run.estimated.plan.configurations}
    others = [(one.key, one) for one in found if one.sections[:1] == () or one.sections[0] not in configurations]
    others = [(key, one) for key, one in others if LEFT_OUT not in one.sections]
    blocks.append(Folded("What holds for the data set", (_table("Decisions for the data set", others),)))
    lead = "Each value was decided from the data and the machine by a rule, and says which."
    return Section("plan", "What was planned, and why", tuple(blocks), lead)


def shown(value: Any) -> str:
    """A value of a plan as people write it: `[[3, 3], [1, 3]]` -> `3 x 3, 1 x 3`."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        if value and all(isinstance(one, int | float) and not isinstance(one, bool) for one in value):
            return times([float(one) if isinstance(one, float) else one for one in value])
        return ", ".join(shown(one) for one in value) or "none"
    return str(value)


def _table(caption: str, rows: Sequence[tuple[str, Decision]]) -> Table:
    columns = (Column("What"), Column("Value"), Column("Why"))
    cells = tuple((Cell(title), Cell(shown(one.value)), Cell(one.reason)) for title, one in rows)
    return Table(caption, columns, cells, sortable=False)
