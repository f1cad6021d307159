"""Errors of the user's input: each says where, what was found, what was expected and what to do.

The CLI prints an `AutospineError` as one message and ends with exit code 1; anything else that is raised
is a bug of ours and shows its traceback.

    AutospineError
      DataError        a dataset, image or mask
      PlanError        a plan, recipe or model file
      DeviceError      a device that is not there
      OutputError      a folder or file that cannot be written
    Stopped            the user stopped a run that can go on later (exit code 130)
"""

from __future__ import annotations


class AutospineError(Exception):
    """A fault in what the user gave, with its remedy."""

    def __init__(self, where: str, found: str, expected: str = "", remedy: str = "") -> None:
        """Keep the four parts; `where` names the case or file."""
        self.where = where
        self.found = found
        self.expected = expected
        self.remedy = remedy
        super().__init__(where, found, expected, remedy)

    def __str__(self) -> str:
        """All parts in one paragraph."""
        parts = [f"{self.where}: {self.found}"]
        if self.expected:
            parts.append(f"Expected: {self.expected}")
        if self.remedy:
            parts.append(f"What to do: {self.remedy}")
        return "\n".join(parts)


class DataError(AutospineError):
    """A dataset, image or mask cannot be used."""


class PlanError(AutospineError):
    """A plan, recipe or model file cannot be used."""


class DeviceError(AutospineError):
    """A device was asked for that this machine does not have."""


class OutputError(AutospineError):
    """A file or folder cannot be written."""


class Stopped(Exception):
    """The user stopped a run; what was done so far is saved."""
