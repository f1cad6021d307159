"""Models that are given away, from the command line."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from tests.cli.calling import Run, call, refused, text


def test_export_and_predict(trained: Run, tmp_path: Path) -> None:
    model, file = trained.runs / trained.dataset.name / "3d_fullres", tmp_path / "spines.autospine"
    done = call("export", model, file, "--licence", "CC-BY-4.0")
    assert done.exit_code == 0, done.output
    assert "spines.autospine (fold(s) 0)" in text(done)
    with zipfile.ZipFile(file) as archive:
        about = json.loads(archive.read("3d_fullres/about.json"))
        content = b"".join(map(archive.read, archive.namelist()))
    assert about["licence"] == "CC-BY-4.0" and about["trained_on"]["cases"] == 6
    assert about["validation"][0]["cases"] > 0 and about["validation"][0]["structures"][0]["structure"] == "upper"
    assert b"toy_0" not in content and str(trained.dataset).encode() not in content

    image = trained.dataset / "imagesTr" / "toy_00_0000.nii.gz"
    options = ("--device", "cpu", "--no-mirror")
    for given, out in ((model, "folder"), (file, "file")):
        result = call("predict", image, tmp_path / out / "a.nii.gz", "--model", given, *options)
        assert result.exit_code == 0, result.output
    assert (tmp_path / "folder" / "a.nii.gz").read_bytes() == (tmp_path / "file" / "a.nii.gz").read_bytes()

    refused(call("export", model, file), "stands there already")
    assert call("export", model, file, "--overwrite", "--folds", "0").exit_code == 0
    refused(call("export", model, tmp_path / "b.autospine", "--folds", "3"), "no trained fold 3")
    refused(call("export", model, tmp_path / "b.pt"), "cannot tell by the ending", "b.autospine")
    refused(call("export", tmp_path / "nowhere", tmp_path / "b.autospine"), "no such file")
    file.write_bytes(file.read_bytes()[:-1])
    refused(call("predict", image, tmp_path / "out", "--model", file, *options), "spines.autospine")
    assert not (tmp_path / "b.autospine").exists() and not (tmp_path / "out").exists()
