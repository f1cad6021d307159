"""What the record beside weights says that they have seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from autospine.data.folds import Fold
from autospine.errors import PlanError
from autospine.planning.fingerprint import CaseFingerprint, Fingerprint
from autospine.workflow.seen import check_unseen

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
        ("other", "v", "p2", "x", None),  # subjects of two datasets are not compared here
        ("demo", "a", "p1", "d1", None),
    ],
)
def test_cases_subjects_and_voxels_that_a_fold_is_judged_by(
    tmp_path: Path, dataset: str, name: str, subject: str, digest: str, shown: str | None
) -> None:
    weights = folder(tmp_path, dataset, name, subject, digest)
    if shown is None:
        check_unseen(weights, "demo", SPLIT, FINGERPRINT)
        return
    with pytest.raises(PlanError, match=shown):
        check_unseen(weights, "demo", SPLIT, FINGERPRINT)


def test_without_the_fingerprint_names_are_known(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="on v,"):
        check_unseen(folder(tmp_path, "demo", "v", "x", "x"), "demo", SPLIT, None)
    check_unseen(folder(tmp_path, "other", "w", "x", "d2"), "demo", SPLIT, None)


def test_weights_without_a_record_are_taken(tmp_path: Path) -> None:
    check_unseen(tmp_path, "demo", SPLIT, FINGERPRINT)
