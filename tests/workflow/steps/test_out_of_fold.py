"""What is kept of a case out of fold is of the network that it is kept for, and of what there is to look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import blosc2
import numpy as np
import pytest
import torch

from autospine.data.folds import read_folds
from autospine.data.structure import IGNORED
from autospine.errors import PlanError
from autospine.inference.segmentation import Wanted
from autospine.planning.document.configuration import Configuration
from autospine.workflow.progress import Silent
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.steps.out_of_fold import _reliability, open_speaker
from autospine.workflow.steps.trained import find_trained
from tests.cards import card_of
from tests.workflow.conftest import NAMES
from tests.workflow.selecting import put_fold


def test_a_fold_that_is_trained_anew_meanwhile_is_not_taken_for_the_one_before(
    run: RunFolder, toy_dataset: Path
) -> None:
    put_fold(run, "2d", 0)
    plan, folds = run.read_plan(), read_folds(run.splits)
    (trained,) = find_trained(run, plan, folds, ())
    cpu = torch.device("cpu")
    speaker = open_speaker(toy_dataset, run, plan, trained, folds, NAMES[:1], cpu, Silent(), 0)
    put_fold(run, "2d", 0, seed=9)
    with pytest.raises(PlanError, match="other weights than when this began"):
        speaker.say(NAMES[0], Wanted())
    put_fold(run, "2d", 0)
    assert speaker.say(NAMES[0], Wanted()).labels.array.size


def test_an_image_of_nothing_says_nothing_of_confidence(make_configuration: Callable[..., Configuration]) -> None:
    """Background, of which everybody is sure, would make any model look well calibrated."""
    card = card_of(make_configuration())
    stored = blosc2.zeros((card.data.outputs, 3, 4, 5), dtype=np.float16, chunks=(1, 1, 4, 5))
    nothing = np.zeros((3, 4, 5), np.uint8)
    assert not _reliability(stored, nothing, nothing, card).bins.any()
    reference = nothing.copy()
    reference[1, 1:4, 2] = 1, 0, 1
    assert _reliability(stored, nothing, reference, card).bins[0, :, 0].sum() == 3  # the box around both
    reference[1, 1] = IGNORED
    assert _reliability(stored, nothing, reference, card).bins[0, :, 0].sum() == 1
