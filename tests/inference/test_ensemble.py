"""Two models as one: the mean of their calibrated probabilities, decided as a single model decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special
from torch import Tensor, nn

from autospine.data.geometry import Geometry, Volume
from autospine.data.structure import Region
from autospine.errors import DataError, PlanError
from autospine.inference.ensemble import Ensemble, Mean, load_ensemble, scaled
from autospine.inference.predictor import Predictor
from autospine.inference.segmentation import Wanted
from autospine.inference.settings import Settings
from autospine.inference.vertebral_levels import Chain, agree_on_levels
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import LevelsPlan
from autospine.planning.document.postprocessing import Postprocessing, Step, write_postprocessing
from tests.cards import card_of
from tests.inference.linear import CPU, INTENSITIES, Linear, plainly, smooth
from tests.workflow.predicting import made_model

Make = Callable[..., Configuration]
LABELS = (("upper", 7), ("middle", 300), ("lower", 4))
FLAT = Geometry((8, 18, 17), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.0, -1.0, 0.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0))
"""Axes turned and flipped."""


def of(configuration: Configuration, factors: tuple[float, ...], temperature: float = 1.0, **data: Any) -> Predictor:
    card = card_of(configuration, **{"labels": LABELS, "intensities": INTENSITIES} | data)
    return Predictor(card, (Linear(*factors),), CPU, mirror=False, precision="float32", temperature=temperature)


def image(seed: int = 0) -> Volume:
    return Volume(smooth(FLAT.shape, seed)[None], FLAT)


FACTORS = (0.0, 1.0, -1.0, 0.5), (0.2, -0.5, 2.0, 0.1)


def by_hand(volume: Volume, temperatures: tuple[float, float] = (1.0, 1.0)) -> np.ndarray:
    """(K, Z, Y, X): the mean of the softmax of each model's scores, which are multiples of the image."""
    said = [
        special.softmax(np.multiply.outer(factors, volume.array[0]) / temperature, axis=0)
        for factors, temperature in zip(FACTORS, temperatures, strict=True)
    ]
    return np.mean(said, axis=0)


def sure(mean: np.ndarray) -> np.ndarray:
    """Where float16 cannot have changed the winner."""
    first, second = np.sort(mean, axis=0)[[-1, -2]]
    return first - second > 2e-3


@pytest.mark.parametrize("orders", [((0, 1, 2), (0, 1, 2)), ((2, 0, 1), (1, 2, 0))])
@pytest.mark.parametrize("temperatures", [(1.0, 1.0), (2.0, 0.7)])
def test_labels_and_probabilities_are_those_of_the_mean(
    make_configuration: Make, tmp_path: Path, orders: tuple[Any, Any], temperatures: tuple[float, float]
) -> None:
    """Whatever axes the models were planned on, and however the image lies; in memory and in a file."""
    models = [
        of(replace(plainly(make_configuration), axis_order=order), factors, temperature)
        for order, factors, temperature in zip(orders, FACTORS, temperatures, strict=True)
    ]
    ensemble, volume = Ensemble(tuple(models)), image()
    made = ensemble.predict(volume, wanted=Wanted(probabilities=True))
    expected = by_hand(volume, temperatures)
    assert made.probabilities is not None
    np.testing.assert_allclose(made.probabilities.array, expected, atol=1.5e-3)
    values = np.array([0, 7, 300, 4])[expected.argmax(axis=0)]
    certain = sure(expected)
    assert certain.mean() > 0.9 and len(np.unique(values)) > 1
    np.testing.assert_array_equal(made.labels.array[0][certain], values[certain])
    assert made.labels.geometry == FLAT
    path = tmp_path / "mean.b2nd"
    written = ensemble.predict(volume, wanted=Wanted(probabilities=path))
    assert written.probabilities is not None and path.is_file()
    np.testing.assert_array_equal(written.probabilities.array, made.probabilities.array)


