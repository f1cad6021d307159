"""How a user wants images to be segmented, whatever the model."""

from __future__ import annotations

from dataclasses import dataclass

from autospine.errors import PlanError
from autospine.planning.document.configuration import Configuration

FAST_OVERLAP = 0.25
"""Of tiles in a fast prediction: a voxel within an eighth of the patch from its edge, which sees that much less around
it, is seen by a second tile, too. Without any overlap such voxels stand in seams right through the image (ours)."""
MOST_OVERLAP = 0.9
"""Of tiles: beyond it there are so many that no prediction ends (ours)."""


@dataclass(frozen=True)
class Settings:
    """What of a prediction is chosen when a model is loaded."""

    folds: tuple[str, ...] | None = None
    """Folds to average; None: all that are trained."""
    mirror: bool = True
    """Average over the plan's mirrorings."""
    overlap: float | None = None
    """Share by which tiles overlap, 0 to 0.9; None: the plan's."""
    memory_bytes: int | None = None
    """Most that the process may have in RAM while it predicts; None: what is free."""
    fast: bool = False
    """The first of the folds alone, no mirrorings, and tiles that overlap by `FAST_OVERLAP` at most."""
    exact: bool = False
    """float32 throughout, computed by torch, whatever is faster."""

    @property
    def mirrored(self) -> bool:
        """Whether to average over the plan's mirrorings."""
        return self.mirror and not self.fast

    def overlap_of(self, planned: float) -> float:
        """The overlap of tiles where the plan has this one."""
        if self.overlap is not None:
            return self.overlap
        return min(planned, FAST_OVERLAP) if self.fast else planned

    def as_validated(self, configuration: Configuration) -> bool:
        """Whether tiles overlap and are mirrored as at the end of a training of this configuration."""
        mirrored = self.mirrored or not configuration.training.mirror_axes
        return mirrored and self.overlap_of(configuration.overlap) == configuration.overlap

    def check(self) -> None:
        """Raise `PlanError` where a choice is none, or says something else than another."""
        if self.overlap is not None and not 0 <= self.overlap <= MOST_OVERLAP:
            raise PlanError("predict", f"tiles that overlap by {self.overlap:g}", f"0 to {MOST_OVERLAP:g}")
        if self.memory_bytes is not None and self.memory_bytes <= 0:
            raise PlanError("predict", f"a limit of {self.memory_bytes} bytes of memory", "more than 0")
        if self.fast and self.folds is not None and len(self.folds) > 1:
            found = f"--fast, which predicts with one fold, beside --folds {','.join(self.folds)}"
            raise PlanError("predict", found, "one of the two", "name a single fold, or leave out --fast")
