"""What enters for a tile, laid out from a case that is padded to the patch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from autospine.inference.padded import PaddedCase
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import PresencePlan
from tests.cards import card_of


def test_image_flags_and_previous_stage_in_their_order(make_configuration: Callable[..., Configuration]) -> None:
    """Two channels, of which the second is missing, and the classes of a previous stage; 2 voxels padded to 4."""
    base = make_configuration(normalisation=("zscore",) * 2)
    network = replace(base.network, in_channels=6)
    cascade = replace(base, name="3d_cascade_fullres", previous="3d_lowres", network=network)
    card = card_of(cascade, presence=PresencePlan((1,), 0.25))
    image = np.stack([np.full((2, 4, 4), 5.0), np.zeros((2, 4, 4))]).astype(np.float32)
    earlier = np.full((2, 4, 4), 3, np.uint8)
    case = PaddedCase.of(image, (1,), earlier, card, (4, 4, 4))
    assert case.volume.shape == (2, 4, 4, 4) and [(span.start, span.stop) for span in case.inner][0] == (1, 3)
    batch = case.batch([(slice(0, 4), slice(0, 4), slice(0, 4))])
    assert batch.shape == (1, 6, 4, 4, 4)
    assert batch[0, :, 1, 0, 0].tolist() == [5, 0, 0, 0, 0, 1]
    assert batch[0, :, 0, 0, 0].tolist() == [0, 0, 0, 0, 0, 0]


def test_beyond_the_ends_the_last_slice_stands(make_configuration: Callable[..., Configuration]) -> None:
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    card = card_of(replace(flat, name="2.5d", neighbours=1, network=replace(flat.network, in_channels=3)))
    image = np.broadcast_to(np.arange(3.0, dtype=np.float32).reshape(1, 3, 1, 1), (1, 3, 4, 4))
    case = PaddedCase.of(image, (), None, card, (1, 4, 4))
    plane = (slice(0, 4), slice(0, 4))
    batch = case.batch([(slice(0, 1), *plane), (slice(2, 3), *plane)])
    assert batch[:, :, 0, 0].tolist() == [[0, 0, 1], [1, 2, 2]]
