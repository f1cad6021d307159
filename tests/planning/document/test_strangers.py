"""A model card from a stranger: whatever stands in it, it is taken or refused in one message, and soon."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospine.data.structure import Region
from autospine.errors import PlanError
from autospine.networks.weights import network_shapes
from autospine.planning.decide.topology import initial_patch, topology
from autospine.planning.document.configuration import MOST_PATCH_VOXELS, Configuration
from autospine.planning.document.data import LevelsPlan, PresencePlan
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.model_file import MODEL, MODEL_SCHEMA, _to_file, read_model
from autospine.planning.document.parts import MOST_STAGES, FoldLosses, NetworkPlan
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import plan_to_toml, read_plan_file

ODD: tuple[Any, ...] = (
    None, "", "x" * 10**6, "../../etc", "a\0b", True, 0, -1, 1, 10**9, 10**30, 1e308, float("nan"), float("inf"),
    [], {}, [[]], [None] * 10_001, [1] * 10_001, {"x" * 10**6: 1}, {str(key): key for key in range(10_001)},
)  # fmt: skip
SHORT = 20_000
"""Characters of a message that somebody can still read through."""


@pytest.fixture
def cards(make_configuration: Callable[..., Configuration], make_plan: Callable[..., Plan]) -> list[dict[str, Any]]:
    """Cards that have every part between them, as tables."""
    base = make_configuration()
    levels = LevelsPlan((1, 2), 1, 1.1, (0.9, 0.8))
    loss = replace(
        base.loss, kind="dice_size_adaptive_ce", folds=FoldLosses("a", "b", ("c",), weights=((1.0, 2.0, 1.0, 1.0),))
    )
    full = replace(base, loss=loss)
    network = replace(base.network, in_channels=3, out_channels=1, encoder="residual", bottleneck="msff")
    two = replace(
        base,
        normalisation=("zscore", "ct"),
        network=network,
        loss=replace(base.loss, class_weights=(1.0,)),
    )
    data = make_plan().data
    pair = {"channels": ("T2", "T1"), "intensities": data.intensities * 2, "presence": PresencePlan((1,), 0.25)}
    overlapping = replace(data, regions=(Region("all", (1, 2, 3), 2),), **pair)
    found = [ModelCard(replace(data, sides=((1, 2),), levels=levels), full), ModelCard(overlapping, two)]
    return [{"schema": MODEL_SCHEMA, **json.loads(json.dumps(_to_file(card)))} for card in found]


def places(table: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value in a table, tables and lists among them."""
    if path:
        yield path
    for key, value in table.items() if isinstance(table, dict) else enumerate(table) if isinstance(table, list) else ():
        yield from places(value, (*path, key))


