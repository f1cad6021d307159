"""What a request may take: bytes, files, seconds. All of it holds while a body arrives, not after."""

from __future__ import annotations

from dataclasses import dataclass

_EXPANDED = 4
"""Times as large as an upload may be, what is unpacked of it (ours; slices of MR shrink to a half or a third)."""


@dataclass(frozen=True)
class Limits:
    """Of one request, but for `waiting`, which is of the server."""

    upload_bytes: int = 500_000_000
    """Of a body, as it arrives."""
    upload_s: float = 120.0
    """In which a body has to have arrived."""
    waiting: int = 8
    """Requests that may wait while one is predicted; who comes then is told to come again."""
    files: int = 32
    """Files in a body, and as many fields."""
    members: int = 20_000
    """Files in a zip; a study of MR has some thousand (ours)."""
    ratio: int = 200
    """Times as many bytes as it is packed in, what is unpacked of a file; above `harmless_bytes` (ours)."""
    harmless_bytes: int = 64 << 20
    """Up to here a file may unpack to, however small it is packed."""
    answer_s: float = 60.0
    """In which a piece of an answer has to have been taken."""
    header_s: float = 20.0
    """In which the headers of a request have to have arrived, and a connection may be idle at most (ours)."""

    @property
    def expanded_bytes(self) -> int:
        """Of all files of a request, unpacked."""
        return _EXPANDED * self.upload_bytes

    @property
    def places(self) -> int:
        """Requests that may have a body on this machine at once."""
        return self.waiting + 1
