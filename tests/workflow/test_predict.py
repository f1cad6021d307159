"""A prediction harms nothing and loses nothing: broken files, other predictions, images, places that fill."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autospine.data.disk.files import file_digest
from autospine.data.disk.locks import locked
from autospine.data.formats.dicom_seg import segment_names
from autospine.data.geometry import Volume
from autospine.data.volume import read_volume, write_volume
from autospine.errors import DataError, OutputError, PlanError, Stopped
from autospine.inference.predictor import Predictor
from autospine.inference.too_large import Asked, Way, prediction_bytes
from autospine.machine.memory import total_bytes
from autospine.machine.precision import Choice
from autospine.machine.ranks import Share
from autospine.planning.document.configuration import Configuration
from autospine.workflow.predict import Prediction, PredictRequest, predict_paths
from autospine.workflow.progress import Update
from autospine.workflow.steps import segmenting, turns
from autospine.workflow.steps.arrivals import Arrivals, Watch
from autospine.workflow.steps.outputs import Outputs
from tests.cards import card_of
from tests.data.studies import Study, whole_study
from tests.workflow.predicting import (
    GRID,
    MADE,
    Noting,
    cases,
    contents,
    failures,
    made_model,
    predict,
    put_image,
    refused,
)

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
    assert sorted(contents(tmp_path / "out")) == ["a.nii.gz", "d.nii.gz", "e.nii.gz", "failed.csv", *MADE]
    assert failures(tmp_path / "out") == {"b", "no_image.nrrd", "two", "nan", "c.nii.gz"}

    cut.write_bytes(whole)
    before = (tmp_path / "out" / "a.nii.gz").stat().st_mtime_ns
    assert "4 of 8 done" in refused(images, tmp_path / "out", model)
    assert failures(tmp_path / "out") == {"no_image.nrrd", "two", "nan", "c.nii.gz"}
    for name in ("no_image.nrrd", "two.nii.gz", "nan.nii.gz", "c.mha"):
        (images / name).unlink()
    done, notes = predict(images, tmp_path / "out", model)
    assert len(done.seconds) == 1 and "4 case(s) had been predicted before" in " ".join(notes)
    assert (tmp_path / "out" / "a.nii.gz").stat().st_mtime_ns == before
    assert failures(tmp_path / "out") == set() and not (tmp_path / "out" / "failed.csv").exists()


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


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), PlanError("2d", "scores that are no numbers")])
def test_whatever_goes_wrong_with_one_case_ends_no_other(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    real, written = Predictor.segment, Outputs.written

    def failing(what: object, volume: Volume, name: str, **more: object) -> Volume:
        if name in "ac":
            raise error
        return real(what, volume, name, **more)  # type: ignore[arg-type]

    def unwritten(what: Outputs, temporary: Path, *more: Any) -> AbstractContextManager[None]:
        if temporary.name.endswith("f.nii.gz"):
            raise ValueError("no such header")
        return written(what, temporary, *more)

    def unread(paths: Sequence[Path | None]) -> Volume:
        if paths[0] is not None and paths[0].name.startswith("d"):
            raise KeyError("a field of a library")
        return read(paths)

    read = turns.read_case
    monkeypatch.setattr(Predictor, "segment", failing)
    monkeypatch.setattr(Outputs, "written", unwritten)
    monkeypatch.setattr(turns, "read_case", unread)
    put_image(images / "f.nii.gz", 5)
    put_image(images / "g.nii.gz", 6)
    said = refused(images, tmp_path / "out", model)
    assert "3 of 7 done" in said and "c: " in said and str(error.args[-1] or error.args[1]) in said
    assert (
        "KeyError in test_predict.py" in said and "ValueError in test_predict.py" in said and "a fault of" not in said
    )
    assert failures(tmp_path / "out") == set("acdf")
    assert not list((tmp_path / "out").glob(".*"))
    monkeypatch.undo()
    assert len(predict(images, tmp_path / "out", model)[0].seconds) == 4 and failures(tmp_path / "out") == set()


def test_a_folder_of_images_that_is_gone_ends_the_work(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Predictor.segment

    def leaving(what: object, volume: Volume, name: str, **more: object) -> Volume:
        if images.exists():
            images.rename(tmp_path / "elsewhere")
        return real(what, volume, name, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "segment", leaving)
    assert "is there no more" in refused(images, tmp_path / "out", model)
    monkeypatch.undo()
    (tmp_path / "elsewhere").rename(images)
    done, _ = predict(images, tmp_path / "out", model)
    assert 1 <= len(done.seconds) <= 4


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
    # an image of 100 x 512 x 512 voxels as read and normalised, and a class index of each
    shape = (100, 512, 512)
    assert prediction_bytes(Asked(card_of(configuration), prod(shape), shape), Way(1)) >= 9 * prod(shape)


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


def test_another_model_does_not_come_in_while_one_predicts(
    model: Path, images: Path, tmp_path: Path, configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    second, out, real = made_model(tmp_path / "models" / "b", configuration, 1), tmp_path / "out", Predictor.segment
    said = list[str]()

    def beside(what: object, volume: Volume, name: str, **more: object) -> Volume:
        if name == "a" and not said:
            said.append("")
            said[0] = refused(images, out, second, overwrite=True)
        return real(what, volume, name, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "segment", beside)
    done, _ = predict(images, out, model)
    assert len(done.seconds) == 5 and "with another model or other settings" in said[0] and f"{os.getpid()}" in said[0]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_prediction_that_comes_later_shares_the_cases(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    """The second comes while the first is at its second case, and both end with all of them."""
    out, real, results = tmp_path / "out", Predictor.segment, dict[str, Prediction]()
    if overwrite:
        predict(images, out, model)
    put_image(images / "z.nii.gz", channels=2)
    request = PredictRequest(model, device="cpu", mirror=False, overwrite=overwrite)
    made, gate, come = list[str](), threading.Event(), threading.Event()

    def one(number: str) -> None:
        results[number] = predict_paths(images, out, model, request, progress=Noting())

    def slow(what: object, volume: Volume, name: str, **more: object) -> Volume:
        made.append(name)
        if name == "b":
            come.set()
            assert gate.wait(60)
        return real(what, volume, name, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "segment", slow)
    first, second = (threading.Thread(target=one, args=(number,)) for number in "12")
    first.start()
    assert come.wait(60)
    second.start()
    for _ in range(600):
        if "e" in made:
            break
        second.join(0.1)
    gate.set()
    first.join(60)
    second.join(60)
    assert sorted(made) == list("abcde")  # each once
    assert {len(one.seconds) for one in results.values()} == {5 - len(results["2"].seconds), len(results["2"].seconds)}
    for one_result in results.values():
        assert len(one_result.files) == 5 and "5 of 6 done" in str(one_result.left_out)
    assert failures(out) == {"z"} and sorted(contents(out)) == [
        *(f"{name}.nii.gz" for name in "abcde"),
        "failed.csv",
        *MADE,
    ]
    assert not list(out.glob(".*"))


def test_a_share_is_a_part_of_the_cases(model: Path, images: Path, tmp_path: Path) -> None:
    (images / "c.nii.gz").write_bytes(b"")
    done, _ = predict(images, tmp_path / "out", model, share=Share(2, 2))
    assert [path.name for path in done.files] == ["b.nii.gz", "e.nii.gz"]
    assert "2 of 3 done" in refused(images, tmp_path / "out", model, share=Share(1, 2))
    assert not predict(images, tmp_path / "out", model, share=Share(2, 2))[0].seconds
    assert failures(tmp_path / "out") == {"c.nii.gz"}  # of the other part
    # one case or none falls in a part: others have more
    (images / "c.nii.gz").unlink()
    put_image(images / "d.nii.gz", channels=2)
    assert "1 of 2 done" in refused(images, tmp_path / "parts", model, share=Share(1, 3))
    assert failures(tmp_path / "parts") == {"d"}
    done, notes = predict(images, tmp_path / "parts", model, share=Share(4, 4))
    assert not done.files and "This part has no case" in notes


RANKS = """
import os, signal, sys, time, traceback
from pathlib import Path
import torch; torch.set_num_threads(1)
import SimpleITK, nibabel, scipy.ndimage
from autospine.errors import DataError
from autospine.inference import loading
from autospine.machine.precision import pinned
from autospine.workflow.predict import Prediction, PredictRequest, predict_paths

