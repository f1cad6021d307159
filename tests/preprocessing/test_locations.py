"""Voxels of each class, drawn evenly."""

from __future__ import annotations

import numpy as np

from autospine.preprocessing.locations import class_locations


def test_locations_of_small_and_large_classes() -> None:
    label = np.zeros((60, 150, 200), np.uint8)
    label[:, :, :150] = 1  # 1 350 000 voxels: 1 % is 13 500
    label[5, 6, 180:190] = 2
    label[10:20, :, 160:] = 4  # 60 000 voxels: 10 000 are kept
    found = class_locations(label, (1, 2, 3, 4), seed=0)
    assert {value: len(voxels) for value, voxels in found.items()} == {1: 13_500, 2: 10, 4: 10_000}
    for value, voxels in found.items():
        assert voxels.dtype == np.int32
        assert (label[tuple(voxels.T)] == value).all()
        assert len(np.unique(voxels, axis=0)) == len(voxels)
    again, other = class_locations(label, (1, 2, 3, 4), seed=0), class_locations(label, (1, 2, 3, 4), seed=1)
    np.testing.assert_array_equal(found[1], again[1])
    assert not np.array_equal(found[1], other[1])
    # evenly over the class, not from one end
    assert abs(float(found[1].mean(axis=0)[0]) - 29.5) < 1
