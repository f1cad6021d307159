from __future__ import annotations

import math

import numpy as np

from autospine.workflow.steps.scan_features import features_of, number_of, structure_of

CHANNEL = {"percentiles": [1.0, 2.0], "background": 0.25, "gradient": [3.0], "noise": 4.0, "layout": [5.0]}
CASE = {
    "channels": [CHANNEL],
    "size_mm": [1.0, math.e],
    "spacing_mm": [1.0],
    "structures": {"L1": {"volume_mm3": math.e - 1}, "L2": {"volume_mm3": 0.0}},
}


def test_groups_of_numbers() -> None:
    found = features_of([CASE, {}], 1, ("L1", "L2", "L3"))
    assert found["intensities"][0].tolist() == [1.0, 2.0, 0.25] and np.isnan(found["intensities"][1]).all()
    assert found["texture"][0].tolist() == [3.0, 4.0] and found["layout"][0].tolist() == [5.0]
    assert found["size"][0].tolist() == [0.0, 1.0, 0.0]
    np.testing.assert_allclose(found["structures"], [[1, 0, math.nan], [math.nan] * 3])


def test_a_channel_that_a_case_lacks() -> None:
    both = features_of([{**CASE, "channels": [CHANNEL, CHANNEL]}, {**CASE, "channels": [CHANNEL, None]}], 2, ())
    assert both["intensities"].shape == (2, 6) and np.isnan(both["intensities"][1, 3:]).all()


def test_what_is_no_number() -> None:
    assert number_of({"a": 2}, "a") == 2.0 and math.isnan(number_of({"a": "2"}, "a"))
    assert structure_of({"structures": ["L1"]}, "L1") == {} and structure_of({}, "L1") == {}
