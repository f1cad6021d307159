from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from autospine.inference.settings import Settings
from autospine.serve.limits import Limits
from autospine.serve.server import ServingRequest
from tests.cli.calling import call, refused, text


def test_options_become_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ServingRequest] = []
    monkeypatch.setattr("autospine.serve.server.serve", lambda request, tell: asked.append(request))
    words = ("--model", tmp_path, "--port", 0, "--queue", 3, "--max-upload", "20MB", "--upload-time", "30s")
    assert call("serve", *words, "--memory", "4GB", "--folds", "0,1", "--no-mirror").exit_code == 0
    assert call("serve").exit_code == 0
    assert call("serve", "--fast", "--exact").exit_code == 0
    limits = Limits(upload_bytes=20_000_000, upload_s=30.0, waiting=3)
    settings = Settings(("0", "1"), False, memory_bytes=4_000_000_000)
    assert asked[0] == ServingRequest(tmp_path, port=0, settings=settings, limits=limits)
    assert asked[1] == ServingRequest()
    assert asked[2] == ServingRequest(settings=Settings(fast=True, exact=True))


def test_an_address_of_others_without_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTOSPINE_TOKEN", raising=False)
    refused(call("serve", "--host", "0.0.0.0"), "without a token", "--token-file")


def test_a_token_is_no_option() -> None:
    """`ps` would show it to everybody."""
    assert call("serve", "--token", "0123456789abcdef").exit_code == 2
    assert call("serve", "--max-upload", "much").exit_code == 2
    assert "--token-file" in text(call("serve", "--help"))


def test_help_loads_no_library_of_the_extra() -> None:
    code = "import sys, autospine.cli.app; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"fastapi", "starlette", "uvicorn", "torch"} & set(loaded)
