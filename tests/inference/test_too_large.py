"""Memory of a prediction, by hand; one that could only fail or never end is refused before it begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autospine.data.geometry import Geometry, Volume
from autospine.errors import DataError, PlanError
from autospine.inference.predictor import Predictor
from autospine.inference.rows import SLAB_BYTES
from autospine.inference.too_large import (
    NUMBERED,
    Asked,
    Way,
    check_case,
    check_spacing,
    check_tile,
    find_way,
    image_bytes,
    most_strips,
    network_bytes,
    open_bytes,
    predicting_bytes,
    prediction_bytes,
    tiles_together,
)
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import LevelsPlan
from autospine.planning.document.model_card import ModelCard
from tests.cards import card_of
from tests.inference.predicting import predict_logits

CPU = torch.device("cpu")
Make = Callable[..., Configuration]


def test_a_patch_has_to_fit_the_device(make_configuration: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: 400 x 400 x 400 voxels x (4 bytes x (1 + 4 channels) + 2 bytes x 2 x 8 feature maps) = 3.33 GB."""
    large = make_configuration(patch=(400, 400, 400))
    for device_gb in (3.4, None):
        monkeypatch.setattr("autospine.inference.too_large.device_memory_gb", lambda _, device_gb=device_gb: device_gb)
        check_tile(large, CPU)
    monkeypatch.setattr("autospine.inference.too_large.device_memory_gb", lambda _: 3.3)
    with pytest.raises(PlanError, match=r"400 x 400 x 400 voxels takes 3\.33 GB or more, cpu has 3\.3 GB"):
        check_tile(large, CPU)


