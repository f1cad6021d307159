"""What is to be looked at again, and what is to be annotated: the first of each list."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from autospine.cli.terminal import console, show_line
from autospine.data.wording import plural

if TYPE_CHECKING:
    from autospine.workflow.audit import Audited
    from autospine.workflow.next_cases import Chosen

SHOWN = 10
"""Cases that are listed; the table has them all."""


def show_audit(audited: Audited) -> None:
    """The first cases of a worklist with what may be wrong, and where all of it lies."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, side in (("rank", "right"), ("case", "left"), ("score", "right"), ("dice", "right"), ("what", "left")):
        table.add_column(name, justify=side, overflow="fold")  # type: ignore[arg-type]
    first = [one for one in audited.cases if one.suspicions][:SHOWN]
    for rank, one in enumerate(first, 1):
        what = one.suspicions[0]
        dice = "-" if math.isnan(one.dice) else f"{one.dice:.3f}"
        table.add_row(str(rank), escape(one.case), f"{one.score:.2f}", dice, escape(f"{what.reason}: {what.detail}"))
    if first:
        console.print(table)
    else:
        console.print("Nothing speaks against any mask")
    judged = f"{plural(len(audited.cases), 'mask')} judged"
    left = len(audited.left_out) + len(audited.without)
    show_line(f"{judged}{f', {left} not' if left else ''}. Written: {audited.worklist}")


def show_chosen(chosen: Chosen) -> None:
    """The first of the scans that were chosen, each with why, and where all of it lies."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("rank", "scan", "why"):
        table.add_column(name, justify="right" if name == "rank" else "left", overflow="fold")
    for rank, one in enumerate(chosen.scans[:SHOWN], 1):
        table.add_row(str(rank), escape(one.case), escape(one.reason))
    console.print(table)
    show_line(f"{len(chosen.scans)} of {chosen.candidates} scans chosen. Written: {chosen.table}")
