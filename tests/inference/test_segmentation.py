"""What a segmentation says of its image: labels in the axes that were given, volumes, mean intensities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autospine import Segmentation, Volume
from autospine.errors import DataError
from autospine.planning.document.configuration import Configuration
from tests.inference.linear import AFFINE, Make, model_of, plainly, smooth


@pytest.fixture
def plain(make_configuration: Make) -> Configuration:
    return plainly(make_configuration)


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
