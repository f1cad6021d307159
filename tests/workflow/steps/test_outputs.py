from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.data.geometry import Volume
from autospine.data.inputs import find_inputs
from autospine.data.made_by import MadeBy
from autospine.data.not_to_segment import SIDES
from autospine.data.structure import Region
from autospine.data.volume import read_volume
from autospine.errors import OutputError
from autospine.inference.column import FoundVertebra
from autospine.inference.segmentation import Segmentation
from autospine.planning.document.data import DataPlan, IntensityPlan
from autospine.planning.document.promised import Flag, Promised, StructurePromise
from autospine.workflow.runs.predicted import Target
from autospine.workflow.steps.outputs import ENDINGS, CaseOutput, ModelFacts, Outputs, read_flagged, read_unnamed
from tests.workflow.predicting import GRID, put_image

DATA = DataPlan("toy", ("T2",), (IntensityPlan(0.0, 1.0, 0.0, 1.0),), (("L5", 1), ("L4", 2), ("disc", 3)))
MODEL = ModelFacts.of(DATA, MadeBy("2d", "ab" * 32))
ALL = Outputs(uncertainty=True, statistics=True, preview=True)


def segmentation() -> Segmentation:
    labels = np.zeros((1, *GRID.shape), np.uint8)
    labels[0, 1:3, 4:9, 4:9] = 1
    unsure = Volume(np.full((1, *GRID.shape), 0.25, np.float32), GRID)
    names = {one.value: one.name for one in MODEL.structures}
    held = {name: (value,) for value, name in names.items()}
    return Segmentation(Volume(labels, GRID), names, held, uncertainty=unsure)


def case_of(folder: Path, name: str = "a", single: str = "") -> CaseOutput:
    image = put_image(folder / "images" / f"{name}.nii.gz")
    path = folder / single if single else folder / "out" / f"{name}.nii.gz"
    return CaseOutput(name, (image,), path, bool(single), MODEL)


def write(outputs: Outputs, case: CaseOutput) -> None:
    """The file has its name at once here; the record that comes before that is a matter of `runs.predicted`."""
    with outputs.written(case.path, case, segmentation()):
        pass


def below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_all_that_is_asked_for_lies_in_folders_of_its_kind(tmp_path: Path) -> None:
    case = case_of(tmp_path)
    write(ALL, case)
    ALL.finish(case.path.parent, False, MODEL)
    made = ["preview/a.png", "statistics.csv", "statistics/a.csv", "uncertainty/a.nii.gz"]
    hidden = [name for name in below(tmp_path / "out") if Path(name).name.startswith(".")]
    assert below(tmp_path / "out") == sorted(["a.nii.gz", "dseg.tsv", "labels.itksnap.txt", *made, *hidden])
    assert (read_volume(tmp_path / "out" / "uncertainty" / "a.nii.gz").array == 0.25).all()
    with (tmp_path / "out" / "statistics.csv").open() as file:
        rows = list(csv.DictReader(file))
    inside = read_volume(case.images[0]).array[0, 1:3, 4:9, 4:9]  # type: ignore[arg-type]
    assert [row["voxels"] for row in rows] == ["50", "0", "0"] and rows[0]["volume_mm3"] == "150"
    assert float(rows[0]["mean_T2"]) == pytest.approx(float(inside.mean()), rel=1e-4)


def test_beside_a_single_file_they_are_called_like_it_and_are_no_images(tmp_path: Path) -> None:
    case = case_of(tmp_path, single="images/seg.nii.gz")
    write(ALL, case)
    ALL.finish(case.path, True, MODEL)
    Target(case.path, True).record.write_text("{}")
    made = ["seg.nii.gz", "seg.preview.png", "seg.statistics.csv", "seg.uncertainty.nii.gz"]
    assert {name for name in below(tmp_path / "images") if not name.startswith(".")} == {"a.nii.gz", *made}
    notes: list[str] = []
    assert [name for name, _ in find_inputs(tmp_path / "images", ("T2",), tell=notes.append)] == ["a"]
    assert any("seg.nii.gz" in note and "seg.uncertainty.nii.gz" in note for note in notes)
    assert case_of(tmp_path, single="x.dcm").beside("preview").name == "x.preview.png"
    assert case_of(tmp_path, single="x.seg.nrrd").beside("statistics").name == "x.statistics.csv"


