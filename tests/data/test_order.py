"""What order a folder is listed in, or a table is written in, changes nothing."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autospine.data.dataset import open_dataset
from autospine.data.folds import make_folds
from autospine.data.structure import Reading
from autospine.planning.measured.fingerprint import Fingerprint, extract_fingerprint
from tests.data import lacking, laid_out
from tests.data.small import CONTENT

LAID_OUT: dict[str, Callable[[Path], Path]] = {
    **{name: lambda root, lay_out=lay_out: lay_out(root, CONTENT) for name, (_, lay_out) in laid_out.LAID_OUT.items()},  # type: ignore[misc]
    **{f"{name} with channels": lay_out for name, lay_out in lacking.LAID_OUT.items()},
}


def fingerprint(root: Path) -> Fingerprint:
    return extract_fingerprint(open_dataset(root, Reading(allow_missing=True)))


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Fingerprint]]:
    """Each layout with the fingerprint that it gives as the disk happens to list it."""
    roots = {name: lay_out(tmp_path_factory.mktemp("order") / "spine") for name, lay_out in LAID_OUT.items()}
    return {name: (root, fingerprint(root)) for name, root in roots.items()}


@pytest.mark.parametrize("name", LAID_OUT)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_files_gives_the_same_fingerprint(
    laid_out: dict[str, tuple[Path, Fingerprint]], name: str, seed: int
) -> None:
    """Folders are listed, walked and searched in a random order; the rows of a table stand in another one."""
    root, usual = laid_out[name]
    draw = random.Random(seed)
    table = root / "manifest.csv"
    rows = table.read_text().splitlines() if table.is_file() else []
    with pytest.MonkeyPatch.context() as patch:
        shuffle_listings(patch, draw)
        if rows:
            table.write_text("\n".join([rows[0], *draw.sample(rows[1:], len(rows) - 1)]))
        try:
            assert fingerprint(root) == usual
        finally:
            if rows:
                table.write_text("\n".join(rows))


def shuffle_listings(patch: pytest.MonkeyPatch, draw: random.Random) -> None:
    """Make every way to list a folder give its entries in a random order."""

    def shuffled(method: Callable[..., Iterator[Path]]) -> Callable[..., Iterator[Path]]:
        def listed(self: Path, *arguments: Any) -> Iterator[Path]:
            found = list(method(self, *arguments))
            draw.shuffle(found)
            return iter(found)

        return listed

    for method in ("iterdir", "glob", "rglob"):
        patch.setattr(Path, method, shuffled(getattr(Path, method)))
    walk = os.walk

    def walked(top: Any, *arguments: Any, **named: Any) -> Iterator[tuple[str, list[str], list[str]]]:
        for folder, folders, names in walk(top, *arguments, **named):
            draw.shuffle(folders)
            draw.shuffle(names)
            yield folder, folders, names

    patch.setattr(os, "walk", walked)


def test_listings_are_shuffled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The property above would hold of anything if they were not."""
    for number in range(20):
        (tmp_path / f"{number:02}").mkdir()
    shuffle_listings(monkeypatch, random.Random(1))
    listed = [[path.name for path in found] for found in (tmp_path.iterdir(), tmp_path.glob("*"), tmp_path.rglob("*"))]
    listed.append(next(iter(os.walk(tmp_path)))[1])
    assert all(names != sorted(names) for names in listed) and len({tuple(names) for names in listed}) == 4


@given(columns=st.permutations(["case", "T1", "T2", "label"]))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_columns_of_a_manifest_are_known_by_their_names(
    laid_out: dict[str, tuple[Path, Fingerprint]], columns: list[str]
) -> None:
    """Channels follow the columns, and what belongs to each goes with it."""
    root, usual = laid_out["manifest with channels"]
    header, *rows = ([*line.split(",")] for line in (root / "manifest.csv").read_text().splitlines())
    table = root / "turned.csv"
    lines = [",".join(dict(zip(header, row, strict=True))[column] for column in columns) for row in (header, *rows)]
    table.write_text("\n".join(lines))
    turned = fingerprint(table)
    order = [turned.channels.index(name) for name in usual.channels]
    assert tuple(turned.intensities[index] for index in order) == usual.intensities
    for ours, theirs in zip(turned.cases, usual.cases, strict=True):
        assert {turned.channels[index] for index in ours.missing} == {usual.channels[index] for index in theirs.missing}
        assert ours.class_voxels == theirs.class_voxels and ours.shape == theirs.shape


@given(seed=st.integers(0, 2**32))
def test_any_order_of_cases_gives_the_same_folds(seed: int) -> None:
    draw = random.Random(seed)
    names = [f"case_{number:02}" for number in range(draw.randint(5, 30))]
    subjects = {name: f"p{draw.randint(0, 12)}" for name in names}
    digests = {name: name for name in names}
    mixed = draw.sample(names, len(names))
    if len(set(subjects.values())) > 1:
        usual = make_folds(subjects, digests)
        assert make_folds({name: subjects[name] for name in mixed}, {name: name for name in mixed}) == usual
