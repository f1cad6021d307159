from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autospine.data.structure import IGNORED, in_a_class
from autospine.errors import PlanError
from autospine.planning.document.card import ModelCard
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import PresencePlan
from autospine.preprocessing.prepare import CaseProperties
from autospine.preprocessing.previous import PreviousStage
from autospine.preprocessing.store import Store, StoredCase
from autospine.training import sampler
from autospine.training.sampler import PatchBatches
from autospine.training.workers import batches_from
from tests.cards import card_of

CASES = ("a", "b", "c")


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


def test_plain_patches_are_crops_of_the_case(small_store: Store, quick: Configuration) -> None:
    image, label = PatchBatches(small_store, ("a",), card_of(quick), augment=False, seed=1)[0]
    case = small_store.open("a")
    z, y, x = 12 - 8 + 1, 20 - 16 + 1, 18 - 16 + 1
    for patch, target in zip(image, label, strict=True):
        found = [
            (i, j, k)
            for i in range(z)
            for j in range(y)
            for k in range(x)
            if np.array_equal(case.image[0, i : i + 8, j : j + 16, k : k + 16], patch[0])
        ]
        assert len(found) == 1
        i, j, k = found[0]
        np.testing.assert_array_equal(case.label[i : i + 8, j : j + 16, k : k + 16], target)


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


def test_a_patch_beyond_the_case_is_ignored_there(small_store: Store, quick: Configuration) -> None:
    large = replace(quick, patch=(16, 24, 24))
    image, label = PatchBatches(small_store, CASES, card_of(large), augment=False, seed=1)[0]
    outside = label == IGNORED
    assert outside.mean() > 0.4
    assert (image[:, 0][outside] == 0).all()
    assert (label[~outside] <= 3).all()
    assert (~outside).sum() == 2 * 12 * 20 * 18


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
    low, high = sampler._starts(np.array((12, 20, 18)), patch, 0.25)
    assert (low.tolist(), high.tolist()) == ([-6, -8, -9], [2, 4, 3])
    # a case with room enough is never left; one with some room, by what is wanting
    low, high = sampler._starts(np.array((40, 26, 24)), patch, 0.25)
    assert (low.tolist(), high.tolist()) == ([0, -4, -6], [24, 6, 6])


