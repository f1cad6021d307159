"""A configuration with the data that it is for: what flows to preparation, training and prediction.

What has to agree between the two is checked here, for a plan and for `model.json` alike. Which channels enter a network
in which order is known to `Entering` alone:

2.5d, channels T1 T2, of which T2 may be missing           scan                            presence
                                                           T1 T2    T1 T2    T1 T2         T2
                                                           before   slice    after         there?
cascade of three classes, one channel                      scan     previous
                                                           T1       1 2 3
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from autospine.planning.document.configuration import Configuration
from autospine.planning.document.convert import Checks
from autospine.planning.document.data import DataPlan
from autospine.planning.document.parts import LossPlan

RIGHT_TO_LEFT = 2
"""Canonical axis."""


@dataclass(frozen=True)
class Entering:
    """What enters beside each other, as numbers of channels."""

    images: int
    """Image channels."""
    slices: int
    """Slices that enter together, each with all image channels."""
    optional: tuple[int, ...]
    """Image channels that may be missing, each of which has a channel that says whether it is there."""
    swapped: tuple[int, ...]
    """Class that each of a previous stage becomes in a mirrored patch, the first being 1; empty where there is none."""

    @staticmethod
    def of(data: DataPlan, neighbours: int, previous: str | None) -> Entering:
        """Of slices with so many `neighbours` on either side, and the classes of the `previous` stage, if any."""
        swapped = () if previous is None else data.swapped[1:]
        return Entering(len(data.channels), 2 * neighbours + 1, data.optional, swapped)

    @property
    def scan(self) -> slice:
        """The image: slice by slice, each with all image channels."""
        return slice(0, self.images * self.slices)

    @property
    def presence(self) -> slice:
        """Whether the image channels are there that may be missing, in the order of `optional`: 1, or 0."""
        return slice(self.scan.stop, self.scan.stop + len(self.optional))

    @property
    def previous(self) -> slice:
        """The previous stage: one channel per class."""
        return slice(self.presence.stop, self.presence.stop + len(self.swapped))

    @property
    def count(self) -> int:
        """Channels in all."""
        return self.images * self.slices + len(self.optional) + len(self.swapped)

    def places(self, channel: int) -> slice:
        """Where an image channel stands, once in each slice."""
        return slice(channel, self.scan.stop, self.images)

    @property
    def mirrored(self) -> tuple[int, ...]:
        """Which channel enters for each in a patch mirrored from right to left: a previous stage's classes swap."""
        first = self.previous.start
        return (*range(first), *(first + value - 1 for value in self.swapped))


@dataclass(frozen=True)
class ModelCard:
    """One configuration of a plan with what is true of its data."""

    data: DataPlan
    configuration: Configuration

    def __post_init__(self) -> None:
        """Check that the configuration fits the data."""
        with Checks(self) as check:
            check_fit(check, "configuration", self.data, self.configuration)

    @cached_property
    def entering(self) -> Entering:
        """The channels that enter the network."""
        return Entering.of(self.data, self.configuration.neighbours, self.configuration.previous)

    @property
    def sides_axis(self) -> int | None:
        """Patch axis from right to left, along which a mirrored patch has its sides swapped; None where none is."""
        patch_axes = self.configuration.patch_axes
        if not self.data.sides or RIGHT_TO_LEFT not in patch_axes:
            return None
        axis = patch_axes.index(RIGHT_TO_LEFT)
        return axis if axis in self.configuration.training.mirror_axes else None

    def with_configuration(self, configuration: Configuration) -> ModelCard:
        """The card of another configuration for the same data."""
        return replace(self, configuration=configuration)

    def with_loss(self, loss: LossPlan) -> ModelCard:
        """The same, trained by another loss."""
        return self.with_configuration(replace(self.configuration, loss=loss))

    def takes_weights_of(self, other: ModelCard) -> bool:
        """Whether weights trained under `other` mean the same here.

        What enters the network and what its outputs are must agree; what it was trained by (batch, loss, schedule),
        what that takes and how densely tiles overlap may differ.
        """
        return self._meaning == other._meaning

    @property
    def _meaning(self) -> tuple[object, ...]:
        """What the weights and a prediction's meaning depend on."""
        one, data = self.configuration, self.data
        sides = () if self.sides_axis is None else data.sides
        known = (data.channels, data.intensities, data.labels, data.regions, sides, data.optional)
        prepared = (one.axis_order, one.spacing_mm, one.normalisation, one.use_mask, one.resampling)
        return known, prepared, (one.patch, one.neighbours, one.previous, one.network, one.training.mirror_axes)


def check_fit(check: Checks, where: str, data: DataPlan, one: Configuration) -> None:
    """Note, at keys that begin with `where`, what of the configuration belongs to other data."""
    entering = Entering.of(data, one.neighbours, one.previous)
    outputs, targets = data.outputs, len(data.targets)
    channels, found = len(data.channels), one.network.in_channels
    whole = len(one.normalisation) == channels
    if check(whole, f"{where}.normalisation", f"{channels}, one per channel", one.normalisation):
        expected = f"{entering.count}: {channels} image channel(s), each normalised, x {entering.slices} slice(s)"
        expected += f" + {len(data.optional)} that may be missing" if data.optional else ""
        expected += f" + {data.classes} classes of {one.previous}" if one.previous else ""
        check(found == entering.count, f"{where}.network.in_channels", expected, found)
    made = f"{outputs}: " + ("one per region" if data.regions else "background and labels")
    check(one.network.out_channels == outputs, f"{where}.network.out_channels", made, one.network.out_channels)
    sizes, largest, unit = one.loss.usual_sizes, one.loss.largest_size, one.training.foreground_unit
    each = f"{targets}, one for each class or region that is segmented"
    check(sizes is None or len(sizes) == targets, f"{where}.loss.usual_sizes", each, sizes)
    if data.regions:
        overlap = "where regions overlap: a voxel lies in components of several sizes"
        check(largest is None, f"{where}.loss.largest_size", f"none {overlap}", largest)
        check(unit == "class", f"{where}.training.foreground_unit", f"class {overlap}", unit)
