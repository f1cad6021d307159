"""What a prediction finds in its OUT: what autospine made there, and what it leaves as it is."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from autospine.data.geometry import Volume
from autospine.data.volume import read_volume, write_volume
from autospine.inference.predictor import Predictor
from autospine.planning.document.configuration import Configuration
from tests.workflow.predicting import GRID, cases, contents, made_model, predict, put_image, refused


def test_an_image_is_never_replaced_whatever_the_names(model: Path, images: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(images, root / "a")
    shutil.copytree(images, root / "b")
    (root / "link").symlink_to(root / "a")
    linked = tmp_path / "linked"
    linked.mkdir()
    os.link(root / "a" / "c.nii.gz", linked / "c.nii.gz")
    (linked / "d.nii.gz").symlink_to(root / "a" / "d.nii.gz")
    before = {path: path.read_bytes() for path in root.rglob("*.nii.gz")}
    for source, target, why in (
        (root / "a", root / "b", "5 file(s) that prediction.json does not name"),
        (root / "a", root / "link", "holds the images themselves"),
        (root / "link", root / "a", "holds the images themselves"),
        (root / "a" / "a.nii.gz", root / "b", "does not name"),
        (root / "a" / "a.nii.gz", root / "b" / "c.nii.gz", "does not name"),
        (root / "a" / "a.nii.gz", root / "link", "holds the images themselves"),
        (root / "a" / "a.nii.gz", root / "link" / "a.nii.gz", "holds the images themselves"),
        (root / "a", linked, "is one of the images"),
    ):
        assert why in refused(source, target, model, overwrite=True), (source, target)
        refused(source, target, model)
    assert {path: path.read_bytes() for path in root.rglob("*.nii.gz")} == before
    # what lies elsewhere in the folders of the images is no harm
    predict(root / "a", root / "a" / "out", model)
    predict(root / "a" / "a.nii.gz", root / "a" / "a_seg.nii.gz", model)
    predict(root / "a", root, model)
    assert {path: path.read_bytes() for path in before} == before


def put_mask(path: Path, value: int = 3) -> bytes:
    """A mask of one label, as somebody may draw it, and its bytes."""
    mask = np.zeros((1, *GRID.shape), np.uint8)
    mask[0, 1, 2:5, 3:9] = value
    write_volume(path, Volume(mask, GRID))
    return path.read_bytes()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_mask_that_no_record_names_is_never_replaced(
    model: Path, images: Path, tmp_path: Path, overwrite: bool
) -> None:
    out = tmp_path / "out"
    mine = put_mask(out / "a.nii.gz")
    said = refused(images, out, model, overwrite=overwrite)
    assert "4 of 5 done" in said and "a: a.nii.gz: prediction.json does not name it: somebody made it" in said
    assert "move it away, or choose another OUT" in said
    assert (out / "a.nii.gz").read_bytes() == mine and set(cases(out / "prediction.json")) == set("bcde")
    single = tmp_path / "single.nii.gz"
    mine = put_mask(single)
    assert "1 file(s) that .single.nii.gz.prediction.json does not name" in refused(
        images / "a.nii.gz", single, model, overwrite=overwrite
    )
    assert single.read_bytes() == mine


def test_a_folder_without_a_record_is_refused_in_one_sentence(model: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(images, out, model)
    (out / "prediction.json").unlink()
    before = contents(out)
    for overwrite in (False, True):
        said = refused(images, out, model, overwrite=overwrite)
        assert "5 file(s) that prediction.json does not name, such as a.nii.gz" in said and "earlier version" in said
    assert contents(out) == before


def test_overwrite_replaces_what_autospine_made(
    model: Path, images: Path, tmp_path: Path, configuration: Configuration
) -> None:
    out, second = tmp_path / "out", made_model(tmp_path / "models" / "b", configuration, 1)
    predict(images, out, model)
    before = contents(out)
    assert len(predict(images, out, model, overwrite=True)[0].seconds) == 5
    assert len(predict(images, out, second, overwrite=True)[0].seconds) == 5  # whichever model made it
    assert all(contents(out)[name] != before[name] for name in before)
    # an image under the name of what was predicted
    shutil.copy(images / "b.nii.gz", out / "a.nii.gz")
    done, notes = predict(images, out, second, overwrite=True)
    assert len(done.seconds) == 4 and any(note.startswith("changed since") and "a.nii.gz" in note for note in notes)
    assert (out / "a.nii.gz").read_bytes() == (images / "b.nii.gz").read_bytes()


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_was_corrected_by_hand_stays_and_is_told(
    model: Path, images: Path, tmp_path: Path, overwrite: bool
) -> None:
    out = tmp_path / "out"
    predict(images, out, model)
    mine = put_mask(out / "b.nii.gz", 2)
    done, notes = predict(images, out, model, overwrite=overwrite)
    assert len(done.seconds) == (4 if overwrite else 0)
    way = "move or delete them to have them made anew"
    assert f"changed since they were predicted, left as they are: b.nii.gz ({way})" in notes
    assert (out / "b.nii.gz").read_bytes() == mine
    (out / "b.nii.gz").unlink()
    assert len(predict(images, out, model)[0].seconds) == 1


def test_a_mask_that_is_corrected_while_others_are_made_stays(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, real = tmp_path / "out", Predictor.segment
    predict(images, out, model)

    def slow(what: object, volume: Volume, name: str, **more: object) -> Volume:
        if name == "b":
            put_mask(out / "b.nii.gz", 2)
        return real(what, volume, name, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "segment", slow)
    said = refused(images, out, model, overwrite=True)
    assert "4 of 5 done" in said and "b.nii.gz: a file of this name has been made or changed meanwhile" in said
    assert set(np.unique(read_volume(out / "b.nii.gz").array)) == {0, 2}
    monkeypatch.undo()
    assert not predict(images, out, model)[0].seconds  # what its record says is still of the file that was corrected


def test_a_process_killed_while_it_replaces_a_mask_leaves_one_that_is_known(
    model: Path, images: Path, tmp_path: Path, configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, second = tmp_path / "out", made_model(tmp_path / "models" / "b", configuration, 1)
    predict(images, out, model)
    real, before = os.replace, contents(out)

    def killed(source: str | Path, target: str | Path) -> None:
        if Path(target).name == "c.nii.gz":
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        predict(images, out, second, overwrite=True)
    monkeypatch.undo()
    assert contents(out)["c.nii.gz"] == before["c.nii.gz"]
    (out / "d.nii.gz").unlink()
    (out / "e.nii.gz").unlink()
    said = refused(images, out, second)
    assert "4 of 5 done" in said and "c: c.nii.gz: --overwrite had begun to replace it" in said
    done, notes = predict(images, out, second, overwrite=True)
    assert len(done.seconds) == 5 and not any(note.startswith("changed since") for note in notes)
    assert contents(out)["c.nii.gz"] != before["c.nii.gz"]


def test_a_file_that_appears_meanwhile_is_not_replaced(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, real = tmp_path / "out", Predictor.segment

    def slow(what: object, volume: Volume, name: str, **more: object) -> Volume:
        if name == "b":
            (out / "b.nii.gz").write_bytes(b"mine")
        return real(what, volume, name, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "segment", slow)
    said = refused(images, out, model)
    assert "4 of 5 done" in said and "b: b.nii.gz: a file of this name has been made or changed meanwhile" in said
    assert (out / "b.nii.gz").read_bytes() == b"mine"


def test_images_are_known_by_their_content(model: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(images, out, model)
    images.rename(tmp_path / "moved")
    shutil.copytree(tmp_path / "moved", tmp_path / "copied", copy_function=shutil.copyfile)
    (tmp_path / "moved" / "a.nii.gz").touch()
    for source in (tmp_path / "moved", tmp_path / "copied"):
        assert not predict(source, out, model)[0].seconds
    state = (tmp_path / "copied" / "a.nii.gz").stat()
    put_image(tmp_path / "copied" / "a.nii.gz", 77)
    os.utime(tmp_path / "copied" / "a.nii.gz", ns=(state.st_atime_ns, state.st_mtime_ns))
    shutil.copy(tmp_path / "copied" / "b.nii.gz", tmp_path / "copied" / "f.nii.gz")
    said = refused(tmp_path / "copied", out, model)
    assert "5 of 6 done" in said and "a: a.nii.gz: made of another image, or its image changed since" in said
    assert "move its mask away, or use --overwrite" in said and (out / "f.nii.gz").is_file()
    put_mask(out / "a.nii.gz")
    assert "move its mask, which was corrected, away" in refused(tmp_path / "copied", out, model)


def test_a_single_file_given_twice_is_recognised(model: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "results" / "seg.nii.gz"
    predict(images / "a.nii.gz", out, model)
    shutil.copy(images / "a.nii.gz", tmp_path / "renamed.nii.gz")
    for image in (images / "a.nii.gz", tmp_path / "renamed.nii.gz"):
        done, notes = predict(image, out, model)
        assert not done.seconds and done.files == (out,) and "1 case(s) had been predicted before" in " ".join(notes)
    assert "made of another image" in refused(images / "b.nii.gz", out, model)
    assert len(predict(images / "b.nii.gz", out, model, overwrite=True)[0].seconds) == 1
    assert not predict(images / "b.nii.gz", out, model)[0].seconds
    visible = [path.name for path in out.parent.iterdir() if not path.name.startswith(".")]
    assert visible == ["seg.nii.gz"] and not list(out.parent.glob(".*.lock"))


@pytest.mark.skipif(sys.platform == "win32", reason="no such permissions there")
def test_a_mask_that_may_not_be_read_is_one_case(model: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(images, out, model)
    (out / "c.nii.gz").unlink()
    (out / "c.nii.gz").mkdir()  # root may read every file, and nobody a folder as one
    (out / "d.nii.gz").unlink()
    said = refused(images, out, model)
    assert "4 of 5 done" in said and "c: c.nii.gz: cannot be read (Is a directory)" in said


@pytest.mark.parametrize(
    "entry",
    [
        {"file": "../../stranger.nii.gz"},
        {"file": "l" * 300},
        {"file": ""},
        {"file": ".."},
        {"file": "a\0b"},
        {"file": "\ud800"},
        {"file": 7},
        {"images": None},
        {"mask": ["a"]},
        {"more": "a"},
    ],
)
def test_a_strange_record_is_no_traceback_and_leads_nowhere(
    model: Path, images: Path, tmp_path: Path, entry: dict[str, object]
) -> None:
    out = tmp_path / "in" / "deep" / "out"
    (tmp_path / "stranger.nii.gz").write_bytes(b"")
    predict(images / "a.nii.gz", out, model)
    record = json.loads((out / "prediction.json").read_text())
    strange = {"file": "x.nii.gz", "model": "another", "images": "", "mask": ""} | entry
    record["cases"] |= {"b": strange, "z": strange, "list": [1], "none": None}
    (out / "prediction.json").write_text(json.dumps(record))
    assert len(predict(images, out, model)[0].seconds) == 4
    for whole in ([], {"cases": []}, {"cases": {"a": 1}}):
        (out / "prediction.json").write_text(json.dumps(whole))
        assert "does not name" in refused(images, out, model)


def test_single_segmentations_among_the_images_are_no_images(model: Path, images: Path, tmp_path: Path) -> None:
    names = ("a_pred.nii.gz", f"{'l' * 245}.nii.gz")
    for name in names:
        predict(images / "a.nii.gz", images / name, model)
        assert not predict(images / "a.nii.gz", images / name, model)[0].seconds
    put_mask(images / "a_pred.nii.gz")  # corrected, it is a mask all the same
    done, notes = predict(images, tmp_path / "out", model)
    assert f"segmentations that autospine made, left aside: {', '.join(names)}" in notes
    assert [path.name for path in done.files] == [f"{name}.nii.gz" for name in "abcde"]
    # one that is named is meant
    assert predict(images / "a_pred.nii.gz", tmp_path / "b.nii.gz", model)[0].files == (tmp_path / "b.nii.gz",)
