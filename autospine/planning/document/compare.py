"""Two plans side by side: what differs, with both values and both reasons."""

from __future__ import annotations

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
    ours, theirs = ({decision.key: decision for decision in decisions(one)} for one in (first, second))
    plans = (first.plan, second.plan)
    names = [dict.fromkeys(configuration.name for configuration in plan.configurations) for plan in plans]
    either = list({**names[0], **names[1]})
    found = [
        _difference(key, ours.get(key), theirs.get(key))
        for key in {**ours, **theirs}
        if not any(key.startswith(f"{name}.") for name in either) and not key.startswith(f"{LEFT_OUT}.")
    ]
    for name in either:
        if name in names[0] and name in names[1]:
            keys = [key for key in {**ours, **theirs} if key.startswith(f"{name}.")]
            found += [_difference(key, ours.get(key), theirs.get(key)) for key in keys]
        else:
            values = [PLANNED if name in own else NOT_PLANNED for own in names]
            why = [plan.reasons.get(f"{LEFT_OUT}.{name}", "") for plan in plans]
            found.append(Difference(name, *values, *why))
    return tuple(difference for difference in found if difference.first != difference.second)


def _difference(key: str, first: Decision | None, second: Decision | None) -> Difference:
    return Difference(
        key,
        first.value if first else None,
        second.value if second else None,
        first.reason if first else "",
        second.reason if second else "",
    )
