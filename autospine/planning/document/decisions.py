"""A plan as a list of decisions: key, value, reason; and the finding of one by what people type.

Keys are dotted as in the reasons: `2d.patch`, `3d_fullres.network.strides`; the plan's own keys stand alone (`recipe`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from autospine.data.structure import Region
from autospine.errors import PlanError
from autospine.planning.document.expected import MADE_FOR, Estimated
from autospine.planning.document.plan import Plan

LEFT_OUT = "left_out"
"""Section of the reasons for configurations that were not planned, `left_out.3d_lowres`."""

HEAD = ("dataset", "recipe", "fingerprint_hash", "channels", "labels", "default", "sides")
"""Keys of the plan itself."""
Leaf = tuple[str, Any, tuple[str, ...]]
"""Key, value, sections."""


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


def decisions(estimated: Estimated) -> tuple[Decision, ...]:
    """Every decision of a plan, in the order of plan.toml, and what is expected; what was left out comes last."""
    plan, reasons = estimated.plan, dict(estimated.plan.reasons)
    leaves = [*_of_data(plan)]
    for configuration in plan.configurations:
        name, expected = configuration.name, estimated.expected.get(configuration.name)
        leaves += _leaves(configuration, name, ())
        if expected is not None:
            leaves += _leaves(expected, f"{name}.expected", (name,))
            reasons |= {f"{name}.expected.memory_gb": expected.why, f"{name}.expected.made_for": MADE_FOR}
    found = [Decision(key, value, reasons.get(key, ""), sections) for key, value, sections in leaves]
    known = {decision.key for decision in found}
    for key, reason in reasons.items():
        if key not in known:
            section = (LEFT_OUT,) if key.startswith(f"{LEFT_OUT}.") else ()
            found.append(Decision(key, None, reason, section))
    return tuple(found)


def _of_data(plan: Plan) -> Iterator[Leaf]:
    """What stands above the configurations: texts and lists first, then the tables of what is true of the data."""
    stands = vars(plan) | vars(plan.data)
    yield from ((key, stands[key], ()) for key in HEAD)
    for key in ("presence", "levels"):
        yield from [(key, None, ())] if stands[key] is None else _leaves(stands[key], key, ())
    if not plan.data.regions:
        yield "regions", (), ()
    for item in fields(Region) if plan.data.regions else ():  # lists tell more than a table for each region
        yield f"regions.{item.name}", tuple(getattr(region, item.name) for region in plan.data.regions), ("regions",)
    for channel, intensity in enumerate(plan.data.intensities):
        yield from _leaves(intensity, f"intensities.{channel}", ("intensities",))


def _leaves(part: Any, dotted: str, above: tuple[str, ...]) -> Iterator[Leaf]:
    """(key, value, sections) of the dataclass `part` but its name and reason, plain values first as in the file."""
    sections = (*above, dotted)
    names = [item.name for item in fields(part) if item.name not in ("name", "why")]
    items = [(f"{dotted}.{name}", getattr(part, name)) for name in names]
    for key, value in items:
        if not is_dataclass(value) and not key.endswith(".folds"):
            yield key, value, sections
    for key, value in items:
        if is_dataclass(value):
            yield from _leaves(value, key, sections)


def find_decisions(estimated: Estimated, key: str | None = None) -> tuple[Decision, ...]:
    """The decisions that `key` names; all of them for None.

    A key is a configuration (`2d`), a section (`loss`), or a dotted key (`2d.patch`), whole or without what stands
    before it (`strides`). Whole keys go first, then those of the default configuration, then all others.

    Raises:
        PlanError: there is no such key; it names the nearest right ones.
    """
    plan, every = estimated.plan, decisions(estimated)
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
    raise PlanError(f"plan of {plan.data.dataset}", f"no decision `{key}`", expected, remedy)


def _named(decision: Decision, wanted: str, ends: bool) -> bool:
    """Whether `wanted` is the decision's key or one of its sections, or (`ends`) what follows after its first part."""
    names = (*decision.sections, decision.key)
    if not ends:
        return wanted in names
    tails = [name.removeprefix(f"{names[0]}.") for name in names[1:]]  # a configuration's name may hold a dot
    return any(f".{tail}".endswith(f".{wanted}") for tail in tails)
