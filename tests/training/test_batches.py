from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.data.structure import in_a_class
from autospine.errors import PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import PresencePlan
from autospine.preprocessing.previous import PreviousStage
from autospine.preprocessing.store import Store
from autospine.training import batches as batches_module
from autospine.training.batches import PatchBatches
from autospine.training.workers import batches_from
from tests.cards import card_of
from tests.training.conftest import CASES
from tests.training.kinds import (
    Measured,
    Memory,
    Twice,
    cascaded,
    counted_case,
    kinds,
    optional,
    partial_case,
    sized,
    sized_card,
)


def test_a_batch_is_a_function_of_seed_and_step(small_store: Store, quick: Configuration) -> None:
    first = PatchBatches(small_store, CASES, card_of(quick), augment=True, seed=1)
    again = PatchBatches(small_store, CASES, card_of(quick), augment=True, seed=1)
    image, label = first[7]
    first[8]
    for repeated in (first[7], again[7]):
        np.testing.assert_array_equal(repeated[0], image)
        np.testing.assert_array_equal(repeated[1], label)
    assert not np.array_equal(PatchBatches(small_store, CASES, card_of(quick), augment=True, seed=2)[7][0], image)
    assert not np.array_equal(first[8][0], image)


def test_shapes_and_types(
    small_store: Store, quick: Configuration, make_configuration: Callable[..., Configuration]
) -> None:
    image, label = PatchBatches(small_store, CASES, card_of(quick), augment=True, seed=1)[0]
    assert image.shape == (2, 1, 8, 16, 16)
    assert image.dtype == np.float32
    assert label.shape == (2, 8, 16, 16)
    assert label.dtype == np.int64
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    image, label = PatchBatches(small_store, CASES, card_of(flat), augment=True, seed=1)[0]
    assert image.shape == (2, 1, 16, 16)
    assert label.shape == (2, 16, 16)


def test_only_so_many_cases_stay_open(
    small_store: Store, quick: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = PatchBatches(small_store, CASES, card_of(quick), augment=False, seed=1)
    every = [batches[step][0] for step in range(6)]
    assert len(CASES) > 1
    monkeypatch.setattr(batches_module, "MOST_OPEN", 1)
    again = PatchBatches(small_store, CASES, card_of(quick), augment=False, seed=1)
    for step, image in enumerate(every):
        np.testing.assert_array_equal(again[step][0], image)
        assert len(again._open) == 1


def test_workers_change_nothing(small_store: Store, quick: Configuration) -> None:
    batches = PatchBatches(small_store, CASES, card_of(quick), augment=True, seed=1)
    here, there = (iter(batches_from(batches, 5, workers, pin=False)) for workers in (0, 2))
    for step in range(5, 9):
        one, other = next(here), next(there)
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[0], batches[step][0])


@pytest.mark.parametrize("workers", [0, 1])
def test_damaged_cases_are_named_before_the_first_batch(
    small_store: Store, quick: Configuration, tmp_path: Path, workers: int
) -> None:
    """A worker process could only raise a RuntimeError with a traceback."""
    label = small_store.open("a").label
    files = {name: tmp_path / f"{name}.npy" for name in CASES}
    for path in files.values():
        np.save(path, label)
    previous = PreviousStage(files, "k")
    for fault in (b"", files["a"].read_bytes()[:-1]):
        files["c"].write_bytes(fault)
        batches = PatchBatches(small_store, CASES, card_of(cascaded(quick)), augment=True, seed=1, previous=previous)
        with pytest.raises(PlanError, match="segmentation of c is missing or damaged"):
            next(iter(batches_from(batches, 0, workers, pin=False)))
    (small_store.root / "b.image.npy").unlink()
    with pytest.raises(PlanError, match="prepared case 'b' is missing or damaged"):
        next(
            iter(
                batches_from(
                    PatchBatches(small_store, CASES, card_of(quick), augment=True, seed=1), 0, workers, pin=False
                )
            )
        )


def test_slices_of_a_sample_turn_together(small_store: Store, make_configuration: Callable[..., Configuration]) -> None:
    """Slices that are alike stay alike, whatever is drawn; noise alone (0.1 of the samples) is each slice's own."""
    case = small_store.open("a")
    alike = np.ascontiguousarray(np.broadcast_to(case.image[:, 5:6], case.image.shape))
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    configuration = replace(flat, name="2.5d", neighbours=1, network=replace(flat.network, in_channels=3), batch=8)
    batches = PatchBatches(Memory(replace(case, image=alike)), ("a",), card_of(configuration), augment=True, seed=0)
    samples = np.concatenate([batches[step][0] for step in range(40)])
    same = [np.allclose(sample, sample[1:2], atol=1e-4) for sample in samples]
    assert 0.84 < np.mean(same) < 0.96
    plain = PatchBatches(Memory(replace(case, image=alike)), ("a",), card_of(configuration), augment=False, seed=0)
    assert (plain[0][0] == plain[0][0][:, :1]).all()


