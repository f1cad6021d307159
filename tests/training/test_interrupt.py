from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from autospine.data.disk.files import atomic_path
from autospine.errors import Stopped
from autospine.planning.document.configuration import Configuration
from autospine.preprocessing.store import Store
from autospine.training.checkpoint import CHECKPOINT
from autospine.training.interrupt import StopRequest
from autospine.training.progress import FitProgress
from tests.training.trainings import train


def test_a_second_signal_of_the_same_stop_is_no_second_stop(
    small_store: Store, quick: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`timeout` sends one to the process and one to its group; a person asks again a second later."""

    def twice(state: FitProgress) -> None:
        if state.step == 2:
            for name in ("SIGTERM", "SIGINT"):
                signal.raise_signal(getattr(signal, name))

    with pytest.raises(Stopped, match="2 steps"):
        train(quick, small_store, tmp_path / "once", workers=0, on_step=twice)
    assert (tmp_path / "once" / CHECKPOINT).is_file()
    monkeypatch.setattr("autospine.training.interrupt.SAME_STOP_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(quick, small_store, tmp_path / "twice", workers=0, on_step=twice)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP")
@pytest.mark.parametrize("ignored", [False, True])
def test_a_terminal_that_closes_stops_a_training_unless_that_is_ignored(
    small_store: Store, quick: Configuration, tmp_path: Path, ignored: bool
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    close: Callable[[FitProgress], None] = lambda state: signal.raise_signal(signal.SIGHUP)  # noqa: E731
    try:
        if ignored:
            assert train(quick, small_store, tmp_path / "fold", workers=0, on_step=close).step == 12
        else:
            with pytest.raises(Stopped):
                train(quick, small_store, tmp_path / "fold", workers=0, on_step=close)
        assert (tmp_path / "fold" / CHECKPOINT).is_file()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_stop_leaves_no_half_written_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autospine.training.interrupt.SAME_STOP_S", 0.0)
    (tmp_path / "whole").write_text("before")
    with StopRequest() as stop, pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
        assert stop.requested
        with atomic_path(tmp_path / "whole") as temporary:
            temporary.write_text("half")
            signal.raise_signal(signal.SIGTERM)
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]
    assert (tmp_path / "whole").read_text() == "before"
