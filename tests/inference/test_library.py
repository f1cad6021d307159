"""A predictor as other software uses it: what is asked for, memory, threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from torch import Tensor, nn

from autospine import Predictor, Volume
from autospine.data.geometry import Geometry
from autospine.errors import DataError
from autospine.inference import predictor as predicting
from autospine.inference.segmentation import Wanted
from autospine.machine.precision import Choice
from autospine.planning.document.configuration import Configuration
from tests.cards import card_of
from tests.inference.linear import AFFINE, CPU, Linear, Make, model_of, plainly, smooth


@pytest.fixture
def plain(make_configuration: Make) -> Configuration:
    return plainly(make_configuration)


@pytest.mark.parametrize("flat", [False, True])
def test_uncertainty_leaves_labels_as_they_are(make_configuration: Make, flat: bool) -> None:
    configuration = make_configuration(normalisation=("ct",), **({"spacing_mm": (1.0, 1.0)} if flat else {}))
    model = model_of(configuration, Linear(0, 1, -1, 0.5), Linear(0.2, 0.4, -3, 0.5))
    image = smooth((9, 30, 20))
    without = model.predict(image, affine=AFFINE)
    made = model.predict(image, affine=AFFINE, wanted=Wanted(uncertainty=True))
    assert without.uncertainty is None and made.uncertainty is not None
    np.testing.assert_array_equal(made.array, without.array)
    # where all scores are below 0 the disagreement, which is not, is no class
    low = replace(model, networks=(Linear(1, 1, 1, 1), Linear(1, 1, 1.5, 1)))
    dark = -np.abs(image) - 1
    both = low.predict(dark, affine=AFFINE, wanted=Wanted(uncertainty=True))
    np.testing.assert_array_equal(both.array, low.predict(dark, affine=AFFINE).array)
    said = made.uncertainty.array
    assert said.dtype == np.float32 and said.shape == made.labels.array.shape
    assert said.min() >= 0 and said.max() <= 1 and said.max() > 0.05
    assert made.as_given(made.uncertainty)[np.abs(image) < 0.01].max() < 0.01  # all scores are alike there


def test_one_member_cannot_disagree(plain: Configuration) -> None:
    image = smooth((8, 16, 16))
    with pytest.raises(DataError, match="one fold without mirroring"):
        model_of(plain).predict(image, spacing_mm=(1, 1, 1), wanted=Wanted(uncertainty=True))
    mirrored = replace(plain, training=replace(plain.training, mirror_axes=(1,)))
    assert model_of(mirrored, mirror=True).members == 2
    model_of(mirrored, mirror=True).predict(image, spacing_mm=(1, 1, 1), wanted=Wanted(uncertainty=True))


def test_threads_get_the_same_answers(plain: Configuration) -> None:
    """And none is computed beside another: memory stays that of one case."""
    busy, most = [0], [0]

    class Counting(Linear):
        def forward(self, x: Tensor) -> tuple[Tensor]:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
            said = super().forward(x)
            busy[0] -= 1
            return said

    model = model_of(plain, Counting(0, 1, -1, 0.5))
    images = [smooth((10, 20, 18), seed) for seed in range(8)]
    alone = [model.predict(image, spacing_mm=(1, 1, 1)).array for image in images]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda image: model.predict(image, spacing_mm=(1, 1, 1)).array, images))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)
    assert most[0] == 1


def test_too_little_memory_is_said_before_anything_is_computed(
    plain: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Never(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor]:
            raise AssertionError("nothing is to be computed")

    monkeypatch.setattr(predicting, "resident_bytes", lambda: 700_000_000)
    grid = Geometry((400, 512, 512), (1.0,) * 3, (0.0,) * 3, (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    image = Volume(np.broadcast_to(np.float32(1), (1, *grid.shape)), grid)
    model = model_of(plain, Never(), memory_bytes=1_000_000_000)
    said = r"it needs up to 1\.8 GB beside the 0\.7 GB that the program has[\s\S]*fits into 1\.0 GB"
    with pytest.raises(DataError, match=said + r"[\s\S]*allow 2\.6 GB with --memory"):
        model.predict(image)


def test_the_limit_decides_about_strips(plain: Configuration, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open rows of 25 scores in 400 x 512 x 512 voxels and a patch of 128 are 3.5 GB: within 4 GB they are cut."""
    network = replace(plain.network, out_channels=25)
    large = replace(plain, network=network, patch=(128, 128, 128), loss=replace(plain.loss, class_weights=(1.0,) * 25))
    card = card_of(large)
    monkeypatch.setattr(predicting, "resident_bytes", lambda: 400_000_000)
    monkeypatch.setattr(predicting, "free_bytes", lambda: 30 * 10**9)
    grid = Geometry((400, 512, 512), (1.0,) * 3, (0.0,) * 3, (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    model = Predictor(card, (nn.Identity(),), CPU, precision="float32")
    unbounded, bounded = model.needed_bytes(grid), replace(model, memory_bytes=4 * 10**9)
    assert unbounded > 4e9 > 400e6 + bounded.check_room(grid, Wanted(), "a")


def test_networks_are_as_they_will_compute_before_memory_is_looked_at(
    plain: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled ones take several times their weights, of every stage."""
    done = list[str]()
    chosen = Predictor.computed_in

    def choosing(self: Predictor, cases: int | None = None) -> Choice:
        done.append(self.card.configuration.name)
        return chosen(self, cases)

    def resident() -> int:
        done.append("looked")
        return 0

    monkeypatch.setattr(Predictor, "computed_in", choosing)
    monkeypatch.setattr(predicting, "resident_bytes", resident)
    grid = Geometry((8, 16, 16), (1.0,) * 3, (0.0,) * 3, (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    first = model_of(replace(plain, name="3d_lowres"))
    network = replace(plain.network, in_channels=4)
    second = model_of(replace(plain, name="3d_cascade_fullres", previous="3d_lowres", network=network))
    replace(second, previous=first, memory_bytes=10**9).check_room(grid, Wanted(), "a")
    assert done[:3] == ["3d_cascade_fullres", "3d_lowres", "looked"]


def test_both_stages_of_a_cascade_count(plain: Configuration) -> None:
    """The images of both are held while the first is segmented."""
    network = replace(plain.network, in_channels=4)
    second = replace(plain, name="3d_cascade_fullres", previous="3d_lowres", network=network)
    grid = Geometry((60, 90, 90), (1.0,) * 3, (0.0,) * 3, (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    first = model_of(plain)
    alone = model_of(second)
    both = replace(alone, previous=first)
    assert both.needed_bytes(grid) >= alone.needed_bytes(grid) + 4 * 60 * 90 * 90
