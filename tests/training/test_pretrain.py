"""Masks over blocks, what is told of them, and a pretraining from its first step to its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from autospine.errors import PlanError, Stopped
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import PresencePlan
from autospine.planning.document.model_file import WEIGHTS
from autospine.preprocessing.prepare import CaseProperties
from autospine.preprocessing.store import Store, StoredCase
from autospine.training.initial import CarriedOver, read_initial, start_from
from autospine.training.pretrain import MaskedBatches, MaskedError, MaskedTask, block_edges, draw_mask
from autospine.training.progress import FitResult
from tests.cards import card_of
from tests.training.trainings import run, stop_at

MakeConfiguration = Callable[..., Configuration]


@pytest.mark.parametrize(
    ("spacing_mm", "patch", "edges"),
    [
        ((1.0, 1.0, 1.0), (32, 32, 64), (16, 16, 16)),
        ((4.0, 0.5, 0.5), (8, 64, 96), (2, 16, 16)),  # 16 * 0.5 / 4 = 2
        ((3.3, 0.75, 0.6), (16, 160, 256), (3, 13, 16)),  # 2.9 and 12.8
        ((20.0, 0.5, 0.5), (4, 64, 64), (1, 16, 16)),  # 0.4 of a voxel is one
        ((1.0, 1.0, 1.0), (8, 16, 32), (8, 16, 16)),  # no larger than the patch
    ],
)
def test_blocks_are_as_long_in_millimetres_on_every_axis(
    make_configuration: MakeConfiguration,
    spacing_mm: tuple[float, ...],
    patch: tuple[int, ...],
    edges: tuple[int, ...],
) -> None:
    assert block_edges(make_configuration(spacing_mm=spacing_mm, patch=patch)) == edges


def test_a_patch_of_one_block_is_refused(make_configuration: MakeConfiguration) -> None:
    with pytest.raises(PlanError, match="8 x 16 x 16 voxels is a single block"):
        block_edges(make_configuration())


@pytest.mark.parametrize(
    ("patch", "edges", "blocks"), [((32, 64, 64), (16, 16, 16), 24), ((6, 40), (2, 16), 7), ((8, 20), (8, 16), 1)]
)
def test_three_quarters_of_the_blocks_are_masked(patch: tuple[int, ...], edges: tuple[int, ...], blocks: int) -> None:
    """Of 2 x 4 x 4 blocks 24, of 3 x 3 (the last column cut to 8) 7, of two one: something has to stay."""
    for seed in range(20):
        mask = draw_mask(patch, edges, np.random.default_rng(seed))
        assert mask.shape == patch
        corners = mask[tuple(slice(None, None, edge) for edge in edges)]
        assert corners.sum() == blocks
        # each block is masked whole or not at all
        for axis, edge in enumerate(edges):
            corners = corners.repeat(edge, axis)
        np.testing.assert_array_equal(mask, corners[tuple(slice(size) for size in patch)])


def test_every_block_is_masked_as_often() -> None:
    rng = np.random.default_rng(0)
    shares = np.mean([draw_mask((64, 64), (16, 16), rng) for _ in range(400)], axis=0)
    assert np.mean(shares) == 0.75
    assert np.abs(shares - 0.75).max() < 0.1


def test_the_error_counts_where_the_target_holds_something() -> None:
    nan = float("nan")
    finest = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]], requires_grad=True)
    target = torch.tensor([[[[nan, 0.0], [3.0, nan]]]])
    coarse = torch.full((1, 1, 1, 1), 100.0)  # deep supervision has no part in it
    loss = MaskedError()((finest, coarse), target)
    assert loss.item() == 2.0  # ((2 - 0)^2 + (3 - 3)^2) / 2
    loss.backward()
    assert finest.grad is not None
    assert finest.grad.tolist() == [[[[0.0, 2.0], [0.0, 0.0]]]]
    assert MaskedError()((finest,), torch.full_like(finest, nan)).item() == 0.0


class Cases:
    """One case without a label, with the voxel's place in it as its intensity, above 0."""

    def __init__(self, shape: tuple[int, ...], channels: int = 1, missing: tuple[int, ...] = ()) -> None:
        image = np.arange(1, channels * np.prod(shape) + 1, dtype=np.float32).reshape(channels, *shape)
        image[list(missing)] = 0
        box = tuple((0, size) for size in shape)
        properties = CaseProperties("a", shape, (1.0,) * 3, box, (0, 1, 2), (1.0,) * 3, missing)  # type: ignore[arg-type]
        label = np.broadcast_to(np.uint8(0), shape)
        self.case = StoredCase("a", image, label, label, properties, {})

    def open(self, name: str) -> StoredCase:
        return self.case


def still(configuration: Configuration, **changes: object) -> Configuration:
    """Without mirroring, rotation and zoom."""
    training = replace(configuration.training, mirror_axes=(), rotation_deg=0.0, scale_range=(1.0, 1.0))
    return replace(configuration, training=training, **changes)  # type: ignore[arg-type]


def test_what_is_masked_is_zero_and_told(make_configuration: MakeConfiguration) -> None:
    configuration = still(make_configuration(spacing_mm=(4.0, 2.0, 2.0), patch=(8, 32, 32)))
    batches = MaskedBatches(Cases((8, 32, 32)), ("a",), card_of(configuration), 7)
    image, target = batches[3]
    assert (image.shape, target.shape) == ((2, 1, 8, 32, 32), (2, 1, 8, 32, 32))
    assert (image.dtype, target.dtype) == (np.float32, np.float32)
    told = ~np.isnan(target)
    assert told.mean() == 0.75  # of 1 x 2 x 2 blocks of 8 x 16 x 16, three
    assert (image[told] == 0).all()
    whole = np.where(told, target, image)
    np.testing.assert_allclose(whole[0, 0], Cases((8, 32, 32)).case.image[0], rtol=1e-4)
    again = MaskedBatches(Cases((8, 32, 32)), ("a",), card_of(configuration), 7)[3]
    np.testing.assert_array_equal(image, again[0])
    np.testing.assert_array_equal(target, again[1])
    assert not np.array_equal(np.isnan(target), np.isnan(batches[4][1]))


