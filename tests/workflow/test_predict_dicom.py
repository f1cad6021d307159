"""DICOM in, DICOM-SEG out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from autospine.data.formats.dicom_seg import read_segmentation, segment_names
from autospine.data.volume import read_geometry, read_volume
from autospine.errors import DataError
from autospine.workflow.evaluate import evaluate_paths
from autospine.workflow.steps.outputs import Outputs
from tests.data.dicom_files import write_enhanced, write_series
from tests.workflow.predicting import GRID, cases, contents, predict, put_image, refused


def put_series(folder: Path, seed: int = 0) -> Path:
    write_series(folder, np.random.default_rng(seed).integers(0, 900, GRID.shape), GRID)
    return folder


def test_a_tree_of_series_becomes_an_object_each_that_says_what_it_shows(model: Path, tmp_path: Path) -> None:
    for number in range(2):
        put_series(tmp_path / "in" / f"p{number}" / "sag", number)
    out = tmp_path / "out"
    done, _ = predict(tmp_path / "in", out, model, outputs=Outputs(statistics=True, preview=True))
    assert [path.name for path in done.files] == ["p0_sag.dcm", "p1_sag.dcm"]
    assert sorted(contents(out)) == ["p0_sag.dcm", "p1_sag.dcm", "prediction.json", "statistics.csv"]
    assert sorted(path.name for path in (out / "preview").iterdir()) == ["p0_sag.png", "p1_sag.png"]
    assert {case["file"] for case in cases(out / "prediction.json").values()} == {"p0_sag.dcm", "p1_sag.dcm"}
    header = dcmread(out / "p0_sag.dcm")
    assert segment_names(out / "p0_sag.dcm") == (("upper", 1), ("middle", 2), ("lower", 3))
    source = dcmread(tmp_path / "in" / "p0" / "sag" / "IM0000.dcm")
    assert header.StudyInstanceUID == source.StudyInstanceUID
    # the folder of a configuration, 2d, would say nothing in an archive
    parameters = header.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmParameters
    assert "model=toy 2d; digest=" in parameters and header.SeriesDescription == "Segmentation by toy 2d"
    again, notes = predict(tmp_path / "in", out, model)
    assert not again.seconds and any("2 case(s) had been predicted before" in note for note in notes)


def test_labels_are_the_same_as_in_nifti_on_the_same_grid(model: Path, tmp_path: Path) -> None:
    series = put_series(tmp_path / "series")
    predict(series, tmp_path / "a.dcm", model)
    predict(series, tmp_path / "a.nii.gz", model)
    predict(series, tmp_path / "out", model, outputs=Outputs("nifti"))
    labels = read_volume(tmp_path / "a.nii.gz").array[0]
    assert len(np.unique(labels)) > 1
    np.testing.assert_array_equal(read_segmentation(tmp_path / "a.dcm", read_geometry(series)), labels)
    np.testing.assert_array_equal(read_volume(tmp_path / "out" / "series.nii.gz").array[0], labels)


def test_a_segmentation_within_the_tree_is_no_image_of_the_next_prediction(model: Path, tmp_path: Path) -> None:
    put_series(tmp_path / "in" / "sag")
    predict(tmp_path / "in", tmp_path / "in" / "out", model)
    again, notes = predict(tmp_path / "in", tmp_path / "in" / "out", model)
    assert not again.seconds and len(again.files) == 1
    assert any("left aside: out/" in note for note in notes)


def test_of_an_enhanced_image_the_object_refers_to_its_frames(model: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(4).integers(0, 900, GRID.shape)
    path = write_enhanced(tmp_path / "image.dcm", image, GRID, [2, 0, 1, 4, 3])
    predict(path, tmp_path / "seg.dcm", model)
    predict(path, tmp_path / "seg.seg.nrrd", model)
    made = read_segmentation(tmp_path / "seg.dcm", read_geometry(path))
    np.testing.assert_array_equal(read_volume(tmp_path / "seg.seg.nrrd").array[0], made)


def test_what_is_no_dicom_image_has_no_dicom_seg(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = put_image(tmp_path / "images" / "a.nii.gz")
    assert "refers to a DICOM series, and a.nii.gz is none" in refused(image, tmp_path / "a.dcm", model)
    said = refused(tmp_path / "images", tmp_path / "out", model, outputs=Outputs("dicom-seg"))
    assert "refers to a DICOM series, and a.nii.gz is none" in said
    for name in "bc":
        put_image(tmp_path / "images" / f"{name}.nii.gz")
    said = refused(tmp_path / "images", tmp_path / "out", model, outputs=Outputs("dicom-seg"))
    assert said.count("is none") == 1 and "nor any other of 3 images" in said
    assert not (tmp_path / "a.dcm").exists() and not (tmp_path / "out").exists()
    assert "not a format that segmentations are written in" in refused(
        tmp_path / "images", tmp_path / "out", model, outputs=Outputs("gif")
    )


def test_scores_of_dicom_seg_objects_say_how_to_have_some(model: Path, tmp_path: Path) -> None:
    series = put_series(tmp_path / "series")
    predict(series, tmp_path / "dicom", model)
    every = Outputs("nifti", probabilities=True, statistics=True, preview=True)
    predict(series, tmp_path / "nifti", model, outputs=every)
    with pytest.raises(DataError, match="DICOM files, which are not scored: predict with --format nifti"):
        evaluate_paths(tmp_path / "dicom", tmp_path / "nifti")
    # what lies beside segmentations is none
    scores = evaluate_paths(tmp_path / "nifti", tmp_path / "nifti")
    assert list(scores.to_json()["cases"][0]["classes"]) and len(scores.to_json()["cases"]) == 1 and not scores.notes
