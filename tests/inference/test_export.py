"""Class indices become the values of the labels, on the axes of the file."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from autospine.data.geometry import Geometry
from autospine.inference.export import label_values, labels_volume
from autospine.planning.document.configuration import Configuration
from tests.cards import card_of

INDICES = np.array([[[0, 1], [2, 3]]], np.uint8)


def test_values_take_the_smallest_type_that_holds_them(make_configuration: Callable[..., Configuration]) -> None:
    for values, kind in (((7, 20, 4), np.uint8), ((7, 300, 4), np.uint16), ((1, 2, 70_000), np.uint32)):
        labels = tuple((f"L{value}", value) for value in values)
        mapped = label_values(INDICES, card_of(make_configuration(), labels=labels))
        assert mapped.dtype == kind and mapped.ravel().tolist() == [0, *values]


def test_a_file_of_other_axes_gets_them_back(make_configuration: Callable[..., Configuration]) -> None:
    """Array axes that run towards left, superior and anterior: the canonical ones permuted, the last flipped."""
    columns = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # x, y, z of the array in LPS
    geometry = Geometry((2, 1, 2), (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), tuple(columns.ravel().tolist()))
    card = card_of(make_configuration())
    made = labels_volume(INDICES, geometry, card, (("a", "b"),))
    assert made.geometry == geometry and made.metadata == (("a", "b"),) and made.array.shape == (1, 2, 1, 2)
    # left 0 and 1, each from posterior to anterior
    assert made.array[0, :, 0].tolist() == [[2, 0], [3, 1]]
