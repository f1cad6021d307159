"""`autospine serve`: a model is loaded once and answers over HTTP until the server is told to end.

Whatever can be refused is refused before the model is loaded: a missing library, an address without a token, a port
that is taken.
"""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import numpy as np

from autospine.data.disk.private import folder_within, private_folder
from autospine.data.geometry import Geometry, Volume, triple
from autospine.data.volume import write_volume
from autospine.errors import OutputError, PlanError
from autospine.inference.settings import Settings
from autospine.serve.hosts import is_loopback
from autospine.serve.limits import Limits
from autospine.serve.metrics import Metrics
from autospine.serve.receiving import Part, Received
from autospine.serve.refusals import RequestError
from autospine.serve.segmenting import Asked, Service
from autospine.serve.turns import Turns
from autospine.workflow.runs.fast import fast_cost
from autospine.workflow.runs.folder import find_model
from autospine.workflow.steps.segmenting import Segmenter, load_segmenter

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from autospine.inference.ensemble import Model

PREFIX = "autospine-serve-"
"""How the folder of what is uploaded is called."""
TOKEN = "AUTOSPINE_TOKEN"
"""Environment variable of the token."""
_SHORTEST, _LONGEST = 16, 4096
"""Characters of a token: fewer can be tried out (ours)."""
_CONNECTIONS = 512
"""At once; each costs some memory, whether it asks for anything or not (ours)."""
_HEADER_BYTES = 32 << 10
"""Of a request's headers."""
_SAME_STOP_S = 1.0
"""Signals within so long are one stop: `timeout` and systemd send one to the process and one to its group."""


@dataclass(frozen=True)
class ServingRequest:
    """What the user asked for."""

    model: Path | None = None
    """Model; None: the only one below the runs folder."""
    runs: Path = Path("runs")
    host: str = "127.0.0.1"
    port: int = 8000
    """0: one that is free."""
    token_file: Path | None = None
    """Holds the token; None: the environment's, if there is one."""
    device: str = "auto"
    settings: Settings = Settings()
    limits: Limits = Limits()


def serve(request: ServingRequest, tell: Callable[[str], None]) -> None:
    """Answer over HTTP until SIGTERM or Ctrl-C: what is predicted then is finished, what waits is sent away.

    A second signal ends at once, which `os._exit` does where a prediction runs: no thread can be stopped. Lines for
    the log go to `tell`.

    Raises:
        PlanError: no model or a broken one, one that cannot predict here, the extra `serve` is not installed, no token
            or an unusable one.
        OutputError: the address cannot be listened on, or no folder takes what is uploaded.
        DeviceError: the device is not there.
    """
    check_extra()
    request.settings.check()
    token = read_token(request.token_file, os.environ)
    check_exposure(request.host, token)
    with listening(request.host, request.port) as listener, private_folder(PREFIX) as folder:
        service = Service(_load(request, tell), request.limits, tell)
        _warm_up(service, folder)
        turns = Turns(request.limits.places)
        from autospine.serve.app import make_app

        app = make_app(service, turns, folder, token, Metrics())
        host, port = listener.getsockname()[:2]
        asked = "with a token" if token else "from this machine, without a token"
        listener.listen()  # from here on whoever connects is answered
        tell(f"Serving {service.model} at http://{f'[{host}]' if ':' in host else host}:{port} ({asked})")
        _run(app, listener, turns, request.limits.header_s)
    tell("Ended.")
    if turns.computing:
        os._exit(1)


def check_extra() -> None:
    """Raise `PlanError` where the libraries of the extra `serve` are missing."""
    missing = [name for name in ("fastapi", "python_multipart", "uvicorn") if find_spec(name) is None]
    if missing:
        found = f"{', '.join(missing)} not installed"
        raise PlanError("autospine serve", found, "the extra serve", 'pip install "autospine[serve]"')


def read_token(file: Path | None, environment: Mapping[str, str]) -> str | None:
    """The token in `file`, else that of the environment; None where there is none. `PlanError` for one of no use."""
    where, token = TOKEN, environment.get(TOKEN)
    if file is not None:
        where = str(file)
        try:
            if not stat.S_ISREG(file.stat().st_mode):
                raise PlanError(where, "no file", "a file with the token")
            with file.open("rb") as opened:
                token = opened.read(_LONGEST + 2).decode("utf-8", "replace")
        except OSError as fault:
            raise PlanError(where, f"cannot be read ({fault.strerror or fault})", "a file with the token") from fault
    if token is None:
        return None
    token = token.strip()
    usable = _SHORTEST <= len(token) <= _LONGEST and token.isascii() and token.isprintable() and " " not in token
    if not usable:
        expected = f"{_SHORTEST} to {_LONGEST} letters, digits and signs of ASCII, without spaces"
        raise PlanError(where, "not usable as a token", expected, "`openssl rand -hex 32` makes one")
    return token


