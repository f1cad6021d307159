from __future__ import annotations

from autospine.workflow.progress import Silent, counted


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