def test_what_an_earlier_prediction_left_beside_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    case, other = case_of(tmp_path), case_of(tmp_path, "b")
    write(ALL, case)
    write(ALL, other)
    write(Outputs(statistics=True), case)
    assert not case.beside("preview").exists() and not case.beside("uncertainty").exists()
    assert case.beside("statistics").exists() and other.beside("preview").exists()
    ALL.finish(case.path.parent, False, MODEL)
    write(Outputs(), case)
    Outputs().finish(case.path.parent, False, MODEL)
    table = tmp_path / "out" / "statistics.csv"
    assert "\na," not in table.read_text() and "\nb," in table.read_text()
    write(Outputs(), other)
    Outputs().finish(case.path.parent, False, MODEL)
    assert not table.exists()


def test_what_was_not_asked_for_is_none_of_a_predictions_business(tmp_path: Path) -> None:
    case, own = case_of(tmp_path), tmp_path / "out" / "statistics" / "mine.csv"
    own.parent.mkdir(parents=True)
    own.write_text("height;weight\n1,70;71\n")
    write(Outputs(), case)
    Outputs().finish(case.path.parent, False, MODEL)
    assert list(own.parent.iterdir()) == [own] and not (tmp_path / "out" / "statistics.csv").exists()
    single = case_of(tmp_path, single="images/seg.nii.gz")
    mine = tmp_path / "images" / "seg.preview.png"
    mine.write_bytes(b"a picture of the user's")
    write(Outputs(), single)
    assert mine.exists()
    write(Outputs(), single)  # of the segmentation that stands there by now
    assert not mine.exists()


def test_what_is_promised_is_written_of_each_case_and_of_all(tmp_path: Path) -> None:
    promising = replace(MODEL, promises=True)
    cases = [replace(case_of(tmp_path, name), model=promising) for name in ("b", "a")]
    assert Outputs().wanted(cases[0]).evidence and not Outputs().wanted(case_of(tmp_path)).evidence
    assert Outputs().lacking(cases[0]) == {"promise"}
    with pytest.raises(ValueError, match="no promise"):
        write(Outputs(), cases[0])
    for case, flags in zip(cases, ((Flag("dark"), Flag("small", "L4")), ()), strict=True):
        structures = (StructurePromise("L5", 0.8, 0.9, 30), StructurePromise("L4", None, None, 0, "not found"))
        made = replace(segmentation(), promise=Promised(0.9, structures, flags))
        with Outputs().written(case.path, case, made):
            pass
    out = tmp_path / "out"
    assert read_flagged(out, False, ("a", "b")) == {}
    Outputs().finish(out, False, promising)
    with (out / "promise.csv").open() as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    assert rows == [
        ("a", "L5", "0.800", "0.900", "0.9", "30", ""),
        ("a", "L4", "", "", "", "0", ""),
        ("b", "", "", "", "", "", "dark"),
        ("b", "L5", "0.800", "0.900", "0.9", "30", ""),
        ("b", "L4", "", "", "", "0", "small"),
    ]
    assert read_flagged(out, False, ("a", "b")) == {"b": "dark"} and read_flagged(out, False, ("a",)) == {}
    single = replace(case_of(tmp_path, single="images/seg.nii.gz"), model=promising)
    assert single.beside("promise").name == "seg.promise.csv"
    with Outputs().written(single.path, single, replace(segmentation(), promise=Promised(0.9, (), (Flag("x"),)))):
        pass
    assert read_flagged(single.path, True, ("a",)) == {"a": "x"}
    # a model that promises nothing takes away what another has said of the case
    with Outputs().written(cases[0].path, replace(cases[0], model=MODEL), segmentation()):
        pass
    Outputs().finish(out, False, MODEL)
    assert read_flagged(out, False, ("a", "b")) == {} and "b" not in (out / "promise.csv").read_text().split("\n")[1]


def test_each_kind_of_file_has_an_ending() -> None:
    assert set(ENDINGS) == set(SIDES)


