from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from autospine.workflow.progress import Named, Silent, Update, counted


def test_counted_work_says_which_of_how_many_and_the_share() -> None:
    told: list[tuple[str, float]] = []
    tell = counted(lambda text, share: told.append((text, share)))
    tell("a", 1, 4)
    tell("nothing", 0, 0)
    assert told == [("a (1/4)", 0.25), ("nothing (0/0)", 0.0)]


def test_silence_takes_everything() -> None:
    progress = Silent()
    progress.note("unheard")
    with progress.task("unseen") as update:
        update("a", 0.5)


def test_several_processes_are_told_from_each_other() -> None:
    heard: list[str] = []

    class Hearing(Silent):
        def note(self, text: str) -> None:
            heard.append(text)

        @contextmanager
        def task(self, title: str) -> Iterator[Update]:
            heard.append(title)
            yield lambda text, share: heard.append(text)

    progress = Named(Hearing(), "[2] ")
    progress.note("a note")
    with progress.task("a task") as update:
        update("a part", 0.5)
    assert heard == ["[2] a note", "[2] a task", "a part"]
