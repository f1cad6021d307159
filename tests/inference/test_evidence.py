"""Evidence that streams by equals what all scores of a case, held at once, give."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import special
from torch import Tensor, nn

from autospine.data.structure import Region
from autospine.inference import evidence as module
from autospine.inference import predictor as predicting
from autospine.inference import rows
from autospine.inference.evidence import describe_channel
from autospine.inference.predictor import Predictor
from autospine.inference.segmentation import Wanted
from autospine.inference.too_large import Way
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import LevelsPlan
from autospine.planning.document.evidence import Evidence
from autospine.planning.document.postprocessing import Postprocessing, Step
from tests.cards import card_of
from tests.evidence import cases_like
from tests.inference.linear import Linear, model_of, plainly, smooth
from tests.inference.predicting import case_of

Make = Callable[..., Configuration]
CPU = torch.device("cpu")


@pytest.fixture(params=[Way(1), Way(3), Way(3, on_disk=True)], ids=str)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Way:
    """How the case is gone through; few scores are looked at together."""
    monkeypatch.setattr(predicting, "find_way", lambda *asked: request.param)
    monkeypatch.setattr(rows, "SLAB_BYTES", 30_000)
    monkeypatch.setattr(module, "_TOGETHER", 5000)
    return request.param  # type: ignore[no-any-return]


def by_hand(logits: np.ndarray, temperature: float) -> dict[int, tuple[float, float, float, float]]:
    """Class -> voxels where it wins, sum of p, sum of p where it wins, entropy weighted by p."""
    chances = special.softmax(logits.astype(np.float64) / temperature, axis=0)
    entropy = special.entr(chances).sum(0) / math.log(len(chances))
    winner = chances.argmax(0)
    return {
        index: (
            int((winner == index).sum()),
            float(chances[index].sum()),
            float(chances[index][winner == index].sum()),
            float((chances[index] * entropy).sum() / chances[index].sum()),
        )
        for index in range(1, len(chances))
    }


@pytest.mark.parametrize("levels", [None, LevelsPlan((1, 2), 0, 1.2, (0.5, 0.5))])
def test_sums_equal_those_of_all_scores_at_once(make_configuration: Make, way: Way, levels: LevelsPlan | None) -> None:
    card = card_of(plainly(make_configuration), levels=levels)
    model = Predictor(card, (Linear(0, 1, -1, 0.5),), CPU, mirror=False, precision="float32")
    case = case_of(smooth((1, 21, 37, 29)))
    labels, evidence = model.judged(case, temperature=1.7)
    np.testing.assert_array_equal(labels, model.labels(case))
    expected = by_hand(model.logits(case), 1.7)
    assert list(evidence.structures) == ["L1", "L2", "L3"] and evidence.temperature == 1.7
    for index, own in enumerate(evidence.structures.values(), 1):
        counts, soft, inside, entropy = expected[index]
        assert own.predicted_voxels == counts
        assert own.soft_voxels == pytest.approx(soft, rel=1e-5) and own.inside == pytest.approx(inside, rel=1e-5)
        assert own.entropy == pytest.approx(entropy, rel=1e-5) and own.disagreement is None
        assert own.volume_mm3 == (labels == index).sum() and own.found is bool((labels == index).any())
    assert Evidence.from_json(evidence.to_json()) == evidence


def test_each_region_is_yes_or_no(make_configuration: Make, way: Way) -> None:
    base = plainly(make_configuration)
    regions = (Region("whole", (1, 2, 3), 2), Region("core", (1, 3), 3))
    network = replace(base.network, out_channels=2)
    loss = replace(base.loss, class_weights=(1.0, 1.0))
    labels = (("L1", 1), ("L2", 2), ("L3", 3))
    card = card_of(replace(base, network=network, loss=loss), labels=labels, regions=regions)
    model = Predictor(card, (Linear(1, -0.5),), CPU, mirror=False, precision="float32")
    case = case_of(smooth((1, 21, 37, 29)))
    _, evidence = model.judged(case)
    for logit, own in zip(model.logits(case).astype(np.float64), evidence.structures.values(), strict=True):
        chance = special.expit(logit)
        both = (special.entr(chance) + special.entr(1 - chance)) / math.log(2)
        assert own.predicted_voxels == (logit > 0).sum()
        assert own.soft_voxels == pytest.approx(chance.sum(), rel=1e-5)
        assert own.inside == pytest.approx(chance[logit > 0].sum(), rel=1e-5)
        assert own.entropy == pytest.approx((chance * both).sum() / chance.sum(), rel=1e-5)


class Contrary(nn.Module):
    """Another opinion, the same in every mirroring."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (torch.cat([0 * x, -x, x, 0.5 * x], 1),)


def test_disagreement_is_that_of_the_map(make_configuration: Make) -> None:
    """Weighted by the probability of a structure, and where uncertainty was asked for."""
    configuration = plainly(make_configuration)
    image = smooth((9, 18, 17))
    model = model_of(configuration, Linear(0, 1, -1, 0.5), Contrary())
    both = model.predict(
        image, spacing_mm=(1, 1, 1), wanted=Wanted(uncertainty=True, evidence=True, probabilities=True)
    )
    assert both.evidence is not None and both.uncertainty is not None and both.probabilities is not None
    apart = both.uncertainty.array[0].astype(np.float64)
    for name, own in both.evidence.structures.items():
        chances = both.probabilities.of(name).astype(np.float64)
        assert own.disagreement == pytest.approx((chances * apart).sum() / chances.sum(), rel=2e-3)
    alone = model.predict(image, spacing_mm=(1, 1, 1), wanted=Wanted(evidence=True)).evidence
    assert alone is not None and all(own.disagreement is None for own in alone.structures.values())


