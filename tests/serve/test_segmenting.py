"""Requests from their files to their answers; what is made of an image is what `predict` makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset

from autospine.data.formats.dicom_seg import read_segmentation
from autospine.data.geometry import Geometry, Volume, same_grid
from autospine.data.structure import Region
from autospine.data.volume import read_volume
from autospine.evaluation.promise import learn_promise
from autospine.planning.document.configuration import Configuration
from autospine.serve.limits import Limits
from autospine.serve.receiving import Part, Received
from autospine.serve.refusals import RequestError
from autospine.serve.segmenting import Asked, Made, Service, described
from autospine.workflow.steps.segmenting import Segmenter
from tests.data.dicom_files import write_series
from tests.data.sagittal_series import ARRAY, GRID
from tests.evidence import cases_like
from tests.serve.serving import bomb, file_bytes, image, nifti_header, segmenter_of, zipped

ROOM = Limits()
AS_IT_IS = Asked()


def answer(
    segmenter: Segmenter,
    folder: Path,
    *contents: bytes,
    fields: tuple[str, ...] = (),
    asked: Asked = AS_IT_IS,
    limits: Limits = ROOM,
    said: list[str] | None = None,
) -> Made:
    own = folder / "request"
    own.mkdir()
    parts = []
    for number, content in enumerate(contents):
        path = own / f"part_{number + 1}"
        path.write_bytes(content)
        parts.append(Part(path, fields[number] if fields else ""))
    service = Service(segmenter, limits, [].append if said is None else said.append)
    return service.answer(Received(tuple(parts), {}), asked, own)


def refused(segmenter: Segmenter, folder: Path, *contents: bytes, **more: object) -> RequestError:
    with pytest.raises(RequestError) as fault:
        answer(segmenter, folder, *contents, **more)  # type: ignore[arg-type]
    assert str(folder) not in json.dumps(fault.value.parts)
    return fault.value


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("a.nii.gz", None), ("a.nii", "mha"), ("a.nrrd", None), ("a.mha", None), ("a.mha", "nifti"), ("a.nii", "nrrd")],
)
def test_the_answer_is_what_the_predictor_says(
    segmenter: Segmenter, tmp_path: Path, name: str, wanted: str | None
) -> None:
    expected = segmenter.predictor.segment(image(), "image").labels
    made = answer(segmenter, tmp_path, file_bytes(tmp_path, name, image()), asked=Asked(wanted))
    kind = wanted or {"a.nii.gz": "nifti", "a.nii": "nifti", "a.nrrd": "nrrd", "a.mha": "mha"}[name]
    assert made.path.name.endswith({"nifti": ".nii.gz", "nrrd": ".nrrd", "mha": ".mha"}[kind])
    found = read_volume(made.path)
    np.testing.assert_array_equal(found.array, expected.array)
    assert same_grid(found.geometry, expected.geometry, 1e-4) is None
    assert found.array.max() > 0


def test_headers_name_model_and_version(segmenter: Segmenter, tmp_path: Path) -> None:
    headers = answer(segmenter, tmp_path, file_bytes(tmp_path, "a.nii.gz", image())).headers
    assert headers["X-Autospine-Model"] == "lumbar"
    assert headers["X-Autospine-Version"].count(".") == 2


def test_volumes(segmenter: Segmenter, tmp_path: Path) -> None:
    labels = segmenter.predictor.segment(image(), "image").labels.array
    made = answer(segmenter, tmp_path, file_bytes(tmp_path, "a.nii", image()), asked=Asked(None, True))
    content = json.loads(made.path.read_text())
    expected = {name: 3.0 * np.sum(labels == value) for value, name in enumerate(("upper", "middle", "lower"), 1)}
    assert content["volumes_mm3"] == pytest.approx(expected)
    assert content["model"] == "lumbar"


def test_volumes_of_regions(make_configuration: Callable[..., Configuration], tmp_path: Path) -> None:
    """By their own names, each with all that lies in it."""
    base = make_configuration()
    one = replace(
        base,
        network=replace(base.network, out_channels=2),
        loss=replace(base.loss, class_weights=(1.0, 1.0)),
    )
    regions = (Region("whole", (1, 2), 2), Region("core", (1,), 1))
    of_regions = segmenter_of(tmp_path / "model", one, labels=(("a", 1), ("b", 2)), regions=regions)
    labels = of_regions.predictor.segment(image(), "image").labels.array
    made = answer(of_regions, tmp_path, file_bytes(tmp_path, "a.nii", image()), asked=Asked(statistics=True))
    expected = {"whole": 3.0 * np.sum(labels > 0), "core": 3.0 * np.sum(labels == 1)}
    assert json.loads(made.path.read_text())["volumes_mm3"] == pytest.approx(expected)


def test_what_headers_leave_open_is_told(segmenter: Segmenter, tmp_path: Path) -> None:
    nowhere = nifti_header((17, 18, 5)) + image().array.tobytes()
    made = answer(segmenter, tmp_path, nowhere)
    (note,) = json.loads(made.headers["X-Autospine-Notes"])
    assert "neither sform nor qform" in note and str(tmp_path) not in note


def test_notes_stand_beside_volumes_as_well(segmenter: Segmenter, tmp_path: Path) -> None:
    nowhere = nifti_header((17, 18, 5)) + image().array.tobytes()
    made = answer(segmenter, tmp_path, nowhere, asked=Asked(statistics=True))
    content = json.loads(made.path.read_text())
    assert set(content) == {"model", "version", "volumes_mm3", "notes"}
    assert json.loads(made.headers["X-Autospine-Notes"]) == content["notes"] and len(content["notes"]) == 1


def test_what_a_model_promises_stands_beside_volumes_and_what_is_off_in_the_notes(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    names = segmenter.predictor.card.data.targets
    promising = replace(segmenter.predictor, promise=learn_promise(cases_like(60, names=names)))
    content = file_bytes(tmp_path, "a.nii", image())
    made = answer(replace(segmenter, predictor=promising), tmp_path, content, asked=Asked(statistics=True))
    told = json.loads(made.path.read_text())
    assert told["promise"]["confidence"] == 0.9 and set(told["promise"]["dice"]) == set(names)
    assert any("training" in note for note in told["notes"])  # an image of noise is none of those


def test_a_series_is_asked_for_of_studies_alone(segmenter: Segmenter, tmp_path: Path) -> None:
    fault = refused(segmenter, tmp_path, file_bytes(tmp_path, "a.nii", image()), asked=Asked(series=("T2",)))
    assert (fault.status, fault.parts["where"]) == (400, "series")


def test_channels_by_field_or_in_order_or_in_one_file(two_channels: Segmenter, tmp_path: Path) -> None:
    both = image(channels=2)
    first, second = (
        file_bytes(tmp_path, f"{index}.nii.gz", Volume(both.array[index : index + 1], both.geometry))
        for index in (0, 1)
    )
    expected = two_channels.predictor.segment(both, "image").labels.array
    ways: list[tuple[tuple[bytes, ...], tuple[str, ...]]] = [
        ((first, second), ("T1", "T2")),
        ((second, first), ("T2", "T1")),
        ((first, second), ("files", "files")),
        ((file_bytes(tmp_path, "both.nii.gz", both),), ("file",)),
    ]
    for number, (contents, fields) in enumerate(ways):
        folder = tmp_path / str(number)
        folder.mkdir()
        made = answer(two_channels, folder, *contents, fields=fields)
        np.testing.assert_array_equal(read_volume(made.path).array, expected)


@pytest.mark.parametrize("fields", [("T2",), ("x",), ("T1", "x"), ("T1", "T1"), ("x", "y", "z")])
def test_a_wrong_number_of_channels(two_channels: Segmenter, tmp_path: Path, fields: tuple[str, ...]) -> None:
    content = file_bytes(tmp_path, "a.nii", image())
    fault = refused(two_channels, tmp_path, *[content] * len(fields), fields=fields)
    assert fault.status == 422 and "T1" in fault.parts["expected"] + fault.parts["found"]


def test_a_channel_that_the_model_can_do_without(two_channels: Segmenter, tmp_path: Path) -> None:
    whole = image()
    both = Volume(np.concatenate([whole.array, np.zeros_like(whole.array)]), whole.geometry)
    made = answer(two_channels, tmp_path, file_bytes(tmp_path, "a.nii", whole), fields=("T1",))
    expected = two_channels.predictor.segment(both, "image", missing=(1,)).labels.array
    np.testing.assert_array_equal(read_volume(made.path).array, expected)


def test_channels_in_a_file_are_counted_before_they_are_read(segmenter: Segmenter, tmp_path: Path) -> None:
    fault = refused(segmenter, tmp_path, nifti_header((17, 18, 5, 30_000)))
    assert (fault.status, fault.parts["found"]) == (422, "30000 channel(s)")


def test_a_series_of_dicom(segmenter: Segmenter, tmp_path: Path) -> None:
    write_series(tmp_path / "series", ARRAY, GRID)
    made = answer(segmenter, tmp_path, zipped(tmp_path / "series"), asked=Asked("nifti"))
    found, series = read_volume(made.path), read_volume(tmp_path / "series")
    assert same_grid(found.geometry, series.geometry, 1e-4) is None
    np.testing.assert_array_equal(found.array, segmenter.predictor.segment(series, "image").labels.array)


def test_a_series_for_each_channel(two_channels: Segmenter, tmp_path: Path) -> None:
    for name, factor in (("a", 1), ("b", 2)):
        write_series(tmp_path / name, ARRAY * factor, GRID)
    zips = [zipped(tmp_path / name) for name in ("b", "a")]
    made = answer(two_channels, tmp_path, *zips, fields=("T2", "T1"), asked=Asked("nifti"))
    series = read_volume(tmp_path / "a")
    both = Volume(np.concatenate([series.array, series.array * 2]), series.geometry)
    np.testing.assert_array_equal(
        read_volume(made.path).array, two_channels.predictor.segment(both, "image").labels.array
    )


def test_a_header_that_would_take_all_memory_is_refused_before_voxels_are_read(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    fault = refused(segmenter, tmp_path, nifti_header((30_000, 30_000, 30_000)))
    assert fault.status == 413 and "memory" in fault.parts["found"]


def test_an_image_that_takes_more_than_the_server_may(segmenter: Segmenter, tmp_path: Path) -> None:
    content = file_bytes(tmp_path, "a.nii.gz", image())
    small = replace(segmenter, predictor=replace(segmenter.predictor, memory_bytes=1000))
    fault = refused(small, tmp_path, content)
    assert fault.status == 413 and "memory" in fault.parts["found"]


@pytest.mark.parametrize("name", ["a.nii", "a.mha", "a.nrrd"])
def test_an_image_that_is_cut_off(segmenter: Segmenter, tmp_path: Path, name: str) -> None:
    content = file_bytes(tmp_path, name, image())
    fault = refused(segmenter, tmp_path, content[: len(content) * 2 // 3])
    assert fault.status == 400 and fault.parts["where"].startswith("upload_1")


def test_voxels_that_are_no_numbers(segmenter: Segmenter, tmp_path: Path) -> None:
    array = image().array.copy()
    array[0, 0, 0, 0] = np.nan
    fault = refused(segmenter, tmp_path, file_bytes(tmp_path, "a.nii", Volume(array, image().geometry)))
    assert fault.status == 400 and "NaN" in fault.parts["found"]


def test_headers_that_name_a_file_of_the_server(segmenter: Segmenter, tmp_path: Path) -> None:
    nrrd = b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 2 2\nencoding: raw\ndata file: /etc/passwd\n\n"
    mha = b"ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = /etc/passwd\n"
    for number, content in enumerate((nrrd, mha)):
        folder = tmp_path / str(number)
        folder.mkdir()
        fault = refused(segmenter, folder, content)
        assert fault.status == 400 and "names another file" in fault.parts["found"]


def test_of_a_bomb_within_a_metaimage_the_voxels_are_read(segmenter: Segmenter, tmp_path: Path) -> None:
    import zlib

    head = b"ObjectType = Image\nNDims = 3\nBinaryData = True\nCompressedData = True\nDimSize = 2 2 2\n"
    head += b"ElementSpacing = 1 1 1\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    made = answer(segmenter, tmp_path, head + zlib.compress(bytes(40_000_000), 1))
    assert read_volume(made.path).geometry.shape == (2, 2, 2)


def test_a_series_of_dicom_gives_dicom_seg(segmenter: Segmenter, tmp_path: Path) -> None:
    series = write_series(tmp_path / "series", ARRAY, GRID)
    made = answer(segmenter, tmp_path, zipped(tmp_path / "series"))
    assert (made.path.name, made.kind) == ("segmentation.dcm", "application/dicom")
    written, source = dcmread(made.path), dcmread(series[0])
    assert written.Modality == "SEG"
    assert written.StudyInstanceUID == source.StudyInstanceUID
    (reference,) = written.ReferencedSeriesSequence
    assert reference.SeriesInstanceUID == source.SeriesInstanceUID
    whole = read_volume(tmp_path / "series")
    expected = segmenter.predictor.segment(whole, "image").labels
    np.testing.assert_array_equal(read_segmentation(made.path, whole.geometry), expected.array[0])


def test_of_a_study_the_series_that_the_model_is_for(segmenter: Segmenter, tmp_path: Path) -> None:
    """It is chosen as `predict` does, and that is said."""
    for number, text in enumerate(("localizer", "t2_tse_sag", "t1_tse_sag")):
        write_series(
            tmp_path / "study" / str(number), ARRAY * (number + 1), GRID, change=described_as(text), study="1.2.3"
        )
    made = answer(segmenter, tmp_path, zipped(tmp_path / "study"), asked=Asked("nifti"))
    expected = segmenter.predictor.segment(read_volume(tmp_path / "study" / "1"), "image").labels
    np.testing.assert_array_equal(read_volume(made.path).array, expected.array)
    assert "t2_tse_sag" in made.headers["X-Autospine-Notes"]


def described_as(text: str) -> Callable[[int, FileDataset], None]:
    def change(index: int, header: FileDataset) -> None:
        header.SeriesDescription = text

    return change


def test_of_series_that_fit_equally_none_is_taken(segmenter: Segmenter, tmp_path: Path) -> None:
    for name in ("a", "b"):
        change = described_as("t2_tse_sag")
        write_series(tmp_path / "study" / name, ARRAY, GRID, change=change, study="1.2.3")
    fault = refused(segmenter, tmp_path, zipped(tmp_path / "study"))
    assert fault.status == 422 and "fit equally" in fault.parts["found"]


def test_the_client_names_the_series_to_take(segmenter: Segmenter, tmp_path: Path) -> None:
    for number, text in enumerate(("t2_tse_sag one", "t2_tse_sag two")):
        own, change = tmp_path / "study" / str(number), described_as(text)
        write_series(own, ARRAY * (number + 1), GRID, change=change, study="1.2.3")
    made = answer(segmenter, tmp_path, zipped(tmp_path / "study"), asked=Asked("nifti", series=("two",)))
    expected = segmenter.predictor.segment(read_volume(tmp_path / "study" / "1"), "image").labels
    np.testing.assert_array_equal(read_volume(made.path).array, expected.array)


def test_dicom_seg_of_an_image_that_is_none_is_refused_before_it_is_segmented(
    segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(segmenter.predictor), "predict", None)
    fault = refused(segmenter, tmp_path, file_bytes(tmp_path, "a.nii", image()), asked=Asked("dicom-seg"))
    assert fault.status == 422 and "DICOM" in fault.parts["found"]


def test_segments_of_3d_slicer_have_names(segmenter: Segmenter, tmp_path: Path) -> None:
    made = answer(segmenter, tmp_path, file_bytes(tmp_path, "a.nrrd", image()), asked=Asked("seg-nrrd"))
    assert made.path.name == "segmentation.seg.nrrd" and b"Segment0_Name:=upper" in made.path.read_bytes()


def test_what_a_library_stumbles_over_is_a_fault_of_the_file(
    segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*given: object) -> None:
        raise RecursionError("DOE^JANE")

    monkeypatch.setattr("autospine.serve.segmenting.read_images", stumble)
    said: list[str] = []
    fault = refused(segmenter, tmp_path, file_bytes(tmp_path, "a.nii", image()), said=said)
    assert fault.status == 400
    assert "RecursionError at" in said[0] and "DOE" not in said[0] + str(fault.parts)


def test_too_little_memory_meanwhile(segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object, **more: object) -> None:
        raise MemoryError

    monkeypatch.setattr(type(segmenter.predictor), "predict", full)
    assert refused(segmenter, tmp_path, file_bytes(tmp_path, "a.nii", image())).status == 413


def test_a_gzip_bomb_in_a_request(segmenter: Segmenter, tmp_path: Path) -> None:
    small = Limits(upload_bytes=10**6, harmless_bytes=10**6)
    assert refused(segmenter, tmp_path, bomb(20_000_000), limits=small).status == 413


def test_what_is_asked_for() -> None:
    assert Asked.of({}, {}) == Asked()
    assert Asked.of({"format": "nrrd"}, {"format": "mha", "statistics": "TRUE"}) == Asked("nrrd", True)
    assert Asked.of({"series": "sag*"}, {"series": "ax"}) == Asked(series=("sag*",))
    for query in (
        {"series": "re:(a+)+$"},
        {"series": "T2=re:(a+)+$"},
        {"format": "exe"},
        {"statistics": "perhaps"},
        {"path": "/etc"},
    ):
        with pytest.raises(RequestError) as fault:
            Asked.of(query, {})
        assert fault.value.status == 400


def test_exceptions_are_described_without_their_message() -> None:
    try:
        int("DOE^JANE")
    except ValueError as fault:
        text = described(fault)
    assert "ValueError at test_segmenting.py" in text and "DOE" not in text


def test_too_many_notes_for_a_header(segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autospine.serve.segmenting.header_remarks", lambda path: ("ä" * 900,) * 20)
    made = answer(segmenter, tmp_path, file_bytes(tmp_path, "a.nii", image()))
    assert made.headers["X-Autospine-Notes"].isascii() and len(made.headers["X-Autospine-Notes"]) <= 3000


def test_a_grid_apart_between_channels(two_channels: Segmenter, tmp_path: Path) -> None:
    other = Geometry((4, 18, 17), (3.0, 1.0, 1.0), (1.0, 2.0, 3.0), image().geometry.direction)
    contents = [file_bytes(tmp_path, "a.nii", image()), file_bytes(tmp_path, "b.nii", image(geometry=other))]
    assert refused(two_channels, tmp_path, *contents, fields=("T1", "T2")).status in (400, 422)
