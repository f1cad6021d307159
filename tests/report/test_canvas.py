"""Figures as files, and when matplotlib is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.image import imread

from autospine.errors import OutputError
from autospine.report import canvas


def test_a_figure_is_written_in_its_size_by_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.PNG"
    canvas.save_figure(canvas.new_figure(2, 1), path)
    assert imread(path).shape == (110, 220, 4)  # 110 dots per inch
    assert list(path.parent.iterdir()) == [path]


def test_a_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        canvas.save_figure(canvas.new_figure(1, 1), tmp_path / "file" / "a.png")


def test_caches_go_where_files_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert canvas._takes_files(tmp_path / "not" / "yet")
    assert not canvas._takes_files(tmp_path / "file" / "below") and not canvas._takes_files(Path("relative"))


def test_matplotlib_is_imported_only_to_draw() -> None:
    code = "import sys, autospine.report.figures; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
