"""Connections that say nothing are closed: uvicorn waits for the headers of a request for ever.

Without that, whoever opens as many connections as the server takes, token or not, keeps all others out.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol


def timely(header_s: float) -> type[H11Protocol]:
    """A connection of uvicorn's that is cut where it is open, or answered, for so many seconds without a request."""
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Timely(H11Protocol):
        waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.wait()

        def connection_lost(self, exc: Exception | None) -> None:
            if self.waiting is not None:
                self.waiting.cancel()
            super().connection_lost(exc)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self.wait()

        def wait(self) -> None:
            if self.waiting is not None:
                self.waiting.cancel()
            self.waiting = self.loop.call_later(header_s, self.cut)

        def cut(self) -> None:
            if self.conn.their_state is h11.IDLE or self.transport.is_closing():  # else a request is here
                self.transport.abort()

    return Timely
