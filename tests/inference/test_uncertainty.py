"""How far members disagree, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autospine.inference.uncertainty import with_disagreement


def test_disagreement_by_hand() -> None:
    sure = torch.tensor([[20.0, -20.0]]).view(1, 2, 1, 1)
    other, unsure = -sure, torch.zeros(1, 2, 1, 1)
    for members, expected in (([sure, sure], 0.0), ([unsure, unsure], 0.0), ([sure, other], 1.0)):
        found = with_disagreement(members, 1.0, regions=False)
        assert found.shape == (1, 3, 1, 1)
        assert found[0, 2].item() == pytest.approx(expected, abs=1e-6)
    # one is sure, one is not: entropy of (3/4, 1/4) less half of log 2, over log 2
    half = with_disagreement([sure, unsure], 1.0, regions=False)[0, 2].item()
    assert half == pytest.approx(-(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25)) - 0.5, abs=1e-5)
    # halved scores are less sure of different things
    mild = torch.tensor([[2.0, 0.0]]).view(1, 2, 1, 1)
    assert (
        with_disagreement([mild, -mild], 2.0, regions=False)[0, 2]
        < with_disagreement([mild, -mild], 1.0, regions=False)[0, 2]
    )
