"""Evidence of a case, gathered while it streams through: how sure the networks are, what the image is like.

    slabs of logits  --softmax, summed by structure, let go of-->  voxels, probabilities, entropies
    prepared image   --plane by plane-->                           intensities, gradients, noise, layout
    labels           --`anatomy`-->                                volumes, islands, order, sides

Scores are looked at on the network's grid, before they are interpolated and after levels were agreed on, a few rows at
a time: nothing of the size of a case is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import log, pi, sqrt

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autospine.inference.anatomy import describe_anatomy
from autospine.planning.document.evidence import LAYOUT, PERCENTILES, ChannelEvidence, StructureEvidence
from autospine.planning.document.evidence import Evidence as Evidence
from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.prepare import CaseProperties

Logits = npt.NDArray[np.float32]
_TOGETHER = 1 << 20
"""Scores that are looked at together: they and what is made of them stay in a processor's cache, about (ours)."""
_PLANES = 16
"""Of an image, in which gradients and noise are measured: they differ little from plane to plane (ours)."""
_SAMPLES = 1 << 18
"""Voxels of which percentiles are taken (ours)."""


class Gathering:
    """Takes the scores of a case, each voxel once, and keeps sums by structure."""

    def __init__(self, card: ModelCard, temperature: float, *, disagreement: bool) -> None:
        """Of no voxel yet; `disagreement` says whether it comes as a last channel after the scores."""
        self._card, self._temperature, self._with_disagreement = card, temperature, disagreement
        self._outputs = card.data.outputs
        self._sums = torch.zeros((5, self._outputs), dtype=torch.float64)
        """Predicted, soft, inside, entropy, disagreement."""

    def __call__(self, values: Logits) -> None:
        """Take `values` (outputs, rows, columns, a2), of which the first channels are the scores; left as they are."""
        line, size = values[:, 0, 0].size, values.shape[2]
        rows, columns = max(1, _TOGETHER // (line * size)), max(1, min(size, _TOGETHER // line))
        for first, start in product(range(0, values.shape[1], rows), range(0, size, columns)):
            part = torch.from_numpy(values[:, first : first + rows, start : start + columns])
            apart = part[-1].flatten() if self._with_disagreement else None
            self._sums += self._of(part[: self._outputs].flatten(1), apart)

    @torch.inference_mode()
    def _of(self, logits: Tensor, disagreement: Tensor | None) -> Tensor:
        """(5, outputs) float64 of `logits` (outputs, voxels) and how far members disagree there."""
        scaled = logits if self._temperature == 1 else logits / self._temperature
        if self._card.data.regions:
            chances = torch.sigmoid(scaled)
            entropy = (torch.special.entr(chances) + torch.special.entr(1 - chances)) / log(2)
            wins = (logits > 0).to(chances.dtype)
            counts, inside, unsure = wins.sum(1), (chances * wins).sum(1), (chances * entropy).sum(1)
        else:
            highest, winner = scaled.max(0)
            below = scaled - highest
            chances = below.exp()
            total = chances.sum(0)  # of which the winner has 1
            chances /= total
            # log p = below - log(total), and -p log p summed over the classes
            entropy = (total.log() - below.mul_(chances).sum(0)) / log(len(chances))
            counts = torch.bincount(winner, minlength=self._outputs)
            inside = torch.bincount(winner, total.double().reciprocal(), self._outputs)
            unsure = chances @ entropy
        apart = torch.zeros(self._outputs) if disagreement is None else chances @ disagreement
        return torch.stack([sums.double() for sums in (counts, chances.sum(1), inside, unsure, apart)])

    def done(
        self, image: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8], properties: CaseProperties
    ) -> Evidence:
        """All that is known of the case once its scores have come.

        Args:
            image: (C, a0, a1, a2), as it was prepared.
            labels: class indices (Z, Y, X) on its canonical own grid.
            properties: where it lies there.
        """
        data = self._card.data
        found = describe_anatomy(labels, data, properties.canonical_spacing_mm)
        columns = self._sums[:, self._outputs - len(data.targets) :].T.tolist()
        structures = {}
        for name, (counts, soft, inside, unsure, apart), seen in zip(
            data.targets, columns, found.structures, strict=True
        ):
            weight = max(soft, 1e-12)
            structures[name] = StructureEvidence(
                int(counts),
                soft,
                min(inside, soft),
                min(1.0, max(0.0, unsure / weight)),
                min(1.0, max(0.0, apart / weight)) if self._with_disagreement else None,
                **vars(seen),
            )
        size = [
            (high - low) * spacing
            for (low, high), spacing in zip(properties.box, properties.canonical_spacing_mm, strict=True)
        ]
        return Evidence(
            structures=structures,
            channels=tuple(
                None if index in properties.missing else describe_channel(channel, properties.axis_order)
                for index, channel in enumerate(image)
            ),
            spacing_mm=properties.canonical_spacing_mm,
            size_mm=(size[0], size[1], size[2]),
            temperature=self._temperature,
            levels_missing=found.levels_missing,
            levels_misplaced=found.levels_misplaced,
            levels_doubled=found.levels_doubled,
            sides_swapped=found.sides_swapped,
        )


def describe_channel(channel: npt.NDArray[np.float32], axis_order: tuple[int, int, int]) -> ChannelEvidence:
    """A channel (a0, a1, a2) of a prepared image, in numbers; it is read plane by plane.

    `axis_order` is the canonical axis that stands at each of its axes.
    """
    step = max(1, channel.size // _SAMPLES)
    sample = np.asarray(channel).reshape(-1)[::step]
    percentiles = np.percentile(sample, PERCENTILES)
    low, high = float(percentiles[0]), float(percentiles[-1])
    planes = np.unique(np.linspace(0, len(channel) - 1, min(len(channel), _PLANES)).round().astype(int))
    slopes = np.zeros(3)
    detail = list[float]()
    for place in planes:
        plane, following = (np.asarray(channel[min(row, len(channel) - 1)]) for row in (place, place + 1))
        slopes += [_mean(following - plane), *(_mean(np.diff(plane, axis=axis)) for axis in (0, 1))]
        detail.append(_mean(np.diff(np.diff(plane, 2, axis=0), 2, axis=1)))
    return ChannelEvidence(
        tuple(map(float, percentiles)),
        tuple(map(float, slopes / len(planes))),  # type: ignore[arg-type]
        sqrt(pi / 2) / 6 * float(np.mean(detail)),
        float(np.mean(sample < low + 0.1 * (high - low))),
        tuple(_parts(channel.transpose(np.argsort(axis_order)))),
    )


def _mean(differences: npt.NDArray[np.float32]) -> float:
    """Mean of their sizes; 0 where an axis has no neighbours."""
    return float(np.abs(differences).mean(dtype=np.float64)) if differences.size else 0.0


def _parts(channel: npt.NDArray[np.float32]) -> Iterator[float]:
    """Means of its 125 parts; an axis of fewer voxels than parts gives some of them twice."""
    spans = []
    for size in channel.shape:
        bounds = [round(size * part / LAYOUT) for part in range(LAYOUT + 1)]
        pairs = zip(bounds, bounds[1:], strict=False)
        spans.append([slice(min(low, size - 1), max(high, min(low, size - 1) + 1)) for low, high in pairs])
    for rows in spans[0]:
        for columns in spans[1]:
            for lines in spans[2]:
                yield float(channel[rows, columns, lines].mean(dtype=np.float64))
