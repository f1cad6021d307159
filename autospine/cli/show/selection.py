"""A selection: the candidates with their Dice, what the choice is worth, and what is done after it, in a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autospine.cli.terminal import show_line
from autospine.evaluation.choice import FEWEST_SUBJECTS

if TYPE_CHECKING:
    from autospine.workflow.runs.selection import Calibration, Candidate, Range, Selection

MOST_CANDIDATES, MOST_STEPS, MOST_CALIBRATIONS = 5, 3, 2
"""Lines of each kind."""


def show_selection(selection: Selection) -> None:
    """At most 15 lines; all of it is in selection.json."""
    for line in selection_lines(selection):
        show_line(line)


def selection_lines(selection: Selection) -> list[str]:
    """What is shown of a selection."""
    subjects = max(one.dice.subjects for one in selection.candidates)
    lines = [f"Dice out of fold, {selection.cases} case(s) of {subjects} subject(s), with 95 % intervals"]
    ordered = sorted(selection.candidates, key=lambda one: (not one.chosen, -(one.dice.mean or 0.0)))
    width = max(len(_name(one)) for one in ordered)
    lines += [_candidate(one, width) for one in ordered[:MOST_CANDIDATES]]
    lines += _more(len(ordered) - MOST_CANDIDATES, "candidate(s) with less")
    lines.append(f"What was chosen, on cases that did not choose: {_range(selection.unseen)}")
    if subjects < FEWEST_SUBJECTS:
        lines.append(f"Fewer than {FEWEST_SUBJECTS} subjects: nothing can be beyond noise")
    steps = sorted(selection.steps, key=lambda one: (not one.used, -(one.gain.mean or 0.0)))
    for one in steps[:MOST_STEPS]:
        verdict = "used" if one.used else "not beyond noise, not used"
        lines.append(f"{one.described}: {_signed(one.gain)} on cases that did not choose; {verdict}")
    lines += _more(len(steps) - MOST_STEPS, "structure(s) with steps that add less")
    if not steps:
        lines.append("Postprocessing: nothing that was tried adds Dice")
    own = [one for one in selection.calibrations if one.member in selection.members]
    return [*lines, *(_calibration(one) for one in own[:MOST_CALIBRATIONS])]


def _name(candidate: Candidate) -> str:
    return " + ".join(candidate.members)


def _candidate(candidate: Candidate, width: int) -> str:
    """`* 2d              0.891 [0.872, 0.908]`."""
    line = f"{'*' if candidate.chosen else ' '} {_name(candidate):{width}}  {_range(candidate.dice)}"
    if candidate.difference is None:
        return f"{line}  best alone" if not candidate.chosen else line
    noise = "" if candidate.beyond_noise else ", not beyond noise"
    return f"{line}  {_signed(candidate.difference)} to the best alone{noise}"


def _more(count: int, what: str) -> list[str]:
    return [f"  ... and {count} {what}"] if count > 0 else []


def _calibration(one: Calibration) -> str:
    """`Probabilities of 2d: temperature 1.33, ECE 0.041 -> 0.012 on cases that did not choose`."""
    figures = f"ECE {_number(one.ece_before)} -> {_number(one.ece_after)} on cases that did not choose"
    said = "" if one.used else "; not beyond noise, not used"
    return f"Probabilities of {one.member}: temperature {one.temperature:.3g}, {figures}{said}"


def _range(found: Range) -> str:
    """`0.891 [0.872, 0.908]`."""
    return f"{_number(found.mean)} [{_number(found.low)}, {_number(found.high)}]"


def _signed(found: Range) -> str:
    """`+0.012 [0.004, 0.019]`."""
    return f"{_number(found.mean, '+.4f')} [{_number(found.low, '+.4f')}, {_number(found.high, '+.4f')}]"


def _number(value: float | None, form: str = ".3f") -> str:
    return "-" if value is None else format(value, form)
