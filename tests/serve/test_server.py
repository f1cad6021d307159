"""How a server starts, what it refuses to start with, and a real one in a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from autospine.data.volume import read_volume
from autospine.errors import OutputError, PlanError
from autospine.inference.settings import Settings
from autospine.planning.document.configuration import Configuration
from autospine.serve import server as module
from autospine.serve.server import (
    PREFIX,
    TOKEN,
    ServingRequest,
    check_exposure,
    check_extra,
    listening,
    read_token,
    serve,
    warm_up_image,
)
from autospine.workflow.steps.segmenting import Segmenter
from tests.processes import wait_for
from tests.serve.serving import file_bytes, image, segmenter_of

GOOD = "0123456789abcdef"
BEARER = {"Authorization": f"Bearer {GOOD}"}


@contextlib.contextmanager
def started(
    folder: Path, model: Path, *words: object, environment: dict[str, str]
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server with its address; what it says goes to a file `said`."""
    command = [sys.executable, "-m", "autospine", "serve", "--model", model, "--port", 0, "--device", "cpu", *words]
    temporary = folder / "temporary"
    temporary.mkdir()
    said = folder / "said"
    variables = {**os.environ, "TMPDIR": str(temporary), **environment}
    with said.open("w") as output:
        process = subprocess.Popen(
            [*map(str, command)], stdout=output, stderr=subprocess.STDOUT, text=True, env=variables
        )
        try:
            deadline = time.monotonic() + 90
            while (found := re.search(r"http://[\d.]+:\d+", said.read_text())) is None:
                assert process.poll() is None and time.monotonic() < deadline, said.read_text()
                time.sleep(0.05)
            yield process, found[0]
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_server_from_its_start_to_its_end(segmenter: Segmenter, tmp_path: Path) -> None:
    content = file_bytes(tmp_path, "a.nii.gz", image())
    words = ("--no-mirror", "--upload-time", "2s", "--queue", 1, "--max-upload", "1MB")
    with started(tmp_path, segmenter.folder, *words, environment={TOKEN: GOOD}) as (process, address):
        predict, headers = f"{address}/predict", BEARER
        assert httpx.get(f"{address}/health").json()["status"] == "ready"
        answer = httpx.post(predict, content=content, headers=headers, timeout=60)
        assert answer.status_code == 200
        (tmp_path / "out.nii.gz").write_bytes(answer.content)
        assert same_but_for_precision(tmp_path / "out.nii.gz", segmenter)
        run_example(address, content, tmp_path)
        assert (tmp_path / "segmentation.nii.gz").read_bytes() == answer.content
        # who sends more than is read comes to read why it is refused
        assert httpx.post(predict, content=bytes(3_000_000)).status_code == 401
        assert httpx.post(predict, content=bytes(3_000_000), headers=headers).status_code == 413
        check_slow_uploads(address)
        (folder,) = (tmp_path / "temporary").glob(f"{PREFIX}*")
        assert folder.stat().st_mode & 0o777 == 0o700
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    said = (tmp_path / "said").read_text()
    assert said.rstrip().endswith("Ended.") and "Traceback" not in said and GOOD not in said
    assert not list((tmp_path / "temporary").glob(f"{PREFIX}*"))


def run_example(address: str, content: bytes, folder: Path) -> None:
    """The page's own example, which knows no token."""
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    code = code.replace("http://127.0.0.1:8000", address).replace("timeout", f"headers={BEARER}, timeout")
    (folder / "scan.nii.gz").write_bytes(content)
    with contextlib.chdir(folder):
        exec(compile(code, "serving.md", "exec"), {})


def check_slow_uploads(address: str) -> None:
    """Two that never end take both places, and give them back."""
    host, _, port = address.removeprefix("http://").partition(":")
    head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {GOOD}\r\nContent-Length: 999\r\n\r\nx"
    with httpx.Client(base_url=address, headers=BEARER) as client:  # to make one takes its time
        assert client.get("/health").json()["queue"] == 0
        slow = [socket.create_connection((host, int(port))) for _ in range(2)]
        for connection in slow:
            connection.sendall(head.encode())
        wait_for(lambda: client.get("/health").json()["queue"] == 2)
        busy = client.post("/predict", content=b"x")
        assert (busy.status_code, busy.headers["retry-after"]) == (503, "5")
        for connection in slow:
            assert connection.recv(12) == b"HTTP/1.1 408"
            connection.close()
        assert client.post("/predict", content=b"x").status_code == 415


