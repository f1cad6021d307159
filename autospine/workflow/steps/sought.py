"""What images a model is for: by what it was trained on, else by its configuration."""

from __future__ import annotations

from autospine.data.geometry import triple
from autospine.data.series_choice import Sought, is_thick
from autospine.data.slices import PLANES
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.trained_on import TrainedOn


def sought(card: ModelCard, trained: TrainedOn | None, series: tuple[str, ...] = ()) -> Sought:
    """What is known of the images that the model of `card` is for; `series` is what the user says of those to take.

    Where nothing is known of its training, its configuration tells the plane of the slices, and one of volumes the
    spacing that every image is resampled to.
    """
    flat = len(card.configuration.spacing_mm) < 3
    if trained is not None and trained.slices in PLANES:
        smallest, median, largest = trained.spacing_mm
        extents = [
            triple(size * step for size, step in zip(shape, spacing, strict=True))
            for shape, spacing in zip(trained.shape, trained.spacing_mm, strict=True)
        ]
        ends = triple(min(values) for values in zip(*extents, strict=True))
        return Sought(
            trained.slices,
            flat or is_thick(median, trained.slices),
            (smallest, largest),
            (ends, triple(max(values) for values in zip(*extents, strict=True))),
            trained.descriptions,
            series,
        )
    configuration = card.configuration
    plane = PLANES[configuration.axis_order[0]]
    if flat:
        return Sought(plane, True, series=series)
    spacing = dict(zip(configuration.axis_order, configuration.spacing_mm, strict=True))
    canonical = triple(spacing[axis] for axis in range(3))
    return Sought(plane, is_thick(canonical, plane), (canonical, canonical), series=series)