def test_forced_patches_are_shifted_and_keep_their_voxel(
    small_store: Store, quick: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "draw_transform", lambda rng, configuration: None)
    training = replace(quick.training, shift=0.5, oversample_foreground=1.0)
    outside = []
    for patch in ((8, 16, 16), (16, 24, 24)):  # smaller and larger than the cases
        batches = PatchBatches(
            small_store, CASES, card_of(replace(quick, patch=patch, training=training)), augment=True, seed=1
        )
        batches._intensity = lambda images, labels: (images, labels)  # type: ignore[assignment]
        for step in range(10):
            for label in batches[step][1]:
                assert in_a_class(label).any()
                outside.append((label == IGNORED).mean())
    assert max(outside[: len(outside) // 2]) > 0.2


def test_a_patch_beside_its_case_is_ignored_as_a_whole(small_store: Store, quick: Configuration) -> None:
    batches = PatchBatches(small_store, CASES, card_of(quick), augment=False, seed=1)
    case, previous = batches._case(CASES[0])
    image, label = batches._read(case, previous, np.array((40, 0, 0)), None)
    assert (label == IGNORED).all() and (image == 0).all()


def test_training_patches_are_shifted(
    small_store: Store, quick: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "draw_transform", lambda rng, configuration: None)
    large = replace(quick, patch=(16, 24, 24), batch=4)
    for share, places in ((0.0, 1), (0.25, 8)):
        training = replace(large.training, shift=share)
        batches = PatchBatches(small_store, CASES, card_of(replace(large, training=training)), augment=True, seed=1)
        batches._intensity = lambda images, labels: (images, labels)  # type: ignore[assignment]
        firsts = {tuple(np.argwhere(label != IGNORED).min(0)) for step in range(5) for label in batches[step][1]}
        assert len(firsts) >= places if share else len(firsts) == 1


def test_only_so_many_cases_stay_open(
    small_store: Store, quick: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = PatchBatches(small_store, CASES, card_of(quick), augment=False, seed=1)
    every = [batches[step][0] for step in range(6)]
    assert len(CASES) > 1
    monkeypatch.setattr(sampler, "MOST_OPEN", 1)
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


def test_a_2d_batch_is_what_it_was(small_store: Store, make_configuration: Callable[..., Configuration]) -> None:
    """Numbers of the version before neighbouring slices and previous stages entered the sampler."""
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    batches = PatchBatches(small_store, CASES, card_of(flat), augment=True, seed=5)
    image, label = batches[1]
    expected = [
        [-0.18042339384555817, -0.13568401336669922, -0.3968602120876312],
        [2.0237882137298584, 2.3154137134552, 2.4578912258148193],
    ]
    np.testing.assert_allclose(image[:, 0, 7, 4:7], expected, rtol=1e-6)
    assert [np.bincount(np.where(one == IGNORED, 0, one + 1).ravel()).tolist() for one in label] == [
        [0, 256],
        [19, 125, 36, 76],
    ]
    image, label = batches[3]
    expected = [
        [0.19954705238342285, 1.1475807428359985, 0.7471960783004761],
        [0.8048583269119263, 0.08636647462844849, 0.8609778881072998],
    ]
    np.testing.assert_allclose(image[:, 0, 7, 4:7], expected, rtol=1e-6)
    assert [np.bincount(np.where(one == IGNORED, 0, one + 1).ravel()).tolist() for one in label] == [
        [0, 141, 49, 66],
        [0, 136, 72, 48],
    ]


class Memory:
    """Prepared cases, or a previous stage's segmentations, that never were on disk."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def open(self, name: str, shape: tuple[int, ...] = ()) -> Any:
        return self.content


def counted_case(channels: int) -> StoredCase:
    """Four slices of 4 x 4: the image is 10 x slice + channel, the label the number of the slice."""
    image = np.empty((channels, 4, 4, 4), np.float32)
    image[...] = np.arange(channels).reshape(-1, 1, 1, 1) + 10.0 * np.arange(4).reshape(1, -1, 1, 1)
    label = np.ascontiguousarray(np.broadcast_to(np.arange(4, dtype=np.uint8).reshape(-1, 1, 1), (4, 4, 4)))
    box = ((0, 4), (0, 4), (0, 4))
    properties = CaseProperties("case", (4, 4, 4), (1.0, 1.0, 1.0), box, (0, 1, 2), (1.0, 1.0, 1.0))
    return StoredCase("case", image, label, label, properties, {})


def neighbourly(make_configuration: Callable[..., Configuration], channels: int, neighbours: int) -> Configuration:
    """2.5d with patches of 4 x 4."""
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    network = replace(flat.network, in_channels=channels * (2 * neighbours + 1), strides=((1, 1), (1, 1)))
    return replace(
        flat,
        name="2.5d",
        patch=(4, 4),
        batch=16,
        neighbours=neighbours,
        normalisation=("zscore",) * channels,
        network=network,
    )


def test_neighbours_enter_in_order_and_the_middle_slice_is_the_target(
    make_configuration: Callable[..., Configuration],
) -> None:
    configuration = neighbourly(make_configuration, channels=2, neighbours=1)
    batches = PatchBatches(Memory(counted_case(2)), ("case",), card_of(configuration), augment=False, seed=0)
    image, label = batches[0]
    assert image.shape == (16, 6, 4, 4)
    assert label.shape == (16, 4, 4)
    # both channels of the slice before, of the slice itself and of the one after; at the ends the last one again
    expected = {
        0: [0, 1, 0, 1, 10, 11],
        1: [0, 1, 10, 11, 20, 21],
        2: [10, 11, 20, 21, 30, 31],
        3: [20, 21, 30, 31, 30, 31],
    }
    assert set(label.ravel().tolist()) == set(expected)
    for patch, target in zip(image, label, strict=True):
        assert (target == target[0, 0]).all()
        np.testing.assert_array_equal(patch[:, 0, 0], expected[int(target[0, 0])])
        assert (patch == patch[:, :1, :1]).all()


def test_a_case_thinner_than_its_neighbourhood(make_configuration: Callable[..., Configuration]) -> None:
    configuration = neighbourly(make_configuration, channels=1, neighbours=5)
    batches = PatchBatches(Memory(counted_case(1)), ("case",), card_of(configuration), augment=False, seed=0)
    image, label = batches[0]
    rows = {int(target[0, 0]): patch[:, 0, 0].tolist() for patch, target in zip(image, label, strict=True)}
    assert rows[1] == [0, 0, 0, 0, 0, 10, 20, 30, 30, 30, 30]


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


def cascaded(quick: Configuration, **training: Any) -> Configuration:
    """`quick` with the classes of a previous stage beside its one image channel."""
    network = replace(quick.network, in_channels=4)
    changed = replace(quick.training, **training)
    return replace(quick, name="3d_cascade_fullres", previous="3d_lowres", network=network, training=changed)


@pytest.mark.parametrize("patch", [(8, 16, 16), (16, 24, 24)])
def test_the_previous_stage_enters_as_one_channel_per_class(
    small_store: Store, quick: Configuration, patch: tuple[int, int, int]
) -> None:
    """The case's own label as the previous stage: its channels are then the target's classes, and 0 outside."""
    configuration = replace(cascaded(quick), patch=patch)
    batches = PatchBatches(
        small_store, ("a",), card_of(configuration), augment=False, seed=1, previous=Memory(small_store.open("a").label)
    )
    image, label = batches[0]
    assert image.shape == (2, 4, *patch)
    assert in_a_class(label).any()
    np.testing.assert_array_equal(image[:, 1:], np.stack([label == value for value in (1, 2, 3)], axis=1))
    plain = PatchBatches(small_store, ("a",), card_of(replace(quick, patch=patch)), augment=False, seed=1)[0]
    np.testing.assert_array_equal(image[:, :1], plain[0])


def test_the_previous_stage_is_turned_and_mirrored_with_the_image(
    small_store: Store, quick: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "disturb", lambda channels, rng: None)
    case = small_store.open("a")
    batches = PatchBatches(
        small_store, ("a",), card_of(cascaded(quick)), augment=True, seed=1, previous=Memory(case.label)
    )
    agreeing, turned = [], 0
    for step in range(12):
        image, label = batches[step]
        # whatever is drawn for the image, the channels stay 0 and 1
        assert set(np.unique(image[:, 1:])) <= {0.0, 1.0}
        assert image[:, 1:].sum(1).max() <= 1
        for value in (1, 2):
            mine, target = image[:, value] > 0, label == value
            if target.any():
                agreeing.append(2 * (mine & target).sum() / (mine.sum() + target.sum()))
                turned += not np.array_equal(mine, target)
    assert np.mean(agreeing) > 0.95  # nearest against linear interpolation
    assert turned > 0


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


def partial_case(channels: int, missing: tuple[int, ...]) -> StoredCase:
    """`counted_case` without some channels: they are 0."""
    case = counted_case(channels)
    image = case.image.copy()
    image[list(missing)] = 0
    return replace(case, image=image, properties=replace(case.properties, missing=missing))


def optional(
    make_configuration: Callable[..., Configuration], channels: int, dropout: float, *, neighbours: int = 0
) -> ModelCard:
    """Channels of which all but the first may be missing, in 2d or 2.5d."""
    base = neighbourly(make_configuration, channels, neighbours)
    network = replace(base.network, in_channels=channels * (2 * neighbours + 1) + channels - 1)
    presence = PresencePlan(tuple(range(1, channels)), dropout)
    named = replace(base, name="2.5d" if neighbours else "2d", network=network)
    return card_of(named, presence=presence)


@pytest.mark.parametrize("neighbours", [0, 1])
def test_a_flag_says_which_channels_are_there(
    make_configuration: Callable[..., Configuration], neighbours: int
) -> None:
    card, scans = optional(make_configuration, 3, 0.5, neighbours=neighbours), 3 * (2 * neighbours + 1)
    batches = PatchBatches(Memory(partial_case(3, (2,))), ("a",), card, augment=False, seed=1)
    image, _ = batches[0]
    assert image.shape[1] == scans + 2
    # nothing is left out where nothing is random
    assert (image[:, scans] == 1).all() and (image[:, scans + 1] == 0).all()
    assert not image[:, 2:scans:3].any() and image[:, 1:scans:3].any()


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


def test_the_previous_stage_comes_after_the_flags(small_store: Store, quick: Configuration) -> None:
    base = cascaded(quick)
    network = replace(base.network, in_channels=2 + 1 + 3)
    two = replace(base, normalisation=("zscore",) * 2, network=network)
    card = card_of(two, presence=PresencePlan((1,), 0.5))

    class Twice:
        def open(self, name: str) -> StoredCase:
            case = small_store.open(name)
            return replace(case, image=np.concatenate([case.image, case.image]))

    previous = Memory(small_store.open("a").label)
    image, label = PatchBatches(Twice(), ("a",), card, augment=False, seed=1, previous=previous)[0]
    assert (image[:, 2] == 1).all()
    np.testing.assert_array_equal(image[:, 3:], np.stack([label == value for value in (1, 2, 3)], axis=1))