def test_a_segmentation_has_what_was_asked_for(make_configuration: Make) -> None:
    from autospine.evaluation.promise import learn_promise

    model, image = model_of(plainly(make_configuration)), smooth((9, 18, 17))
    plain = model.predict(image, spacing_mm=(3, 2, 1))
    assert plain.evidence is None and plain.promise is None
    made = model.predict(image, spacing_mm=(3, 2, 1), wanted=Wanted(evidence=True))
    assert made.promise is None and made.evidence is not None
    np.testing.assert_array_equal(made.array, plain.array)
    assert {name: own.volume_mm3 for name, own in made.evidence.structures.items()} == made.volumes_mm3
    assert made.evidence.spacing_mm == (3.0, 2.0, 1.0) and made.evidence.size_mm == (27.0, 36.0, 17.0)
    promising = replace(model, promise=replace(learn_promise(cases_like(12)), temperature=2.0))
    said = promising.predict(image, spacing_mm=(3, 2, 1), wanted=Wanted(evidence=True))
    assert said.evidence is not None and said.evidence.temperature == 2.0
    assert said.promise is not None
    assert [one.structure for one in said.promise.structures] == ["upper", "middle", "lower"]
    assert promising.predict(image, spacing_mm=(3, 2, 1)).promise is None


def test_a_ramp_by_hand() -> None:
    """Along each axis another slope; no second differences, so no noise."""
    z, y, x = np.meshgrid(np.arange(10), np.arange(5), np.arange(15), indexing="ij")
    ramp = (4.0 * z + 2.0 * y + 1.0 * x).astype(np.float32)
    found = describe_channel(ramp, (0, 1, 2))
    assert found.percentiles == pytest.approx(np.percentile(ramp, (1, 5, 25, 50, 75, 95, 99)))
    # the last of ten planes has none after it
    assert found.gradient == pytest.approx((4 * 9 / 10, 2, 1)) and found.noise == pytest.approx(0, abs=1e-12)
    low, high = found.percentiles[0], found.percentiles[-1]
    assert found.background == pytest.approx((ramp < low + 0.1 * (high - low)).mean())
    assert len(found.layout) == 125
    # parts of 2 x 1 x 3 voxels: their means are those of their middles
    assert found.layout[0] == pytest.approx(4 * 0.5 + 0 + 1) and found.layout[-1] == pytest.approx(4 * 8.5 + 2 * 4 + 13)
    assert found.layout[1] - found.layout[0] == pytest.approx(3)  # the last axis changes first
    # the same on planned axes: the layout is on canonical ones
    planned = describe_channel(ramp.transpose(2, 0, 1), (2, 0, 1))
    assert planned.layout == pytest.approx(found.layout) and planned.gradient[1:] == pytest.approx((4, 2))


def test_white_noise_has_its_deviation_and_a_line_of_voxels_breaks_nothing() -> None:
    noise = np.random.default_rng(0).normal(0, 2.5, (20, 60, 60)).astype(np.float32)
    assert describe_channel(noise, (0, 1, 2)).noise == pytest.approx(2.5, rel=0.02)
    for shape in ((1, 1, 1), (1, 5, 2), (2, 1, 9)):
        found = describe_channel(np.full(shape, 3.0, np.float32), (2, 0, 1))
        assert found.layout == (3.0,) * 125 and found.gradient == (0, 0, 0) and found.noise == 0


def test_rows_of_many_classes_are_looked_at_in_parts(make_configuration: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of 4 x 7 x 5 scores, of which 60 are looked at together: three columns at a time."""
    monkeypatch.setattr(module, "_TOGETHER", 60)
    sizes, whole = list[int](), module.Gathering._of

    def counted(self: module.Gathering, logits: Tensor, apart: Tensor | None) -> Tensor:
        sizes.append(logits.numel())
        return whole(self, logits, apart)

    monkeypatch.setattr(module.Gathering, "_of", counted)
    gathering = module.Gathering(card_of(plainly(make_configuration)), 1.0, disagreement=False)
    values = np.random.default_rng(0).normal(0, 2, (4, 2, 7, 5)).astype(np.float32)
    gathering(values)
    assert sizes == [60, 60, 20] * 2
    expected = by_hand(values, 1.0)
    for index in (1, 2, 3):
        predicted, soft, inside, *_ = gathering._sums[:, index].tolist()
        assert (predicted, soft, inside) == pytest.approx(expected[index][:3], rel=1e-5)


def test_what_postprocessing_removes_is_promised_nothing(make_configuration: Make) -> None:
    from autospine.evaluation.promise import learn_promise

    image, promise = smooth((9, 18, 17)), learn_promise(cases_like(12, names=("upper", "middle", "lower")))
    gone = Postprocessing((Step("above", "upper", 1e9),))
    plain = model_of(plainly(make_configuration), promise=promise)
    made, after = (
        one.predict(image, spacing_mm=(3, 2, 1), wanted=Wanted(evidence=True)).promise
        for one in (plain, replace(plain, postprocessing=gone))
    )
    assert made is not None and after is not None
    assert made.of("upper").promised_dice is not None and after.of("upper").promised_dice is None
    assert "removed" in after.of("upper").why and made.of("lower") == after.of("lower")