def test_neither_model_alone_says_the_same(make_configuration: Make) -> None:
    """So that what is compared above is no single model's."""
    configuration = plainly(make_configuration)
    both = [of(configuration, factors) for factors in FACTORS]
    alone = [one.predict(image()).array for one in both]
    mean = Ensemble(tuple(both)).predict(image()).array
    assert all((one != mean).mean() > 0.01 for one in alone)


def test_models_that_are_the_same_are_one(make_configuration: Make) -> None:
    one = of(plainly(make_configuration), FACTORS[0])
    found, alone = Ensemble((one, one)).predict(image()).array, one.predict(image()).array
    certain = sure(special.softmax(np.multiply.outer(FACTORS[0], image().array[0]), axis=0))
    np.testing.assert_array_equal(found[certain], alone[certain])


def test_regions_are_written_in_turn_where_the_mean_is_above_a_half(make_configuration: Make) -> None:
    regions = (Region("any", (7, 300, 4), 4), Region("upper", (7,), 7))
    configuration = plainly(make_configuration)
    network = replace(configuration.network, out_channels=2)
    loss = replace(configuration.loss, class_weights=(1.0, 1.0))
    configuration = replace(configuration, network=network, loss=loss)
    factors = (1.0, -0.5), (-0.5, -1.0)  # the second says no where the mean says any, and the other way round
    models = [of(configuration, one, regions=regions) for one in factors]
    made = Ensemble(tuple(models)).predict(image(), wanted=Wanted(probabilities=True))
    mean = np.mean([special.expit(np.multiply.outer(one, image().array[0])) for one in factors], axis=0)
    assert made.probabilities is not None
    np.testing.assert_allclose(made.probabilities.array, mean, atol=1.5e-3)
    values = np.where(mean[1] > 0.5, 7, np.where(mean[0] > 0.5, 4, 0))
    certain = (np.abs(mean - 0.5) > 2e-3).all(axis=0)
    np.testing.assert_array_equal(made.labels.array[0][certain], values[certain])
    assert set(np.unique(values)) == {4, 7}


class Column(nn.Module):
    """Three blocks of brightness 1, 2, 3 become levels, called by a table of logits."""

    def __init__(self, said: dict[float, tuple[float, ...]]) -> None:
        super().__init__()
        self.said = said

    def forward(self, x: Tensor) -> tuple[Tensor]:
        out = torch.zeros(x.shape[0], 4, *x.shape[2:])
        out[:, 0] = 4.0
        for value, logits in self.said.items():
            here = (x[:, 0] - value).abs() < 0.25
            for channel, logit in enumerate(logits):
                out[:, channel][here] = logit
        return (out,)