def test_what_lies_beside_the_case_is_not_told(make_configuration: MakeConfiguration) -> None:
    configuration = still(make_configuration(patch=(8, 32, 32)))
    for step in range(5):
        _, target = MaskedBatches(Cases((8, 20, 32)), ("a",), card_of(configuration), 7)[step]
        inside = slice(6, 26)  # a smaller case lies in the middle of the patch
        assert np.isnan(target[:, :, :, [*range(6), *range(26, 32)]]).all()
        assert not np.isnan(target[:, :, :, inside]).all()


def test_slices_are_masked_together_and_all_told(make_configuration: MakeConfiguration) -> None:
    flat = make_configuration(spacing_mm=(1.0, 1.0), patch=(32, 32))
    network = replace(flat.network, in_channels=3)
    configuration = still(flat, name="2.5d", neighbours=1, network=network)
    image, target = MaskedBatches(Cases((6, 32, 32)), ("a",), card_of(configuration), 0)[0]
    assert (image.shape, target.shape) == ((2, 3, 32, 32), (2, 3, 32, 32))
    told = ~np.isnan(target)
    assert (told == told[:, :1]).all()
    assert told.mean() == 0.75


def test_a_missing_channel_is_not_told_and_its_flag_says_so(make_configuration: MakeConfiguration) -> None:
    base = make_configuration(patch=(8, 32, 32))
    entering = {
        "normalisation": ("zscore", "zscore"),
        "network": replace(base.network, in_channels=3),
    }
    card = card_of(still(base, **entering), presence=PresencePlan(channels=(1,), dropout=0.5))
    image, target = MaskedBatches(Cases((8, 32, 32), 2, missing=(1,)), ("a",), card, 0)[0]
    assert np.isnan(target[:, 1]).all()
    assert not np.isnan(target[:, 0]).all()
    assert (image[:, 2] == 0).all()
    flags = set()
    for step in range(6):  # there, it is left out now and then, as in training
        image, target = MaskedBatches(Cases((8, 32, 32), 2), ("a",), card, 0)[step]
        for sample, wanted in zip(image, target, strict=True):
            flag = sample[2].flat[0]
            flags.add(flag)
            assert (sample[2] == flag).all()  # masked blocks leave it alone
            assert np.isnan(wanted[1]).all() == (flag == 0)
    assert flags == {0.0, 1.0}


def small(quick: Configuration, **training: object) -> Configuration:
    """With blocks that are smaller than the patch."""
    return replace(quick, spacing_mm=(1.0, 4.0, 4.0), training=replace(quick.training, **training))  # type: ignore[arg-type]


def learn(configuration: Configuration, store: Store, folder: Path, **how: object) -> FitResult:
    return run(MaskedTask(card_of(configuration), ("a", "b")), store, folder, **how)


def test_it_learns_what_lies_under_the_masks(small_store: Store, quick: Configuration, tmp_path: Path) -> None:
    configuration = small(quick, optimiser="adamw", learning_rate=0.02, epochs=6)
    result = learn(configuration, small_store, tmp_path / "p")
    assert result.history[-1].train_loss < 0.7 * result.history[0].train_loss
    assert (result.history[0].validation_loss, result.history[0].dice) == (None, ())
    assert len((tmp_path / "p" / "history.csv").read_text().splitlines()) == 7


@pytest.mark.parametrize("stop_after", [3, 8])
def test_a_stopped_pretraining_ends_as_if_it_had_not_been(
    small_store: Store, quick: Configuration, tmp_path: Path, stop_after: int
) -> None:
    configuration = small(quick)
    learn(configuration, small_store, tmp_path / "whole", workers=1)
    with pytest.raises(Stopped, match=f"{stop_after} steps"):
        learn(configuration, small_store, tmp_path / "parts", on_step=stop_at(stop_after))
    assert not (tmp_path / "parts" / WEIGHTS).exists()
    other = small(quick, learning_rate=0.5)
    with pytest.raises(PlanError, match="another plan"):
        learn(other, small_store, tmp_path / "parts")
    assert learn(configuration, small_store, tmp_path / "parts").step == 12
    whole, parts = (load_file(tmp_path / name / WEIGHTS) for name in ("whole", "parts"))
    assert all(torch.equal(tensor, parts[name]) for name, tensor in whole.items())


@pytest.mark.parametrize("encoder", ["plain", "residual"])
def test_a_network_that_segments_starts_from_it(
    small_store: Store, quick: Configuration, tmp_path: Path, encoder: str
) -> None:
    base = small(quick, epochs=1)
    configuration = replace(base, network=replace(base.network, encoder=encoder, bottleneck="msff"))  # type: ignore[arg-type]
    learn(configuration, small_store, tmp_path / "p")
    network = UNet(configuration.network, configuration.patch)
    assert start_from(network, read_initial(tmp_path / "p")) == CarriedOver(1.0, ())
    stored = load_file(tmp_path / "p" / WEIGHTS)
    assert stored["heads.0.weight"].shape[0] == 1  # an output per image channel
    carried = {name for name, tensor in network.state_dict().items() if torch.equal(tensor, stored[name])} - {
        name for name in stored if name.startswith(("heads.", "decoder."))
    }
    assert {name.split(".")[0] for name in carried} == {"encoder", "msff"} | ({"stem"} & {n[:4] for n in stored})
