"""Two plans side by side: what differs, with both values and both reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autospine.planning.document.decisions import LEFT_OUT, Decision, decisions
from autospine.planning.document.expected import Estimated

PLANNED = "planned"
NOT_PLANNED = "not planned"


@dataclass(frozen=True)
class Difference:
    """One key that two plans do not agree on."""

    key: str
    """Dotted key (`2d.patch`), a key of the plan itself (`recipe`), or a configuration that only one of them has."""
    first: Any
    """Value in the first plan; `planned` or `not planned` for a configuration; None where it has no such key."""
    second: Any
    """Value in the second plan."""
    first_reason: str = ""
    """Why, in the first plan; empty where it does not say."""
    second_reason: str = ""
    """Why, in the second plan."""


def compare_plans(first: Estimated, second: Estimated) -> tuple[Difference, ...]:
    """Every key whose values differ, the plan's own keys first, then configuration by configuration.

    A configuration that only one plan has is one difference. Reasons are told, not compared: plans that decide the
    same for other reasons are the same.
    """
    ours, theirs = sides = [_by_configuration(one) for one in (first, second)]
    pairs: list[Sequence[Decision]] = []
    for name in {**ours, **theirs}:
        if name in ours and name in theirs:
            for key in {**ours[name], **theirs[name]}:
                nothing = Decision(key, None, "", ())
                pairs.append([side[name].get(key, nothing) for side in sides])
        else:
            values = [PLANNED if name in side else NOT_PLANNED for side in sides]
            why = [plan.reasons.get(f"{LEFT_OUT}.{name}", "") for plan in (first.plan, second.plan)]
            pairs.append([Decision(name, value, reason, ()) for value, reason in zip(values, why, strict=True)])
    return tuple(
        Difference(one.key, one.value, other.value, one.reason, other.reason)
        for one, other in pairs
        if one.value != other.value
    )


def _by_configuration(estimated: Estimated) -> dict[str, dict[str, Decision]]:
    """Decisions by configuration, the plan's own under an empty name, and by key."""
    names = ("", *(one.name for one in estimated.plan.configurations))
    found: dict[str, dict[str, Decision]] = {name: {} for name in names}
    for decision in decisions(estimated):
        found.get("".join(decision.sections[:1]), found[""])[decision.key] = decision
    return found
