"""A selection in a few lines, which say plainly what is not beyond noise."""

from __future__ import annotations

from dataclasses import replace

from autospine.cli.show.selection import selection_lines
from autospine.workflow.runs.selection import Range
from tests.workflow.runs.test_selection import selection_of


def test_what_is_shown() -> None:
    assert selection_lines(selection_of("2d", "3d_fullres")) == [
        "Dice out of fold, 24 case(s) of 12 subject(s), with 95 % intervals",
        "* 2d + 3d_fullres  0.800 [0.700, 0.900]  +0.0010 [-, -] to the best alone, not beyond noise",
        "  3d_fullres       0.900 [0.850, 0.950]  best alone",
        "  2d               0.800 [0.700, 0.900]  -0.1000 [-0.2000, -0.0500] to the best alone",
        "What was chosen, on cases that did not choose: 0.800 [0.700, 0.900]",
        "L1: holes filled, components below 30 mm3 removed: +0.0100 [+0.0000, +0.0200] on cases that did not choose; "
        "not beyond noise, not used",
        "Probabilities of 2d: temperature 1.3, ECE 0.100 -> 0.050 on cases that did not choose",
    ]


def test_however_much_there_is_it_stays_short() -> None:
    selection = selection_of("2d", "3d_fullres")
    many = replace(
        selection,
        candidates=tuple(replace(one, dice=replace(one.dice, subjects=3)) for one in selection.candidates) * 5,
        steps=selection.steps * 40,
        calibrations=selection.calibrations * 5,
        unseen=Range(None, None, None, 0),
    )
    lines = selection_lines(many)
    assert len(lines) <= 15
    assert (
        "  ... and 10 candidate(s) with less" in lines and "  ... and 37 structure(s) with steps that add less" in lines
    )
    assert "Dice out of fold, 24 case(s) of 3 subject(s), with 95 % intervals" in lines
    assert "Fewer than 6 subjects: nothing can be beyond noise" in lines


def test_nothing_that_helps_is_said() -> None:
    assert "Postprocessing: nothing that was tried adds Dice" in selection_lines(replace(selection_of("2d"), steps=()))
