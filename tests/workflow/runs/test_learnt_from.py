"""What the record beside weights says that they have seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from autospine.data.folds import Fold
from autospine.errors import PlanError
from autospine.planning.measured.fingerprint import CaseFingerprint, Fingerprint
from autospine.workflow.runs.learnt_from import check_unseen, trained_images

SPLIT = Fold(("a",), ("v",))


def case(name: str, subject: str, digest: str) -> CaseFingerprint:
    shape, mm = (2, 2, 2), (1.0, 1.0, 1.0)
    return CaseFingerprint(name, subject, shape, mm, shape, (1,), ((1, 1, 1),), (mm,), (mm,), digest)


FINGERPRINT = Fingerprint("demo", ("T2",), (("L1", 1),), (case("a", "p1", "d1"), case("v", "p2", "d2")), ())


def folder(root: Path, dataset: str, name: str, subject: str, digest: str) -> Path:
    (root / "run.toml").write_text(
        f'[[images]]\ndataset = "{dataset}"\ncase = "{name}"\nsubject = "{subject}"\ndigest = "{digest}"\n'
    )
    return root


@pytest.mark.parametrize(
    ("dataset", "name", "subject", "digest", "shown"),
    [
        ("demo", "v", "x", "x", "on v,"),
        ("demo", "w", "P2", "x", "on w,"),
        ("other", "w", "x", "d2", "on other/w,"),
        ("other", "v", "p2", "x", "on other/v,"),  # `pretrain` would have left it out
        ("other", "p2_visit4", "p2_visit4", "x", "on other/p2_visit4,"),
        ("demo", "a", "p1", "d1", None),
    ],
)
def test_cases_subjects_and_voxels_that_a_fold_is_judged_by(
    tmp_path: Path, dataset: str, name: str, subject: str, digest: str, shown: str | None
) -> None:
    weights = folder(tmp_path, dataset, name, subject, digest)
    if shown is None:
        assert check_unseen(weights, "demo", SPLIT, FINGERPRINT) == ()
        return
    with pytest.raises(PlanError, match=shown):
        check_unseen(weights, "demo", SPLIT, FINGERPRINT)


def test_without_the_fingerprint_names_are_known(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="on v,"):
        check_unseen(folder(tmp_path, "demo", "v", "x", "x"), "demo", SPLIT, None)
    check_unseen(folder(tmp_path, "other", "w", "x", "d2"), "demo", SPLIT, None)


def test_weights_without_a_record_are_taken_and_that_is_told(tmp_path: Path) -> None:
    (note,) = check_unseen(tmp_path, "demo", SPLIT, FINGERPRINT)
    assert "is not known: no run.toml" in note


def test_what_was_learnt_with_masks_elsewhere(tmp_path: Path) -> None:
    """The same voxels are refused; a name may be chance, and is told."""
    weights = folder(tmp_path, "anatomy", "s", "p2", "x")
    (weights / "run.toml").write_text((weights / "run.toml").read_text() + "masks = true\n")
    (note,) = check_unseen(weights, "demo", SPLIT, FINGERPRINT)
    assert "anatomy/s, called like" in note
    copied = folder(tmp_path, "anatomy", "s", "q", "d2")
    (copied / "run.toml").write_text((copied / "run.toml").read_text() + "masks = true\n")
    with pytest.raises(PlanError, match="on anatomy/s,"):
        check_unseen(copied, "demo", SPLIT, FINGERPRINT)


def test_a_training_records_what_it_has_seen() -> None:
    (image,) = trained_images("demo", SPLIT, FINGERPRINT)
    assert image == {"dataset": "demo", "case": "a", "subject": "p1", "digest": "d1", "masks": True}
    assert trained_images("demo", SPLIT, None) == [{"dataset": "demo", "case": "a", "masks": True}]
