"""The 48 ways in which the axes of a series can lie along those of the body, and a little turned."""

from __future__ import annotations

import itertools

import numpy as np

from autospine.data.geometry import Geometry

SHAPE = (3, 5, 4)
SPACING_MM = (3.3, 0.9, 0.7)


def orientations() -> list[np.ndarray]:
    """Directions of the array axes X, Y, Z as columns, all permutations and signs: 48, half of them left-handed."""
    found = []
    for permutation in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[list(permutation), range(3)] = signs
            found.append(matrix)
    return found


def turned(direction: np.ndarray) -> np.ndarray:
    """Directions as columns, turned by some degrees about an oblique axis, as scanners give them."""
    axis, angle = np.array([1.0, 2.0, 3.0]) / np.sqrt(14.0), 0.13
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return (np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross) @ direction


def grid(direction: np.ndarray, shape: tuple[int, int, int] = SHAPE) -> Geometry:
    """A grid with these directions, turned."""
    return Geometry(shape, SPACING_MM, (-31.25, 42.5, 187.125), tuple(turned(direction).ravel().tolist()))
