"""Which configurations are planned, and which of them is trained first."""

from __future__ import annotations

from collections.abc import Sequence

from autospine.planning.decide.basis import Basis
from autospine.planning.decide.decided import Decided
from autospine.planning.document.configuration import CASCADE, CONFIGURATIONS, LOW, VOLUMES

SINGLE_SLICE = "the median case is a single slice: there is no third axis to learn from"


def left_out(basis: Basis) -> dict[str, str]:
    """Why a configuration is not planned, by name."""
    recipe, grid, found = basis.recipe, basis.grid, dict[str, str]()
    slices = 2 * recipe.neighbours + 1
    for name in CONFIGURATIONS:
        two = name not in VOLUMES
        if name not in recipe.configurations:
            found[name] = f"{recipe.said} does not plan it"
        elif two and min(grid.median_shape[1:]) <= 1:
            found[name] = "a slice of the median case is a single voxel wide"
        elif name == "2.5d" and grid.slices < slices:
            found[name] = f"it sees {slices} slices together, the median case has {grid.slices:g}"
        elif not two and grid.flat:
            found[name] = SINGLE_SLICE
        elif name == LOW and not basis.low.planned:
            found[name] = basis.low.obstacle
        elif name == CASCADE and LOW in found:
            found[name] = f"there is no {LOW} whose segmentation it could refine: {found[LOW]}"
    return found


def default_configuration(basis: Basis, names: Sequence[str]) -> Decided[str]:
    """The configuration to train first, one of `names`."""
    recipe, grid = basis.recipe, basis.grid
    if recipe.default in names:
        return Decided(recipe.default, f"{recipe.said} asks for it")
    if "3d_fullres" in names:
        name = "3d_fullres"
        why = f"the median case has {grid.median_shape[0]:g} slices: a 3D network sees them together"
    elif grid.flat:
        name, why = "2d", SINGLE_SLICE
    else:
        # what sees the whole resolution goes before a low resolution, and that before the cascade on top of it
        name = min(names, key=(*[item for item in names if item not in (LOW, CASCADE)], LOW, CASCADE).index)
        if name == LOW:
            why = f"{recipe.said} plans nothing else that the data allow"
        else:
            why = f"the first that {recipe.said} plans and the data allow at full resolution"
    asked = "" if recipe.default == "auto" else f"the recipe asks for {recipe.default}, which these data do not allow; "
    return Decided(name, asked + why)
