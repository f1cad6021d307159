"""The channels that enter a network, in their order: the one place that knows it.

2.5d, channels T1 T2, of which T2 may be missing           scan                            presence
                                                           T1 T2    T1 T2    T1 T2         T2
                                                           before   slice    after         there?
cascade of three classes, one channel                      scan     previous
                                                           T1       1 2 3
"""

from __future__ import annotations

from dataclasses import dataclass

from autospine.planning.document.data import DataPlan


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
    def of(data: DataPlan, neighbours: int, *, cascade: bool) -> Entering:
        """Of slices with so many `neighbours` on either side; the classes of a previous stage enter a `cascade`."""
        swapped = data.swapped[1:] if cascade else ()
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
        """Which channel enters in the place of each where a patch is mirrored from right to left.

        The classes of a previous stage swap as sides do; all else stays where it is.
        """
        first = self.previous.start
        return (*range(first), *(first + value - 1 for value in self.swapped))