def test_vertebrae_agree_on_one_level_each(make_configuration: Make) -> None:
    """One model calls the first block c1, the other c2, and each is sure of a part: in the mean both hold somewhere."""
    array = np.zeros((1, 24, 12, 12), np.float32)
    for low, left, right in ((2, 1.0, 1.5), (11, 2.5, 3.0)):
        array[0, low : low + 6, 3:9, 3:6], array[0, low : low + 6, 3:9, 6:9] = left, right
    geometry = Geometry((24, 12, 12), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    levels = LevelsPlan((1, 2, 3), 0, 1.5, (0.5, 0.5))
    first = {1.0: (-4, 4, 0, 0), 1.5: (-4, 4, 0, 0), 2.5: (-4, 0, 4, 0), 3.0: (-4, 0, 4, 0)}
    other = {1.0: (-4, 0, 6, 0), 1.5: (-4, 0, 0.5, 0), 2.5: (-4, 0, 0, 6), 3.0: (-4, 0, 0, 1)}
    configuration = plainly(make_configuration)
    models = []
    for said in (first, other):
        card = card_of(configuration, labels=LABELS, intensities=INTENSITIES, levels=levels)
        models.append(Predictor(card, (Column(said),), CPU, mirror=False, precision="float32"))
    stored = tuple(
        model.predict(Volume(array, geometry), wanted=Wanted(probabilities=True)).probabilities.stored  # type: ignore[union-attr]
        for model in models
    )
    mean = np.log(np.maximum(np.mean([one[...] for one in stored], axis=0, dtype=np.float32), 6e-8))
    expected = agree_on_levels(mean.copy(), Chain(levels, 0, (1.0, 1.0, 1.0))).argmax(axis=0)
    segmented = Ensemble(tuple(models)).predict(Volume(array, geometry), wanted=Wanted(instances=True))
    found = segmented.array
    np.testing.assert_array_equal(found, np.array([0, 7, 300, 4])[expected])
    raw = np.array([0, 7, 300, 4])[mean.argmax(axis=0)]
    assert (raw != found).any()
    blocks = [set(np.unique(found[low:high, 3:9, 3:9])) for low, high in ((2, 8), (11, 17))]
    assert all(len(block) == 1 for block in blocks) and blocks[0] != blocks[1]
    assert segmented.instances is not None
    numbers = segmented.instances.array[0]
    assert [set(np.unique(numbers[low:high, 3:9, 3:9])) for low, high in ((2, 8), (11, 17))] == [{1}, {2}]
    np.testing.assert_array_equal(numbers > 0, found > 0)
    order = (2, 0, 1)
    turned = Mean(stored, (1.0, 1.0), order, False).labels(models[0].card)
    np.testing.assert_array_equal(turned, expected)


def test_uncertainty_is_what_models_and_their_members_disagree_about(make_configuration: Make) -> None:
    """By the chain rule it is the mutual information over all four networks."""
    configuration = plainly(make_configuration)
    factors = (FACTORS[0], (0.3, 0.9, 0.0, -0.5)), (FACTORS[1], (0.0, 0.1, 1.0, 1.5))
    models = []
    for pair in factors:
        one = of(configuration, pair[0])
        models.append(replace(one, networks=tuple(Linear(*own) for own in pair)))
    made = Ensemble(tuple(models)).predict(image(), wanted=Wanted(uncertainty=True))
    logits = [[np.multiply.outer(own, image().array[0]) for own in pair] for pair in factors]
    # what a model says is the softmax of its networks' mean logits; its own disagreement that of their softmax
    said = [special.softmax(np.mean(pair, axis=0), axis=0) for pair in logits]

    def entropy(chances: np.ndarray) -> np.ndarray:
        return special.entr(chances).sum(axis=0) / np.log(4)  # type: ignore[no-any-return]

    between = entropy(np.mean(said, axis=0)) - np.mean([entropy(one) for one in said], axis=0)
    within = []
    for pair in logits:
        own = [special.softmax(one, axis=0) for one in pair]
        within.append(entropy(np.mean(own, axis=0)) - np.mean([entropy(one) for one in own], axis=0))
    assert made.uncertainty is not None
    found = made.uncertainty.array[0]
    np.testing.assert_allclose(found, between + np.mean(within, axis=0), atol=3e-3)
    assert found.max() > 0.1


def test_two_networks_without_mirroring_can_disagree(make_configuration: Make) -> None:
    configuration = plainly(make_configuration)
    ensemble = Ensemble((of(configuration, FACTORS[0]), of(configuration, FACTORS[1])))
    made = ensemble.predict(image(), wanted=Wanted(uncertainty=True))
    assert made.uncertainty is not None and made.uncertainty.array.max() > 0.05


def test_steps_are_done_to_the_mean_and_not_before(make_configuration: Make) -> None:
    configuration = plainly(make_configuration)
    models = tuple(of(configuration, factors) for factors in FACTORS)
    raw = Ensemble(models).predict(image()).array
    steps = Postprocessing((Step("largest", "upper"),))
    found = Ensemble(models, steps).predict(image()).array
    assert ((raw == 7) & (found == 0)).any()
    np.testing.assert_array_equal(found[found != 0], raw[found != 0])


def test_little_memory_gives_the_same_labels_through_files(
    make_configuration: Make, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    configuration = plainly(make_configuration)
    ensemble = Ensemble((of(configuration, FACTORS[0]), of(configuration, FACTORS[1])))
    expected = ensemble.predict(image()).array
    assert ensemble._way(FLAT, Wanted())[0] is False
    seen: list[Path] = []
    real = Predictor.segment

    def noting(self: Predictor, *more: Any, **named: Any) -> Any:
        seen.append(named["wanted"].probabilities)
        return real(self, *more, **named)

    monkeypatch.setattr(Predictor, "segment", noting)
    monkeypatch.setattr(Ensemble, "available_bytes", lambda self: 1.0)
    found = ensemble.predict(image()).array
    assert all(isinstance(path, Path) for path in seen) and len(seen) == 2
    np.testing.assert_array_equal(found, expected)
    assert list(temporary.iterdir()) == []


def test_a_limit_on_memory_refuses_what_does_not_fit(make_configuration: Make) -> None:
    configuration = plainly(make_configuration)
    models = tuple(replace(of(configuration, factors), memory_bytes=10**6) for factors in FACTORS)
    with pytest.raises(DataError, match="allow .* GB with --memory"):
        Ensemble(models).predict(image())


def test_more_is_needed_than_of_one_model(make_configuration: Make) -> None:
    configuration = plainly(make_configuration)
    one = of(configuration, FACTORS[0])
    large = replace(FLAT, shape=(200, 400, 400))
    assert Ensemble((one, one)).needed_bytes(large) > one.needed_bytes(large)


def test_a_missing_channel_and_a_wrong_image_are_told_as_by_one(make_configuration: Make) -> None:
    configuration = plainly(make_configuration)
    ensemble = Ensemble((of(configuration, FACTORS[0]), of(configuration, FACTORS[1])))
    with pytest.raises(DataError, match=r"2 channel\(s\)"):
        ensemble.predict(Volume(np.concatenate([image().array] * 2), FLAT))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_probabilities_are_scaled_as_logits_would_be(temperature: float) -> None:
    logits = np.random.default_rng(0).normal(0, 2, (4, 50)).astype(np.float32)
    found = scaled(special.softmax(logits, axis=0), temperature, regions=False)
    np.testing.assert_allclose(found, special.softmax(logits / temperature, axis=0), atol=1e-5)
    yes = scaled(special.expit(logits), temperature, regions=True)
    np.testing.assert_allclose(yes, special.expit(logits / temperature), atol=1e-4)


def test_what_is_rounded_to_nothing_has_numbers() -> None:
    for regions in (False, True):
        assert np.isfinite(scaled(np.array([[0.0], [1.0]], np.float32), 2.0, regions=regions)).all()


def test_folders_are_loaded_as_one_with_what_is_done_after_them(tmp_path: Path, make_configuration: Make) -> None:
    flat, whole = make_configuration(spacing_mm=(1.0, 1.0)), make_configuration()
    folders = [made_model(tmp_path / one.name, one, seed) for seed, one in enumerate((flat, whole))]
    write_postprocessing(tmp_path, Postprocessing((Step("largest", "upper"),)))
    write_postprocessing(folders[0], Postprocessing((Step("fill", "upper"),)))
    ensemble = load_ensemble(tmp_path, folders, CPU, Settings(mirror=False))
    assert [one.card.configuration.name for one in ensemble.models] == ["2d", "3d_fullres"]
    assert ensemble.postprocessing.steps == (Step("largest", "upper"),)
    assert not any(one.postprocessing for one in ensemble.models)
    assert ensemble.origin.folds == ("0",) and len(ensemble.origin.digests) == 4
    assert not load_ensemble(tmp_path, folders, CPU, Settings(mirror=False, postprocess=False)).postprocessing
    from autospine.planning.document.model_file import write_model

    write_model(folders[1], card_of(whole, labels=(("other", 1), ("middle", 2), ("lower", 3))))
    with pytest.raises(PlanError, match="other than those of 2d"):
        load_ensemble(tmp_path, folders, CPU, Settings(mirror=False))
