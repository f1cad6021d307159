"""The example in docs/python.md does what the page says, as it stands there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from autospine.data.volume import read_volume
from autospine.machine.precision import pinned
from autospine.planning.document.configuration import Configuration
from tests.data.dicom_files import write_series
from tests.data.sagittal_series import ARRAY, GRID
from tests.workflow.predicting import made_model, put_image

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


def test_the_example_of_a_predictor(
    tmp_path: Path,
    make_configuration: Callable[..., Configuration],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (example,) = [
        code for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "Predictor" in code
    ]
    made_model(tmp_path / "model", make_configuration(spacing_mm=(1.0, 1.0)), 0)
    for number in range(2):
        put_image(tmp_path / "scans" / f"scan_{number}.nii.gz", number)
    shutil.copy(tmp_path / "scans" / "scan_0.nii.gz", tmp_path / "scan.nii.gz")
    write_series(tmp_path / "series", ARRAY, GRID)
    monkeypatch.chdir(tmp_path)
    with pinned("float32"):
        exec(compile(example, str(PAGE), "exec"), {"__name__": "example"})
    said = capsys.readouterr().out
    assert "{1: 'upper', 2: 'middle', 3: 'lower'}" in said and "scan_1.nii.gz" in said
    labels, image = (nibabel.load(tmp_path / name) for name in ("labels.nii.gz", "scan.nii.gz"))
    np.testing.assert_allclose(labels.affine, image.affine)
    assert labels.shape == image.shape and set(np.unique(labels.dataobj)) <= {0, 1, 2, 3}
    assert read_volume(tmp_path / "series.nii.gz").array.shape[1:] == read_volume(tmp_path / "series").array.shape[1:]
