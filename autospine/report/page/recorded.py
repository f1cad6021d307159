"""With what it was made, what the model is for, and how it is made again; no path of any machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from autospine.planning.document.about import About
from autospine.report.page.blocks import Block, Commands, Facts, Folded, Notes, Prose, Section, Text
from autospine.report.page.chosen import step_in_words, tables_of
from autospine.report.page.material import RunMaterial


def settings_section(run: RunMaterial) -> Section | None:
    """Options, versions and hardware of each fold; None where no fold has ended."""
    blocks: list[Block] = []
    seen: list[tuple[tuple[str, str], ...]] = []
    for fold in run.folds:
        facts = tuple(_facts(fold.record))
        if facts and facts not in seen:
            seen.append(facts)
            title = f"Fold {fold.name}"
            blocks.append(Facts(facts) if not blocks else Folded(title, (Facts(facts),)))
    if not blocks:
        return None
    return Section("settings", "Settings, versions, hardware", tuple(blocks), "As the training has recorded them.")


def model_section(run: RunMaterial) -> Section | None:
    """What a user of the model has to know; None where nothing says it."""
    blocks: list[Block] = []
    if run.about is not None:
        blocks.append(Facts(tuple(_about(run.about))))
        if run.about.limits:
            blocks.append(Notes(run.about.limits, "What it is not for"))
    if run.readme:
        blocks.append(Folded("The model's README", (Text(run.readme, "README of the model"),)))
    after = tuple(map(step_in_words, tables_of(run.postprocessing, "steps")))
    if after:
        blocks.append(Notes(after, "What is done to its segmentations"))
    if run.temperature is not None:
        blocks.append(Facts((("Temperature of its probabilities", f"{run.temperature:.3g}"),)))
    return Section("model", "The model", tuple(blocks)) if blocks else None


def commands_section(commands: tuple[str, ...]) -> Section | None:
    """How it is made again."""
    if not commands:
        return None
    text = "The same data, plan, seed, precision and machine give the same weights where the length is given in epochs."
    blocks: tuple[Block, ...] = (Commands(commands), Prose(text))
    return Section("again", "How to make it again", blocks, "Where names are in capitals, put your own folders.")


def without_folders(value: object) -> str:
    """A value as it may be shown: of a path its last part."""
    text = str(value)
    is_path = "/" in text or "\\" in text
    return PurePath(text.replace("\\", "/")).name if is_path else text


def _facts(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for table in ("flags", "versions", "hardware"):
        for key, value in record.get(table, {}).items():
            name = str(key).replace("_", " ")
            shown = ("yes" if value else "no") if isinstance(value, bool) else without_folders(value)
            yield (f"option {name}" if table == "flags" else name), shown


def _about(about: About) -> Iterator[tuple[str, str]]:
    seen = about.trained_on
    if seen is not None:
        yield "Cases of the data set", str(seen.cases)
        yield "Slices of most of them", seen.slices
        for text in seen.descriptions:
            yield "DICOM series called", text
    for name, value in (("autospine", about.autospine), ("torch", about.torch), ("Trained on", about.date)):
        if value:
            yield name, value
    yield "Licence", about.licence or "none was given"
