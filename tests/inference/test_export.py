"""Class indices become the values of the labels, on the axes of the file."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from autospine.data.geometry import Geometry, Orientation, restore
from autospine.data.structure import Region
from autospine.inference.export import Placement, label_values, labels_volume, structures
from autospine.planning.document.configuration import Configuration
from autospine.preprocessing.prepare import CaseProperties
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


def test_a_box_of_the_crop_lies_where_the_whole_puts_it() -> None:
    """In all orientations of a file and all orders of planned axes."""
    crop = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    for permutation, flips, order in itertools.product(
        itertools.permutations(range(3)), itertools.product((False, True), repeat=3), itertools.permutations(range(3))
    ):
        sizes = {axis: size for axis, size in zip(order, crop.shape, strict=True)}
        box = tuple((1 + axis, 1 + axis + sizes[axis]) for axis in range(3))
        whole = tuple(end + 2 for _, end in box)
        properties = CaseProperties("case", whole, (1.0,) * 3, box, order, (1.0,) * 3)  # type: ignore[arg-type]
        placement = Placement(properties, Orientation(permutation, flips))  # type: ignore[arg-type]
        canonical = np.full(whole, -1)
        canonical[tuple(slice(*span) for span in box)] = crop.transpose(np.argsort(order))
        expected = restore(canonical, placement.orientation)
        found = np.full(expected.shape, -1)
        for row in range(2):
            spans = (slice(row, row + 1), slice(0, 3), slice(1, 4))
            found[placement.box(spans)] = placement.turn(crop[spans])
            spans = (slice(row, row + 1), slice(0, 3), slice(0, 1))
            found[placement.box(spans)] = placement.turn(crop[spans])
        np.testing.assert_array_equal(found, expected)
        assert (expected[placement.whole] >= 0).all()
        first = placement.box((slice(0, 1), slice(0, 3), slice(0, 4)))[placement.row_axis]
        assert first.stop - first.start == 1


def test_regions_are_made_of_their_labels(make_configuration: Callable[..., Configuration]) -> None:
    base = make_configuration()
    assert structures(card_of(base)) == {"L1": (1,), "L2": (2,), "L3": (3,)}
    loss = replace(base.loss, class_weights=(1.0, 1.0))
    two = replace(base, network=replace(base.network, out_channels=2), loss=loss)
    labels = (("a", 7), ("b", 9))
    regions = (Region("all", (7, 9), 7), Region("core", (9,), 9))
    assert structures(card_of(two, labels=labels, regions=regions)) == {"all": (7, 9), "core": (9,)}
