"""A predictor as other software uses it: arrays in, labels, probabilities, uncertainty and volumes out."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
import torch
from scipy import special
from skimage.transform import resize
from torch import Tensor, nn

from autospine import Predictor, Segmentation, Volume
from autospine.data.geometry import Geometry
from autospine.data.structure import Region
from autospine.errors import DataError, OutputError, PlanError
from autospine.inference import predictor as predicting
from autospine.inference.segmentation import Wanted
from autospine.inference.too_large import Way
from autospine.machine.precision import Choice
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import IntensityPlan
from autospine.planning.document.parts import ResamplingPlan
from tests.cards import card_of

CPU = torch.device("cpu")
INTENSITIES = (IntensityPlan(0.0, 1.0, -9.0, 9.0),)
LABELS = (("upper", 7), ("middle", 300), ("lower", 4))
Make = Callable[..., Configuration]


class Linear(nn.Module):
    """Scores that are linear in the image: interpolation of them is that of the image."""

    def __init__(self, *factors: float) -> None:
        super().__init__()
        self.factors = factors

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (torch.cat([factor * x for factor in self.factors], 1),)


def model_of(configuration: Configuration, *networks: nn.Module, **how: Any) -> Predictor:
    card = card_of(configuration, labels=LABELS, intensities=INTENSITIES)
    networks = networks or (Linear(0, 1, -1, 0.5),)
    return Predictor(card, networks, CPU, **{"mirror": False, "precision": "float32"} | how)


@pytest.fixture
def plain(make_configuration: Make) -> Configuration:
    """Intensities enter as they are (mean 0, deviation 1), at 1 mm, no axis apart."""
    return make_configuration(normalisation=("ct",), resampling=ResamplingPlan(anisotropy_threshold=9.0))


def smooth(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).normal(0, 3, [max(2, size // 3) for size in shape])
    return resize(coarse, shape, 1, mode="edge", anti_aliasing=False).clip(-8, 8).astype(np.float32)


AFFINE = np.array([[-1.0, 0, 0, 10], [0, 0, 1.0, -20], [0, -1.0, 0, 30], [0, 0, 0, 1]])


def test_labels_come_back_in_the_axes_that_were_given(plain: Configuration) -> None:
    model, image = model_of(plain), smooth((14, 20, 9))
    made = model.predict(image, affine=AFFINE)
    assert isinstance(made, Segmentation) and made.array.shape == image.shape
    expected = np.where(image > 0, 7, np.where(image < 0, 300, 0))
    np.testing.assert_array_equal(made.array, expected)
    assert made.names == {7: "upper", 300: "middle", 4: "lower"}
    np.testing.assert_array_equal(model.predict(image, spacing_mm=(1, 1, 1)).array, expected)
    np.testing.assert_array_equal(model.predict(made.labels).labels.geometry.shape, made.labels.geometry.shape)


def test_volumes_and_mean_intensities_by_hand(plain: Configuration, make_configuration: Make) -> None:
    image = np.full((4, 5, 6), -1.0, np.float32)
    image[:2] = 2.0
    image[0, 0, 0] = 5.0
    made = model_of(plain).predict(image, spacing_mm=(1.0, 1.0, 1.0))
    assert made.volumes_mm3 == {"upper": 60.0, "middle": 60.0, "lower": 0.0}
    means = made.mean_intensities(image)
    assert means["upper"] == pytest.approx((59 * 2 + 5) / 60) and means["middle"] == -1 and np.isnan(means["lower"])
    double = np.stack([image, 10 * image])
    assert made.mean_intensities(double, channel=1)["middle"] == -10
    with pytest.raises(DataError, match="no channel 1"):
        made.mean_intensities(image, channel=1)
    with pytest.raises(DataError, match="the image that was segmented"):
        made.mean_intensities(image[:3])
    volume = Volume(image[None], replace(made.labels.geometry, origin_mm=(5.0, 0.0, 0.0)))
    with pytest.raises(DataError, match="mm apart"):
        made.mean_intensities(volume)
    slices = make_configuration(normalisation=("ct",), spacing_mm=(2.0, 0.5))
    flat = model_of(slices).predict(image[0], spacing_mm=(2.0, 0.5))
    assert flat.volumes_mm3["upper"] == 30.0 and flat.array.shape == (5, 6)


@pytest.mark.parametrize("strips", [1, 3])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_probabilities_are_those_of_interpolated_scores(
    plain: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strips: int, order: tuple[int, int, int]
) -> None:
    """Scores linear in the image, at half the resolution and back; a black border is background."""
    monkeypatch.setattr(predicting, "find_way", lambda *asked: Way(strips))
    model = model_of(replace(plain, axis_order=order, spacing_mm=(2.0, 2.0, 2.0)), temperature=2.0)
    image = np.zeros((20, 30, 22), np.float32)
    image[2:18, 4:28, 1:21] = smooth((16, 24, 20))
    path = tmp_path / "probabilities" / "a.b2nd"
    made = model.predict(image, affine=AFFINE, wanted=Wanted(probabilities=path))
    assert made.probabilities is not None and made.probabilities.path == path
    found = made.probabilities.array
    assert found.dtype == np.float16 and found.shape == (4, *image.shape)
    crop = image[2:18, 4:28, 1:21]
    coarse = resize(crop.astype(np.float64), (8, 12, 10), 3, mode="edge", anti_aliasing=False, clip=True)
    fine = resize(coarse, crop.shape, 1, mode="edge", anti_aliasing=False)
    expected = np.zeros(found.shape)
    expected[0] = 1
    factors = np.array([0, 1, -1, 0.5]).reshape(4, 1, 1, 1)
    expected[:, 2:18, 4:28, 1:21] = special.softmax(factors * fine / 2, axis=0)
    np.testing.assert_allclose(found, expected, atol=2e-3)
    np.testing.assert_array_equal(made.probabilities.of("middle"), found[2])
    stored = blosc2.open(str(path), mode="r")
    about = stored.schunk.vlmeta
    assert about["names"] == ["background", "upper", "middle", "lower"] and about["values"] == [[0], [7], [300], [4]]
    assert list(about["spacing_mm"]) == [1.0, 1.0, 1.0]
    np.testing.assert_allclose(about["affine"], AFFINE, atol=1e-6)
    # in file axes, which are (Z, Y, X)
    np.testing.assert_array_equal(stored[...], found.transpose(0, 3, 2, 1))
    assert [file.name for file in path.parent.iterdir()] == ["a.b2nd"]
    memory = model.predict(image, affine=AFFINE, wanted=Wanted(probabilities=True)).probabilities
    assert memory is not None and memory.path is None
    np.testing.assert_array_equal(memory.array, found)
    with pytest.raises(KeyError, match="none of background"):
        memory.of("other")


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_probabilities_of_the_nearest_slices(make_configuration: Make, axis: int) -> None:
    """Along a coarse axis a slice is repeated; the most likely class is the label everywhere."""
    spacing = [1.0, 1.0, 1.0]
    spacing[axis] = 6.0
    configuration = make_configuration(spacing_mm=tuple(spacing), normalisation=("ct",))
    finer = list(spacing)
    finer[axis] = 4.0
    image = smooth((12, 13, 14))
    model = model_of(configuration, Linear(0.3, 1, -1, 0.5))
    made = model.predict(image, spacing_mm=finer, wanted=Wanted(probabilities=True))
    assert made.probabilities is not None
    likeliest = np.array([0, 7, 300, 4])[made.probabilities.array.argmax(0)]
    assert (likeliest == made.array).mean() > 0.999


def test_regions_are_as_likely_as_each_is(plain: Configuration) -> None:
    loss = replace(plain.loss, class_weights=(1.0, 1.0))
    base = replace(plain, network=replace(plain.network, out_channels=2), loss=loss)
    regions = (Region("all", (7, 300, 4), 4), Region("core", (300,), 300))
    card = card_of(base, labels=LABELS, intensities=INTENSITIES, regions=regions)
    networks = (Linear(1, 0.5), Linear(-1, 0.5))
    model = Predictor(card, networks[:1], CPU, mirror=False, precision="float32")
    image = smooth((8, 16, 16))
    made = model.predict(image, spacing_mm=(1, 1, 1), wanted=Wanted(probabilities=True))
    assert made.probabilities is not None and made.probabilities.names == ("all", "core")
    np.testing.assert_allclose(made.probabilities.of("core"), special.expit(image / 2), atol=1e-3)
    assert made.volumes_mm3 == {"all": float((image > 0).sum()), "core": float((image > 0).sum())}
    both = replace(model, networks=networks).predict(image, spacing_mm=(1, 1, 1), wanted=Wanted(uncertainty=True))
    assert both.uncertainty is not None
    # the second region has no doubts; of the first, two opposite ones
    chance = special.expit(image.astype(np.float64))
    expected = (1 - (special.entr(chance) + special.entr(1 - chance)) / np.log(2)) / 2
    np.testing.assert_allclose(both.uncertainty.array[0], expected, atol=1e-5)


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
    with pytest.raises(DataError, match=said + r"[\s\S]*allow 2\.5 GB with --memory"):
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


def test_a_path_that_cannot_be_written_is_said(plain: Configuration, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    wanted = Wanted(probabilities=tmp_path / "file" / "a.b2nd")
    with pytest.raises(OutputError):
        model_of(plain).predict(smooth((8, 16, 16)), spacing_mm=(1, 1, 1), wanted=wanted)


def test_a_disk_that_takes_no_more_is_said(
    plain: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: object, place: object, values: object) -> None:
        raise RuntimeError("error while updating a chunk")

    monkeypatch.setattr(blosc2.NDArray, "__setitem__", full)
    wanted = Wanted(probabilities=tmp_path / "a.b2nd")
    with pytest.raises(OutputError, match="blosc2 could not write"):
        model_of(plain).predict(smooth((8, 16, 16)), spacing_mm=(1, 1, 1), wanted=wanted)
    assert list(tmp_path.iterdir()) == []


def test_both_stages_of_a_cascade_count(plain: Configuration) -> None:
    """The images of both are held while the first is segmented."""
    network = replace(plain.network, in_channels=4)
    second = replace(plain, name="3d_cascade_fullres", previous="3d_lowres", network=network)
    grid = Geometry((60, 90, 90), (1.0,) * 3, (0.0,) * 3, (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    first = model_of(plain)
    alone = model_of(second)
    both = replace(alone, previous=first)
    assert both.needed_bytes(grid) >= alone.needed_bytes(grid) + 4 * 60 * 90 * 90


def test_a_prediction_that_fails_leaves_no_probabilities(plain: Configuration, tmp_path: Path) -> None:
    class Hollow(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor]:
            return (torch.cat([x * torch.nan] * 4, 1),)

    with pytest.raises(PlanError, match="NaN"):
        wanted = Wanted(probabilities=tmp_path / "a.b2nd")
        model_of(plain, Hollow()).predict(smooth((8, 16, 16)), spacing_mm=(1, 1, 1), wanted=wanted)
    assert list(tmp_path.iterdir()) == []
