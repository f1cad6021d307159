"""A decision and why it was taken, side by side from the branch that takes it to the plan.

    settle(NetworkPlan, encoder=Decided("plain", "the recipe says so"), blocks=Decided((2, 2), "of the presets"))
        -> Decided(NetworkPlan(encoder="plain", blocks=(2, 2)), {"encoder": "the recipe ...", "blocks": "of the ..."})

Reasons are for the plan's comments and its table, one sentence each. A radiologist should follow them: millimetres,
counts of cases and the names of the labels rather than formulas. Where a rule is not ours it names whose it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

RULE = "nnU-Net v2.8"
"""The planner that most numbers come from (Isensee et al. 2021, doi 10.1038/s41592-020-01008-z). Constants of this room
are its own where they do not say that they are ours."""
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Decided(Generic[T_co]):
    """What was decided, and why."""

    value: T_co
    why: str | Mapping[str, str] = ""
    """One sentence; of a part of a plan one for each of its keys; empty where there is nothing to say."""

    @property
    def keyed(self) -> Mapping[str, str]:
        """Reasons of a part of a plan by its own keys."""
        return {} if isinstance(self.why, str) else self.why

    def reasons(self, key: str) -> dict[str, str]:
        """Reasons by dotted key, where `key` is that of the value."""
        if isinstance(self.why, str) and self.why:
            return {key: self.why}
        return {f"{key}.{inner}": why for inner, why in self.keyed.items()}


def settle(make: Callable[..., T], **decisions: Decided[Any]) -> Decided[T]:
    """What `make` makes of the decisions' values, with the reason of each under its key."""
    reasons: dict[str, str] = {}
    for key, decided in decisions.items():
        reasons |= decided.reasons(key)
    return Decided(make(**{key: decided.value for key, decided in decisions.items()}), reasons)


def numbers(value: float | Sequence[float]) -> str:
    """`1.41 x 1.41`, or one number, with four digits."""
    return " x ".join(f"{item:.4g}" for item in (value if isinstance(value, Sequence) else (value,)))
