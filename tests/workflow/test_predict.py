"""A prediction harms nothing and loses nothing: broken files, other predictions, images, places that fill."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.data.disk.locks import locked
from autospine.data.geometry import Volume
from autospine.data.volume import read_volume, write_volume
from autospine.errors import DataError, OutputError
from autospine.inference.predictor import Predictor
from autospine.inference.too_large import prediction_bytes
from autospine.machine.memory import total_bytes
from autospine.planning.document.configuration import Configuration
from autospine.workflow.predict import PredictRequest, predict_paths
from autospine.workflow.progress import Update
from autospine.workflow.steps import segmenting
from tests.cards import card_of
from tests.data.studies import Study, whole_study
from tests.workflow.predicting import GRID, MADE, Noting, cases, contents, made_model, predict, put_image, refused

# One bad file is one bad file


def test_broken_files_are_named_together_and_the_others_are_done(model: Path, images: Path, tmp_path: Path) -> None:
    cut = images / "b.nii.gz"
    whole = cut.read_bytes()
    cut.write_bytes(whole[:1500])
    (images / "no_image.nrrd").write_bytes(b"nothing")
    put_image(images / "two.nii.gz", channels=2)
    array = read_volume(images / "a.nii.gz").array
    array[0, 0, 0, 0] = np.nan
    write_volume(images / "nan.nii.gz", Volume(array, GRID))
    put_image(images / "c.mha")
    said = refused(images, tmp_path / "out", model)
    assert "3 of 8 done" in said and "5 could not be segmented" in said
    for name, reason in {
        "b": "b.nii.gz: damaged or cut off",
        "no_image.nrrd": "cannot be read",
        "two": "2 channels (two.nii.gz); expected 1 channel (T2)",
        "nan": "nan.nii.gz: 1 voxels are NaN",
        "c.nii.gz": "the same name as c.mha",
    }.items():
        assert any(line.strip().startswith(f"{name}: {reason}") for line in said.splitlines()), (name, said)
    assert sorted(contents(tmp_path / "out")) == ["a.nii.gz", "d.nii.gz", "e.nii.gz", *MADE]

    cut.write_bytes(whole)
    before = (tmp_path / "out" / "a.nii.gz").stat().st_mtime_ns
    assert "4 of 8 done" in refused(images, tmp_path / "out", model)
    for name in ("no_image.nrrd", "two.nii.gz", "nan.nii.gz", "c.mha"):
        (images / name).unlink()
    done, notes = predict(images, tmp_path / "out", model)
    assert len(done.seconds) == 1 and "4 case(s) had been predicted before" in " ".join(notes)
    assert (tmp_path / "out" / "a.nii.gz").stat().st_mtime_ns == before


def test_names_that_cannot_be_read_or_written_are_bad_files_too(model: Path, images: Path, tmp_path: Path) -> None:
    for name in (b"M\xfcller.nii.gz", b"M\xfcller.mha", b"x\xff.nrrd"):
        put_image(tmp_path / f"plain{os.fsdecode(name)[os.fsdecode(name).index('.') :]}")
        shutil.copy(tmp_path / f"plain{name[name.index(b'.') :].decode()}", os.fsencode(images) + b"/" + name)
    shutil.copy(images / "a.nii.gz", images / "odd.Nii.gz")
    long = "l" * 240
    shutil.copy(images / "a.nii.gz", images / f"{long}.nii.gz")
    words = [sys.executable, "-m", "autospine", "predict", images, tmp_path / "out", "--model", model, "--no-mirror"]
    done = subprocess.run(
        [*map(str, words), "--device", "cpu"], capture_output=True, text=True, env=os.environ | {"COLUMNS": "2000"}
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in said, said
    assert "6 of 10 done" in said and "not UTF-8" in said and "a suffix .Nii.gz" in said
    assert len(list((tmp_path / "out").glob("?.nii.gz"))) == 5 and (tmp_path / "out" / f"{long}.nii.gz").is_file()


def test_a_channel_that_cannot_be_taken_is_none_that_a_case_lacks(tmp_path: Path) -> None:
    from autospine.data.inputs import find_inputs

    for name in ("a_0000.nii.gz", "a_0001.nii.gz", "a_0001.mha", "b_0000.nii.gz"):
        put_image(tmp_path / name)
    faults: list[DataError] = []
    found = find_inputs(tmp_path, ("T2", "T1"), (1,), report=faults.append)
    assert [name for name, _ in found] == ["b"] and [Path(fault.where).name for fault in faults] == ["a_0001.nii.gz"]


@pytest.mark.parametrize("error", [MemoryError("no"), RuntimeError("DefaultCPUAllocator: can't allocate memory: you")])
def test_an_image_too_large_for_memory_is_one_bad_file(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    real = Predictor.segment

    def failing(what: object, volume: Volume, name: str, **more: object) -> Volume:
        if name == "c":
            raise error
        return real(what, volume, name, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "segment", failing)
    said = refused(images, tmp_path / "out", model)
    assert "4 of 5 done" in said and "c: too little memory: it needs up to 0.0 GB" in said


def test_a_fault_of_ours_keeps_its_traceback(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*what: object, **more: object) -> Volume:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(Predictor, "segment", failing)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        predict(images, tmp_path / "out", model)


def test_cases_are_counted_alike_in_titles_and_at_the_end(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []
    real = Noting.task

    def told(self: Noting, title: str) -> AbstractContextManager[Update]:
        titles.append(title)
        return real(self, title)

    monkeypatch.setattr(Noting, "task", told)
    put_image(images / "two.nii.gz", channels=2)
    predict(images / "a.nii.gz", tmp_path / "a.nii.gz", model)
    assert "5 of 6 done" in refused(images, tmp_path / "out", model)
    assert titles == ["a (1/1)", *(f"{name} ({index}/6)" for index, name in enumerate("abcde", 2))]


# Memory


def test_memory_is_told_before_it_is_taken(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configuration: Configuration
) -> None:
    monkeypatch.setattr(segmenting, "free_bytes", lambda: 1000)
    _, notes = predict(images / "a.nii.gz", tmp_path / "a.nii.gz", model)  # it is tried all the same
    assert any(note.startswith("a needs up to 0.0 GB of memory") for note in notes)
    # scores of 100 x 512 x 512 voxels, 4 of them and a weight, and an image of as many
    voxels = 100 * 512 * 512
    assert prediction_bytes(card_of(configuration), voxels, voxels) >= 4 * voxels * 6


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of address space")
def test_too_little_memory_is_a_message(model: Path, images: Path, tmp_path: Path) -> None:
    total = total_bytes()
    assert total is not None
    grid = replace(GRID, shape=(64, 512, 512))
    write_volume(images / "large.nii.gz", Volume(np.ones((1, *grid.shape), np.uint8), grid))
    code = (
        "import sys, resource, torch; torch.set_num_threads(1)\n"
        "from autospine.inference import loading; import SimpleITK, nibabel, scipy.ndimage\n"
        "held = next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmSize')) * 1024\n"
        "resource.setrlimit(resource.RLIMIT_AS, (held + 300_000_000,) * 2)\n"
        "from autospine.cli.app import app; app(sys.argv[1:])"
    )
    words = ["predict", images, tmp_path / "out", "--model", model, "--device", "cpu", "--no-mirror"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "COLUMNS": "1000"}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, env=environment
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in said, said
    assert "5 of 6 done" in said and "large: " in said, said


# Neighbours


def test_two_predictions_into_one_folder_keep_both_records(model: Path, images: Path, tmp_path: Path) -> None:
    other, out = tmp_path / "other", tmp_path / "out"
    other.mkdir()
    for name in "de":
        shutil.move(images / f"{name}.nii.gz", other / f"{name}.nii.gz")
    words = [sys.executable, "-m", "autospine", "predict", "--model", model, "--device", "cpu", "--no-mirror"]
    running = [
        subprocess.Popen([*map(str, words), source, out], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for source in (images, other)
    ]
    said = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert set(cases(out / "prediction.json")) == set("abcde")
    assert sorted(contents(out)) == [*(f"{name}.nii.gz" for name in "abcde"), *MADE]
    for source in (images, other):
        assert not predict(source, out, model)[0].seconds


def test_a_prediction_waits_for_another_and_says_for_whom(model: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    noting, done = Noting(), []
    request = PredictRequest(model, device="cpu", mirror=False)

    def wait() -> None:
        done.append(predict_paths(images, out, model, request, progress=noting))

    with locked(out / ".prediction.lock", out):
        waiting = threading.Thread(target=wait)
        waiting.start()
        waiting.join(1.5)
        assert waiting.is_alive() and not list(out.glob("*.nii.gz"))
        assert any("is in use by process" in note and "waiting until it has ended" in note for note in noting.notes)
    waiting.join(60)
    assert len(done[0].seconds) == 5


def test_masks_of_two_models_do_not_mix_unknowingly(
    model: Path, images: Path, tmp_path: Path, configuration: Configuration
) -> None:
    second, out, other = made_model(tmp_path / "models" / "b", configuration, 1), tmp_path / "out", tmp_path / "other"
    other.mkdir()
    shutil.move(images / "e.nii.gz", other / "e.nii.gz")
    predict(images, out, model)
    before = contents(out)
    assert "4 file(s) that another model" in refused(other, out, second)
    assert "4 file(s) that another model" in refused(images, out, second)
    assert contents(out) == before
    _, notes = predict(other, out, second, overwrite=True)
    assert any(note.startswith("4 segmentation(s) of another model stay in ") for note in notes)
    models = {name: one["model"] for name, one in cases(out / "prediction.json").items()}
    assert set(models) == set("abcde") and models["e"] != models["a"] and len(set(models.values())) == 2


def test_which_folds_are_averaged_is_said_and_kept(images: Path, tmp_path: Path, configuration: Configuration) -> None:
    model = made_model(tmp_path / "models" / "b", configuration, 1, ("0", "1", "3"))
    done, notes = predict(images, tmp_path / "all", model)
    assert f"Segmenting with the average of folds 0, 1, 3 of {model}" in notes and done.folds == ("0", "1", "3")
    assert json.loads((tmp_path / "all" / "prediction.json").read_text())["folds"] == ["0", "1", "3"]
    _, notes = predict(images, tmp_path / "one", model, folds=("1",))
    assert f"Segmenting with fold 1 alone of {model}" in notes


# Places that cannot be written


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A function that mounts a small file system with options; skips where that is not allowed."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> Path:
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        if not shutil.which("mount") or subprocess.run(words, capture_output=True).returncode:
            pytest.skip("mounting a file system needs root")
        return place

    yield mount
    subprocess.run(["umount", str(place)], capture_output=True)


def test_a_place_that_cannot_be_written_is_noticed_first(
    model: Path,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_disk: Callable[[str], Path],
) -> None:
    def never(*what: object, **more: object) -> Volume:
        raise AssertionError("computed")

    monkeypatch.setattr(Predictor, "segment", never)
    (tmp_path / "file").write_text("in the way")
    for target in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "file" / "seg.nii.gz"):
        source = images / "a.nii.gz" if target.suffix else images
        assert "cannot be written to" in refused(source, target, model)
    disk = small_disk("ro,size=1m")
    for target in (disk, disk / "out", disk / "seg.nii.gz"):
        source = images / "a.nii.gz" if target.suffix else images
        assert "cannot be written to (Read-only file system)" in refused(source, target, model)


def test_a_finished_folder_on_a_read_only_disk_is_finished(
    model: Path, images: Path, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("size=1m")
    predict(images, disk / "out", model)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    done, notes = predict(images, disk / "out", model)
    assert not done.seconds and any(note.startswith("5 case(s) had been predicted before") for note in notes)
    put_image(images / "f.nii.gz")
    assert "cannot be written to (Read-only file system)" in refused(images, disk / "out", model)


@pytest.mark.parametrize("name", ["x.mhd", "x.hdr", "x.img", "x.jpg", "x.txt", "x.dcm", "x.JSON", "x.gz", "x.png"])
def test_a_name_that_no_segmentation_can_have_is_noticed_first(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def never(*what: object, **more: object) -> Volume:
        raise AssertionError("computed")

    monkeypatch.setattr(Predictor, "segment", never)
    said = refused(images / "a.nii.gz", tmp_path / name, model)
    if name == "x.png":
        assert "a PNG file holds one slice, and this is 5" in said
    else:
        assert "not a format that can be written" in said
        assert "Expected: .nii.gz, .nii, .mha, .nrrd, .png, .tif, .tiff, .mgz, .mgh\n" in said
        assert "not a format that can be written" in refused(images, tmp_path / name, model)
    assert not (tmp_path / name).exists()


def test_a_folder_may_have_a_point_in_its_name(model: Path, images: Path, tmp_path: Path) -> None:
    for name in ("out.v2", "2024.05.01"):
        predict(images / "a.nii.gz", tmp_path / name, model)
        assert (tmp_path / name / "a.nii.gz").is_file()


def test_a_full_disk_stops_and_the_same_command_makes_the_rest(
    model: Path, images: Path, tmp_path: Path, small_disk: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in images.iterdir():
        write_volume(images / path.name.removesuffix(".gz"), read_volume(path))
        path.unlink()
    out = small_disk("size=64k") / "out"  # a mask takes 4 to 8 KiB
    (out.parent / "ballast").write_bytes(bytes(40_960))
    with pytest.raises(OutputError) as fault:
        predict(images, out, model)
    assert " of 5 done" in str(fault.value) and "the same command then makes the rest" in str(fault.value)
    size = 352 + int(np.prod(GRID.shape))
    standing = list(out.glob("*.nii"))
    assert 0 < len(standing) < 5 and all(path.stat().st_size == size for path in standing)
    (out.parent / "ballast").unlink()
    done, _ = predict(images, out, model)
    assert len(done.seconds) == 5 - len(standing) and len(list(out.glob("*.nii"))) == 5


# What is found in studies and data sets


def test_the_series_of_a_study_that_the_model_is_for(model: Path, tmp_path: Path) -> None:
    for name in ("p1", "p2", "p3"):
        whole_study(Study.of(tmp_path / "in"), lambda series, name=name: f"{name}/{series}")
    Study.of(tmp_path / "in").add("p4/1", 1, "t1_tse_tra", "axial")
    Study.of(tmp_path / "in").add("p5/1", 1, "t2_tse_tra", "axial")
    said = refused(tmp_path / "in", tmp_path / "out", model)
    assert "4 of 5 done" in said and 'p4_1: none of 1 image fits: 1 "t1_tse_tra"' in said
    assert sorted(contents(tmp_path / "out")) == [f"p{name}_t2ax.nii.gz" for name in "123"] + ["p5_1.nii.gz", *MADE]
    # the same command goes on with what it has chosen before, and what is named goes before what the model says
    done, notes = predict(tmp_path / "in" / "p4", tmp_path / "other", model, series=("1",))
    assert [path.name for path in done.files] == ["1.nii.gz"]
    assert "T1, not T2" in notes[0]


def test_a_mixed_folder_is_predicted_and_known_again(model: Path, tmp_path: Path) -> None:
    whole_study(Study.of(tmp_path / "in"), lambda series: "export")
    done, _ = predict(tmp_path / "in", tmp_path / "out", model, series=("3",))
    (path,) = done.files
    again, notes = predict(tmp_path / "in", tmp_path / "out", model, series=("3",))
    assert again.files == done.files and not again.seconds
    assert any("had been predicted before" in note for note in notes)
    shutil.move(tmp_path / "in", tmp_path / "moved")
    assert not predict(tmp_path / "moved", tmp_path / "out", model, series=("3",))[0].seconds
    assert read_volume(path).array.shape == (1, 4, 6, 5)
