"""What the decisions of a plan start from: made once for a plan, once for each of its configurations, and passed on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from autospine.errors import PlanError
from autospine.machine.arithmetic import Machine
from autospine.planning.decide.data import planned_data
from autospine.planning.decide.decided import RULE, Decided
from autospine.planning.decide.grid import Grid, LowResolution, low_resolution, planned_grid, regridded
from autospine.planning.decide.network import NOTHING, Narrowing, network_family
from autospine.planning.decide.patch_and_batch import Frame, dataset_fraction
from autospine.planning.decide.topology import planned_memory_gb
from autospine.planning.document.configuration import CASCADE, LOW, VOLUMES, Configuration
from autospine.planning.document.data import DataPlan, PresencePlan
from autospine.planning.document.plan import Plan
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.anatomy import Anatomy
from autospine.planning.measured.fingerprint import Fingerprint
from autospine.planning.measured.kinds import Scans


@dataclass(frozen=True)
class Basis:
    """What is asked, and what the whole data set says."""

    fingerprint: Fingerprint
    recipe: Recipe
    machine: Machine
    """For which the peak of a training step is estimated."""
    grid: Grid
    """The data set on the grid of the rules."""
    anatomy: Anatomy
    """What the labels say of the axes."""
    data: Decided[DataPlan]
    """What every configuration shares."""

    @classmethod
    def of(
        cls, fingerprint: Fingerprint, recipe: Recipe, machine: Machine = Machine(), taken: PresencePlan | None = None
    ) -> Basis:
        """What the fingerprint says, read once; `taken` and errors as for `planned_data`."""
        anatomy = Anatomy.of(fingerprint)
        data = planned_data(fingerprint, anatomy, recipe, taken)
        return cls(fingerprint, recipe, machine, planned_grid(fingerprint), anatomy, data)

    def plan(
        self, recipe: str, planned: Sequence[Decided[Configuration]], default: Decided[str], reasons: Mapping[str, str]
    ) -> Plan:
        """The plan of these configurations; `reasons` are those of what is none of their keys."""
        inner = {key: why for one in planned for key, why in one.reasons(one.value.name).items()}
        return Plan(
            data=self.data.value,
            recipe=recipe,
            fingerprint_hash=self.fingerprint.hash(),
            configurations=tuple(one.value for one in planned),
            default=default.value,
            reasons={**reasons, **inner, **self.data.keyed, **default.reasons("default")},
        )

    @cached_property
    def scans(self) -> Scans:
        """What the network will be shown."""
        return Scans.of(self.fingerprint)

    @cached_property
    def low(self) -> LowResolution:
        """The low resolution of the recipe's 3D networks, planned or not."""
        return self.low_on(self.grid, NOTHING)

    def low_on(self, grid: Grid, less: Narrowing) -> LowResolution:
        """The low resolution that goes with another grid and narrower networks."""
        family = network_family(self.recipe, 3, self.data.value.outputs, less)
        return low_resolution(grid.spacing_mm, grid.median_shape, family, planned_memory_gb(self.recipe))


@dataclass(frozen=True)
class Outline:
    """A configuration before its patch is known."""

    basis: Basis
    name: str
    """One of `ConfigurationName`."""
    less: Narrowing
    """What a time budget takes from it."""
    grid: Grid
    """Its own grid."""
    why_spacing: str
    """Why that has the spacing that it has by the rules."""

    @classmethod
    def of(cls, basis: Basis, name: str, less: Narrowing) -> Outline:
        """The configuration `name` on its grid; raises PlanError for a low resolution that the rules do not plan."""
        grid, cases = basis.grid, len(basis.fingerprint.cases)
        if name in (LOW, CASCADE) and not basis.low.planned:
            found = f"{name}: {basis.low.obstacle}"
            expected, remedy = "a configuration of the plan", "name another configuration"
            raise PlanError(basis.fingerprint.dataset, found, expected, remedy)
        if name == LOW:
            low, why = basis.low, basis.low.why
            grid = replace(grid, spacing_mm=low.spacing_mm, median_shape=low.median_shape, voxels=low.voxels)
        elif name not in VOLUMES:
            why = f"slices keep their own spacing; in plane the median of {cases} cases ({RULE})"
        elif grid.moved:
            thick = "the slices are far thicker than the pixels, so their 10th percentile stands for them"
            why = f"the median of {cases} cases; {thick} ({RULE})"
        else:
            why = f"the median of {cases} cases ({RULE})"
        if less.spacing_mm is not None:
            # in 2D the slices keep the rule's spacing, which only counts the data set's voxels
            spacing = (*basis.grid.spacing_mm[: 3 - len(less.spacing_mm)], *less.spacing_mm)
            grid = regridded(grid, basis.fingerprint, spacing)
        return cls(basis, name, less, grid, why)

    @property
    def flat(self) -> bool:
        """Whether its patches are slices."""
        return self.name not in VOLUMES

    @property
    def patch_axes(self) -> tuple[int, ...]:
        """Canonical axis of each patch axis."""
        return self.grid.axis_order[self.flat :]

    @cached_property
    def low(self) -> LowResolution:
        """The low resolution that goes with it, planned or not; 3D only."""
        narrowed = self.name == "3d_fullres" and self.less != NOTHING
        return self.basis.low_on(self.grid, self.less) if narrowed else self.basis.low

    @cached_property
    def frame(self) -> Frame:
        """What its patch is cut from."""
        basis, grid, less, first = self.basis, self.grid, self.less, int(self.flat)
        return Frame(
            spacing_mm=grid.spacing_mm[first:],
            median_shape=grid.median_shape[first:],
            family=network_family(basis.recipe, 3 - first, basis.data.value.outputs, less),
            dataset_voxels=grid.voxels * len(basis.fingerprint.cases),
            fraction=dataset_fraction(basis.recipe),
            max_batch=less.max_batch,
            limit=less.patch_limit,
        )
