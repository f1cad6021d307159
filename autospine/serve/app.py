"""The routes: `POST /predict`, `GET /health`, `GET /metrics`. FastAPI is imported here, and nowhere else.

    Watch --counted, logged, bodies drained--> Guard --host, token--> routes

Every error is JSON with the four parts of `AutospineError`. The log has route, status, time and size: no address, no
query, no name of a file, nothing of a header.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from autospine.data.disk.files import NO_ROOM
from autospine.data.disk.private import folder_within
from autospine.serve.hosts import is_loopback
from autospine.serve.metrics import KIND, Metrics
from autospine.serve.receiving import Received, check_headers, receive
from autospine.serve.refusals import RequestError, no_room
from autospine.serve.segmenting import Asked, Made, Service, described
from autospine.serve.turns import Turns

_ROUTES = ("/predict", "/health", "/metrics")
_OPEN = "/health"
"""Answers without a token: what watches a server asks it whether it is there."""
_HERE = "this machine (localhost, 127.0.0.1)"
_PIECE = 1 << 18
_DRAINED_BYTES, _DRAINED_S = 64 << 20, 5.0
"""Of a refused body that is still read, so that its sender comes to read the answer (ours)."""
_GONE = 499
"""Status in the log of a request whose client went away, as nginx has it."""


def make_app(service: Service, turns: Turns, folder: Path, token: str | None, metrics: Metrics) -> ASGIApp:
    """The application. What is uploaded lies in `folder`, which is private; None for `token` asks for none."""
    routes = _Routes(service, turns, folder, metrics)
    app = FastAPI(title="autospine", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_api_route("/predict", routes.predict, methods=["POST"], response_model=None)
    app.add_api_route("/health", routes.health, methods=["GET"], response_model=None)
    app.add_api_route("/metrics", routes.metrics_text, methods=["GET"], response_model=None)
    app.add_exception_handler(RequestError, _answer_refused)
    app.add_exception_handler(HTTPException, _answer_no_route)
    app.add_exception_handler(ClientDisconnect, _answer_nobody)
    app.add_exception_handler(Exception, _answer_own_fault)
    return Watch(Guard(app, token), service, metrics)


@dataclass(frozen=True)
class _Routes:
    """What is answered."""

    service: Service
    turns: Turns
    folder: Path
    counted: Metrics

    async def predict(self, request: Request) -> Response:
        """The segmentation of the image in the body, or its volumes."""
        check_headers(request.headers, self.service.limits)
        Asked.of(request.query_params, {})
        with ExitStack() as held:
            held.enter_context(self.turns.place())
            held.enter_context(_told_of_full_disk())
            folder = held.enter_context(folder_within(self.folder, "request-"))
            ended = partial(getattr, self.turns, "ended")
            received = await receive(request.headers, request.stream(), folder, self.service.limits, ended)
            asked = Asked.of(request.query_params, received.fields)
            work = partial(self._timed, received, asked, folder)
            made = await self.turns.compute(work)
            return Answer(made, held.pop_all(), self.service.limits.answer_s)

    async def health(self) -> JSONResponse:
        """Whether the server takes requests; it listens once its model is ready."""
        content = {
            "status": "ending" if self.turns.ended else "ready",
            "model": self.service.model,
            "version": self.service.headers["X-Autospine-Version"],
            "queue": self.turns.taken,
            "places": self.turns.places,
        }
        return JSONResponse(content, 503 if self.turns.ended else 200)

    async def metrics_text(self) -> PlainTextResponse:
        """Figures for Prometheus."""
        return PlainTextResponse(self.counted.text(self.turns.taken, self.turns.places), media_type=KIND)

    def _timed(self, received: Received, asked: Asked, folder: Path) -> Made:
        start = time.monotonic()
        made = self.service.answer(received, asked, folder)
        self.counted.prediction_s.add(time.monotonic() - start)
        return made


class Answer(Response):
    """A file that is sent piece by piece; what is `held` for it is let go of when it is sent, or not taken in time."""

    def __init__(self, made: Made, held: ExitStack, piece_s: float) -> None:
        """`piece_s` are the seconds in which a piece has to be taken."""
        super().__init__(None, 200, None, made.kind)
        self.headers.update(made.headers)
        self.headers["Content-Length"] = str(made.path.stat().st_size)
        self._path, self._held, self._piece_s = made.path, held, piece_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        with self._held, self._path.open("rb") as file:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            more = True
            while more:
                piece = file.read(_PIECE)
                more = bool(piece)
                message = {"type": "http.response.body", "body": piece, "more_body": more}
                await asyncio.wait_for(send(message), self._piece_s)


class Guard:
    """Lets through who may ask: by token, or without one only who asked for this very machine.

    A page that a browser on this machine shows could otherwise have a name of its own lead here (DNS rebinding), or
    send what it likes from elsewhere: a browser sends a form to any address, and keeps back the answer alone.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        """None for `token` asks for none."""
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse."""
        if scope["type"] == "http" and (refused := self._refusal(scope["path"], Headers(scope=scope))) is not None:
            await _json(refused)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, path: str, headers: Headers) -> RequestError | None:
        if self._token is None:
            remedy = "start the server with a token where it is reached by other names"
            host, origin = headers.get("host", ""), headers.get("origin")
            if not is_loopback(host if host.endswith("]") else host.rsplit(":", 1)[0]):
                return RequestError(400, "the header Host", repr(host[:80]), _HERE, remedy)
            if origin is not None and not is_loopback(_host_of(origin)):
                return RequestError(403, "the header Origin", repr(origin[:80]), _HERE, remedy)
            return None
        if path == _OPEN:
            return None
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token.encode()):
            return None
        return RequestError(401, "the header Authorization", "no token, or another", "Bearer and the server's token")


def _host_of(origin: str) -> str:
    """The host in the header Origin; empty where a browser keeps back whose page asks, or it is none."""
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""


class Watch:
    """Counts and logs each request."""

    def __init__(self, app: ASGIApp, service: Service, metrics: Metrics) -> None:
        """Of requests to `app`."""
        self._app, self._service, self._metrics = app, service, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; why something of our own failed goes to the log, without what it failed on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, exchange, cut_off = time.monotonic(), _Exchange(scope, receive, send), False
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except TimeoutError:  # of an answer that is not taken
            exchange.status, cut_off = _GONE, True
        except Exception as fault:
            self._service.tell(f"A fault of autospine's own: {described(fault)}")
            cut_off = not exchange.complete
        finally:
            self._note(scope, exchange, time.monotonic() - start)
        if cut_off:
            raise ConnectionError("an answer was cut off")  # has the connection closed

    def _note(self, scope: Scope, exchange: _Exchange, seconds: float) -> None:
        route = scope["path"] if scope["path"] in _ROUTES else "other"
        self._metrics.count(route, exchange.status, seconds, exchange.received)
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
        at = time.strftime("%Y-%m-%d %H:%M:%S")
        size = f"{exchange.received / 1e6:.3f} MB"
        self._service.tell(f"{at} {method} {route} {exchange.status} {seconds:.3f} s {size}")


class _Exchange:
    """One request and its answer, as they go through."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.status = 0
        self.received = 0
        self.complete = False
        self._receive, self._send = receive, send
        headers = Headers(scope=scope)
        said = headers.get("content-length", "0")
        self._unread = said != "0" or "transfer-encoding" in headers
        self._may_drain = "expect" not in headers and (not said.isdecimal() or int(said) <= _DRAINED_BYTES)

    async def receive(self) -> Message:
        message = await self._receive()
        self.received += len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._unread:
                await self._drain()
                if self._unread:  # what is left of the body would be taken for the next request
                    message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        await self._send(message)
        self.complete = message["type"] == "http.response.body" and not message.get("more_body")

    async def _drain(self) -> None:
        """Read what is left of a body, in bounds: who still sends does not read."""
        if not self._may_drain:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAINED_S):
                most = self.received + _DRAINED_BYTES
                while self._unread and self.received < most:
                    await self.receive()


@contextmanager
def _told_of_full_disk() -> Iterator[None]:
    """A block whose want of room is a refusal."""
    try:
        yield
    except OSError as fault:
        if fault.errno not in NO_ROOM:
            raise
        raise no_room() from fault


def _json(refused: RequestError) -> JSONResponse:
    return JSONResponse(refused.parts, refused.status, refused.headers)


async def _answer_refused(request: Request, refused: Exception) -> Response:
    assert isinstance(refused, RequestError)
    return _json(refused)


async def _answer_no_route(request: Request, fault: Exception) -> Response:
    """What the router says, of paths and methods that are none."""
    assert isinstance(fault, HTTPException)
    remedy = "POST /predict, GET /health, GET /metrics"
    refused = RequestError(fault.status_code, "the path", str(fault.detail), "a route of this server", remedy)
    return _json(refused)


async def _answer_nobody(request: Request, fault: Exception) -> Response:
    """For the log: who asked is gone."""
    return Response(status_code=_GONE)


async def _answer_own_fault(request: Request, fault: Exception) -> Response:
    """Without the reason, which `Watch` has for the log."""
    return _json(RequestError(500, "server", "a fault of autospine's own", remedy="see the server's log"))
