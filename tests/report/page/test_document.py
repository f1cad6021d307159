"""A whole page: its structure, that it loads nothing, that names stay text, how large it is."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from autospine.planning.document.plan import Plan
from autospine.report.page.blocks import Commands, Page, Prose, Section
from autospine.report.page.document import MOST_BYTES, made_now, render_page, write_page
from autospine.report.page.pages import run_page
from autospine.report.page.slices import ShownCase, viewer_of
from autospine.workflow.steps.reported_run import PICTURE_BYTES
from tests.report.page.pages import NASTY, Reader, run_of

_RENDERED: list[str] = []


@pytest.fixture
def text(make_plan: Callable[..., Plan]) -> str:
    """A page with all sections, made once for these tests."""
    if not _RENDERED:
        plan = make_plan(dataset=NASTY, labels=(("L1", 1), (NASTY, 2), ("L3", 3)))
        _RENDERED.append(render_page(run_page(run_of(plan, ("a", NASTY, "c")), "autospine")))
    return _RENDERED[0]


def test_structure(text: str) -> None:
    read = Reader(text)
    assert read.unclosed == []
    assert [len(read.of(tag)) for tag in ("html", "head", "main", "nav", "header", "footer", "h1")] == [1] * 7
    assert read.of("html")[0]["lang"] == "en"
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for attributes in read.of("a")]
    assert all(link and link[1:] in ids for link in links)
    headings = [int(tag[1]) for tag, _ in read.elements if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1 and all(after - before <= 1 for before, after in zip(headings, headings[1:], strict=False))
    assert all(image.get("alt") for image in read.of("img"))
    assert all(svg.get("role") == "img" and svg.get("aria-label") for svg in read.of("svg"))
    # each section says what it is by its heading
    assert all(one["aria-labelledby"] in ids for one in read.of("section"))


def test_nothing_is_loaded_from_elsewhere(text: str) -> None:
    read = Reader(text)
    for tag, attributes in read.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            value = attributes.get(name) or ""
            assert value.startswith(("#", "data:")) or not value, (tag, name, value)
    assert "@import" not in text and "//" not in re.sub(r"// .*|data:[^\")]*", "", text)
    assert all(found.startswith(("data:", "#")) for found in re.findall(r"url\([\"']?([^\"')]*)", text))


def test_the_page_forbids_itself_all_but_its_own_script(text: str) -> None:
    read = Reader(text)
    policy = next(meta["content"] for meta in read.of("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'; img-src data:;")
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy


def test_names_of_strangers_stay_text(text: str) -> None:
    read = Reader(text)
    assert len(read.of("script")) == 1
    assert "<script>alert" not in text
    assert NASTY in "".join(read.text)
    assert any(attributes.get("aria-label") == f"Slice of {NASTY}0" for attributes in read.of("input"))
    known = {"class", "id", "style", "title", "x", "y", "d", "transform"}
    names = {name for _, attributes in read.elements for name in attributes}
    assert not {name for name in names - known if re.search(r"[^a-z0-9:-]", name.lower())}  # no quote ended a value


def test_no_path_of_the_machine(text: str) -> None:
    assert "secret" not in text and "weights.safetensors" in text


def test_a_case_fits_its_share() -> None:
    rng = np.random.default_rng(0)
    image = ndimage.gaussian_filter(rng.normal(100, 30, (40, 80, 80)), 1.5).astype(np.float32)
    mask = (image > 100).astype(np.uint8)
    case = ShownCase("busy", image, mask, np.roll(mask, 1, axis=1), (1.0, 1.0, 1.0), 0)
    share = 40_000
    viewer = viewer_of(case, ("a",), "why", "case-0", share)
    assert 0 < sum(len(layer.uri) for layer in viewer.layers) <= share
    # what is not pictures has room beside them
    assert PICTURE_BYTES <= 0.8 * MOST_BYTES


def test_commands_stand_as_they_are_typed() -> None:
    page = Page("Title", "Sub", (Section("s", "One", (Commands(("a < b", "c")),)),), "")
    assert "<code>a &lt; b</code>\n<code>c</code>\n</pre>" in render_page(page)


def test_written_whole(tmp_path: Path) -> None:
    page = Page("Title", "Sub", (Section("s", "One", (Prose("a < b"),)),), made_now())
    path = write_page(page, tmp_path / "new" / "report.html")
    assert "a &lt; b" in path.read_text("utf-8") and path.read_text("utf-8").startswith("<!doctype html>")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
