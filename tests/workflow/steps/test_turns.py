"""What becomes of a case, and what lies beside it, where something goes wrong in its turn."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from autospine.data.geometry import Volume
from autospine.inference.predictor import Predictor
from autospine.inference.segmentation import Segmentation
from autospine.planning.document.configuration import Configuration
from autospine.workflow.steps import outputs, turns
from autospine.workflow.steps.outputs import Outputs
from tests.workflow.predicting import contents, failures, made_model, predict, refused

BESIDE = Outputs(probabilities=True, statistics=True)


def beside(out: Path) -> list[str]:
    return sorted(path.name for kind in ("probabilities", "statistics") for path in (out / kind).glob("[!.]*"))


def test_files_that_cannot_be_written_three_times_in_a_row_end_the_work(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmented: list[str] = []
    real = Predictor.segment

    def counted(what: object, volume: Volume, name: str, **more: Any) -> Segmentation:
        segmented.append(name)
        return real(what, volume, name, **more)  # type: ignore[arg-type]

    def fails(*more: object) -> None:
        raise KeyError("a field of a library")

    monkeypatch.setattr(Predictor, "segment", counted)
    monkeypatch.setattr(outputs, "write_segmentation", fails)
    with pytest.raises(KeyError, match="a field of a library"):
        predict(images, tmp_path / "out", model)
    assert segmented == list("abcd")  # the fourth while the third was being written


def test_nothing_lies_beside_a_case_that_could_not_be_written(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, real = tmp_path / "out", outputs.write_segmentation

    def fails(path: Path, *more: Any) -> None:
        if path.name.endswith("b.nii.gz"):
            raise KeyError("a field of a library")
        real(path, *more)

    monkeypatch.setattr(outputs, "write_segmentation", fails)
    assert "4 of 5 done" in refused(images, out, model, outputs=BESIDE)
    assert beside(out) == sorted(f"{name}{ending}" for name in "acde" for ending in (".b2nd", ".csv"))
    with (out / "statistics.csv").open(newline="") as file:
        assert {row["case"] for row in csv.DictReader(file)} == set("acde")
    assert failures(out) == {"b"}


def test_a_process_killed_before_a_segmentation_is_replaced_leaves_nothing_of_the_new_one_unsaid(
    model: Path, images: Path, tmp_path: Path, configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies beside the old one is the old one's, or the record says that replacing it has begun."""
    out, second = tmp_path / "out", made_model(tmp_path / "models" / "b", configuration, 1)
    predict(images / "a.nii.gz", out, model, outputs=Outputs(statistics=True))
    before, statistics = contents(out), (out / "statistics" / "a.csv").read_bytes()

    @contextmanager
    def killed(what: Outputs, *more: Any) -> Iterator[None]:
        with real(what, *more):
            raise KeyboardInterrupt
            yield

    real = Outputs.written
    monkeypatch.setattr(turns.Outputs, "written", killed)
    with pytest.raises(KeyboardInterrupt):
        predict(images / "a.nii.gz", out, second, overwrite=True, outputs=Outputs(statistics=True))
    assert (out / "statistics" / "a.csv").read_bytes() == statistics and contents(out) == before
    assert not predict(images / "a.nii.gz", out, model)[0].seconds
    with pytest.raises(KeyboardInterrupt):
        predict(images / "a.nii.gz", out, second, overwrite=True, outputs=BESIDE)
    monkeypatch.undo()
    assert contents(out)["a.nii.gz"] == before["a.nii.gz"]
    assert "--overwrite had begun to replace it" in refused(images / "a.nii.gz", out, second)
    assert len(predict(images / "a.nii.gz", out, second, overwrite=True, outputs=BESIDE)[0].seconds) == 1
    assert beside(out) == ["a.b2nd", "a.csv"]


def test_done_cases_that_lack_what_is_asked_for_now_are_told(model: Path, images: Path, tmp_path: Path) -> None:
    predict(images / "a.nii.gz", tmp_path / "out", model)
    _, notes = predict(images, tmp_path / "out", model, outputs=Outputs(statistics=True, preview=True))
    assert (
        "1 case(s) had been predicted before, 1 without preview, 1 without statistics (--overwrite makes"
        in " ".join(notes)
    )
    _, notes = predict(images, tmp_path / "out", model, outputs=Outputs(statistics=True))
    assert any("5 case(s) had been predicted before, 1 without statistics (" in note for note in notes)
