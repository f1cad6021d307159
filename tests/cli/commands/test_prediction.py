"""Predictions from the command line, and their scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from autospine.data.geometry import Volume
from autospine.data.volume import read_volume, write_volume
from tests.cli.calling import Run, call, refused, text


def test_predict_and_evaluate(trained: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = call("predict", trained.dataset / "imagesTr", out, "--runs", trained.runs, "--device", "cpu")
    assert result.exit_code == 0, result.output
    image = read_volume(trained.dataset / "imagesTr" / "toy_00_0000.nii.gz")
    predicted = read_volume(out / "toy_00.nii.gz")
    assert predicted.geometry == image.geometry
    held = set(np.unique(predicted.array).tolist())
    assert held & {1, 3} and held <= {0, 1, 3}  # an empty one would say nothing about the values
    again = call("predict", trained.dataset / "imagesTr", out, "--runs", trained.runs, "--device", "cpu")
    assert again.exit_code == 0
    assert "6 case(s) had been predicted before" in text(again)

    scored = call("evaluate", out, trained.dataset / "labelsTr")
    assert scored.exit_code == 0, scored.output
    content = json.loads((out / "metrics.json").read_text())
    assert len(content["cases"]) == 6
    assert set(content["classes"]) == {"upper", "lower"}
    assert content["tolerance_mm"] == 1.0 and content["intervals"]["subjects"] == 6

    table = tmp_path / "who.csv"
    table.write_text("case,subject\n" + "".join(f"toy_{number:02},{number % 2}\n" for number in range(6)))
    options = ("--no-distances", "--tolerance", "2.5mm", "--subjects", table, "--output", tmp_path / "quick.json")
    scored = call("evaluate", out, trained.dataset / "labelsTr", *options)
    assert scored.exit_code == 0 and "mean of 2" in text(scored), scored.output
    quick = json.loads((tmp_path / "quick.json").read_text())
    assert "hd95_mm" not in quick["mean"] and quick["mean"]["dice"] == content["mean"]["dice"]
    assert quick["subjects"]["subjects"][1]["cases"] == ["toy_01", "toy_03", "toy_05"]
    for wrong in ("-1", "nan", "inf", "1 cm"):
        assert call("evaluate", out, trained.dataset / "labelsTr", "--tolerance", wrong).exit_code == 2


def test_other_images_of_the_same_name_are_not_taken_for_done(trained: Run, tmp_path: Path) -> None:
    for number in (0, 1):
        folder = tmp_path / f"hospital_{number}"
        folder.mkdir()
        shutil.copy(trained.dataset / "imagesTr" / f"toy_0{number}_0000.nii.gz", folder / "case_0000.nii.gz")
    options = (tmp_path / "out", "--runs", trained.runs, "--device", "cpu")
    assert call("predict", tmp_path / "hospital_0", *options).exit_code == 0
    refused(call("predict", tmp_path / "hospital_1", *options), "case.nii.gz", "--overwrite")
    assert call("predict", tmp_path / "hospital_1", *options, "--overwrite").exit_code == 0
    geometry = read_volume(tmp_path / "hospital_1" / "case_0000.nii.gz").geometry
    assert read_volume(tmp_path / "out" / "case.nii.gz").geometry == geometry


def test_predict_never_writes_over_its_images(trained: Run, tmp_path: Path) -> None:
    image = tmp_path / "case.nii.gz"
    shutil.copy(trained.dataset / "imagesTr" / "toy_00_0000.nii.gz", image)
    before = image.read_bytes()
    for source, target in ((tmp_path, tmp_path), (image, image), (image, tmp_path)):
        result = call("predict", source, target, "--runs", trained.runs, "--device", "cpu", "--overwrite")
        refused(result, "images themselves")
    assert image.read_bytes() == before


def test_predict_one_file(trained: Run, tmp_path: Path) -> None:
    image = trained.dataset / "imagesTr" / "toy_00_0000.nii.gz"
    options = ("--runs", trained.runs, "--device", "cpu", "--no-mirror", "--memory", "8GB")
    result = call("predict", image, tmp_path / "result.nii.gz", *options)
    assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["result.nii.gz"]
    again = call("predict", image, tmp_path / "result.nii.gz", *options)
    assert again.exit_code == 0 and "1 case(s) had been predicted before" in text(again)
    assert call("predict", image, tmp_path / "result.nii.gz", *options, "--overwrite").exit_code == 0


def test_predict_leaves_files_of_others_alone(trained: Run, tmp_path: Path) -> None:
    (tmp_path / "toy_00.nii.gz").write_bytes(b"mine")
    result = call("predict", trained.dataset / "imagesTr", tmp_path, "--runs", trained.runs, "--device", "cpu")
    assert result.exit_code == 1
    assert "5 of 6 done" in text(result) and "prediction.json does not name it" in text(result)
    assert (tmp_path / "toy_00.nii.gz").read_bytes() == b"mine"
    assert len(list(tmp_path.glob("toy_*.nii.gz"))) == 6


def test_wrong_channel_count(trained: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("toy_00_0000", "toy_00_0001", "toy_01_0000", "toy_01_0001"):
        shutil.copy(trained.dataset / "imagesTr" / "toy_00_0000.nii.gz", folder / f"{name}.nii.gz")
    result = call("predict", folder, tmp_path / "out", "--runs", trained.runs, "--device", "cpu")
    refused(result, "toy_00")
    assert not (tmp_path / "out").exists()


def test_numbers_of_cases_are_no_channels(trained: Run, tmp_path: Path) -> None:
    """One channel has one number: more of them under one name are cases. What is no image is left aside and told."""
    folder = tmp_path / "in"
    folder.mkdir()
    image = trained.dataset / "imagesTr" / "toy_00_0000.nii.gz"
    for name in ("vol_0000", "vol_0001", "vol_0001_seg"):
        shutil.copy(image, folder / f"{name}.nii.gz")
    (folder / "vol_0000.png").write_bytes(b"a picture")
    result = call("predict", folder, tmp_path / "out", "--runs", trained.runs, "--device", "cpu", "--no-mirror")
    assert result.exit_code == 0, result.output
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["dseg.tsv", "labels.itksnap.txt", "prediction.json", "vol_0000.nii.gz", "vol_0001.nii.gz"]
    assert "masks by their names, left aside: vol_0001_seg.nii.gz" in text(result)
    assert "previews of other images, left aside: vol_0000.png" in text(result)
    assert "numbers at the end of names are those of cases" in text(result)


def test_a_file_is_a_file_whatever_the_case_of_its_suffix(trained: Run, tmp_path: Path) -> None:
    image = tmp_path / "IN.NII.GZ"
    shutil.copy(trained.dataset / "imagesTr" / "toy_00_0000.nii.gz", image)
    options = ("--runs", trained.runs, "--device", "cpu", "--no-mirror")
    result = call("predict", image, tmp_path / "OUT.NII.GZ", *options)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "OUT.NII.GZ").is_file()
    assert read_volume(tmp_path / "OUT.NII.GZ").geometry == read_volume(image).geometry
    for target in ("out.mnc", "out.npz", "Out.Nii.Gz"):
        refused(call("predict", image, tmp_path / target, *options), target)
        assert not (tmp_path / target).exists()
    folder = trained.dataset / "imagesTr"
    refused(call("predict", folder, tmp_path / "all.nii.gz", *options), "a file for the segmentations of a folder (6)")


def test_compare_and_pictures(toy_dataset: Path, tmp_path: Path) -> None:
    references = toy_dataset / "labelsTr"
    perfect, poor = tmp_path / "perfect", tmp_path / "poor"
    for folder in (perfect, poor):
        shutil.copytree(references, folder)
    image = read_volume(poor / "toy_02.nii.gz")
    write_volume(poor / "toy_02.nii.gz", Volume(np.roll(image.array, 2, axis=1), image.geometry))
    out = tmp_path / "compared"
    result = call("compare", perfect, f"shifted={poor}", "--ref", references, "--out", out)
    assert result.exit_code == 0, result.output
    assert "shifted against perfect: mean Dice -0.0" in text(result) and "too few to tell" in text(result)
    names = [f"comparison.{ending}" for ending in ("csv", "json", "md", "png")]
    assert sorted(path.name for path in out.iterdir()) == names
    (perfect / "toy_04.nii.gz").unlink()
    refused(call("compare", perfect, poor, "--ref", references, "--out", out), "perfect lacks 1: toy_04", "--common")
    assert call("compare", perfect, poor, "--ref", references, "--out", out, "--common").exit_code == 0
    refused(call("compare", perfect, "--ref", references), "two folders")
    assert call("compare", perfect, poor).exit_code == 2

    drawn = call("evaluate", poor, references, "--pictures", "--worst", 1)
    assert drawn.exit_code == 0, drawn.output
    assert sorted(path.name for path in (poor / "pictures").iterdir()) == ["01_toy_02.png", "worst.png"]