def exchanged(table: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(table) if isinstance(table, dict) else list(table)
    copy[path[0]] = exchanged(table[path[0]], path[1:], value)
    return copy


def test_any_value_anywhere_is_taken_or_refused(
    cards: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is taken has a network whose shapes are known at once."""
    content: Any = None
    monkeypatch.setattr("autospine.planning.document.model_file.read_json", lambda *_: dict(content))
    taken, refused, slowest = 0, 0, 0.0
    built: set[tuple[NetworkPlan, tuple[int, ...]]] = set()
    whole, other = cards
    parts = [path for path in places(other) if path[1:2] in (("presence",), ("regions",))]
    for card, paths in ((whole, list(places(whole))), (other, parts)):
        for path in paths:
            for odd in ODD:
                content = exchanged(card, path, odd)
                start = time.process_time()
                try:
                    read = read_model(tmp_path).configuration
                    if (read.network, read.patch) not in built:
                        network_shapes(read.network, read.patch)
                        built.add((read.network, read.patch))
                    taken += 1
                except PlanError as error:
                    assert len(str(error)) < SHORT, path
                    refused += 1
                slowest = max(slowest, time.process_time() - start)
    assert taken > 100 and refused > 1000
    assert slowest < 5


def written(folder: Path, content: str | bytes) -> Path:
    (folder / MODEL).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ('"schema": 3', '"schema": ' + "9" * 10_000, "not a JSON file"),
        ('"schema": 3', '"schema": ' + "[" * 200_000 + "]" * 200_000, "not a JSON file"),
        ('"schema": 3', '"schema": ' + "[" * 700 + "]" * 700, "not a JSON file|hundreds of levels|schema"),
        ('"batch": 2', '"batch": ' + "[" * 700 + "]" * 700, "not a JSON file|batch: found"),
        ('"batch": 2', '"batch": NaN', "batch: found nan"),
        ('"overlap": 0.5', '"overlap": Infinity', "overlap: found inf"),
        ('"schema": 3', '"schema": 3, "schema": 3', "the key 'schema' stands twice"),
        ('"channels": ["T2"]', '"channels": ["T2"], "labels": []', "the key 'labels' stands twice"),
    ],
    ids=["digits", "deep", "levels", "levels inside", "nan", "infinity", "schema twice", "labels twice"],
)
def test_text_that_json_takes_and_a_card_does_not(
    cards: list[dict[str, Any]], tmp_path: Path, old: str, new: str, found: str
) -> None:
    text = json.dumps(cards[0])
    assert old in text
    with pytest.raises(PlanError, match=found) as error:
        read_model(written(tmp_path, text.replace(old, new)))
    assert len(str(error.value)) < SHORT


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([["L1", 1], ["L2", 10**30], ["L3", 3]], "values of at most 2147483647"),
        ([["L1", 1], ["L2", -1], ["L3", 3]], "values of at least 1"),
        ([["L1", 1], ["L2", 0], ["L3", 3]], "values of at least 1"),
        ([["L1", 1], ["L2", 1], ["L3", 3]], "distinct names and values"),
        ([["L1", 1], ["L1", 2], ["L3", 3]], "distinct names and values"),
        ([["L1", 1], ["L2", 2]], "3: background and labels"),
        ([[f"L{value}", value] for value in range(1, 256)], "at most 254 labels"),
        ([["L" * 1001, 1], ["L2", 2], ["L3", 3]], "names of at most 1000 letters"),
        ([["L1", 1.5], ["L2", 2], ["L3", 3]], "a whole number"),
    ],
    ids=["huge", "negative", "zero", "value twice", "name twice", "too few", "too many", "long name", "fraction"],
)
def test_labels_fit_a_mask_and_the_network(
    cards: list[dict[str, Any]], tmp_path: Path, labels: list[list[object]], found: str
) -> None:
    changed = cards[0] | {"labels": labels}
    with pytest.raises(PlanError, match=found):
        read_model(written(tmp_path, json.dumps(changed)))


def test_a_patch_and_a_network_have_limits(make_configuration: Callable[..., Configuration]) -> None:
    base = make_configuration()
    with pytest.raises(PlanError, match="at most 67108864 voxels together"):
        replace(base, patch=(1024, 1024, 1024))
    assert replace(base, patch=(400, 400, 400)).patch == (400, 400, 400)
    ones = ((1, 1, 1),) * 65
    with pytest.raises(PlanError, match="at most 64 stages"):
        NetworkPlan(3, 1, 4, (8,) * 65, ones, ones, (1,) * 65)


@given(
    st.lists(st.tuples(st.floats(0.05, 20), st.integers(1, 8192)), min_size=2, max_size=3),
)
def test_no_patch_that_is_planned_is_beyond_the_limits(axes: list[tuple[float, int]]) -> None:
    """Where memory is no concern: a patch starts as large as this, and only shrinks."""
    spacing_mm, median = zip(*axes, strict=True)
    net = topology(spacing_mm, initial_patch(spacing_mm, median))
    assert prod(net.patch) <= MOST_PATCH_VOXELS
    assert len(net.strides) <= MOST_STAGES


def test_what_is_no_card_is_not_opened(cards: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / MODEL
    with pytest.raises(PlanError, match="no such file"):
        read_model(tmp_path)
    path.mkdir()
    with pytest.raises(PlanError, match="not a file"):
        read_model(tmp_path)
    path.rmdir()
    os.mkfifo(path)  # reading it would wait for a writer that never comes
    with pytest.raises(PlanError, match="not a file"):
        read_model(tmp_path)
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(PlanError, match="cannot be read"):
        read_model(tmp_path)
    path.unlink()
    with path.open("wb") as file:
        file.truncate(1 << 40)  # all zeros, of which nothing lies on the disk
    with pytest.raises(PlanError, match="more than 4 MiB"):
        read_model(tmp_path)
    path.unlink()
    with pytest.raises(PlanError, match="not a model card"):
        read_model(written(tmp_path, "[]"))


def test_what_may_not_be_read_is_not_called_missing(
    cards: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, json.dumps(cards[0]))

    def forbidden(path: Path, *rest: object, **more: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    for name in ("open", "stat"):
        with monkeypatch.context() as patched:
            patched.setattr(Path, name, forbidden)
            with pytest.raises(PlanError, match=r"cannot be read \(Permission denied\)"):
                read_model(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("batch = 2", f"batch = 0x{'f' * 10_000}", "a number of thousands of digits"),
        ("batch = 2", f"batch = {'9' * 10_000}", "not readable as TOML"),
        ("batch = 2", f"batch = {'[' * 5000}{']' * 5000}", "not readable as TOML"),
        ("schema = 7", f"schema = 0x{'f' * 10_000}", "a number of thousands of digits"),
        ("batch = 2", f"batch = '{'x' * 10**5}'", "a whole number"),
        ("L2 = 2", "L2 = 2147483648", "values of at most 2147483647"),
    ],
    ids=["hexadecimal", "digits", "deep", "schema", "long", "label"],
)
def test_a_plan_is_refused_in_a_message_too(
    make_plan: Callable[..., Plan], tmp_path: Path, old: str, new: str, found: str
) -> None:
    text = plan_to_toml(make_plan())
    assert old in text
    (tmp_path / "plan.toml").write_text(text.replace(old, new))
    with pytest.raises(PlanError, match=found) as error:
        read_plan_file(tmp_path / "plan.toml")
    assert len(str(error.value)) < SHORT


def test_what_is_no_plan_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "plan.toml")
    with pytest.raises(PlanError, match="not a file"):
        read_plan_file(tmp_path / "plan.toml")
    with (tmp_path / "large.toml").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(PlanError, match="more than 4 MiB"):
        read_plan_file(tmp_path / "large.toml")
