"""How bright the tissues of a sagittal phantom are in each sequence: 0 is air, 1 about the brightest there is.

The anatomy is drawn once per sequence with the same random numbers; these tables are all that differs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Contrast:
    """Signals of the tissues in one sequence."""

    bowel: float
    """Fatty lobes of the abdomen, and those filled."""
    abdomen: float
    """What lies between them."""
    muscle: float
    streaks: float
    """What fat adds to the muscle that it streaks."""
    vessel_wall: float
    blood: float
    """Moving: dark, unless a contrast agent is in it."""
    skin_fat: float
    epidural_fat: float
    cortex: float
    process_marrow: float
    """Of pedicles and spinous processes."""
    dura: float
    fluid: float
    cord: float
    roots: float
    annulus: float
    nuclei: tuple[float, float, float]
    """Of a healthy disc, a dry one, and a degenerated one."""
    marrow: tuple[float, float]
    """Least and most, from patient to patient."""


T2 = Contrast(
    bowel=0.72,
    abdomen=0.34,
    muscle=0.24,
    streaks=0.4,
    vessel_wall=0.30,
    blood=0.07,
    skin_fat=0.80,
    epidural_fat=0.62,
    cortex=0.12,
    process_marrow=0.40,
    dura=0.15,
    fluid=0.98,
    cord=0.45,
    roots=0.66,
    annulus=0.16,
    nuclei=(0.72, 0.62, 0.26),
    marrow=(0.42, 0.56),
)
T1 = Contrast(
    bowel=0.75,
    abdomen=0.36,
    muscle=0.32,
    streaks=0.4,
    vessel_wall=0.30,
    blood=0.08,
    skin_fat=0.95,
    epidural_fat=0.88,
    cortex=0.10,
    process_marrow=0.58,
    dura=0.18,
    fluid=0.17,
    cord=0.40,
    roots=0.30,
    annulus=0.27,
    nuclei=(0.34, 0.33, 0.31),
    marrow=(0.56, 0.68),
)
STIR = Contrast(
    bowel=0.16,
    abdomen=0.34,
    muscle=0.26,
    streaks=-0.1,
    vessel_wall=0.24,
    blood=0.07,
    skin_fat=0.08,
    epidural_fat=0.10,
    cortex=0.06,
    process_marrow=0.16,
    dura=0.12,
    fluid=0.98,
    cord=0.42,
    roots=0.60,
    annulus=0.12,
    nuclei=(0.60, 0.48, 0.20),
    marrow=(0.15, 0.22),
)
"""T2 weighted, with the signal of fat taken away."""
T1_GADOLINIUM = replace(
    T1,
    bowel=0.80,
    abdomen=0.40,
    muscle=0.36,
    vessel_wall=0.45,
    blood=0.95,
    epidural_fat=0.84,
    process_marrow=0.50,
    dura=0.30,
    fluid=0.16,
    roots=0.34,
    marrow=(0.44, 0.56),
)
"""T1 weighted, after gadolinium: what has vessels is bright."""
