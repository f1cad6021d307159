"""A server whose clients say nothing, or little by little."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from autospine.serve.connections import timely
from tests.processes import wait_for

HEADER_S = 0.4
ASKS = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def slow(scope: Any, receive: Any, send: Any) -> None:
    """Takes longer than headers may."""
    import asyncio

    await asyncio.sleep(2 * HEADER_S)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def served() -> Iterator[tuple[str, int]]:
    config = uvicorn.Config(slow, http=timely(HEADER_S), ws="none", lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            wait_for(lambda: server.started)
            yield listener.getsockname()
        finally:
            server.should_exit = True
            thread.join(20)
    assert not thread.is_alive()


def seconds_until_closed(connection: socket.socket) -> float:
    start = time.monotonic()
    connection.settimeout(20 * HEADER_S)
    try:
        while connection.recv(1000):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - start


def answered(connection: socket.socket) -> bytes:
    held = b""
    while not held.endswith(b"ok"):
        piece = connection.recv(1000)
        assert piece, held
        held += piece
    return held


def test_who_says_nothing_is_cut_off_and_who_asks_is_answered() -> None:
    with served() as address:
        silent, halting, asking = (socket.create_connection(address) for _ in range(3))
        halting.sendall(ASKS[:20])
        asking.sendall(ASKS)
        assert seconds_until_closed(silent) < 5 * HEADER_S
        assert seconds_until_closed(halting) < 5 * HEADER_S
        assert answered(asking).startswith(b"HTTP/1.1 200")  # however long the answer takes
        asking.sendall(ASKS)
        assert answered(asking).startswith(b"HTTP/1.1 200")  # and again on the same connection
        assert seconds_until_closed(asking) < 5 * HEADER_S
        for connection in (silent, halting, asking):
            connection.close()
