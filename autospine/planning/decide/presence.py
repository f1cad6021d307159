"""Which channels a case may lack: those that some of the data lack, and those that the recipe names."""

from __future__ import annotations

from collections.abc import Sequence

from autospine.errors import PlanError
from autospine.planning.document.data import PresencePlan
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.fingerprint import Fingerprint


def planned_presence(
    fingerprint: Fingerprint, recipe: Recipe, taken: PresencePlan | None = None
) -> PresencePlan | None:
    """`presence` of every configuration; None where no channel may be missing.

    A plan that is moved to other data brings what was `taken` from it. Raises PlanError where the recipe names a
    channel that there is not.
    """
    channels = fingerprint.channels
    wanted = channels if recipe.optional_channels == "all" else recipe.optional_channels
    unknown = [name for name in wanted if name not in channels]
    if unknown:
        found = f"optional_channels names {', '.join(unknown)}"
        raise PlanError(
            f"recipe {recipe.name}", found, f"channels of the data: {', '.join(channels)}", "correct the key"
        )
    optional = {channels.index(name) for name in wanted} | {one for case in fingerprint.cases for one in case.missing}
    optional |= set() if taken is None else set(taken.channels)
    if recipe.optional_channels and recipe.optional_channels != "all" and len(channels) == 1:
        found = f"optional_channels names {channels[0]}, the only channel there is"
        raise PlanError(f"recipe {recipe.name}", found, "a channel beside others", "take the key out")
    if not optional or len(channels) == 1:
        return None
    return PresencePlan(tuple(sorted(optional)), recipe.channel_dropout if taken is None else taken.dropout)


def presence_reasons(presence: PresencePlan | None, fingerprint: Fingerprint, recipe: Recipe) -> dict[str, str]:
    """Why these channels may be missing; nothing where none may."""
    if presence is None:
        return {}
    counts = ", ".join(
        f"{name} in {count}" for name, count in zip(fingerprint.channels, channel_counts(fingerprint), strict=True)
    )
    names = ", ".join(fingerprint.channels[index] for index in presence.channels)
    asked = f", and the recipe {recipe.name} asks for it" if recipe.optional_channels else ""
    return {
        "presence.channels": f"{names} may be missing: the {len(fingerprint.cases)} cases have {counts}{asked}; each "
        "has an input of its own that says whether it is there (ours)",
        "presence.dropout": f"the recipe {recipe.name}: left out at random, so that the network knows every subset",
    }


def channel_counts(fingerprint: Fingerprint) -> Sequence[int]:
    """How many cases have each channel."""
    cases = fingerprint.cases
    return [sum(index not in case.missing for case in cases) for index in range(len(fingerprint.channels))]
