"""How the trainings went: losses and Dice over the epochs of each fold."""

from __future__ import annotations

from autospine.report.page import plots
from autospine.report.page.blocks import Block, Cell, Column, Figure, Folded, Section, Table
from autospine.report.page.material import FoldMaterial, RunMaterial
from autospine.report.page.scoreboard import number


def training_section(run: RunMaterial) -> Section | None:
    """Curves of each fold, the first open; None where no fold has a history."""
    folds = [fold for fold in run.folds if len(fold.history.get("epoch", ()))]
    if not folds:
        return None
    blocks: list[Block] = [_figure(folds[0])]
    blocks += [Folded(f"Fold {fold.name}", (_figure(fold),)) for fold in folds[1:]]
    blocks.append(_table(run))
    lead = "Losses should fall and flatten; a validation loss that rises while the other falls tells of overfitting."
    return Section("training", "How the training went", tuple(blocks), lead)


def _figure(fold: FoldMaterial) -> Figure:
    key = f"plot-curves-{fold.name}"
    label = f"Losses and Dice of fold {fold.name} over its epochs"
    caption = f"Fold {fold.name}: losses, and Dice of patches of the validation cases while it was trained."
    if sum(name.startswith("dice_") for name in fold.history) > plots.MOST_CURVES + 1:
        caption += f" Of the structures the first {plots.MOST_CURVES} are drawn; history.csv has all."
    return Figure(plots.curves(fold.history, key, label), caption)


def _table(run: RunMaterial) -> Table:
    rows = []
    for fold in run.folds:
        result = fold.record.get("result", {})
        split = fold.record.get("split", {})
        numbers = [_number(result.get(key), unit) for key, unit in _TOOK]
        counts = [
            Cell(str(len(split.get(part, ()))), float(len(split.get(part, ())))) for part in ("train", "validation")
        ]
        dice = fold.metrics.get("mean", {}).get("dice")
        dice = float(dice) if isinstance(dice, int | float) else None
        fast = "–" if fold.fast is None else number(fold.fast[1])
        rows.append((Cell(fold.name), *counts, *numbers, Cell(number(dice), dice), Cell(fast)))
    columns = (
        Column("Fold"),
        Column("Trained on", True, "Cases"),
        Column("Kept out", True, "Cases, segmented afterwards"),
        Column("Steps", True),
        Column("Minutes", True),
        Column("s a step", True),
        Column("Memory MiB", True, "The most that it took"),
        Column("Mean Dice", True, "Of the cases kept out"),
        Column("with --fast", True, "The same, as the fast way predicts them"),
    )
    return Table("Folds", columns, tuple(rows))


_TOOK = (("steps", 1.0), ("seconds", 60.0), ("seconds_per_step", 1.0), ("peak_memory_mib", 1.0))


def _number(value: object, unit: float) -> Cell:
    if not isinstance(value, int | float):
        return Cell("–")
    found = value / unit
    return Cell(f"{found:.0f}" if found == int(found) else f"{found:.3g}" if found < 100 else f"{found:.0f}", found)
