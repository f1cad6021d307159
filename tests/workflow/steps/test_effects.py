"""What steps would do, worked out from components, against the steps done to whole volumes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from autospine.data.structure import IGNORED, Region
from autospine.evaluation.score import score_cases
from autospine.inference.postprocessing import postprocessed
from autospine.planning.document.data import DataPlan, LevelsPlan
from autospine.planning.document.postprocessing import Postprocessing, Step
from autospine.workflow.steps.effects import VOLUMES_MM3, Figures, measure, options
from tests.inference.test_postprocessing import data_of

SPACING = (2.0, 1.0, 1.5)
REGIONS = (Region("whole", (10, 20, 30), 10), Region("core", (20, 30), 20), Region("deepest", (30,), 30))
KINDS: dict[str, DataPlan] = {
    "classes": data_of(3),
    "regions": data_of(3, regions=REGIONS),
    "levels": data_of(3, levels=LevelsPlan((1, 2), 0, 1.2, (0.5, 0.5))),
}


def blobs(seed: int, shape: tuple[int, ...] = (12, 26, 22)) -> np.ndarray:
    """Smooth noise in bands: classes that touch, with crumbs and holes."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5)
    noise /= noise.std()
    return np.digitize(noise, [0.2, 0.9, 1.6]).astype(np.uint8)


def dice(labels: np.ndarray, reference: np.ndarray, data: DataPlan) -> np.ndarray:
    scores = score_cases([("a", labels, reference, SPACING)], data.scored, IGNORED)
    return np.array([one.dice for one in scores.cases[0].metrics])


def dice_by(figures: Figures, key: tuple[int, int] | None = None) -> np.ndarray:
    counts = figures.overlaps.astype(float)
    if key is not None and key in figures.effects:
        counts[:, :2] += figures.effects[key]
    with np.errstate(invalid="ignore"):
        return 2 * counts[:, 0] / (counts[:, 1] + counts[:, 2])  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", KINDS)
def test_each_option_by_components_and_by_whole_volumes(kind: str) -> None:
    data, moved = KINDS[kind], 0
    for seed in range(3):
        labels, reference = blobs(seed), blobs(seed + 10)
        reference[:, :3] = IGNORED
        figures = measure(labels, reference, SPACING, data)
        np.testing.assert_allclose(dice_by(figures), dice(labels, reference, data))
        for row, structure in enumerate((*data.targets, None)):
            for number, steps in enumerate(options(structure)):
                made = postprocessed(labels, Postprocessing(steps), data, SPACING)
                np.testing.assert_allclose(
                    dice_by(figures, (row, number)), dice(made, reference, data), err_msg=str(steps)
                )
                moved += (row, number) in figures.effects
    assert moved > 20


def test_effects_of_different_classes_add_up() -> None:
    """So that all steps together need no volume either: holes filled first, then components removed."""
    data = KINDS["classes"]
    labels, reference = blobs(1), blobs(11)
    figures = measure(labels, reference, SPACING, data)
    steps = [Step("above", name, volume) for name, volume in zip(data.targets, (30.0, 100.0, 30.0), strict=True)]
    total = figures.overlaps.astype(float)
    for row, step in enumerate(steps):
        number = options(data.targets[row]).index((step,))
        total[:, :2] += figures.effects.get((row, number), np.zeros((3, 2)))
    made = postprocessed(labels, Postprocessing(tuple(steps)), data, SPACING)
    np.testing.assert_allclose(2 * total[:, 0] / (total[:, 1] + total[:, 2]), dice(made, reference, data))


def test_the_least_is_tried_first_and_nothing_is_no_option() -> None:
    own = options("cord")
    assert own[0] == (Step("fill", "cord"),)
    assert [one[0].volume_mm3 for one in own[1:7]] == list(VOLUMES_MM3) and own[7] == (Step("largest", "cord"),)
    assert own[8] == (Step("fill", "cord"), Step("above", "cord", VOLUMES_MM3[0])) and len(own) == 15
    assert {step.kind for steps in options(None) for step in steps} == {"above", "largest"}
    assert all(Postprocessing(steps) for steps in (*own, *options(None)))  # each may stand in a file


def test_figures_are_read_as_they_were_written() -> None:
    figures = measure(blobs(0), blobs(10), SPACING, KINDS["regions"])
    again = Figures.from_json(json.loads(json.dumps(figures.to_json())))
    np.testing.assert_array_equal(again.overlaps, figures.overlaps)
    assert again.effects.keys() == figures.effects.keys()
    assert all((again.effects[key] == figures.effects[key]).all() for key in figures.effects)


def test_a_perfect_and_an_empty_segmentation() -> None:
    data: Any = KINDS["classes"]
    reference = np.zeros((3, 6, 6), np.uint8)
    reference[:, 1:5, 1:5] = 2
    whole = measure(reference.copy(), reference, SPACING, data)
    assert whole.overlaps.tolist() == [[0, 0, 0], [48, 48, 48], [0, 0, 0]]
    # 48 voxels of 3 mm3 are 144 mm3: to ask for more takes away all that is right
    assert whole.effects[1, options("c2").index((Step("above", "c2", 300.0),))].tolist() == [[0, 0], [-48, -48], [0, 0]]
    assert not measure(np.zeros_like(reference), reference, SPACING, data).effects