source, out, model = map(Path, sys.argv[1:])

def rank(number):
    process = os.fork()
    if process:
        return process
    os.environ.update(RANK=str(number), WORLD_SIZE="2", LOCAL_RANK=str(number), LOCAL_WORLD_SIZE="2")
    code = 3
    try:
        with pinned("float32"):
            done = predict_paths(source, out, model, PredictRequest(model, device="cpu", mirror=False))
        (out.parent / f"rank{number}").write_text(str(len(done.seconds)))
        code = 0 if done.left_out is None else 1
    except BaseException:
        traceback.print_exc()
    os._exit(code)

ranks = [rank(0), rank(1)]
while len([name for name in os.listdir(out) if name[0] == "c"] if out.exists() else []) < 3:
    time.sleep(0.001)
for process in ranks:
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
killed_at = len([name for name in os.listdir(out) if name[0] == "c"])
print(killed_at, *(os.WEXITSTATUS(os.waitpid(process, 0)[1]) for process in [rank(0), rank(1)]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_two_ranks_that_are_killed_are_gone_on_with(model: Path, tmp_path: Path) -> None:
    """Twelve cases, two broken: all others whole, each made once after the kill, two reasons, and nothing is left."""
    source, out = tmp_path / "archive", tmp_path / "out"
    for number in range(12):
        put_image(source / f"c{number:02}.nii.gz", number)
    (source / "c03.nii.gz").write_bytes(b"")
    (source / "c08.nii.gz").write_bytes((source / "c08.nii.gz").read_bytes()[:2000])
    words = [sys.executable, "-c", RANKS, source, out, model]
    done = subprocess.run(
        [*map(str, words)], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=120
    )
    assert done.returncode == 0, done.stderr
    killed_at, first, second = map(int, done.stdout.split())
    assert (first, second) == (1, 0), done.stderr  # the first says it for both
    sound = [f"c{number:02}" for number in range(12) if number not in (3, 8)]
    assert sorted(contents(out)) == [*(f"{name}.nii.gz" for name in sound), "failed.csv", *MADE]
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
    assert failures(out) == {"c03.nii.gz", "c08"}
    assert sum(int((tmp_path / f"rank{number}").read_text()) for number in (0, 1)) == len(sound) - killed_at
    for name, one in cases(out / "prediction.json").items():
        assert (
            one["mask"] == file_digest(out / one["file"])
            and read_volume(out / one["file"]).geometry.shape == GRID.shape
        )
        assert name in sound


# Watching


def test_what_arrives_is_segmented_until_it_is_stopped(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, noting, rounds = tmp_path / "out", Noting(), iter(range(100))
    files = sorted(images.iterdir())
    waiting = tmp_path / "waiting"
    waiting.mkdir()
    for path in files:
        path.rename(waiting / path.name)

    def arrive(arrivals: Arrivals) -> None:
        """Round after round: two images, half of a third, its rest, a broken one, which is mended."""
        number = next(rounds)
        if number == 0:
            shutil.copy(waiting / "a.nii.gz", images)
            shutil.copy(waiting / "b.nii.gz", images)
        if number in (3, 4, 5):
            content = (waiting / "c.nii.gz").read_bytes()
            (images / "c.nii.gz").write_bytes(content[: (number - 2) * len(content) // 3])
        if number == 8:
            assert sorted(path.name for path in out.glob("*.nii.gz")) == ["a.nii.gz", "b.nii.gz", "c.nii.gz"]
            (images / "d.nii.gz").write_bytes(b"")
        if number == 14:
            assert failures(out) == {"d.nii.gz"}
            shutil.copy(waiting / "d.nii.gz", images)
        if number == 20:
            raise KeyboardInterrupt
        now[0] += 1.0

    now = [0.0]
    monkeypatch.setattr(Arrivals, "pause", arrive)
    monkeypatch.setattr("autospine.workflow.predict.Arrivals", partial(Arrivals, clock=lambda: now[0]))
    request = PredictRequest(model, device="cpu", mirror=False, watch=Watch(1.0, 2.0, 4.0))
    ahead = list[int | None]()
    chosen = Predictor.computed_in

    def choosing(self: Predictor, cases: int | None = None) -> Choice:
        ahead.append(cases)
        return chosen(self, cases)

    monkeypatch.setattr(Predictor, "computed_in", choosing)
    with pytest.raises(Stopped, match=r"4 cases segmented; the same command goes on"):
        predict_paths(images, out, model, request, progress=noting)
    assert [note for note in noting.notes if "Left out" in note] == [
        "Left out: d.nii.gz: an empty file (0 bytes); expected an image"
    ]
    assert set(ahead) == {None}  # what computes is not chosen for the first two images alone
    assert set(cases(out / "prediction.json")) == set("abcd") and failures(out) == set()
    assert not list(out.glob(".*"))
    assert not predict(images, out, model)[0].seconds


def test_watching_wants_folders(model: Path, images: Path, tmp_path: Path) -> None:
    for source, target, more, why in (
        (images / "a.nii.gz", tmp_path / "out", {}, "no folder, and --watch waits"),
        (images, tmp_path / "out.nii.gz", {}, "a file, for images that are still to come"),
        (images, tmp_path / "out", {"share": Share(1, 2)}, "given with --watch"),
    ):
        assert why in refused(source, target, model, watch=Watch(), **more)


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


@pytest.mark.parametrize("name", ["x.mhd", "x.hdr", "x.img", "x.jpg", "x.txt", "x.dicom", "x.JSON", "x.gz", "x.png"])
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


def test_an_uncertainty_that_a_model_has_not_is_noticed_first(model: Path, images: Path, tmp_path: Path) -> None:
    said = refused(images, tmp_path / "out", model, outputs=Outputs(uncertainty=True))
    assert "one fold without mirroring" in said and not (tmp_path / "out").exists()


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
    masks = [f"p{name}_t2ax.dcm" for name in "123"] + ["p5_1.dcm"]
    assert sorted(contents(tmp_path / "out")) == ["failed.csv", *masks, *MADE]
    # the same command goes on with what it has chosen before, and what is named goes before what the model says
    done, notes = predict(tmp_path / "in" / "p4", tmp_path / "other", model, series=("1",))
    assert [path.name for path in done.files] == ["1.dcm"]
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
    assert [name for name, _ in segment_names(path)] == ["upper", "middle", "lower"]
