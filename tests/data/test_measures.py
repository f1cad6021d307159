"""Classes of a mask in numbers, and how far two of them lie apart, by hand."""

from __future__ import annotations

import numpy as np

from autospine.data.measures import class_contrasts, measure_classes, pair_distances, places_along
from autospine.data.structure import IGNORED


def test_classes_by_hand() -> None:
    label = np.zeros((4, 6, 8), np.uint8)
    label[1:3, 2:4, 1:5] = 1
    label[3, 5, 6] = 3
    label[0] = IGNORED
    found = measure_classes(label, (3.0, 2.0, 1.0), 3)
    assert found.voxels == (16, 0, 1)
    assert found.slices == ((2, 2, 4), (0, 0, 0), (1, 1, 1))
    assert found.centroids_mm == ((4.5, 5.0, 2.5), None, (9.0, 10.0, 6.0))
    assert found.extents_mm == ((6.0, 4.0, 4.0), (0.0, 0.0, 0.0), (3.0, 2.0, 1.0))


def test_a_pair_is_measured_in_the_cases_that_have_both() -> None:
    here, there, none = (1.0, 2.0, 3.0), (4.0, 9.0, 3.0), (0.0, 0.0, 0.0)
    small, large = (1.0, 1.0, 1.0), (3.0, 2.0, 1.0)
    centroids = [(here, there), (here, None), (there, here)]
    places, extents = places_along(centroids, [(small, large), (small, none), (large, small)], axis=1)
    distances, sizes = pair_distances(places, extents, 0, 1)
    assert distances.tolist() == [7.0, -7.0]
    assert sizes.tolist() == [1.5, 1.5]


def test_how_classes_stand_out_by_hand() -> None:
    image, label = np.zeros((2, 1, 2, 5), np.int16), np.zeros((1, 2, 5), np.uint8)
    image[0, 0] = [[0, 1, 1, 3, 3], [0, 1, 1, 3, 3]]  # without what is 0: mean 2, deviation 1
    image[1] = 7
    label[0, 0, 3:], label[0, :, 1] = 1, 3
    assert class_contrasts(image, label, 3) == ((1.0, None, -1.0), (None, None, None))
    assert class_contrasts(np.full((1, 1, 2, 5), 0.3), label, 3) == ((None, None, None),)  # whose mean is rounded
