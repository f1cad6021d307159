from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import httpx
import pytest

from autospine.serve.limits import Limits
from autospine.serve.receiving import Received, receive
from autospine.serve.refusals import RequestError

SMALL = Limits(upload_bytes=2000, files=3, upload_s=5)


def arriving(content: bytes, size: int = 7, pause_s: float = 0) -> AsyncIterator[bytes]:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), size):
            await asyncio.sleep(pause_s)
            yield content[start : start + size]

    return pieces()


def received(
    folder: Path, content: bytes, headers: dict[str, str] | None = None, limits: Limits = SMALL, pause_s: float = 0
) -> Received:
    return asyncio.run(receive(headers or {}, arriving(content, pause_s=pause_s), folder, limits))


def status(folder: Path, content: bytes, headers: dict[str, str] | None = None, limits: Limits = SMALL) -> int:
    with pytest.raises(RequestError) as refused:
        received(folder, content, headers, limits)
    return refused.value.status


def form(files: Iterable[tuple[str, str, bytes]], **fields: str) -> tuple[bytes, dict[str, str]]:
    made = [(field, (name, content)) for field, name, content in files]
    request = httpx.Request("POST", "http://server/predict", files=made, data=fields)
    return request.read(), {"content-type": request.headers["content-type"]}


def test_a_body_that_is_the_file(tmp_path: Path) -> None:
    found = received(tmp_path, b"image" * 10)
    (part,) = found.files
    assert part.path.read_bytes() == b"image" * 10
    assert (part.field, found.fields) == ("", {})


def test_a_form(tmp_path: Path) -> None:
    content, headers = form([("T1", "a.nii", b"one"), ("T2", "b.nii", b"\r\n--two\r\n")], format="nrrd")
    found = received(tmp_path, content, headers)
    assert [(part.field, part.path.read_bytes()) for part in found.files] == [
        ("T1", b"one"),
        ("T2", b"\r\n--two\r\n"),
    ]
    assert found.fields == {"format": "nrrd"}


@pytest.mark.parametrize("name", ["../../evil.nii", "/etc/passwd", "C:\\x", "\u202egpj.exe", "a" * 300, "\u0000", "."])
def test_names_of_files_are_not_used(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    content, headers = form([(name, name, b"image")])
    (part,) = received(folder, content, headers).files
    assert part.path == folder / "part_1"
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["own", "own/part_1"]


def test_a_body_that_is_too_large(tmp_path: Path) -> None:
    assert status(tmp_path, b"", {"content-length": "2001"}) == 413
    assert not list(tmp_path.iterdir())  # refused before anything is read
    assert status(tmp_path, bytes(2001)) == 413  # that says nothing of its length, or lies
    assert (tmp_path / "body").stat().st_size <= 2000


def test_a_form_that_is_too_large(tmp_path: Path) -> None:
    content, headers = form([("file", "a", bytes(3000))])
    assert status(tmp_path, content, headers) == 413


def test_an_empty_body(tmp_path: Path) -> None:
    assert status(tmp_path, b"") == 400


@pytest.mark.parametrize("kind", ["application/json", "text/html; charset=utf-8", "multipart/related; boundary=x"])
def test_other_kinds_of_body(tmp_path: Path, kind: str) -> None:
    assert status(tmp_path, b"{}", {"content-type": kind}) == 415


def test_a_body_that_is_packed_as_a_whole(tmp_path: Path) -> None:
    assert status(tmp_path, b"x", {"content-encoding": "gzip"}) == 415


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=other",
        f"multipart/form-data; boundary={'x' * 5000}",
    ],
)
def test_a_form_without_its_boundary(tmp_path: Path, kind: str) -> None:
    content, _ = form([("file", "a", b"image")])
    assert status(tmp_path, content, {"content-type": kind}) == 400


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_form_that_is_cut_off(tmp_path: Path, share: float) -> None:
    content, headers = form([("file", "a", b"image" * 50)])
    assert status(tmp_path, content[: int(share * len(content))], headers) == 400


def test_a_form_without_files_or_with_an_empty_one(tmp_path: Path) -> None:
    content, headers = form([("file", "a", b"")])
    assert status(tmp_path, content, headers) == 400
    content = b'--x\r\nContent-Disposition: form-data; name="format"\r\n\r\nnrrd\r\n--x--\r\n'
    assert status(tmp_path, content, {"content-type": "multipart/form-data; boundary=x"}) == 400


def test_more_files_and_fields_than_there_may_be(tmp_path: Path) -> None:
    large = Limits(files=3)
    content, headers = form([("file", "a", b"x")] * 100)
    assert status(tmp_path, content, headers, large) == 413
    assert len(list(tmp_path.iterdir())) == 3
    for path in tmp_path.iterdir():
        path.unlink()
    content, headers = form([("file", "a", b"x")], **{f"field{index}": "x" for index in range(9)})
    assert status(tmp_path, content, headers, large) == 413


def test_many_parts_of_one_name_are_many_parts(tmp_path: Path) -> None:
    """They replace each other, and each takes its time all the same."""
    part = b'--x\r\nContent-Disposition: form-data; name="format"\r\n\r\nnrrd\r\n'
    head = {"content-type": "multipart/form-data; boundary=x"}
    with pytest.raises(RequestError) as refused:
        received(tmp_path, part * 100 + b"--x--\r\n", head, Limits(files=3))
    assert refused.value.status == 413 and refused.value.parts["found"] == "more than 6 parts"


def test_a_field_that_is_too_long(tmp_path: Path) -> None:
    content, headers = form([("file", "a", b"x")], format="x" * 5000)
    assert status(tmp_path, content, headers, Limits()) == 400


def test_headers_of_a_part_without_an_end(tmp_path: Path) -> None:
    content = b"--x\r\nContent-Disposition: " + b"a" * 100_000
    assert status(tmp_path, content, {"content-type": "multipart/form-data; boundary=x"}, Limits()) == 400


def test_a_body_that_comes_too_slowly(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as refused:
        received(tmp_path, bytes(700), limits=Limits(upload_s=0.05), pause_s=0.01)
    assert refused.value.status == 408


def test_a_server_that_ends_takes_nothing_more(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as refused:
        asyncio.run(receive({}, arriving(b"image"), tmp_path, SMALL, lambda: True))
    assert refused.value.status == 503
