"""What makes two trainings the same one: hashes of all that decides what they learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from autospine.data.disk.files import json_digest
from autospine.planning.document.convert import to_table
from autospine.planning.document.model_card import ModelCard


@dataclass(frozen=True)
class Identity:
    """A training by what it depends on; one that is equal ends with the same weights, but for the clock and machine."""

    exact: str
    """SHA-256 of all of it."""
    any_length: str
    """SHA-256 of all of it but how long it lasts: where this alone is equal, one training can go on as the other."""

    @staticmethod
    def of(card: ModelCard, before: Sequence[Any] = (), after: Sequence[Any] = ()) -> Identity:
        """Of `card` and what else decides, as JSON can hold it, `before` and `after` it.

        The levels have no part in it: predictions use them.
        """
        data, one = card.data, card.configuration
        read = [data.dataset, data.channels, data.intensities, data.labels, data.regions, data.sides, data.presence]
        ageless = replace(one, training=replace(one.training, epochs=1, budget_s=None))
        exact, any_length = ([*before, *to_table([read, trained]), *after] for trained in (one, ageless))
        return Identity(json_digest(exact), json_digest(["any length", *any_length]))