def test_the_segmentation_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object) -> None:
        raise OutputError("preview", "no room")

    monkeypatch.setattr("autospine.report.preview.write_preview", fails)
    case = case_of(tmp_path)
    with pytest.raises(OutputError, match="no room"):
        write(ALL, case)
    assert not case.path.exists()


def test_probabilities_are_streamed_to_their_file(tmp_path: Path) -> None:
    case = case_of(tmp_path)
    wanted = Outputs(probabilities=True).wanted(case)
    assert wanted.probabilities == tmp_path / "out" / "probabilities" / "a.b2nd" and not wanted.uncertainty
    assert wanted.probabilities.parent.is_dir()
    wanted.probabilities.write_bytes(b"streamed")
    write(Outputs(probabilities=True), case)
    assert wanted.probabilities.read_bytes() == b"streamed"
    Outputs(probabilities=True).wanted(case)
    with pytest.raises(ValueError, match="no probabilities"):  # what an earlier prediction left does not count
        write(Outputs(probabilities=True), case)
    assert Outputs().wanted(case).probabilities is None


def test_formats_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    image = put_image(tmp_path / "a.nii")
    with pytest.raises(OutputError, match="not a format that segmentations are written in"):
        Outputs("gif").check()
    Outputs("mha").check()
    for name, chosen in (("a.nii", "nifti"), ("a.SEG.nrrd", "seg-nrrd"), ("a.nrrd", "nrrd"), ("a.dcm", "dicom-seg")):
        Outputs(chosen).check(tmp_path / name)
    for name, chosen in (("a.nii.gz", "dicom-seg"), ("a.seg.nrrd", "nrrd"), ("a.nrrd", "seg-nrrd"), ("a.png", "mha")):
        with pytest.raises(OutputError, match=f"and --format {chosen}"):
            Outputs(chosen).check(tmp_path / name)
    assert Outputs("mha").name_of("a", image) == "a.mha" and Outputs().name_of("a", image) == "a.nii"
    case = CaseOutput("a", (image,), tmp_path / Outputs("dicom-seg").name_of("a", image), False, MODEL)
    with pytest.raises(OutputError, match=r"a\.nii is none"):
        Outputs("dicom-seg").check_case(case)


def test_of_regions_the_values_are_named_that_they_are_written_as() -> None:
    regions = (Region("whole", (1, 2), 2), Region("core", (1,), 1))
    data = DataPlan("toy", DATA.channels, DATA.intensities, DATA.labels, regions=regions)
    assert [one.name for one in ModelFacts.of(data, MODEL.made_by).structures] == ["L5", "L4"]
    assert [one.name for one in MODEL.structures] == ["L5", "L4", "disc"]


def test_an_uncertainty_that_nobody_computed_is_a_fault_of_ours(tmp_path: Path) -> None:
    case = case_of(tmp_path)
    with pytest.raises(ValueError, match="no uncertainty"):
        with Outputs(uncertainty=True).written(case.path, case, replace(segmentation(), uncertainty=None)):
            pass
    assert not case.path.exists()


def test_levels_and_instances_lie_beside_segmentations(tmp_path: Path) -> None:
    model = replace(MODEL, levels=True)
    case = replace(case_of(tmp_path), model=model)
    unsure = FoundVertebra(1, "L5", 0.6, (("L4", 0.4),), False, False, 50, "could be L5 (60 %), L4 (40 %)")
    numbers = Volume(np.ones((1, *GRID.shape), np.uint16), GRID)
    outputs = Outputs(instances=True)
    with pytest.raises(ValueError, match="no instances"):
        write(outputs, case)
    with outputs.written(case.path, case, replace(segmentation(), column=(unsure,), instances=numbers)):
        pass
    out = tmp_path / "out"
    outputs.finish(out, False, model)
    assert (read_volume(out / "instances" / "a.nii.gz").array == 1).all()
    assert read_unnamed(out, False, ("a",)) == {"a": ["vertebra 1 could be L5 (60 %), L4 (40 %)"]}
    assert read_unnamed(out, False, ("b",)) == {} and outputs.lacking(case) == set()