def check_exposure(host: str, token: str | None) -> None:
    """Raise `PlanError` where others than this machine could ask, and no token is asked for."""
    if token is None and not is_loopback(host):
        remedy = f"give --token-file or set {TOKEN}; or leave --host as it is and have a proxy in front"
        raise PlanError(f"--host {host}", "reached from other machines, without a token", "a token", remedy)


def listening(host: str, port: int) -> socket.socket:
    """A socket bound to the address; `OutputError` where that cannot be had. It listens once the server runs."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":  # elsewhere it would let two servers have one port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except (OSError, OverflowError, UnicodeError) as fault:
        found = f"cannot be listened on ({getattr(fault, 'strerror', None) or fault})"
        remedy = "choose another --host or --port; 0 takes a port that is free"
        raise OutputError(f"{host}:{port}", found, "an address of this machine that is free", remedy) from fault
    return listener


def _load(request: ServingRequest, tell: Callable[[str], None]) -> Segmenter:
    """The model, on its device."""
    from autospine.machine.device import resolve_device

    device = resolve_device(request.device)
    folder = request.model or find_model(request.runs)
    segmenter = load_segmenter(folder, device, request.settings)
    for note in (*segmenter.chosen, *segmenter.unfinished):
        tell(note)
    if request.settings.fast:
        origin = segmenter.predictor.origin
        tell(fast_cost(segmenter.folder, origin.folds[0], origin.about))
    return segmenter


def _warm_up(service: Service, folder: Path) -> None:
    """Have a made-up image answered, as a client would: what is measured, compiled and loaded for that is done then."""
    from autospine.machine.device import describe_device

    start, predictor = time.monotonic(), service.segmenter.predictor
    with folder_within(folder, "warm-up-") as own:
        write_volume(own / "image.nii", warm_up_image(predictor))
        received = Received((Part((own / "image.nii").rename(own / "body")),), {})
        try:
            service.answer(received, Asked(), own)
        except RequestError as refused:
            said = refused.parts
            if refused.status == 413:
                found = "too little memory for one patch of this model beside what the server takes itself"
                remedy = "give a larger --memory, or use a machine with more"
                raise PlanError("autospine serve", found, remedy=remedy) from refused
            raise PlanError(f"warm-up: {said['where']}", said["found"], said["expected"], said["remedy"]) from refused
    computed = describe_device(predictor.device, predictor.computed_in())
    took = f"warmed up in {time.monotonic() - start:.1f} s"
    service.tell(f"Ready with {service.segmenter.averaged} on {computed}, {took}")


def warm_up_image(predictor: Model) -> Volume:
    """Noise that fills one patch at the model's spacing, on a canonical grid."""
    configuration = predictor.card.configuration
    patch = (1, *configuration.patch)[-3:]
    spacing = (1.0, *configuration.spacing_mm)[-3:]
    shape, spacing_mm = [0, 0, 0], [0.0, 0.0, 0.0]
    for planned, axis in enumerate(configuration.axis_order):
        shape[axis], spacing_mm[axis] = patch[planned], spacing[planned]
    upright = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    geometry = Geometry(triple(shape), triple(spacing_mm), (0.0, 0.0, 0.0), upright)
    channels = len(predictor.card.data.channels)
    noise = np.random.default_rng(0).normal(100, 10, (channels, prod(shape))).astype(np.float32)
    return Volume(noise.reshape(channels, *shape), geometry)


def _run(app: ASGIApp, listener: socket.socket, turns: Turns, header_s: float) -> None:
    """Serve until a signal asks to end."""
    import uvicorn

    from autospine.serve.connections import timely

    class Server(uvicorn.Server):
        """One whose first signal has the queue go home, and whose second ends it."""

        asked_at = -_SAME_STOP_S

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            again = turns.ended and time.monotonic() - self.asked_at >= _SAME_STOP_S
            self.asked_at = time.monotonic() if not turns.ended else self.asked_at
            turns.ended = self.should_exit = True
            self.force_exit = self.force_exit or again

    config = uvicorn.Config(
        app,
        http=timely(header_s),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        h11_max_incomplete_event_size=_HEADER_BYTES,
    )
    try:
        Server(config).run([listener])
    finally:
        turns.close()