def test_only_the_previous_stage_is_disturbed(small_store: Store, quick: Configuration) -> None:
    configuration = cascaded(quick)
    label = small_store.open("a").label
    one, again = (
        PatchBatches(small_store, ("a",), card_of(configuration), augment=True, seed=1, previous=Memory(label))
        for _ in range(2)
    )
    blank = PatchBatches(
        small_store, ("a",), card_of(configuration), augment=True, seed=1, previous=Memory(np.zeros_like(label))
    )
    held_out = PatchBatches(small_store, ("a",), card_of(configuration), augment=False, seed=1, previous=Memory(label))
    without = PatchBatches(small_store, ("a",), card_of(quick), augment=True, seed=1)
    differing = 0
    for step in range(12):
        image, target = one[step]
        np.testing.assert_array_equal(image, again[step][0])
        # neither the image nor the target knows of the previous stage
        np.testing.assert_array_equal(image[:, :1], without[step][0])
        np.testing.assert_array_equal(target, without[step][1])
        assert not blank[step][0][:, 1:].any()
        clean, truth = held_out[step]
        np.testing.assert_array_equal(clean[:, 1:], np.stack([truth == value for value in (1, 2, 3)], axis=1))
        classes = np.stack([target == value for value in (1, 2, 3)], axis=1)
        differing += sum((mine != theirs).mean() > 0.02 for mine, theirs in zip(image[:, 1:], classes, strict=True))
    assert 5 <= differing <= 18  # of 24 samples; about half are disturbed


def test_a_cascade_without_its_previous_stage_is_a_mistake(small_store: Store, quick: Configuration) -> None:
    with pytest.raises(ValueError, match="3d_lowres"):
        PatchBatches(small_store, ("a",), card_of(cascaded(quick)), augment=False, seed=1)


@pytest.mark.parametrize("neighbours", [0, 1])
def test_channels_are_left_out_in_their_share_of_the_patches(
    make_configuration: Callable[..., Configuration], neighbours: int
) -> None:
    card, scans = optional(make_configuration, 3, 0.25, neighbours=neighbours), 3 * (2 * neighbours + 1)
    case = counted_case(3)
    bright = replace(case, image=case.image + 1)
    batches = PatchBatches(Memory(bright), ("a",), card, augment=True, seed=1)
    images = np.concatenate([batches[step][0] for step in range(60)])
    for channel in (1, 2):
        flag = images[:, scans + channel - 1]
        there = flag[:, 0, 0] == 1
        assert (flag[there] == 1).all() and (flag[~there] == 0).all()
        assert 0.19 < 1 - there.mean() < 0.31
        # noise and contrast leave no trace of what is left out
        assert not images[~there, channel:scans:3].any()
        assert images[there, channel:scans:3].any(axis=(1, 2, 3)).all()
    assert images[:, 0:scans:3].any(axis=(1, 2, 3)).all()


def test_one_channel_always_stays(make_configuration: Callable[..., Configuration]) -> None:
    configuration = optional(make_configuration, 3, 0.9).configuration
    network = replace(configuration.network, in_channels=6)
    every = card_of(replace(configuration, network=network), presence=PresencePlan((0, 1, 2), 0.9))
    batches = PatchBatches(Memory(partial_case(3, (1,))), ("a",), every, augment=True, seed=1)
    flags = np.concatenate([batches[step][0] for step in range(40)])[:, 3:, 0, 0]
    assert (flags.sum(axis=1) >= 1).all() and not flags[:, 1].any()
    assert 0.3 < flags[:, 0].mean() < 0.7  # which one stays is drawn


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
    monkeypatch.setattr(batches_module, "draw_transform", lambda rng, configuration: None)
    card = card_of(sized(quick), sides=((1, 2),))
    batches = PatchBatches(Measured(small_store), ("b",), card, augment=True, seed=1)
    seen = set()
    for step in range(12):
        for label, sizes in zip(*batches[step][1:], strict=True):
            np.testing.assert_array_equal(sizes > 0, in_a_class(label))
            seen |= {frozenset(zip(label[in_a_class(label)].tolist(), sizes[in_a_class(label)].tolist(), strict=True))}
    assert seen == {frozenset({(1, 336.0), (2, 420.0)}), frozenset({(2, 336.0), (1, 420.0)})}
