"""The plan: every resolved number of a training, each with its reason.

A `Plan` is what `autospine plan` writes and what preparation, training and prediction read; none of them
looks at the recipe or the fingerprint again. It is frozen, checked when it is made, and goes to TOML and
back without loss. Axes: `axis_order` permutes the canonical image axes (Z, Y, X) so that the slices'
stands first; every other tuple of a configuration is in that *planned* order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Literal, get_args

from autospine.data.structure import MOST_CLASSES
from autospine.errors import PlanError
from autospine.planning.document.convert import Checks, to_table
from autospine.planning.document.parts import (
    ExpectedPlan,
    IntensityPlan,
    LevelsPlan,
    LossPlan,
    NetworkPlan,
    Normalisation,
    PresencePlan,
    RegionsPlan,
    ResamplingPlan,
    SidesPlan,
    TrainingPlan,
)

SCHEMA = 5
"""Number of the file format; a plan with another one is refused rather than guessed at."""

ConfigurationName = Literal["2d", "2.5d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"]
CONFIGURATIONS: tuple[str, ...] = get_args(ConfigurationName)
VOLUMES = tuple(name for name in CONFIGURATIONS if name.startswith("3d"))
"""The configurations of 3D networks."""
MOST_PATCH_VOXELS = 2**26
"""Voxels of a patch, 8192 x 8192 or 406 x 406 x 406: four times the largest start of `topology.START_VOXELS` (ours)."""
LARGEST_LABEL = 2**31 - 1
"""Largest value of a label: what a mask is read up to."""
LONGEST_NAME = 1000
"""Letters in the name of a channel or label (ours)."""
MOST_NEIGHBOURS = 50
"""Most slices on either side of the one that is segmented (ours)."""


@dataclass(frozen=True)
class Configuration:
    """One trainable configuration: what is prepared, built, trained and predicted."""

    name: str
    """One of `ConfigurationName`."""
    axis_order: tuple[int, int, int]
    """Canonical axis (Z=0, Y=1, X=2) that stands at each planned axis."""
    spacing_mm: tuple[float, ...]
    """Target spacing: three values for 3D, the two in-plane ones for 2D (slices keep their own)."""
    median_shape: tuple[int, ...]
    """Median case at target spacing in voxels, same length as `spacing_mm`."""
    patch: tuple[int, ...]
    """Patch in voxels, same length as `spacing_mm`."""
    batch: int
    """Patches in a batch."""
    normalisation: tuple[Normalisation, ...]
    """Per channel."""
    use_mask: bool
    """Normalise inside the nonzero region only."""
    network: NetworkPlan
    resampling: ResamplingPlan
    loss: LossPlan
    training: TrainingPlan
    overlap: float = 0.5
    """Share by which neighbouring prediction tiles overlap per axis, 0 to below 1."""
    neighbours: int = 0
    """2.5d: slices on either side that enter as channels beside the one that is segmented."""
    previous: str | None = None
    """Cascade: the configuration whose segmentation enters as one channel per class."""
    ignore_unlabelled_slices: bool = False
    """Slices across the first planned axis in which a mask holds nothing count as not annotated."""
    sides: SidesPlan | None = None
    """Classes that swap where a patch is mirrored from right to left; None: none do."""
    presence: PresencePlan | None = None
    """Image channels that a case may lack; None: every case has all."""
    regions: RegionsPlan | None = None
    """What the outputs are where they overlap; None: background and a class each, of which one holds in a voxel."""
    levels: LevelsPlan | None = None
    """What a prediction knows of the levels of a column; None: every voxel by itself."""
    expected: ExpectedPlan | None = None
    """What a training is expected to take."""

    @property
    def image_channels(self) -> int:
        """Image channels of a case: what enters the network without its neighbours and previous stage."""
        return len(self.normalisation)

    @property
    def scan_channels(self) -> int:
        """Channels, the first to enter, that hold the image: slice by slice, each with all image channels."""
        return self.image_channels * (2 * self.neighbours + 1)

    @property
    def optional_channels(self) -> tuple[int, ...]:
        """Image channels that a case may lack; what says whether they are there follows the image."""
        return () if self.presence is None else self.presence.channels

    @property
    def classes(self) -> int:
        """Classes beside the background; with regions those that they are made of."""
        return self.network.out_channels - 1 if self.regions is None else max(map(max, self.regions.classes))

    @property
    def previous_channels(self) -> int:
        """Channels, the last to enter, of the previous stage: one per class."""
        return 0 if self.previous is None else self.classes

    @property
    def mirrored_channels(self) -> tuple[int, ...]:
        """Which channel enters the network in the place of each where a patch is mirrored from right to left.

        The classes of a previous stage swap as `sides` says; all else stays where it is.
        """
        first = self.network.in_channels - self.previous_channels
        swapped = range(self.classes + 1) if self.sides is None else self.sides.swapped(self.classes + 1)
        earlier = (first + value - 1 for value in swapped[1:]) if self.previous_channels else ()
        return (*range(first), *earlier)

    @property
    def by_component(self) -> bool:
        """Whether loss or sampling go by connected components, which are then measured where cases are prepared."""
        return self.loss.largest_size is not None or self.training.foreground_unit == "component"

    def targets(self, labels: Sequence[str]) -> tuple[str, ...]:
        """What is segmented, by name: the regions, or the `labels`."""
        return tuple(labels) if self.regions is None else self.regions.names

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        size, network, flat = self.network.dimension, self.network, self.name not in VOLUMES
        with Checks() as check:
            check.ranges(self)
            if check(self.name in CONFIGURATIONS, "name", self.name, f"one of {', '.join(CONFIGURATIONS)}"):
                expected = f"{2 if flat else 3}, as {self.name} says"
                check((size == 2) == flat, "network.dimension", size, expected)
            check(sorted(self.axis_order) == [0, 1, 2], "axis_order", self.axis_order, "an order of the axes 0, 1, 2")
            for name in ("spacing_mm", "median_shape", "patch"):
                values = getattr(self, name)
                check(len(values) == size and min(values) > 0, name, values, f"{size} numbers above 0")
            voxels = prod(self.patch)
            check(voxels <= MOST_PATCH_VOXELS, "patch", self.patch, f"at most {MOST_PATCH_VOXELS} voxels together")
            if len(self.patch) == size:
                divisors = [prod(stride[axis] for stride in network.strides) for axis in range(size)]
                divides = all(edge % divisor == 0 for edge, divisor in zip(self.patch, divisors, strict=True))
                check(divides, "patch", self.patch, f"multiples of {divisors}, what the network's strides divide by")
            if self._check_entering(check):
                channels, classes = self.image_channels, self.previous_channels
                optional = len(self.optional_channels)
                count = entering_channels(channels, self.neighbours, self.presence, classes)
                entering = (
                    f"{count}: {channels} image channel(s), each normalised, x {2 * self.neighbours + 1} slice(s)"
                )
                entering += f" + {optional} that may be missing" if optional else ""
                entering += f" + {classes} classes of {self.previous}" if classes else ""
                check(network.in_channels == count, "network.in_channels", network.in_channels, entering)
                within = all(channel < channels for channel in self.optional_channels) and channels > bool(optional)
                check(
                    within, "presence.channels", self.optional_channels, f"some of 0 to {channels - 1}, of two or more"
                )
            weights = self.loss.class_weights
            check(len(weights) == network.out_channels, "loss.class_weights", weights, "one per network output")
            sizes, targets = self.loss.usual_sizes, network.out_channels - (self.regions is None)
            whole = sizes is None or len(sizes) == targets
            check(whole, "loss.usual_sizes", sizes, f"{targets}, one for each class or region that is segmented")
            last = self.classes
            check(last <= MOST_CLASSES, "network.out_channels", network.out_channels, f"at most {MOST_CLASSES} classes")
            if self.regions is None:
                check(last > 0, "network.out_channels", network.out_channels, "background and at least one class")
            else:
                found, expected = len(self.regions.names), f"{network.out_channels}, one per network output"
                check(found == network.out_channels, "regions.names", found, expected)
                check(self.levels is None, "levels", "a table", "none: outputs that overlap are no levels")
                largest, unit = self.loss.largest_size, self.training.foreground_unit
                overlap = "where regions overlap: a voxel lies in components of several sizes"
                check(largest is None, "loss.largest_size", largest, f"none {overlap}")
                check(unit == "class", "training.foreground_unit", unit, f"class {overlap}")
                check(self.sides is None, "sides", "a table", "none: regions do not swap")
            if self.levels is not None:
                chain = self.levels.classes
                check(max(chain) <= last, "levels.classes", chain, f"classes from 1 to {last}")
            if self.sides is not None:
                pairs = self.sides.pairs
                check(max(map(max, pairs)) <= last, "sides.pairs", pairs, f"classes from 1 to {last}")
                check(self.sides.axis < size, "sides.axis", self.sides.axis, f"a patch axis, 0 to {size - 1}")
            mirror = self.training.mirror_axes
            right = len(set(mirror)) == len(mirror) and all(0 <= axis < size for axis in mirror)
            check(right, "training.mirror_axes", mirror, f"distinct patch axes from 0 to {size - 1}")

    def _check_entering(self, check: Checks) -> bool:
        """Check the neighbours and the previous stage; whether they can stand."""
        size = self.network.dimension
        check(0 <= self.neighbours <= MOST_NEIGHBOURS, "neighbours", self.neighbours, f"0 to {MOST_NEIGHBOURS}")
        alone = check(self.neighbours == 0 or size == 2, "neighbours", self.neighbours, "0 for a 3D network")
        check(self.previous is None or size == 3, "previous", self.previous, "none for a 2D network")
        check(self.previous != self.name, "previous", self.previous, "another configuration")
        volumes = self.previous is None or self.previous in VOLUMES
        return alone & check(volumes, "previous", self.previous, f"a configuration of volumes: {', '.join(VOLUMES)}")


def entering_channels(channels: int, neighbours: int, presence: PresencePlan | None, classes: int) -> int:
    """Channels that enter a network: the image's in each slice, what may be missing, a previous stage's classes."""
    return channels * (2 * neighbours + 1) + (0 if presence is None else len(presence.channels)) + classes


def check_names(
    check: Checks,
    channels: Sequence[str],
    labels: Sequence[tuple[str, int]],
    intensities: Sequence[IntensityPlan],
) -> None:
    """Note what is wrong with the channels, labels and intensities of a plan or a model."""
    check(len(channels) > 0, "channels", channels, "at least one channel")
    check(len(intensities) == len(channels), "intensities", len(intensities), "one per channel")
    values = dict(labels)
    distinct = 0 < len(values) == len(labels) == len(set(values.values()))
    check(distinct, "labels", labels, "distinct names and values, at least one")
    check(min(values.values(), default=1) >= 1, "labels", labels, "values of at least 1; 0 is the background")
    largest = max(values.values(), default=1)
    check(largest <= LARGEST_LABEL, "labels", labels, f"values of at most {LARGEST_LABEL}, what a mask can hold")
    check(len(labels) <= MOST_CLASSES, "labels", len(labels), f"at most {MOST_CLASSES} labels")
    for key, names in (("channels", channels), ("labels", tuple(values))):
        check(max(map(len, names), default=0) <= LONGEST_NAME, key, names, f"names of at most {LONGEST_NAME} letters")


def check_fit(
    check: Checks,
    where: str,
    configuration: Configuration,
    channels: Sequence[str],
    labels: Sequence[tuple[str, int]],
) -> None:
    """Note, at keys that begin with `where`, what of a configuration belongs to other channels or labels."""
    normalised, count, classes = configuration.normalisation, len(channels), len(labels)
    check(len(normalised) == count, f"{where}.normalisation", normalised, f"{count}, one per channel")
    if configuration.regions is None:
        key, found = f"{where}.network.out_channels", configuration.network.out_channels
        check(found == classes + 1, key, found, f"{classes + 1}: background and labels")
    else:
        key, found = f"{where}.regions.classes", configuration.classes
        check(found == classes, key, found, f"classes up to {classes}, the last label")
        names = configuration.regions.names
        longest = f"names of at most {LONGEST_NAME} letters"
        check(max(map(len, names)) <= LONGEST_NAME, f"{where}.regions.names", names, longest)


@dataclass(frozen=True)
class Plan:
    """Everything that was decided for a dataset, and why."""

    dataset: str
    """Name of the dataset's folder."""
    recipe: str
    """Name of the recipe the choices came from."""
    fingerprint_hash: str
    """SHA-256 of the fingerprint the numbers came from."""
    channels: tuple[str, ...]
    """Channel names in order."""
    labels: tuple[tuple[str, int], ...]
    """(name, value on disk) of each class; inside, class i is i + 1 and 0 is background."""
    intensities: tuple[IntensityPlan, ...]
    """One per channel."""
    configurations: tuple[Configuration, ...]
    default: str
    """The configuration to train first."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Dotted key (`3d_fullres.patch`) -> one sentence that says why."""
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        """Check the names and that every configuration fits the channels and labels."""
        names = [configuration.name for configuration in self.configurations]
        with Checks() as check:
            check(self.schema == SCHEMA, "schema", self.schema, f"{SCHEMA}, the format this version writes")
            check(bool(self.dataset), "dataset", self.dataset, "the name of the dataset's folder")
            check_names(check, self.channels, self.labels, self.intensities)
            check(bool(names) and len(set(names)) == len(names), "configurations", names, "distinct names")
            check(self.default in names, "default", self.default, f"one of {', '.join(names)}")
            for configuration in self.configurations:
                where = f"configurations.{configuration.name}"
                check_fit(check, where, configuration, self.channels, self.labels)
                key, previous = f"{where}.previous", configuration.previous
                if check(previous is None or previous in names, key, previous, f"one of {', '.join(names)}"):
                    first = previous is None or self.configuration(previous).previous is None
                    check(first, key, previous, "a configuration that has no previous one itself")

    def configuration(self, name: str | None = None) -> Configuration:
        """The configuration called `name`, or the default one; PlanError where there is none of that name."""
        wanted = self.default if name is None else name
        for configuration in self.configurations:
            if configuration.name == wanted:
                return configuration
        names = ", ".join(configuration.name for configuration in self.configurations)
        raise PlanError(f"plan of {self.dataset}", f"no configuration {wanted}", f"one of {names}", "name one of these")

    def with_configuration(self, configuration: Configuration, reasons: Mapping[str, str]) -> Plan:
        """The plan with the configuration of that name exchanged and `reasons` in place of its own."""
        self.configuration(configuration.name)
        exchanged = tuple(configuration if old.name == configuration.name else old for old in self.configurations)
        return replace(self, configurations=exchanged, reasons=dict(reasons))


def configuration_to_dict(configuration: Configuration) -> dict[str, Any]:
    """Plain dicts, lists and scalars of a configuration, for JSON."""
    table: dict[str, Any] = to_table(configuration)
    return table
