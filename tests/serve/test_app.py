"""The routes as a client sees them, without a socket."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from autospine.data.volume import read_volume
from autospine.inference.segmentation import Segmentation
from autospine.serve.app import Answer
from autospine.serve.limits import Limits
from autospine.serve.segmenting import Made
from autospine.workflow.steps.segmenting import Segmenter
from tests.serve.serving import Server, file_bytes, image, zip_bytes

TOKEN = "0123456789abcdef"
MakeServer = Callable[..., Server]


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    return file_bytes(tmp_path, "DOE^JANE.nii.gz", image())


def told(answer: httpx.Response) -> dict[str, str]:
    """The parts of an error; they are there, and say something."""
    parts: dict[str, str] = answer.json()
    assert set(parts) == {"where", "found", "expected", "remedy"}
    assert parts["where"] and parts["found"] and "Traceback" not in answer.text
    return parts


def clean(server: Server) -> bool:
    return not list(server.folder.iterdir()) and server.turns.taken == 0


def test_an_image_in_and_its_segmentation_out(server: Server, content: bytes, tmp_path: Path) -> None:
    answer = server.post(content)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/gzip")
    assert answer.headers["x-autospine-model"] == "lumbar"
    assert int(answer.headers["content-length"]) == len(answer.content)
    (tmp_path / "out.nii.gz").write_bytes(answer.content)
    expected = server.segmenter.predictor.segment(image(), "image").labels
    np.testing.assert_array_equal(read_volume(tmp_path / "out.nii.gz").array, expected.array)
    assert clean(server)


def test_forms_and_what_is_asked_for(server: Server, content: bytes) -> None:
    files = {"image": ("DOE^JANE.nii.gz", content)}
    assert server.post(files=files, data={"format": "nrrd"}).content.startswith(b"NRRD")
    volumes = server.post(files=files, data={"statistics": "true"})
    assert volumes.headers["content-type"] == "application/json"
    assert set(volumes.json()["volumes_mm3"]) == {"upper", "middle", "lower"}
    assert told(server.post(content, "/predict?format=exe"))["where"] == "format"
    assert told(server.post(content, "/predict?path=/etc"))["where"] == "the query"


def test_health_and_metrics(server: Server, content: bytes) -> None:
    server.post(content)
    health = server.get("/health")
    assert (health.status_code, health.json()["status"], health.json()["model"]) == (200, "ready", "lumbar")
    assert (health.json()["queue"], health.json()["places"]) == (0, 9)
    text = server.get("/metrics").text
    assert 'autospine_requests_total{route="/predict",status="200"} 1' in text
    assert "autospine_prediction_seconds_count 1" in text
    server.turns.ended = True
    assert (server.get("/health").status_code, server.get("/health").json()["status"]) == (503, "ending")
    assert server.post(content).status_code == 503


def test_unknown_paths_and_methods(server: Server) -> None:
    for answer, status in ((server.get("/x"), 404), (server.get("/docs"), 404), (server.get("/predict"), 405)):
        assert answer.status_code == status
        told(answer)
    assert 'route="other",status="404"} 2' in server.get("/metrics").text


def test_without_a_token_only_who_asks_for_this_machine(server: Server, content: bytes) -> None:
    for host in ("evil.example", "evil.example:8000", "", "127.0.0.1.evil.example"):
        assert server.post(content, headers={"Host": host}).status_code == 400
    for host in ("localhost:8000", "[::1]:8000", "[::1]", "127.0.0.1"):
        assert server.get("/health", headers={"Host": host}).status_code == 200


def test_pages_from_elsewhere_may_not_ask_by_a_browser_of_this_machine(
    server: Server, make_server: MakeServer, content: bytes
) -> None:
    for origin in ("https://evil.example", "http://127.0.0.1.evil.example:8000", "null", "", "http://[", "localhost"):
        answer = server.post(content, headers={"Origin": origin})
        assert answer.status_code == 403 and "Origin" in told(answer)["where"], origin
        assert "access-control-allow-origin" not in answer.headers
    for origin in ("http://localhost:3000", "http://127.0.0.1:8000", "https://[::1]"):
        assert server.get("/health", headers={"Origin": origin}).status_code == 200
    headers = {"Authorization": f"Bearer {TOKEN}", "Origin": "https://viewer.hospital.example"}
    assert make_server(token=TOKEN).get("/metrics", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "given", ["", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer ü"]
)
def test_a_wrong_token(make_server: MakeServer, content: bytes, given: str) -> None:
    server = make_server(token=TOKEN)
    for answer in (
        server.post(content, headers={"Authorization": given.encode()}),
        server.get("/metrics", headers={"Authorization": given.encode()}),
        server.get("/x", headers={"Authorization": given.encode()}),
    ):
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert TOKEN not in answer.text


def test_the_token(make_server: MakeServer, content: bytes) -> None:
    server = make_server(token=TOKEN)
    headers = {"Authorization": f"Bearer {TOKEN}", "Host": "pacs.hospital.example"}
    assert server.post(content, headers=headers).status_code == 200
    assert server.get("/health", headers={"Host": "10.0.0.1"}).status_code == 200  # what watches it has no token


def test_the_log_tells_of_no_patient(server: Server, content: bytes, tmp_path: Path) -> None:
    server.post(files={"DOE^JANE": ("DOE^JANE.nii.gz", content)})
    server.post(files={"DOE^JANE": ("DOE^JANE.nii.gz", content[:500])})
    server.post(content, "/predict?patient=DOE^JANE")
    server.get("/patients/DOE^JANE", headers={"User-Agent": "JANE"})
    text = "\n".join(server.said) + server.get("/metrics").text
    assert len(server.said) == 5 and "JANE" not in text and str(tmp_path) not in text
    assert "POST /predict 200" in server.said[0] and "GET other 404" in server.said[3]


def test_faults_of_our_own_are_told_without_their_reason(
    server: Server, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object, **more: object) -> None:
        raise KeyError("DOE^JANE")

    monkeypatch.setattr("autospine.serve.segmenting.write_segmentation", fail)
    answer = server.post(content)
    assert answer.status_code == 500 and "JANE" not in answer.text
    assert "server's log" in told(answer)["remedy"]
    assert "KeyError at" in server.said[0] and "JANE" not in "".join(server.said)
    assert clean(server)


def test_a_full_disk(server: Server, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("autospine.serve.app.receive", full)
    answer = server.post(content)
    assert answer.status_code == 503 and "disk" in told(answer)["found"]
    assert clean(server)


def test_a_network_that_gives_no_numbers(make_server: MakeServer, content: bytes, segmenter: Segmenter) -> None:
    networks = deepcopy(segmenter.predictor.networks)
    with torch.no_grad():
        for weight in networks[0].parameters():
            weight.fill_(float("nan"))
    server = make_server(segmenter=replace(segmenter, predictor=replace(segmenter.predictor, networks=networks)))
    answer = server.post(content)
    assert answer.status_code == 500 and "NaN" in told(answer)["found"]


def test_more_requests_than_there_are_places(make_server: MakeServer, content: bytes) -> None:
    server = make_server(limits=Limits(waiting=2))
    answers = server.together(10, lambda: server.ask("POST", "/predict", content=content))
    statuses = sorted(answer.status_code for answer in answers)
    assert set(statuses) == {200, 503} and statuses.count(200) >= 3
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers if answer.status_code == 503)
    bodies = {answer.content for answer in answers if answer.status_code == 200}
    assert len(bodies) == 1 and clean(server)


def test_a_busy_server_answers_how_it_is(server: Server, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go = threading.Event(), threading.Event()
    predict = type(server.segmenter.predictor).predict

    def slow(*given: object, **more: object) -> Segmentation:
        begun.set()
        assert go.wait(20)
        return predict(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(type(server.segmenter.predictor), "predict", slow)

    async def both() -> tuple[httpx.Response, httpx.Response]:
        first = asyncio.create_task(server.ask("POST", "/predict", content=content))
        await asyncio.to_thread(begun.wait, 20)
        health = await server.ask("GET", "/health")
        go.set()
        return await first, health

    first, health = asyncio.run(both())
    assert (first.status_code, health.json()["queue"]) == (200, 1)


def test_a_body_of_unknown_length_that_is_too_large(make_server: MakeServer) -> None:
    server = make_server(limits=Limits(upload_bytes=10_000))

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield bytes(1000)

    async def ask() -> httpx.Response:
        return await server.ask("POST", "/predict", content=pieces())

    assert asyncio.run(ask()).status_code == 413
    assert clean(server)


def test_bodies_of_all_kinds(server: Server, content: bytes) -> None:
    kinds = {
        b"": 400,
        b"rubbish" * 30: 415,
        content[:300]: 400,
        zip_bytes({"../a": b"x"}): 400,
        zip_bytes({"a.txt": b"x"}): 415,
        zip_bytes({}): 415,
    }
    for body, status in kinds.items():
        answer = server.post(body)
        assert answer.status_code == status, (body[:20], answer.text)
        told(answer)
    assert server.post(content, headers={"Content-Type": "application/json"}).status_code == 415
    assert server.post(files=[("file", ("a", b"x"))] * 100).status_code == 413
    assert server.post(content).status_code == 200 and clean(server)


def test_a_client_that_does_not_take_its_answer(tmp_path: Path) -> None:
    from contextlib import ExitStack

    (tmp_path / "out.nii.gz").write_bytes(os.urandom(1000))
    held, let_go = ExitStack(), []
    held.callback(let_go.append, True)
    answer = Answer(Made(tmp_path / "out.nii.gz", "application/gzip", {}), held, 0.02)

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.body":
            await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        asyncio.run(answer({"type": "http"}, None, send))  # type: ignore[arg-type]
    assert let_go == [True]


def test_a_client_that_goes_away_while_it_sends(server: Server) -> None:
    sent: list[dict[str, object]] = []
    arriving = iter([{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> dict[str, object]:
        return next(arriving)

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-length", b"100")]
    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "headers": headers}
    asyncio.run(server.app(scope, receive, send))  # type: ignore[arg-type]
    assert clean(server) and [message.get("status") for message in sent] == [499, None]
    assert "POST /predict 499" in server.said[0]
