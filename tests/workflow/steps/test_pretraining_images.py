"""What `choose_images` reads and remembers; what it leaves out is tested with the command, in `test_pretrain`."""

from __future__ import annotations

from pathlib import Path

import pytest

from autospine.data.dataset import open_dataset
from autospine.data.folds import Fold
from autospine.data.structure import Reading
from autospine.errors import DataError
from autospine.planning.measured.fingerprint import extract_fingerprint
from autospine.workflow.steps import pretraining_images
from autospine.workflow.steps.pretraining_images import Chosen, choose_images, open_all


def test_images_are_read_once_and_remembered(
    toy_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = tmp_path / "others"
    others.mkdir()
    (others / "new.nii.gz").write_bytes((toy_dataset / "imagesTr" / "toy_05_0000.nii.gz").read_bytes())
    fingerprint = extract_fingerprint(open_dataset(toy_dataset))
    split = Fold(tuple(f"toy_{number:02}" for number in range(4)), ("toy_04", "toy_05"))
    found = open_all([toy_dataset, others], toy_dataset, Reading(), fingerprint.channels, ())
    assert [(one.named, one.own) for one in found] == [(True, True), (True, False)]
    read: list[str] = []
    measure = pretraining_images._measure
    monkeypatch.setattr(pretraining_images, "_measure", lambda *given: read.append(given[1].name) or measure(*given))

    def choose() -> Chosen:
        return choose_images(found, fingerprint, 0, split, None, tmp_path / "digests.json", lambda *_: None)

    chosen = choose()
    assert read == ["new"]  # the fingerprint knows the dataset's own
    assert [one.case for one in chosen.seen] == list(split.train)
    (own, _), (copy, why) = (one for one in chosen.left_out if "05" in one[0] or "new" in one[0])
    assert own == "toy/toy_05" and copy == "others/new" and "toy_05" in why
    assert choose() == chosen and read == ["new"]


def test_all_that_cannot_be_read_is_told_at_once(toy_dataset: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match="2 of these cannot be used"):
        open_all([tmp_path / "a", tmp_path / "b"], toy_dataset, Reading(), ("T2",), ())
