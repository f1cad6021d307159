"""Which channels a case may lack: those that some of the data lack, and those that the recipe names."""

from __future__ import annotations

from collections.abc import Sequence

from autospine.errors import PlanError
from autospine.planning.decide.decided import Decided, settle
from autospine.planning.document.data import PresencePlan
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.fingerprint import Fingerprint


def planned_presence(
    fingerprint: Fingerprint, recipe: Recipe, taken: PresencePlan | None = None
) -> Decided[PresencePlan | None]:
    """Channels that may be missing; None where none may.

    A plan that is moved to other data brings what was `taken` from it, which goes by its place. Raises PlanError where
    the recipe names a channel that there is not.
    """
    channels = fingerprint.channels
    wanted = _wanted(recipe, channels)
    optional = {channels.index(name) for name in wanted} | {one for case in fingerprint.cases for one in case.missing}
    optional |= set() if taken is None else set(taken.channels)
    if not optional or len(channels) == 1:
        return Decided(None)
    places = tuple(sorted(optional))
    counts = [f"{name} in {count}" for name, count in zip(channels, channel_counts(fingerprint), strict=True)]
    why = f"{', '.join(channels[index] for index in places)} may be missing: "
    why += f"the {len(fingerprint.cases)} cases have {', '.join(counts)}"
    why += f", and {recipe.said} asks for it" if recipe.optional_channels else ""
    why += "; each has an input of its own that says whether it is there (ours)"
    if taken is None:
        at_random = f"{recipe.said}: left out at random, so that the network knows every subset"
        dropout = Decided(recipe.channel_dropout, at_random)
    else:
        names = ", ".join(channels[index] for index in taken.channels)
        why += f"; by their place, {names} could be missing in the plan that this was taken from"
        dropout = Decided(taken.dropout, "that of the plan that this was taken from")
    return settle(PresencePlan, channels=Decided(places, why), dropout=dropout)


def _wanted(recipe: Recipe, channels: Sequence[str]) -> Sequence[str]:
    """Channels that the recipe lets be missing."""
    if recipe.optional_channels == "all":
        return channels
    where, wanted = f"recipe {recipe.name}", recipe.optional_channels
    unknown = [name for name in wanted if name not in channels]
    if unknown:
        found, expected = (
            f"optional_channels names {', '.join(unknown)}",
            f"channels of the data: {', '.join(channels)}",
        )
        raise PlanError(where, found, expected, "correct the key")
    if wanted and len(channels) == 1:
        found = f"optional_channels names {channels[0]}, the only channel there is"
        raise PlanError(where, found, "a channel beside others", "take the key out")
    return wanted


def channel_counts(fingerprint: Fingerprint) -> Sequence[int]:
    """How many cases have each channel."""
    cases = fingerprint.cases
    return [sum(index not in case.missing for case in cases) for index in range(len(fingerprint.channels))]
