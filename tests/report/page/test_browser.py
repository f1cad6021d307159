"""A page in Chromium: nothing is asked for, everything works by keyboard, mouse and touch, axe-core is content.

pytest -m browser; screenshots are kept in the tests' temporary folder (--basetemp says where).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autospine.planning.document.plan import Plan
from autospine.report.page.blocks import Picture
from autospine.report.page.document import write_page
from autospine.report.page.pages import prediction_page, run_page
from autospine.report.page.scoreboard import Scoreboard
from autospine.report.page.studied import study_page
from tests.report.page.pages import NASTY, metrics_of, run_of
from tests.report.page.test_predicted import MADE
from tests.report.page.test_studied import STUDY

pytestmark = pytest.mark.browser
WIDTHS = (1440, 390)
SCHEMES = ("light", "dark")
SERIOUS = ("serious", "critical")
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5Erk"
    "Jggg=="
)
SEGMENTED = replace(
    MADE,
    scores=Scoreboard.of({"": metrics_of(("a", "b"), ("L1", NASTY))}),
    previews=(Picture(PIXEL, "a picture", "a", 1, 1),),
    commands=("autospine report out",),
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def file(tmp_path: Path, make_plan: Callable[..., Plan]) -> Path:
    labels = (("L1", 1), (NASTY, 2), ("L3", 3))
    run = run_of(make_plan(dataset="demo", labels=labels), ("aaa", NASTY, "ccc"))
    return write_page(run_page(run, "autospine"), tmp_path / "report.html")


@pytest.fixture
def seen(chromium: Any, file: Path) -> Iterator[tuple[Any, list[str]]]:
    """The page, and what went wrong on it: messages of the console, requests, errors."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, has_touch=True)
    page, wrong = context.new_page(), list[str]()
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith("data:") else None)
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.goto(file.as_uri())
    yield page, wrong
    context.close()


def positions(page: Any, viewer: int = 0) -> set[str]:
    """Where the layers of a case stand: one place where all of them are in step."""
    script = "(stage) => [...stage.querySelectorAll('.layer')].map((one) => getComputedStyle(one).backgroundPosition)"
    return set(page.locator(".stage").nth(viewer).evaluate(script))


def test_nothing_is_asked_for_and_nothing_goes_wrong(seen: tuple[Any, list[str]], file: Path) -> None:
    page, wrong = seen
    for place in range(page.locator("details").count()):
        page.locator("details > summary").nth(place).click()
    assert wrong == [file.as_uri()]


def test_slices_by_slider_keys_wheel_and_swipe(seen: tuple[Any, list[str]]) -> None:
    page, _ = seen
    slider, output = page.locator("input[type=range]").first, page.locator("output").first
    slider.focus()
    slider.evaluate("(one) => { one.value = 0; one.dispatchEvent(new Event('input', {bubbles: true})) }")
    assert output.inner_text() == "1 of 6" and positions(page) == {"0% 0%"}
    page.keyboard.press("ArrowRight")
    assert output.inner_text() == "2 of 6" and positions(page) == {"50% 0%"}
    assert slider.get_attribute("aria-valuetext") == "slice 2 of 6"
    page.keyboard.press("End")
    assert output.inner_text() == "6 of 6" and positions(page) == {"100% 100%"}
    other = positions(page, 1)
    stage = page.locator(".stage").first
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.keyboard.down("Shift")
    page.mouse.wheel(0, -120)
    page.keyboard.up("Shift")
    page.wait_for_function("document.querySelector('output').textContent === '5 of 6'")
    page.mouse.down()
    page.mouse.move(middle[0] - box["width"] * 0.9, middle[1], steps=20)
    page.mouse.up()
    assert output.inner_text() == "1 of 6"
    assert positions(page, 1) == other  # the other case stays where it is


def test_tables_are_sorted_by_keyboard(seen: tuple[Any, list[str]]) -> None:
    page, _ = seen
    table = page.locator("#scores table").first
    button = table.locator("thead button", has_text="HD95")
    head = table.locator("thead th", has_text="HD95")
    column = "(rows) => rows.map((row) => Number(row.cells[4].dataset.sort))"
    button.focus()
    page.keyboard.press("Enter")
    rising = table.locator("tbody tr").evaluate_all(column)
    assert head.get_attribute("aria-sort") == "ascending" and rising == sorted(rising)
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert table.locator("tbody tr").evaluate_all(column) == sorted(rising, reverse=True)


def test_a_point_says_its_name_when_it_is_tapped(seen: tuple[Any, list[str]]) -> None:
    page, _ = seen
    figure = page.locator("#scores figure").first
    figure.locator(".point").first.dispatch_event("click")
    assert figure.locator(".picked").inner_text() == f"{NASTY}, L1: Dice 0.890"


def test_the_switch_of_colours(seen: tuple[Any, list[str]]) -> None:
    page, _ = seen
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.locator("#theme").focus()
    page.keyboard.press("Space")
    assert page.locator("#theme").get_attribute("aria-pressed") == "true" and page.evaluate(ground) != light
    page.keyboard.press("Space")
    assert page.evaluate(ground) == light


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_everyone_can_read_it(chromium: Any, file: Path, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto(file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=file.with_name(f"{width}-{scheme}.png"), full_page=True)
    found = axe.run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in SERIOUS] == []
    context.close()


@pytest.mark.parametrize("kind", ["study", "segmentations"])
def test_everyone_can_read_the_other_pages(chromium: Any, tmp_path: Path, kind: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page_of = study_page(STUDY, "") if kind == "study" else prediction_page(SEGMENTED, "")
    file = write_page(page_of, tmp_path / "report.html")
    context = chromium.new_context(viewport={"width": 390, "height": 900}, color_scheme="dark")
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.screenshot(path=file.with_name(f"{kind}.png"), full_page=True)
    found = axe.run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in SERIOUS] == []
    context.close()


def test_without_scripts_it_reads_all_the_same(chromium: Any, file: Path) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.locator("#theme").is_hidden() and page.locator(".slider").first.is_hidden()
    assert page.locator(".window").first.is_visible() and page.locator("table").first.is_visible()
    context.close()


def test_it_prints(chromium: Any, file: Path) -> None:
    context = chromium.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(file.as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.locator("nav").is_hidden()
    context.close()
