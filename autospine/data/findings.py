"""One thing that is wrong with a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, and what to do about it."""

    severity: Literal["error", "warning"]
    """`error`: the case cannot be used."""
    case: str
    """Name of the case; empty where the whole dataset is meant."""
    file: str
    """The file or files that it is about."""
    found: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        """All of it in one line."""
        parts = [f"{self.severity}: {f'{self.case}: ' if self.case else ''}{self.found} ({self.file})"]
        parts += [f"expected {self.expected}"] if self.expected else []
        parts += [self.remedy] if self.remedy else []
        return "; ".join(parts)
