"""The network: what enters it beside the slice or patch itself, what leaves it, and its stages."""

from __future__ import annotations

from autospine.planning.decide.basis import CASCADE, LOW, Outline
from autospine.planning.decide.decided import Decided, settle
from autospine.planning.decide.stages import planned_stages
from autospine.planning.decide.topology import Topology
from autospine.planning.document.data import DataPlan
from autospine.planning.document.entering import Entering
from autospine.planning.document.parts import NetworkPlan


def planned_network(outline: Outline, net: Topology) -> Decided[NetworkPlan]:
    """The network of a configuration with the topology of its patch."""
    data = outline.basis.data.value
    neighbours, previous = planned_neighbours(outline).value, planned_previous(outline).value
    works = f"the configuration {outline.name} works on {'slices' if outline.flat else 'volumes'}"
    return settle(
        NetworkPlan,
        dimension=Decided(len(net.patch), works),
        in_channels=planned_entering(data, neighbours, previous),
        out_channels=planned_outputs(data),
        **planned_stages(outline.recipe, outline.frame.family, net),
    )


def planned_neighbours(outline: Outline) -> Decided[int]:
    """Slices on either side that enter beside the one that is segmented."""
    recipe = outline.recipe
    if outline.name == "2.5d":
        together = f"{2 * recipe.neighbours + 1} slices enter together and the middle one is segmented"
        return Decided(recipe.neighbours, f"{recipe.said}: {together}")
    return Decided(0, "each slice enters alone" if outline.flat else "the patch holds its neighbours itself")


def planned_previous(outline: Outline) -> Decided[str | None]:
    """The configuration whose segmentation enters."""
    if outline.name != CASCADE:
        return Decided(None)
    why = "its segmentation tells the whole anatomy where the patch sees a part, and is refined at full resolution"
    return Decided(LOW, why)


def planned_entering(data: DataPlan, neighbours: int, previous: str | None) -> Decided[int]:
    """Channels that enter."""
    images, optional = len(data.channels), len(data.optional)
    why = "one input per image channel"
    if neighbours:
        why = f"{images} image channel(s) of {2 * neighbours + 1} slices"
    if previous is not None:
        why = f"{images} image channel(s), and one per label of {previous}"
    why += f", and {optional} that say{'s' * (optional == 1)} what is missing" if optional else ""
    return Decided(Entering.of(data, neighbours, cascade=previous is not None).count, why)


def planned_outputs(data: DataPlan) -> Decided[int]:
    """Channels that leave."""
    if data.regions:
        return Decided(data.outputs, f"{len(data.regions)} regions of {data.classes} labels")
    return Decided(data.outputs, f"background and {data.classes} labels")
