"""What made a file: kept in those formats that have a place for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from autospine import __version__


@dataclass(frozen=True)
class MadeBy:
    """A model that segmented an image."""

    model: str
    """Its name: that of its folder or file."""
    identity: str
    """Digest of its weights and of the settings that decide what comes out; empty where nobody knows it."""
    version: str = __version__
    """Of autospine."""
    when: datetime | None = None
    """When it was used; None: now."""

    @property
    def moment(self) -> datetime:
        """The time to write down, to the second."""
        return (self.when or datetime.now()).replace(microsecond=0)
