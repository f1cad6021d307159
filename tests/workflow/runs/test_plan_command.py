from __future__ import annotations

from pathlib import Path

from autospine.workflow.runs.plan_command import half_hour_command, option_of, plan_command

HERE = Path("runs")


def test_the_command_has_the_options_that_were_asked() -> None:
    assert plan_command(Path("my spines"), HERE, None) == "autospine plan 'my spines'"
    asked = {
        "recipe": "lumbar",
        "memory_gb": 11.5,
        "budget_s": 5400.0,
        "epochs": None,
        "device": "cuda",
        "subjects": "(sub-\\d+)",
        "allow_missing": True,
        "files": "0123",
        "source": None,
    }
    assert plan_command(Path("spines"), Path("elsewhere"), asked) == (
        "autospine plan spines --recipe lumbar --memory 11.5GB --subjects '(sub-\\d+)' --budget 90m --device cuda "
        "--allow-missing --runs elsewhere"
    )
    assert plan_command(Path("spines"), HERE, {"recipe": "default", "epochs": 3, "budget_s": None}) == (
        "autospine plan spines --epochs 3"
    )
    assert plan_command(Path("spines"), HERE, {"recipe": "mine", "source": "0123", "budget_s": 90.5}) == (
        "autospine plan spines --recipe mine.toml --from PLAN --budget 90.5s"
    )


def test_half_an_hour_takes_the_place_of_the_time_that_was_asked() -> None:
    asked = {"recipe": "lumbar", "epochs": 1000, "budget_s": None, "layout": "bids"}
    assert half_hour_command(Path("spines"), HERE, asked) == (
        "autospine plan spines --recipe lumbar --layout bids --budget 30m --overwrite"
    )
    assert half_hour_command(Path("spines"), HERE, {**asked, "source": "0123"}) is None


def test_parts_of_a_request_are_called_by_their_options() -> None:
    called = {"memory_gb": "--memory", "source": "--from", "allow_missing": "--allow-missing"}
    assert {key: option_of(key) for key in called} == called
