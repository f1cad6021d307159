from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from autospine.losses.build import build_loss
from autospine.planning.document.configuration import Configuration
from autospine.preprocessing.store import Store
from autospine.training.batches import PatchBatches
from autospine.training.step import Stepper
from tests.cards import card_of
from tests.training.conftest import CASES
from tests.training.kinds import Measured, sized
from tests.training.trainings import CPU


def test_a_stepper_goes_on_from_the_state_of_another(quick: Configuration) -> None:
    """Two steps are the same in one stepper, and in two of which the second takes up what the first has left."""
    card = card_of(quick)
    rng = torch.Generator().manual_seed(0)
    image, target = torch.randn(2, 1, *quick.patch, generator=rng), torch.zeros(2, *quick.patch, dtype=torch.int64)
    torch.manual_seed(1)
    whole = Stepper.of(card, CPU, "float32")
    torch.manual_seed(1)
    first, second = (Stepper.of(card, CPU, "float32") for _ in range(2))
    for stepper in (whole, whole, first):
        stepper.set_rate(0.005)
        stepper.step(image, target)
    second.load(**copy.deepcopy(first.state()))
    assert second.rate == whole.rate == 0.005
    second.step(image, target)
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, second.network.state_dict()[name]), name


def test_gradients_are_clipped(quick: Configuration) -> None:
    """A first step with Nesterov's momentum moves all weights together by the rate, the norm and 1 + momentum."""
    training = replace(quick.training, momentum=0.5, weight_decay=0.0, clip_norm=0.01)
    stepper = Stepper.of(card_of(replace(quick, training=training)), CPU, "float32")
    before = [weight.detach().clone() for weight in stepper.network.parameters()]
    stepper.set_rate(0.5)
    stepper.step(torch.randn(2, 1, *quick.patch), torch.ones(2, *quick.patch, dtype=torch.int64))
    moved = [weight.detach() - old for weight, old in zip(stepper.network.parameters(), before, strict=True)]
    assert float(torch.stack([part.norm() for part in moved]).norm()) == pytest.approx(0.5 * 0.01 * 1.5, rel=1e-2)


def test_a_step_learns_by_the_sizes_of_its_batch(small_store: Store, quick: Configuration) -> None:
    configuration = sized(quick, largest=3000.0)
    batches = PatchBatches(Measured(small_store), CASES, card_of(configuration), augment=False, seed=1)
    image, target, sizes = (torch.from_numpy(part) for part in batches[0])
    torch.manual_seed(0)
    stepper = Stepper.of(card_of(configuration), CPU, "float32")
    with torch.no_grad():
        outputs = stepper.network.train()(image)
    loss = stepper.step(image, target, sizes)
    assert torch.equal(loss, stepper.loss_of(outputs, target, sizes))
    plain = build_loss(quick.loss, len(stepper.network.heads))(outputs, target)
    assert not torch.isclose(loss, plain, rtol=1e-3)
