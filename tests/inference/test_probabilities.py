"""Probabilities on the image's own grid are those of interpolated scores, and their file is whole or not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import blosc2
import numpy as np
import pytest
import torch
from scipy import special
from skimage.transform import resize
from torch import Tensor, nn

from autospine import Predictor
from autospine.data.structure import Region
from autospine.errors import OutputError, PlanError
from autospine.inference import predictor as predicting
from autospine.inference.segmentation import Wanted
from autospine.inference.too_large import Way
from autospine.planning.document.configuration import Configuration
from tests.cards import card_of
from tests.inference.linear import AFFINE, CPU, INTENSITIES, LABELS, Linear, Make, model_of, plainly, smooth


@pytest.fixture
def plain(make_configuration: Make) -> Configuration:
    return plainly(make_configuration)


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


def test_a_prediction_that_fails_leaves_no_probabilities(plain: Configuration, tmp_path: Path) -> None:
    class Hollow(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor]:
            return (torch.cat([x * torch.nan] * 4, 1),)

    with pytest.raises(PlanError, match="NaN"):
        wanted = Wanted(probabilities=tmp_path / "a.b2nd")
        model_of(plain, Hollow()).predict(smooth((8, 16, 16)), spacing_mm=(1, 1, 1), wanted=wanted)
    assert list(tmp_path.iterdir()) == []
