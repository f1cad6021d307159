"""Empty figures, and figures as files: the one place that loads matplotlib.

Its object interface on the Agg canvas touches no window system and no global state. It is loaded when a picture is
drawn, not before. It and the system's list of fonts keep what they find in the user's home: where that cannot be
written, they get a temporary folder instead of complaining.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from autospine.data.disk.files import atomic_path
from autospine.machine.temporary import find_temporary_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CACHE = "XDG_CACHE_HOME"
"""Environment variable of the folder in which programs keep what they could find again."""


def new_figure(width_inch: float, height_inch: float) -> Figure:
    """An empty figure on an Agg canvas."""
    with _caches():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inch, height_inch), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Writes the figure whole or not at all; the suffix says the format.

    Raises:
        OutputError: the file cannot be written.
    """
    drawn = BytesIO()  # apart from the disk: what fails here is no fault of that
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # names in scripts that the font has not: boxes
        figure.savefig(drawn, format=path.suffix[1:].lower() or None)
    with atomic_path(path) as temporary:
        temporary.write_bytes(drawn.getvalue())


@contextmanager
def _caches() -> Iterator[None]:
    """A block in which matplotlib is loaded in silence, whether or not the home takes what it keeps."""
    if "matplotlib.figure" in sys.modules:
        yield
        return
    find_temporary_folder()
    logger, given = logging.getLogger("matplotlib"), os.environ.get(_CACHE)
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns of a slower start, and goes on
    try:
        if _takes_files(Path(given or os.path.expanduser("~/.cache"))):
            yield
            return
        with tempfile.TemporaryDirectory(prefix="autospine-") as folder:
            os.environ[_CACHE] = folder
            yield
    finally:
        logger.setLevel(level)
        os.environ.pop(_CACHE, None)
        if given is not None:
            os.environ[_CACHE] = given


def _takes_files(folder: Path) -> bool:
    """Whether the folder is there, or can be made, and can be written to."""
    there = next((place for place in (folder, *folder.parents) if os.path.exists(place)), folder)
    return folder.is_absolute() and os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)
