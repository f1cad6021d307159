"""Batches, steps and timings where loss and sampling go by connected components (lesions)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from autospine.data.structure import IGNORED, in_a_class
from autospine.losses.build import build_loss
from autospine.planning.document.card import ModelCard
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import PresencePlan
from autospine.preprocessing.components import measure_components
from autospine.preprocessing.prepare import CaseProperties
from autospine.preprocessing.store import Store, StoredCase
from autospine.training import sampler
from autospine.training.augment import SpatialTransform
from autospine.training.sampler import PatchBatches
from autospine.training.step import Stepper
from autospine.training.throughput import seconds_per_step
from tests.cards import card_of

CASES = ("a", "b", "c")
CPU = torch.device("cpu")


def sized(configuration: Configuration, largest: float = 500.0) -> Configuration:
    """The same with a loss by components."""
    return replace(configuration, loss=replace(configuration.loss, kind="dice_size_adaptive_ce", largest_size=largest))


def sized_card(card: ModelCard) -> ModelCard:
    """The same with a loss by components."""
    return replace(card, configuration=sized(card.configuration))


class Measured:
    """The cases of a store with the sizes of their components beside them."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def open(self, name: str) -> StoredCase:
        case = self.store.open(name)
        found = measure_components(np.asarray(case.label), (1, 2, 3), slices_apart=False, seed=0)
        return replace(case, sizes=found.sizes, offsets=found.offsets)


class Memory:
    """One case, or a previous stage's segmentation, that never was on disk."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def open(self, name: str, shape: tuple[int, ...] = ()) -> Any:
        return self.content


def case_of(label: np.ndarray) -> StoredCase:
    """A case with this label, whose image is the label."""
    found = measure_components(label, (1, 2, 3), slices_apart=False, seed=0)
    box = tuple((0, size) for size in label.shape)
    properties = CaseProperties("case", label.shape, (1.0,) * 3, box, (0, 1, 2), (1.0,) * 3)  # type: ignore[arg-type]
    image = label[None].astype(np.float32)
    return StoredCase("case", image, label, label, properties, found.locations, found.sizes, found.offsets)


def test_forced_samples_go_by_component(quick: Configuration) -> None:
    """Of class 1 one lesion of 500 voxels and one of a single voxel; of class 2 one lesion."""
    label = np.zeros((12, 14, 16), np.uint8)
    label[1:6, 1:11, 1:11] = 1
    label[10, 12, 14] = 1
    label[8:10, 1:3, 1:3] = 2
    point = replace(quick, patch=(1, 1, 1), batch=8, network=replace(quick.network, strides=((1, 1, 1), (1, 1, 1))))
    shares = {}
    for unit in ("class", "component"):
        training = replace(point.training, oversample_foreground=1.0, foreground_unit=unit)
        source = Memory(case_of(label))
        batches = PatchBatches(
            source, ("case",), card_of(sized(replace(point, training=training))), augment=False, seed=3
        )
        seen = np.concatenate([np.stack(batches[step][1:], axis=-1).reshape(-1, 2) for step in range(100)])
        assert {tuple(row) for row in seen.tolist()} <= {(1, 500), (1, 1), (2, 8)}
        shares[unit] = [float((seen == row).all(1).mean()) for row in ((1, 500), (1, 1), (2, 8))]
    assert shares["class"] == pytest.approx([0.5, 0, 0.5], abs=0.06)
    assert shares["component"] == pytest.approx([0.25, 0.25, 0.5], abs=0.06)


def test_sizes_are_those_of_the_case(small_store: Store, quick: Configuration) -> None:
    """Larger than the cases: beyond them nothing has a size."""
    configuration = sized(replace(quick, patch=(16, 24, 24)))
    image, label, sizes = PatchBatches(Measured(small_store), ("b",), card_of(configuration), augment=False, seed=1)[0]
    assert image.shape == (2, 1, 16, 24, 24) and sizes.shape == label.shape and sizes.dtype == np.float32
    # blocks of 6 x 7 x 8 and 6 x 7 x 10 voxels
    np.testing.assert_array_equal(sizes, np.array([0, 336, 420, 0])[np.where(label == IGNORED, 0, label)])
    assert (label == IGNORED).any() and not sizes[label == IGNORED].any()


def kinds(make_configuration: Callable[..., Configuration], quick: Configuration) -> dict[str, ModelCard]:
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    network = quick.network
    cascade = replace(quick, name="3d_cascade_fullres", previous="3d_lowres", network=replace(network, in_channels=4))
    both = replace(quick, normalisation=("zscore",) * 2, network=replace(network, in_channels=3))
    return {
        "2d": card_of(flat),
        "2.5d": card_of(replace(flat, name="2.5d", neighbours=1, network=replace(flat.network, in_channels=3))),
        "3d": card_of(quick),
        "sides": card_of(quick, sides=((1, 2),)),
        "cascade": card_of(cascade, sides=((1, 2),)),
        "presence": card_of(both, presence=PresencePlan((1,), 0.5)),
    }


class Twice(Measured):
    """Each image as two channels."""

    def open(self, name: str) -> StoredCase:
        case = super().open(name)
        return replace(case, image=np.concatenate([case.image, case.image]))


@pytest.mark.parametrize("kind", ["2d", "2.5d", "3d", "sides", "cascade", "presence"])
def test_image_and_target_do_not_know_of_sizes(
    small_store: Store, quick: Configuration, make_configuration: Callable[..., Configuration], kind: str
) -> None:
    card = kinds(make_configuration, quick)[kind]
    source = Twice(small_store) if kind == "presence" else Measured(small_store)
    label = small_store.open("a").label
    previous = Memory(label) if kind == "cascade" else None
    plain, ours = (
        PatchBatches(source, ("a",), one, augment=True, seed=4, previous=previous) for one in (card, sized_card(card))
    )
    # blocks of 6 x 7 x 9 each, so that sizes follow the target where classes are swapped too
    assert set(np.unique(source.open("a").sizes).tolist()) == {0, 378}
    agreeing, held = [], 0
    for step in range(12):
        image, target = plain[step]
        found, label, sizes = ours[step]
        np.testing.assert_array_equal(image, found)
        np.testing.assert_array_equal(target, label)
        assert set(np.unique(sizes).tolist()) <= {0, 378}
        assert (sizes[in_a_class(label)] > 0).mean() > 0.999 if in_a_class(label).any() else True
        agreeing.append(((sizes > 0) == in_a_class(label)).mean())
        held += int(in_a_class(label).sum())
    assert held > 1000 and np.mean(agreeing) > 0.99


def test_mirrored_sizes_stay_with_their_component(
    small_store: Store, quick: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Classes that swap sides keep the sizes of what they were: in case b 336 voxels of class 1 and 420 of 2."""
    monkeypatch.setattr(sampler, "draw_transform", lambda rng, configuration: None)
    card = card_of(sized(quick), sides=((1, 2),))
    batches = PatchBatches(Measured(small_store), ("b",), card, augment=True, seed=1)
    seen = set()
    for step in range(12):
        for label, sizes in zip(*batches[step][1:], strict=True):
            np.testing.assert_array_equal(sizes > 0, in_a_class(label))
            seen |= {frozenset(zip(label[in_a_class(label)].tolist(), sizes[in_a_class(label)].tolist(), strict=True))}
    assert seen == {frozenset({(1, 336.0), (2, 420.0)}), frozenset({(2, 336.0), (1, 420.0)})}


