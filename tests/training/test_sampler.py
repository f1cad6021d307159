from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autospine.data.structure import IGNORED, in_a_class
from autospine.planning.document.configuration import Configuration
from autospine.preprocessing.store import Store
from autospine.training import batches as batches_module
from autospine.training.batches import PatchBatches
from autospine.training.sampler import starts
from tests.cards import card_of
from tests.training.conftest import CASES
from tests.training.kinds import Memory, case_of, sized


def test_forced_samples_hold_a_class_and_rare_classes_come_as_often(small_store: Store, quick: Configuration) -> None:
    tiny = replace(quick, patch=(2, 2, 2), network=replace(quick.network, strides=((1, 1, 1), (1, 1, 1))))
    forced = replace(tiny, batch=4, training=replace(tiny.training, oversample_foreground=1.0))
    batches = PatchBatches(small_store, CASES, card_of(forced), augment=False, seed=3)
    labels = np.concatenate([batches[step][1] for step in range(25)])
    with_one, with_two = ((labels == value).any((1, 2, 3)).mean() for value in (1, 2))
    assert with_one + with_two == 1.0
    assert 0.3 < with_one < 0.7


def test_a_batch_of_one_is_forced_in_its_share_of_the_steps(small_store: Store, quick: Configuration) -> None:
    tiny = replace(quick, patch=(2, 2, 2), network=replace(quick.network, strides=((1, 1, 1), (1, 1, 1))), batch=1)

    def with_a_class(share: float) -> float:
        training = replace(tiny.training, oversample_foreground=share)
        batches = PatchBatches(small_store, CASES, card_of(replace(tiny, training=training)), augment=False, seed=3)
        return float(np.mean([(batches[step][1] > 0).any() for step in range(200)]))

    never, some, always = (with_a_class(share) for share in (0.0, 0.5, 1.0))
    assert always == 1.0
    # half of the steps are forced, the others hold a class as often as if none were
    assert some == pytest.approx(0.5 + never / 2, abs=0.1)


def test_jitter_moves_the_class_away_from_the_middle_but_not_out(small_store: Store, quick: Configuration) -> None:
    line = replace(quick, patch=(1, 1, 9), batch=4, network=replace(quick.network, strides=((1, 1, 1), (1, 1, 1))))
    middle_alone = {}
    for jitter in (0.0, 1.0):
        training = replace(line.training, oversample_foreground=1.0, foreground_jitter=jitter)
        batches = PatchBatches(small_store, CASES, card_of(replace(line, training=training)), augment=False, seed=3)
        labels = np.concatenate([batches[step][1] for step in range(25)]).reshape(-1, 9)
        assert in_a_class(labels).any(1).all()
        middle_alone[jitter] = in_a_class(labels[:, 4]).mean()
    assert middle_alone[0.0] == 1.0
    assert 0.5 < middle_alone[1.0] < 0.95


def test_a_shifted_patch_stands_out_of_its_case_by_no_more_than_the_share(
    small_store: Store, quick: Configuration
) -> None:
    """Cases of 12 x 20 x 18 in patches of 16 x 24 x 24, by 0.25 of their edges: 4, 6 and 6 voxels off the middle."""
    large = replace(quick, patch=(16, 24, 24), batch=4)
    shifted = replace(large, training=replace(large.training, shift=0.25))
    for configuration in (large, shifted):  # patches to validate with are not
        _, label = PatchBatches(small_store, CASES, card_of(configuration), augment=False, seed=1)[0]
        assert np.argwhere(label[0] != IGNORED).min(0).tolist() == [2, 2, 3]
    patch = np.array((16, 24, 24))
    low, high = starts(np.array((12, 20, 18)), patch, 0.25)
    assert (low.tolist(), high.tolist()) == ([-6, -8, -9], [2, 4, 3])
    # a case with room enough is never left; one with some room, by what is wanting
    low, high = starts(np.array((40, 26, 24)), patch, 0.25)
    assert (low.tolist(), high.tolist()) == ([0, -4, -6], [24, 6, 6])


def test_forced_patches_are_shifted_and_keep_their_voxel(
    small_store: Store, quick: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches_module, "draw_transform", lambda rng, configuration: None)
    training = replace(quick.training, shift=0.5, oversample_foreground=1.0)
    outside = []
    for patch in ((8, 16, 16), (16, 24, 24)):  # smaller and larger than the cases
        batches = PatchBatches(
            small_store, CASES, card_of(replace(quick, patch=patch, training=training)), augment=True, seed=1
        )
        batches._intensity, batches._mirror = None, lambda *_: None  # type: ignore[assignment]
        for step in range(10):
            for label in batches[step][1]:
                assert in_a_class(label).any()
                outside.append((label == IGNORED).mean())
    assert max(outside[: len(outside) // 2]) > 0.2


def test_training_patches_are_shifted(
    small_store: Store, quick: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches_module, "draw_transform", lambda rng, configuration: None)
    large = replace(quick, patch=(16, 24, 24), batch=4)
    for share, places in ((0.0, 1), (0.25, 8)):
        training = replace(large.training, shift=share)
        batches = PatchBatches(small_store, CASES, card_of(replace(large, training=training)), augment=True, seed=1)
        batches._intensity, batches._mirror = None, lambda *_: None  # type: ignore[assignment]
        firsts = {tuple(np.argwhere(label != IGNORED).min(0)) for step in range(5) for label in batches[step][1]}
        assert len(firsts) >= places if share else len(firsts) == 1


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
