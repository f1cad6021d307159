"""The metrics against libraries that others trust: SimpleITK's filters, MedPy and DeepMind's surface-distance.

SimpleITK and MedPy take distances between centres of voxels, which is another definition; where a mask is moved as a
whole all definitions come to the length of the step.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import surface_distance
from medpy.metric import binary

from autospine.data.volume import read_volume
from autospine.evaluation.label_pair import LabelPair
from autospine.evaluation.metrics import ClassMetrics, class_metrics, measure_class
from tests.evaluation.test_surfaces import ADVERSARIAL, ball, mask

REAL = Path(__file__).parents[3] / "shared" / "data" / "lumbar-water" / "labelsTr"
SPACING = (4.0, 0.9, 0.55)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*scipy.ndimage.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Please (use|import) `:DeprecationWarning"),
]
EMPTY = np.zeros((4, 5, 6), bool)
MASKS = {
    **ADVERSARIAL,
    "nothing predicted": (EMPTY, mask((4, 5, 6), (1, 3), (2, 5), (0, 2))),
    "nothing there": (mask((4, 5, 6), (1, 3), (2, 5), (0, 2)), EMPTY),
}


def image(array: np.ndarray) -> SimpleITK.Image:
    held = SimpleITK.GetImageFromArray(array.astype(np.uint8))
    held.SetSpacing(SPACING[: array.ndim][::-1])
    return held


@pytest.mark.parametrize("name", MASKS)
def test_overlaps_are_those_of_simpleitk_and_medpy(name: str) -> None:
    predicted, expected = MASKS[name]
    spacing = SPACING[: predicted.ndim]
    mine = class_metrics(predicted.astype(np.uint8), expected.astype(np.uint8), 1, spacing)
    theirs = SimpleITK.LabelOverlapMeasuresImageFilter()
    theirs.Execute(image(predicted), image(expected))
    assert mine.dice == pytest.approx(theirs.GetDiceCoefficient(1), abs=1e-6)
    assert mine.iou == pytest.approx(theirs.GetJaccardCoefficient(1), abs=1e-6)
    if expected.any():
        assert mine.sensitivity == pytest.approx(1 - theirs.GetFalseNegativeError(1), abs=1e-6)
    assert mine.dice == pytest.approx(binary.dc(predicted, expected), abs=1e-6)
    assert mine.iou == pytest.approx(binary.jc(predicted, expected), abs=1e-6)
    if predicted.any():  # theirs divide by 0 without
        assert mine.precision == pytest.approx(binary.precision(predicted, expected), abs=1e-6)
    if expected.any():
        assert mine.sensitivity == pytest.approx(binary.recall(predicted, expected), abs=1e-6)
    if not expected.all():
        assert mine.specificity == pytest.approx(binary.specificity(predicted, expected), abs=1e-6)
    assert mine.accuracy == pytest.approx((predicted == expected).mean(), abs=1e-6)
    volumes = [SimpleITK.LabelShapeStatisticsImageFilter() for _ in range(2)]
    for held, array in zip(volumes, (predicted, expected), strict=True):
        held.Execute(image(array))
    there, here = (held.GetPhysicalSize(1) if held.HasLabel(1) else 0.0 for held in volumes)
    assert mine.volume_difference_mm3 == pytest.approx(there - here, abs=1e-6)


@pytest.mark.parametrize(("step", "length"), [((2, 0, 0), 8.0), ((0, 5, 0), 4.5), ((0, 0, 9), 4.95)])
def test_a_step_is_as_long_as_simpleitk_and_medpy_say(step: tuple[int, int, int], length: float) -> None:
    """Of a plate that is moved across itself by more than its thickness, half of the surface lies a step away."""
    edges = [3 if along else 12 for along in step]
    first = np.zeros((16, 20, 24), bool)
    edges = [1 if along else edge for along, edge in zip(step, edges, strict=True)]
    first[tuple(slice(2, 2 + edge) for edge in edges)] = True
    second = np.roll(first, step, (0, 1, 2))
    mine = class_metrics(first.astype(np.uint8), second.astype(np.uint8), 1, SPACING)
    theirs = SimpleITK.HausdorffDistanceImageFilter()
    theirs.Execute(image(first), image(second))
    assert mine.hd95_mm == pytest.approx(length, abs=1e-6)
    assert theirs.GetHausdorffDistance() == pytest.approx(length, abs=1e-6)
    assert binary.hd95(first, second, SPACING) == pytest.approx(length, abs=1e-6)


def test_centres_of_voxels_are_no_farther_off_than_a_voxel() -> None:
    first, second = ball((20, 30, 30), (10, 14, 14), 8), ball((20, 30, 30), (10, 16, 15), 7)
    mine = class_metrics(first.astype(np.uint8), second.astype(np.uint8), 1, SPACING)
    diagonal = float(np.linalg.norm(SPACING))
    assert abs(mine.hd95_mm - binary.hd95(first, second, SPACING)) < diagonal
    assert abs(mine.asd_mm - binary.assd(first, second, SPACING)) < diagonal / 2


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="the data are not here")
def test_real_masks_as_all_of_them_have_it() -> None:
    for number, path in enumerate(sorted(REAL.glob("*.nii.gz"))[:4]):
        volume = read_volume(path)
        expected, spacing = volume.array[0], volume.geometry.spacing_mm
        predicted = np.roll(expected, (number % 2, 2, -3), (0, 1, 2))
        pair = LabelPair(predicted, expected)
        for value in range(1, 6):
            compared(measure_class(pair, value, spacing), predicted == value, expected == value, spacing)


def compared(mine: ClassMetrics, predicted: np.ndarray, expected: np.ndarray, spacing: tuple[float, ...]) -> None:
    theirs = surface_distance.compute_surface_distances(expected, predicted, spacing)
    assert mine.dice == pytest.approx(binary.dc(predicted, expected), abs=1e-6)
    assert mine.hd95_mm == pytest.approx(surface_distance.compute_robust_hausdorff(theirs, 95), abs=1e-6)
    average = np.mean(surface_distance.compute_average_surface_distance(theirs))
    assert mine.asd_mm == pytest.approx(average, abs=1e-6)
    surface = surface_distance.compute_surface_dice_at_tolerance(theirs, 1.0 + 1e-9)
    assert mine.surface_dice == pytest.approx(surface, abs=1e-6)