def test_a_voxel_beyond_its_component_takes_the_largest_size_beside_it() -> None:
    """A turn fills holes of a class, where its three neighbours outweigh the background that is nearest."""
    label = np.random.default_rng(0).choice(4, (3, 31, 31), p=(0.3, 0.5, 0.1, 0.1)).astype(np.uint8)
    case = case_of(label)
    assert len(np.unique(np.asarray(case.sizes))) > 5
    angle = np.deg2rad(40)
    matrix = np.eye(3)
    matrix[1:, 1:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    transform = SpatialTransform(0.8 * matrix, in_plane=False)
    box = [[0, 3], [0, 31], [0, 31]]
    turned = transform.apply_label(label.astype(np.uint8), (3, 31, 31))
    nearest = transform.apply_nearest(np.asarray(case.sizes), (3, 31, 31))
    sizes = sampler._patch_sizes(case, box, turned, transform)
    beyond = in_a_class(turned) & (nearest == 0)
    assert beyond.sum() > 20
    np.testing.assert_array_equal(sizes[~beyond], nearest[~beyond])
    for z, y, x in np.argwhere(beyond):
        around = nearest[max(z - 1, 0) : z + 2, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        assert sizes[z, y, x] == around.max() > 0


def test_a_case_without_components_is_a_mistake(small_store: Store, quick: Configuration) -> None:
    with pytest.raises(ValueError, match="without its components"):
        PatchBatches(small_store, ("a",), card_of(sized(quick)), augment=False, seed=1)[0]


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


@pytest.mark.parametrize("kind", ["2d", "2.5d", "3d", "cascade"])
def test_components_can_be_timed(
    make_configuration: Callable[..., Configuration], quick: Configuration, kind: str
) -> None:
    card = sized_card(kinds(make_configuration, quick)[kind])
    training = replace(card.configuration.training, foreground_unit="component")
    card = replace(card, configuration=replace(card.configuration, training=training))
    assert 0 < seconds_per_step(card, CPU, at_least_s=0.0) < 5
