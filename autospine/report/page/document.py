"""A page as one HTML file that asks for nothing: style, script, drawings and pictures lie in it.

Everything that is text is escaped by the template, whoever wrote it. Beyond that the page forbids itself to load or run
anything that it did not bring along (Content-Security-Policy, with the digest of its one script).
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from autospine import __version__
from autospine.data.disk.files import write_text
from autospine.report.page.blocks import Layer, Page, Viewer, walk

MOST_BYTES = 10_000_000
"""Of a page, whatever it shows: what can be sent by mail."""
_PACKAGE = "autospine.report.page"


def render_page(page: Page) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return environment.get_template("page.html").render(
        page=page,
        layers=layers_of(page),
        style=Markup(_asset("page.css")),
        script=Markup(script),
        digest=digest,
    )


def write_page(page: Page, path: Path) -> Path:
    """Write the page whole or not at all; its path.

    Raises:
        OutputError: it cannot be written.
    """
    write_text(path, render_page(page))
    return path


def layers_of(page: Page) -> tuple[Layer, ...]:
    """Every picture that slices are shown of, once."""
    blocks = (block for section in page.sections for block in walk(section.blocks))
    return tuple(layer for block in blocks if isinstance(block, Viewer) for layer in block.layers)


def made_now() -> str:
    """By what a page is made, and when."""
    return f"autospine {__version__}, {datetime.now().astimezone():%Y-%m-%d %H:%M}"


def _asset(name: str) -> str:
    """Style or script, which lie beside the template."""
    return files(_PACKAGE).joinpath("templates", name).read_text("utf-8")