def same_but_for_precision(path: Path, segmenter: Segmenter) -> bool:
    """Whether labels are those of the model: nearly all, since the server chooses its precision by what is faster."""
    expected = segmenter.predictor.segment(image(), "image").labels.array
    return bool(np.mean(read_volume(path).array == expected) > 0.9)


def test_tokens(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"  {GOOD}\n")
    assert read_token(file, {TOKEN: "x"}) == GOOD
    assert read_token(None, {TOKEN: GOOD}) == GOOD
    assert read_token(None, {}) is None


@pytest.mark.parametrize("token", ["", "short", "with a space in it 12", "ümlaut-0123456789abcdef", "x" * 5000])
def test_tokens_of_no_use(tmp_path: Path, token: str) -> None:
    file = tmp_path / "token"
    file.write_text(token, encoding="utf-8")
    for given, environment in ((file, {}), (None, {TOKEN: token})):
        with pytest.raises(PlanError) as fault:
            read_token(given, environment)
        assert not token or token not in fault.value.found + fault.value.expected + fault.value.remedy


def test_a_token_file_that_is_none(tmp_path: Path) -> None:
    for file in (tmp_path, tmp_path / "missing"):
        with pytest.raises(PlanError, match="token"):
            read_token(file, {})


def test_other_machines_need_a_token() -> None:
    for host in ("0.0.0.0", "::", "10.1.2.3", "server.example"):
        with pytest.raises(PlanError, match="token"):
            check_exposure(host, None)
        check_exposure(host, GOOD)
    check_exposure("127.0.0.1", None)


def test_what_can_be_refused_is_refused_before_the_model_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="token"):
        serve(ServingRequest(tmp_path / "no model", host="0.0.0.0"), print)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OutputError, match="cannot be listened on"):
            serve(ServingRequest(tmp_path / "no model", port=taken.getsockname()[1]), print)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "not a host", "x" * 300])
def test_addresses_that_are_not_of_this_machine(host: str) -> None:
    with pytest.raises(OutputError, match="cannot be listened on"):
        listening(host, 0)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    check_extra()
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(PlanError, match=r"autospine\[serve\]"):
        check_extra()


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.0, 1.0)])
def test_the_image_that_warms_up_is_a_patch(
    make_configuration: Callable[..., Configuration], tmp_path: Path, spacing: tuple[float, ...]
) -> None:
    order = (2, 0, 1)
    configuration = make_configuration(spacing_mm=tuple(2.0 * step for step in spacing), axis_order=order)
    predictor = segmenter_of(tmp_path / "model", configuration).predictor
    warm = warm_up_image(predictor)
    planned = [warm.geometry.shape[axis] for axis in order]
    assert planned == [1, *configuration.patch][-3:]
    assert np.isfinite(warm.array).all() and len(warm.array) == 1
    assert predictor.segment(warm, "warm-up").labels.array.shape == (1, *warm.geometry.shape)


def test_a_model_that_cannot_predict_here_is_told_at_the_start(
    segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    request = ServingRequest(segmenter.folder, port=0, device="cpu", settings=Settings(memory_bytes=10))
    with pytest.raises(PlanError, match="too little memory for one patch"):
        serve(request, lambda line: None)
    assert not list(tmp_path.glob(f"{PREFIX}*"))


def test_what_a_fast_server_costs_is_said(segmenter: Segmenter) -> None:
    said: list[str] = []
    request = ServingRequest(segmenter.folder, device="cpu", settings=Settings(fast=True))
    predictor = module._load(request, said.append).predictor
    assert not predictor.mirror and "Fast: fold 0 alone, no mirrorings" in said[-1]
    with pytest.raises(PlanError, match="--fast"):
        serve(ServingRequest(segmenter.folder, port=0, settings=Settings(("0", "1"), fast=True)), said.append)


def test_a_second_signal_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first lets what is predicted be finished."""
    uvicorn = pytest.importorskip("uvicorn")
    seen: list[tuple[bool, bool]] = []
    turns = module.Turns(1)

    def run(server: object, sockets: object) -> None:
        monkeypatch.setattr(module, "_SAME_STOP_S", 0.05)
        for pause in (0.0, 0.0, 0.1):
            time.sleep(pause)
            server.handle_exit(signal.SIGTERM, None)  # type: ignore[attr-defined]
            seen.append((server.should_exit, server.force_exit))  # type: ignore[attr-defined]

    monkeypatch.setattr(uvicorn.Server, "run", run)
    with socket.socket() as listener:
        module._run(lambda *given: None, listener, turns, 1.0)  # type: ignore[arg-type,return-value]
    assert seen == [(True, False), (True, False), (True, True)]
    assert turns.ended
