"""A plan as a list of decisions: key, value, reason; and the finding of one by what people type.

Keys are dotted as in the reasons: `2d.patch`, `3d_fullres.network.strides`; the plan's own keys stand alone (`recipe`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from autospine.errors import PlanError
from autospine.planning.document.plan import Plan

LEFT_OUT = "left_out"
"""Section of the reasons for configurations that were not planned, `left_out.3d_lowres`."""


@dataclass(frozen=True)
class Decision:
    """One number or choice of a plan."""

    key: str
    """Dotted key, the configuration's name first."""
    value: Any
    """As it stands in the plan; None for a configuration that was left out."""
    reason: str
    """Why, or an empty text where the plan does not say."""
    sections: tuple[str, ...]
    """What the key lies in, outermost first: `3d_fullres`, `3d_fullres.network`."""


def decisions(plan: Plan) -> tuple[Decision, ...]:
    """Every decision of `plan`, in the order of plan.toml; what was left out comes last."""
    found = [
        Decision(item.name, getattr(plan, item.name), plan.reasons.get(item.name, ""), ())
        for item in fields(plan)
        if item.name not in ("configurations", "reasons", "schema", "intensities")
    ]
    found += [
        Decision(f"intensities.{channel}.{key}", value, "", ("intensities", f"intensities.{channel}"))
        for channel, intensity in enumerate(plan.intensities)
        for key, value in vars(intensity).items()
    ]
    for configuration in plan.configurations:
        for key, value, sections in _leaves(configuration, configuration.name, ()):
            found.append(Decision(key, value, plan.reasons.get(key, ""), sections))
    known = {decision.key for decision in found}
    for key, reason in plan.reasons.items():
        if key not in known:
            section = (LEFT_OUT,) if key.startswith(f"{LEFT_OUT}.") else ()
            found.append(Decision(key, None, reason, section))
    return tuple(found)


def _leaves(part: Any, dotted: str, above: tuple[str, ...]) -> Iterator[tuple[str, Any, tuple[str, ...]]]:
    """(key, value, sections) of everything in the dataclass `part` but its name, plain values first as in the file."""
    sections = (*above, dotted)
    items = [(f"{dotted}.{item.name}", getattr(part, item.name)) for item in fields(part) if item.name != "name"]
    for key, value in items:
        if not is_dataclass(value) and not key.endswith((".expected", ".folds")):
            yield key, value, sections
    for key, value in items:
        if is_dataclass(value):
            yield from _leaves(value, key, sections)


def find_decisions(plan: Plan, key: str | None = None) -> tuple[Decision, ...]:
    """The decisions that `key` names; all of them for None.

    A key is a configuration (`2d`), a section (`loss`), or a dotted key (`2d.patch`), whole or without what stands
    before it (`strides`). Whole keys go first, then those of the default configuration, then all others.

    Raises:
        PlanError: there is no such key; it names the nearest right ones.
    """
    every = decisions(plan)
    if key is None:
        return every
    key = re.sub(r"(\[\d+\])+$", "", key.strip().lower())  # a fault may name one number of a list
    for wanted, ends in ((key, False), (f"{plan.default}.{key}", False), (key, True)):
        chosen = [decision for decision in every if _named(decision, wanted, ends)]
        mine = [decision for decision in chosen if decision.key.startswith(f"{plan.default}.")]
        if chosen:
            return tuple(mine if ends and mine else chosen)
    names = dict.fromkeys(name for decision in every for name in (*decision.sections, decision.key))
    short = dict.fromkeys(name.removeprefix(f"{plan.default}.") for name in names)
    last = {name.rpartition(".")[2]: name for name in short}
    near = difflib.get_close_matches(key, [*short, *names], n=3, cutoff=0.6)
    near += [last[name] for name in difflib.get_close_matches(key.rpartition(".")[2], list(last), n=2, cutoff=0.6)]
    expected = "a configuration, a section or a key of the plan, such as `2d`, `loss` or `patch`"
    if near:
        expected = "perhaps " + ", ".join(f"`{name}`" for name in dict.fromkeys(near))
    remedy = "name one of these, or leave the key out to see everything"
    raise PlanError(f"plan of {plan.dataset}", f"no decision `{key}`", expected, remedy)


def _named(decision: Decision, wanted: str, ends: bool) -> bool:
    """Whether `wanted` is the decision's key or one of its sections, or (`ends`) what follows after its first part."""
    names = (*decision.sections, decision.key)
    if not ends:
        return wanted in names
    tails = [name.removeprefix(f"{names[0]}.") for name in names[1:]]  # a configuration's name may hold a dot
    return any(f".{tail}".endswith(f".{wanted}") for tail in tails)
