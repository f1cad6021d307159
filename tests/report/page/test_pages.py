from __future__ import annotations

from collections.abc import Callable

from autospine.planning.document.plan import Plan
from autospine.report.page.pages import run_page
from autospine.report.page.scoreboard import Scoreboard
from tests.report.page.pages import run_of


def test_a_page_has_what_there_is(make_plan: Callable[..., Plan]) -> None:
    page = run_page(run_of(make_plan(dataset="spines")), "autospine")
    assert (page.title, page.subtitle) == ("spines", "Training of 3d_fullres")
    assert [section.key for section in page.sections] == [
        *("summary", "scores", "cases", "data", "plan", "training", "model", "settings", "again")
    ]


def test_a_page_of_next_to_nothing(make_plan: Callable[..., Plan]) -> None:
    bare = {"fingerprint": None, "folds": (), "scores": Scoreboard.of({}), "about": None, "viewers": (), "commands": ()}
    page = run_page(run_of(make_plan(), **bare), "autospine")
    assert [section.key for section in page.sections] == ["summary", "plan"]


def test_all_of_it(make_plan: Callable[..., Plan]) -> None:
    run = run_of(
        make_plan(),
        worklist=({"rank": "1", "case": "aaa", "reason": "shifted"},),
        selection={"members": ["3d_fullres"]},
        promise={"confidence": 0.9},
    )
    keys = [section.key for section in run_page(run, "autospine").sections]
    assert keys[2:6] == ["cases", "promise", "choice", "worklist"]
