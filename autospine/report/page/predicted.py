"""A folder of segmentations: what was made by what, volumes case by case, flags, pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from autospine.data.wording import plural
from autospine.report.page import plots
from autospine.report.page.blocks import (
    Block,
    Card,
    Cards,
    Cell,
    Column,
    Facts,
    Figure,
    Notes,
    Pictures,
    Prose,
    Section,
    Table,
)
from autospine.report.page.material import PredictionMaterial, Row
from autospine.report.page.plots import Point
from autospine.report.page.promised import as_number, flags_by_case
from autospine.report.page.recorded import without_folders
from autospine.report.page.summary import score_cards, score_warnings


def prediction_summary(made: PredictionMaterial) -> Section:
    """The beginning of the page of a prediction."""
    model = made.record.get("folder")
    by = f" by {without_folders(model)}" if isinstance(model, str) else ""
    blocks: list[Block] = [Prose(f"{plural(len(made.cases), 'segmentation')} made{by}.")]
    cards = [
        Card(
            "Cases",
            str(len(made.cases)),
            f"{len(made.failed)} could not be segmented" if made.failed else "all segmented",
        )
    ]
    if made.promises:
        flagged = flags_by_case(made.promises)
        cards.append(
            Card(
                "Cases that need a look", str(len(flagged)), "flagged by the model itself", "bad" if flagged else "good"
            )
        )
    if made.scores is not None:
        cards += score_cards(made.scores)
    blocks.append(Cards(tuple(cards)))
    warnings = [] if made.scores is None else [*score_warnings(made.scores)]
    warnings += [f"{case} could not be segmented: {why}" for case, why in made.failed.items()]
    if warnings:
        blocks.append(Notes(tuple(warnings), "Beware", "bad").cut())
    facts = tuple(_facts(made))
    if facts:
        blocks.append(Facts(facts))
    return Section("summary", "In short", tuple(blocks))


def volumes_section(made: PredictionMaterial) -> Section | None:
    """Volumes of each structure, and each case's; None where they were not measured."""
    rows = made.statistics
    if not rows:
        return None
    structures: dict[str, list[Point]] = {}
    for row in rows:
        volume, name = as_number(row.get("volume_mm3", "")) / 1000, row.get("structure", "")
        structures.setdefault(name, []).append(Point(volume, f"{row.get('case', '')}, {name}: {volume:.3g} ml"))
    blocks: list[Block] = []
    if any(point.value > 0 for points in structures.values() for point in points):
        label = "Volume of each structure, a point for each case, in millilitres"
        svg = plots.strips(structures, "plot-predicted-volumes", label, "volume, ml", log=True)
        text = "Volume of each structure as it was segmented. A point is a case: one that lies far off is worth a look."
        blocks.append(Figure(svg, text, points=True))
    blocks.append(_table(rows))
    return Section("volumes", "Volumes", tuple(blocks))


def previews_section(made: PredictionMaterial) -> Section | None:
    """The pictures that were written beside the segmentations; None where there are none."""
    if not made.previews:
        return None
    return Section("previews", "Pictures", (Pictures(made.previews, wide=True),))


def _facts(made: PredictionMaterial) -> Iterator[tuple[str, str]]:
    for key, title in (("folds", "Folds"), ("device", "Computed on")):
        value: Any = made.record.get(key)
        if isinstance(value, list):
            value = ", ".join(map(str, value))
        if isinstance(value, str):
            yield title, value


def _table(rows: tuple[Row, ...]) -> Table:
    names = {"case": "Case", "structure": "Structure", "value": "Value", "voxels": "Voxels", "volume_mm3": "Volume mm³"}
    texts = ("case", "structure", "value")
    keys = list(dict.fromkeys(key for row in rows for key in row))
    columns = tuple(Column(names.get(key, key.replace("_", " ").capitalize()), key not in texts) for key in keys)
    cells = tuple(tuple(_cell(row.get(key, ""), key not in texts) for key in keys) for row in rows)
    return Table("Volumes and mean intensities, case by case", columns, cells).cut()


def _cell(text: str, numeric: bool) -> Cell:
    value = as_number(text)
    if not numeric or math.isnan(value):
        return Cell(text or ("–" if numeric else ""))
    return Cell(f"{value:.0f}" if value == int(value) else f"{value:.4g}", value)
