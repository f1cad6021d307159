from __future__ import annotations

from collections.abc import Callable

from autospine.planning.document.about import About
from autospine.planning.document.plan import Plan
from autospine.report.page.blocks import Commands, Facts, Folded, Notes, Text
from autospine.report.page.material import FoldMaterial
from autospine.report.page.recorded import commands_section, model_section, settings_section, without_folders
from tests.report.page.pages import run_of


def test_folds_that_were_trained_alike_are_told_once(make_plan: Callable[..., Plan]) -> None:
    record = {"flags": {"init": "/home/me/w.safetensors", "overwrite": False}, "versions": {"torch": "2.13"}}
    again, other = {**record, "result": {"seconds": 3}}, {**record, "versions": {"torch": "2.14"}}
    folds = tuple(FoldMaterial(str(number), {}, one, {}) for number, one in enumerate((record, again, other, {})))
    section = settings_section(run_of(make_plan(), folds=folds))
    assert section is not None
    first, second = section.blocks
    assert isinstance(first, Facts)
    assert first.rows == (("option init", "w.safetensors"), ("option overwrite", "no"), ("torch", "2.13"))
    assert isinstance(second, Folded) and second.title == "Fold 2"
    assert settings_section(run_of(make_plan(), folds=())) is None


def test_no_folder_is_named() -> None:
    assert without_folders("/a/b/c.toml") == "c.toml" and without_folders("C:\\Users\\me\\x") == "x"
    assert without_folders("CPU, 2 cores") == "CPU, 2 cores" and without_folders(3.5) == "3.5"


def test_what_a_user_has_to_know(make_plan: Callable[..., Plan]) -> None:
    about = About(autospine="0.1.0", date="2026-11-30", limits=("No medical device.",))
    section = model_section(run_of(make_plan(), about=about, readme="# A <model>"))
    assert section is not None
    facts, notes, folded = section.blocks
    assert isinstance(facts, Facts) and ("Licence", "none was given") in facts.rows
    assert isinstance(notes, Notes) and notes.items == ("No medical device.",)
    assert isinstance(folded, Folded) and folded.blocks == (Text("# A <model>", "README of the model"),)
    assert model_section(run_of(make_plan(), about=None)) is None


def test_what_is_done_after_the_network_is_said_in_words(make_plan: Callable[..., Plan]) -> None:
    after = {"schema": 1, "steps": [{"kind": "above", "structure": "L5", "volume_mm3": 300.0}]}
    section = model_section(run_of(make_plan(), about=None, postprocessing=after, temperature=1.25))
    assert section is not None
    assert section.blocks == (
        Notes(("L5: components below 300 mm³ removed",), "What is done to its segmentations"),
        Facts((("Temperature of its probabilities", "1.25"),)),
    )


def test_commands() -> None:
    section = commands_section(("autospine train x 0",))
    assert section is not None and section.blocks[0] == Commands(("autospine train x 0",))
    assert commands_section(()) is None