def test_an_image_has_to_fit_the_machine_padded_to_the_patch(
    make_configuration: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand, for an image of 24 voxels: 256 x 256 x 256 x 4 bytes for its channel, padded to the patch, and
    24 x 24 x 24 x 4 x 5 for four outputs and their weights, 67.39 MB."""
    large = make_configuration(patch=(256, 256, 256))
    monkeypatch.setattr("autospine.inference.too_large.total_bytes", lambda: 67_385_343)
    with pytest.raises(DataError, match=r"256 x 256 x 256 voxels, it takes 0\.0674 GB or more"):
        predict_logits([nn.Identity()], np.zeros((1, 24, 24, 24), np.float32), card_of(large), precision="float32")
    monkeypatch.setattr("autospine.inference.too_large.total_bytes", lambda: 67_385_344)
    check_case(large, 1, (24, 24, 24), large.patch)


def test_tiles_have_to_end(make_configuration: Make) -> None:
    """A step of a voxel: 101 x 101 x 101 tiles of 100 voxels in a volume of 200."""
    slow = make_configuration(patch=(100, 100, 100), overlap=0.999)
    with pytest.raises(DataError, match="1030301 tiles of 100 x 100 x 100 voxels that overlap by 0.999"):
        check_case(slow, 1, (200, 200, 200), slow.patch)
    check_case(slow, 1, (200, 200, 197), slow.patch)
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    check_case(flat, 1, (400, 400, 400), (1, *flat.patch))


def test_a_spacing_that_makes_an_image_huge_is_refused(
    make_configuration: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = make_configuration(spacing_mm=(0.05, 0.05, 0.05))
    with pytest.raises(DataError, match=r"spacing of 0\.05 x 0\.05 x 0\.05 mm would make 1\.11e\+08 voxels"):
        check_spacing(fine, (16, 24, 24), (1.5, 1.0, 1.0), 1, "a")
    check_spacing(fine, (160, 24, 24), (0.5, 0.4, 0.5), 1, "a")  # a scan of a mouse, 800 times as many voxels
    check_spacing(make_configuration(), (20, 512, 512), (10.0, 2.0, 2.0), 1, "a")  # thick slices, 40 times
    # slices keep their own spacing, whatever it is
    flat = make_configuration(spacing_mm=(0.1, 0.1), axis_order=(1, 0, 2))
    check_spacing(flat, (240, 160, 240), (0.1, 300.0, 0.1), 1, "a")
    with pytest.raises(DataError, match=r"2\.5e\+03 times what it has"):
        check_spacing(flat, (240, 160, 240), (5.0, 0.1, 5.0), 1, "a")
    # by hand: 100 x 100 x 100 voxels at half the spacing, two channels in float32 and one in float64 at a time
    half = make_configuration(spacing_mm=(0.5, 0.5, 0.5))
    monkeypatch.setattr("autospine.inference.too_large.total_bytes", lambda: 128 * 10**6)
    check_spacing(half, (100, 100, 100), (1.0, 1.0, 1.0), 2, "a")
    monkeypatch.setattr("autospine.inference.too_large.total_bytes", lambda: 127 * 10**6)
    with pytest.raises(DataError, match=r"8e\+06 voxels of this image, which take 0\.128 GB or more"):
        check_spacing(half, (100, 100, 100), (1.0, 1.0, 1.0), 2, "a")


def test_an_image_that_would_become_huge_is_not_prepared(make_configuration: Make) -> None:
    """An empty border does not count: what is prepared is cropped to what is not zero."""
    fine = make_configuration(spacing_mm=(0.05, 0.05, 0.05))
    card = card_of(fine)
    image = np.zeros((1, 64, 64, 64), np.float32)
    image[:, 20:24, 20:24, 20:24] = 1
    grid = Geometry((64, 64, 64), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    wide = replace(fine, patch=(80, 80, 80))
    Predictor(replace(card, configuration=wide), (Flat(),), CPU).segment(Volume(image, grid), "a")
    image[:] = 1
    with pytest.raises(DataError, match=r"2\.1e\+09 voxels of this image"):
        Predictor(card, (Flat(),), CPU).segment(Volume(image, grid), "a")


class Flat(nn.Module):
    """Background everywhere."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (torch.cat([x * 0 + 1, x, x, x], 1),)


class Overflowing(nn.Module):
    """Finite weights, and an output that is not."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (torch.cat([x, x, x, torch.full_like(x, 3e38) * 10], 1),)


def test_an_output_that_is_no_number_is_no_empty_mask(make_configuration: Make) -> None:
    for network in (Overflowing(), Hollow()):
        with pytest.raises(PlanError, match="NaN or infinite numbers in the output of the network"):
            predict_logits([network], np.zeros((1, 8, 16, 16), np.float32), card_of(make_configuration()))


class Hollow(nn.Module):
    """NaN in a single voxel of a single class."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        logits = torch.cat([x, x, x, x], 1)
        logits[0, 2, 3, 4, 5] = float("nan")
        return (logits,)


def asked_of(card: ModelCard, native: int, prepared: tuple[int, int, int], **more: bool) -> Asked:
    return Asked(card, native, prepared, **more)  # type: ignore[arg-type]


def test_open_rows_of_a_strip_by_hand(make_configuration: Make) -> None:
    """Four outputs and a weight of 4 bytes; the patch is 8 x 16 x 16."""
    cube = make_configuration()
    assert open_bytes(cube, (40, 60, 50), 1) == 5 * 4 * 8 * 60 * 50
    assert open_bytes(cube, (40, 60, 50), 3, more=1) == 6 * 4 * 8 * 21 * 50  # and the next column of a strip
    assert open_bytes(cube, (5, 60, 50), 1) == 5 * 4 * 5 * 60 * 50
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    assert open_bytes(flat, (40, 60, 50), 1) == 5 * 4 * 4 * 60 * 50  # four slices go together
    # tiles of 16 that overlap by half: 60 columns have 7, 16 and fewer have one
    assert [most_strips(cube, (40, columns, 50)) for columns in (60, 17, 16, 9)] == [7, 2, 1, 1]


def test_what_a_network_computes_by_hand(make_configuration: Make) -> None:
    """2048 voxels, one channel; skips of 8 maps and 16 of an eighth, eight times 8 maps more; four outputs twice."""
    cube = make_configuration()
    assert network_bytes(cube, "cpu") == 4 * 2048 * (1 + (8 + 2 + 8 * 8) + 8)
    assert network_bytes(cube, "cuda") == 4 * 2048 * 4 * 4
    assert network_bytes(cube, "cuda", members=True) == 4 * 2048 * 4 * 8


def test_the_largest_of_preparing_predicting_and_restoring(make_configuration: Make) -> None:
    card, shape = card_of(make_configuration()), (10, 20, 30)
    # as read, normalised, a mask and float64: 17 bytes a native voxel; resampled 25 and 4 a prepared one
    assert prediction_bytes(asked_of(card, 10**7, shape), Way(1)) == 9 * 10**7 + 16 * 10**7 + 4 * 6000
    same = (300, 400, 500)
    assert prediction_bytes(asked_of(card, 6 * 10**7, same), Way(1)) == 17 * 6 * 10**7
    # 512 x 512 x 512 at a spacing that makes them 64 x 64 x 64: 25 bytes a voxel
    wide = make_configuration(patch=(64, 64, 64))
    small = asked_of(card_of(wide), 8000, (20, 20, 20))
    held = image_bytes(small)
    assert held == 4 * (8000 + 64**3)  # padded to the patch, beside the image itself
    assert prediction_bytes(small, Way(1)) == int(held + predicting_bytes(small, Way(1)))


def test_what_is_asked_for_takes_memory(make_configuration: Make) -> None:
    card, shape = card_of(make_configuration()), (40, 60, 50)
    native, way = 40 * 60 * 50, Way(1)
    plain = predicting_bytes(asked_of(card, native, shape), way)
    # one more output of the open rows and of the network's scores, twice a row that is kept, and a float32 map
    more = predicting_bytes(asked_of(card, native, shape, uncertainty=True), way) - plain
    assert more >= 4 * native + 4 * 8 * 60 * 50
    several = predicting_bytes(replace(asked_of(card, native, shape), networks=3), way)
    assert several - plain == 2 * 4 * 4 * 8 * 16 * 16  # answers of two more networks to a blank tile
    streamed = predicting_bytes(asked_of(card, native, shape, probabilities=True), way)
    assert streamed - plain == 4 * 4 * 4 * 60 * 50
    kept = predicting_bytes(asked_of(card, native, shape, probabilities=True, stored=True), way)
    assert kept - streamed == 2 * 4 * native
    levels = card_of(card.configuration, levels=LevelsPlan((1, 2), 0, 1.0, (0.5, 0.5)))
    asked = asked_of(levels, native, shape)
    done = open_bytes(card.configuration, shape, 1)  # no rows are open once the pieces are looked for
    assert predicting_bytes(asked, way) - plain == (12 + 4 * 4) * native - done
    numbered = replace(asked, instances=True)
    assert prediction_bytes(numbered, way) >= image_bytes(asked) + (NUMBERED + 8 + 4) * native
    assert predicting_bytes(asked, Way(1, on_disk=True)) - plain == 12 * native + 2 * SLAB_BYTES - done


def test_the_fewest_strips_that_find_room_and_a_file_before_more_of_them(make_configuration: Make) -> None:
    asked = asked_of(card_of(make_configuration()), 120_000, (40, 60, 50))

    def needed(way: Way) -> float:
        return 100 / way.strips + (0 if way.on_disk else 50)

    assert find_way(asked, needed, 150) == Way(1)
    assert find_way(asked, needed, 100) == Way(2)
    assert find_way(asked, needed, 10) == Way(7)
    levels = card_of(asked.card.configuration, levels=LevelsPlan((1, 2), 0, 1.0, (0.5, 0.5)))
    column = replace(asked, card=levels)
    assert find_way(column, needed, 150) == Way(1)
    assert find_way(column, needed, 100) == Way(1, on_disk=True)
    assert find_way(column, needed, 50) == Way(2, on_disk=True)


def test_slices_go_together_as_training_had_room(make_configuration: Make) -> None:
    assert tiles_together(make_configuration(), "cuda") == 1
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    assert tiles_together(flat, "cpu") == 4
    assert [tiles_together(replace(flat, batch=batch), "cuda") for batch in (2, 12, 40)] == [4, 24, 32]
