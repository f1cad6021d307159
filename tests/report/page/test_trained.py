from __future__ import annotations

from collections.abc import Callable

from autospine.planning.document.plan import Plan
from autospine.report.page.blocks import Figure, Folded, Table
from autospine.report.page.material import FoldMaterial
from autospine.report.page.trained import training_section
from tests.report.page.pages import run_of


def test_curves_of_each_fold_the_first_open(make_plan: Callable[..., Plan]) -> None:
    history = {"epoch": [0.0, 1.0], "train_loss": [1.0, 0.5]}
    record = {"result": {"steps": 100, "seconds": 90.0, "seconds_per_step": 0.9}, "split": {"train": ["a"] * 3}}
    folds = (
        FoldMaterial("0", history, record, {"mean": {"dice": 0.5}}, (0.5, 0.4)),
        FoldMaterial("3", history, {}, {"mean": {"dice": None}}),
    )
    section = training_section(run_of(make_plan(), folds=folds))
    assert section is not None
    assert [type(block) for block in section.blocks] == [Figure, Folded, Table]
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["0", "3", "0", "100", "1.5", "0.9", "–", "0.500", "0.400"],
        ["3", "0", "0", "–", "–", "–", "–", "–", "–"],
    ]


def test_of_many_structures_the_first_have_a_curve(make_plan: Callable[..., Plan]) -> None:
    history = {"epoch": [0.0], **{f"dice_{number}": [0.5] for number in range(13)}, "dice_mean": [0.5]}
    section = training_section(run_of(make_plan(), folds=(FoldMaterial("0", history, {}, {}),)))
    assert section is not None and isinstance(section.blocks[0], Figure)
    assert "the first 12 are drawn" in section.blocks[0].caption


def test_without_a_history_there_is_nothing_to_say(make_plan: Callable[..., Plan]) -> None:
    assert training_section(run_of(make_plan(), folds=(FoldMaterial("0", {}, {}, {}),))) is None
