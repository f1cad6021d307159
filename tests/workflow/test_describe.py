from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from autospine.cli.app import app
from autospine.data.structure import Reading
from autospine.workflow.describe import describe_dataset
from tests.data.dicom_files import PATIENT, PATIENT_ID
from tests.data.laid_out import dicom, folders
from tests.data.small import CONTENT


def test_what_was_understood_is_said_and_drawn(tmp_path: Path) -> None:
    folders(tmp_path / "spine", CONTENT)
    found = describe_dataset(tmp_path / "spine", tmp_path / "runs", Reading())
    assert found.dataset.layout == "folders" and not found.faults
    assert found.grids == (("3 x 4 x 5 voxels of 4 x 1.5 x 0.75 mm", 6),)
    assert found.picture == tmp_path / "runs" / "spine" / "contact_sheet.png"
    assert len(np.unique(picture(found.picture)[..., :3].reshape(-1, 3), axis=0)) > 50


def picture(path: Path) -> np.ndarray:
    from matplotlib.image import imread

    return np.round(imread(path) * 255)


def test_faults_are_told_and_the_rest_is_drawn(tmp_path: Path) -> None:
    root = folders(tmp_path / "spine", CONTENT)
    broken = root / "images" / "sub-02.nii.gz"
    broken.write_bytes(broken.read_bytes()[:40])
    (root / "labels" / "sub-03.nii.gz").unlink()
    found = describe_dataset(root, tmp_path / "runs", Reading())
    assert any("sub-02" in fault for fault in found.faults) and any("sub-03" in fault for fault in found.faults)
    assert found.grids[0][1] == 5 and found.picture is not None
    shown = CliRunner().invoke(app, ["describe", str(root), "--runs", str(tmp_path / "runs")])
    assert shown.exit_code == 0 and "autospine check" in shown.output


def test_nothing_that_can_be_read(tmp_path: Path) -> None:
    root = folders(tmp_path / "spine", CONTENT)
    for path in root.rglob("*.nii.gz"):
        path.write_bytes(b"nothing")
    found = describe_dataset(root, tmp_path / "runs", Reading())
    assert found.picture is None and len(found.faults) == 12 and not found.grids


def test_headers_of_patients_reach_nothing_that_is_written(tmp_path: Path) -> None:
    root = dicom(tmp_path / "spine", CONTENT)
    for path in root.rglob("*.dcm"):
        path.write_bytes(path.read_bytes().replace(b"sub-0", b"HOSP0"))  # of the PatientID
    runs = tmp_path / "runs"
    for words in (["describe", root], ["check", root], ["plan", root, "--device", "cpu"]):
        shown = CliRunner().invoke(app, [*map(str, words), *(["--runs", str(runs)] if words[0] != "check" else [])])
        assert shown.exit_code == 0, shown.output
        assert not any(secret in shown.output for secret in (PATIENT, PATIENT_ID, "HOSP0", "19500101"))
    written = [path for path in runs.rglob("*") if path.is_file()]
    assert {"plan.toml", "fingerprint.json", "splits.json", "contact_sheet.png"} <= {path.name for path in written}
    for path in written:
        content = path.read_bytes()
        assert not any(secret.encode() in content for secret in (PATIENT, PATIENT_ID, "HOSP0", "19500101", "20200102"))


CONTENTS = {
    "lumbar-water": ("nnunet", ("water",), 5, 37, 37),
    "lumbar-t2": ("nnunet", ("T2",), 7, 12, 12),
    "cord-axial": ("nnunet", ("T2star",), 2, 8, 6),
    "muscle-axial": ("nnunet", ("water", "fat"), 4, 2, 2),
    "hippocampus": ("nnunet", ("MRI",), 2, 156, 156),
    "dicom-t2-lumbar": ("dicom", ("MR",), 0, 1, 1),
    "t2-crop": ("beside", ("T2w",), 13, 1, 1),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_the_real_folders_are_described_without_a_flag(
    tmp_path: Path, real_data: Callable[[str], Path], name: str
) -> None:
    found = describe_dataset(real_data(name), tmp_path, Reading())
    dataset = found.dataset
    subjects = len({case.subject for case in dataset.cases})
    said = (dataset.layout, dataset.channels, len(dataset.labels), len(dataset.cases), subjects)
    assert said == CONTENTS[name]
    assert not found.faults and found.picture is not None and found.picture.stat().st_size > 10_000
    assert [kind for kind, _ in found.datasets] == (["seg-subreg_msk", "seg-vert_msk"] if name == "t2-crop" else [""])
