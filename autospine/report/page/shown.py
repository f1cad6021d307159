"""The worst, a median and the best case, to be scrolled through: image, reference, prediction and error in step."""

from __future__ import annotations

from collections.abc import Sequence

from autospine.report.page.blocks import Section, Viewer
from autospine.report.page.scoreboard import Scoreboard, ScoredCase, number

MOST_CASES = 5
"""That are shown, where no other number is asked for."""
_WORST = ("The worst case", "The second worst", "The third worst")


def chosen_cases(scores: Scoreboard, most: int = MOST_CASES) -> list[tuple[ScoredCase, str]]:
    """At most so many cases, each with why it is shown: the worst ones, one in the middle, the best."""
    ranked = scores.ranked
    # the worst first of all, then the best, then one in the middle; with what is left more of the worst
    wanted = [(0, _WORST[0]), (len(ranked) - 1, "The best case"), (len(ranked) // 2, "A case in the middle")][:most]
    for place in range(1, max(most - 2, 1)):
        wanted.append((place, _WORST[place] if place < len(_WORST) else f"Number {place + 1} from the worst"))
    chosen: dict[int, str] = {}
    for place, why in wanted:
        if 0 <= place < len(ranked):
            chosen.setdefault(place, why)
    return [(ranked[place], f"{why}: mean Dice {number(ranked[place].mean)}") for place, why in sorted(chosen.items())]


def cases_section(viewers: Sequence[Viewer], scored: bool) -> Section | None:
    """The cases to look at; None where there are none."""
    if not viewers:
        return None
    lead = (
        "Scroll with the slider, the arrow keys, a swipe, or the wheel with Shift held; all panels show the same slice."
    )
    title = "Cases: the worst, the middle, the best" if scored else "Cases"
    return Section("cases", title, tuple(viewers), lead)
