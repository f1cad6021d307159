from __future__ import annotations

import pytest

from autospine.serve.hosts import is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost", "LocalHost"])
def test_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "localhost.example", "127.0.0.1.example", "", "evil"])
def test_others(host: str) -> None:
    assert not is_loopback(host)
