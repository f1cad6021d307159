"""What is true of a data set, from its fingerprint, and why."""

from __future__ import annotations

from autospine.planning.decide.anatomy_reasons import level_reasons, region_reasons, side_reasons
from autospine.planning.decide.presence import planned_presence, presence_reasons
from autospine.planning.document.data import DataPlan, IntensityPlan, PresencePlan
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.anatomy import planned_levels, planned_sides
from autospine.planning.measured.fingerprint import Fingerprint


def planned_data(fingerprint: Fingerprint, recipe: Recipe, taken: PresencePlan | None = None) -> DataPlan:
    """What a plan keeps of the data; a plan that is moved to other data brings what may be missing there, `taken`.

    Raises `PlanError` where the recipe names a channel that there is not.
    """
    return DataPlan(
        dataset=fingerprint.dataset,
        channels=fingerprint.channels,
        intensities=tuple(
            IntensityPlan(channel.mean, channel.std, channel.percentile_00_5, channel.percentile_99_5)
            for channel in fingerprint.intensities
        ),
        labels=fingerprint.labels,
        regions=fingerprint.regions,
        sides=planned_sides(fingerprint),
        presence=planned_presence(fingerprint, recipe, taken),
        levels=planned_levels(fingerprint),
    )


def data_reasons(data: DataPlan, fingerprint: Fingerprint, recipe: Recipe) -> dict[str, str]:
    """Why, by the keys of the plan; nothing of what it has not."""
    return {
        **level_reasons(data),
        **side_reasons(data),
        **presence_reasons(data.presence, fingerprint, recipe),
        **region_reasons(data),
    }
