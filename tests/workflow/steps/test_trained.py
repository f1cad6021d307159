"""Which folds can be compared; of a cascade only those that were trained on the previous stage as it stands."""

from __future__ import annotations

import pytest

from autospine.data.folds import read_folds
from autospine.errors import PlanError
from autospine.planning.document.model_file import weights_digest, write_previous
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.steps.trained import Trained, find_trained
from tests.workflow.conftest import NAMES
from tests.workflow.selecting import put_fold


def found(run: RunFolder, name: str) -> Trained:
    (one,) = find_trained(run, run.read_plan(), read_folds(run.splits), (name,))
    return one


def test_cases_of_the_folds_that_are_trained(run: RunFolder) -> None:
    put_fold(run, "2d", 0)
    put_fold(run, "2d", 2)
    one = found(run, "2d")
    assert one.fold_of == {**dict.fromkeys(NAMES[0::3], "0"), **dict.fromkeys(NAMES[2::3], "2")}
    assert one.weights == {fold: weights_digest(run.model("2d"), fold) for fold in ("0", "2")}
    key = one.key_of(NAMES[0])
    put_fold(run, "2d", 2, seed=1)
    again = found(run, "2d")
    assert again.key_of(NAMES[0]) == key and again.key_of(NAMES[2]) != one.key_of(NAMES[2])


def test_a_cascade_goes_with_the_weights_that_it_starts_from(run: RunFolder) -> None:
    put_fold(run, "3d_lowres", 0)
    place = put_fold(run, "3d_cascade_fullres", 0)
    write_previous(place, {0: weights_digest(run.model("3d_lowres"), 0)})
    key = found(run, "3d_cascade_fullres").key_of(NAMES[0])
    put_fold(run, "3d_lowres", 0, seed=4)
    with pytest.raises(PlanError, match=r"trained on another 3d_lowres, of which fold\(s\) 0 have other weights"):
        found(run, "3d_cascade_fullres")
    write_previous(place, {0: weights_digest(run.model("3d_lowres"), 0)})
    assert found(run, "3d_cascade_fullres").key_of(NAMES[0]) != key  # what was kept of the case is of the other
