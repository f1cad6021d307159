"""Levels, vertebra by vertebra: which are called what they are, and which are not.

Dice hardly tells a vertebra that is called L3 instead of L4 from one that is badly outlined. Here each is counted once.
A vertebra is all that the reference calls by one level of a chain; what the prediction calls by any level of the same
chain covers a part of it:

    missed   less than a quarter of it is covered
    mixed    else, two levels or more each have a fifth or more of what is covered
    wrong    else, most of what is covered has another level
    right    else
    unknown  instead of wrong or right, where the prediction says that its level there is not certain (`levels.csv`)
    extra    a predicted piece of a level (voxels that share a corner), as large as a fifth of a usual vertebra, of
             which less than a quarter lies on vertebrae of the reference

Voxels that are not annotated count for nothing, and a piece that reaches into them is no extra. Discs that have a label
for each level are a chain of their own. The rules and their numbers are ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal, get_args

import numpy as np
from scipy import ndimage

from autospine.data.codes.structures import levels_named, place_in_spine
from autospine.evaluation.label_pair import LabelPair, Value
from autospine.planning.document.data import DataPlan

COVERED = 0.25
"""Share of a vertebra that is covered from which it is found. Lower, a neighbour that runs over has found it; higher, a
vertebra of which the body alone is predicted counts as missed. The same share of a piece lies on a vertebra of the
reference where it is no extra."""
SHARED = 0.2
"""Share of what is covered from which a level counts in it. Lower, a slip at the edge makes a vertebra mixed; higher,
one that has two names in a third of its slices does not."""
SMALLEST_PIECE = 0.2
"""Voxels of an extra piece over those of a usual vertebra; smaller ones are crumbs."""
LEAST_LEVELS = 3
"""Labels of a chain, as in `planning.measured.column`."""
RULE = (
    f"Of each vertebra: missed where less than {COVERED:g} of it is covered by levels; mixed where two levels have "
    f"{SHARED:g} or more of that; wrong where most of it has another level; else right; unknown in the place of these "
    f"where the prediction says that its level is not certain. Extra: a predicted piece, "
    f"{SMALLEST_PIECE:g} of a usual vertebra or larger, of which less than {COVERED:g} lies on those of the reference."
)

Kind = Literal["right", "unknown", "mixed", "wrong", "missed", "extra"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Chain = tuple[tuple[str, int], ...]
"""(name, value) of the labels that are levels of one column, from the head on where their names tell."""


@dataclass(frozen=True)
class Vertebra:
    """A level of a case, or a predicted piece that is none."""

    level: str
    """Its name in the reference; of an extra piece that in the prediction."""
    kind: Kind
    called: tuple[str, ...] = ()
    """The levels that the prediction has there, most voxels first; of a missed one none."""


def chains_named(labels: Iterable[tuple[str, Value]]) -> tuple[Chain, ...]:
    """The chains that the names of labels tell: vertebrae, and discs, three or more of a kind; regions are none."""
    found: dict[int, list[tuple[tuple[int, int], str, int]]] = {1: [], 2: []}
    for name, value in labels:
        levels = levels_named(name)
        if levels and isinstance(value, int):
            found[len(levels)].append((place_in_spine(levels[0]), name, value))
    distinct = (held for held in found.values() if len({place for place, *_ in held}) == len(held) >= LEAST_LEVELS)
    return tuple(tuple((name, value) for _, name, value in sorted(held)) for held in distinct)


def chains_of(levels: Iterable[Sequence[str]], labels: Iterable[tuple[str, Value]]) -> tuple[Chain, ...]:
    """The chains of labels with the names `levels`, chain by chain; one of which a name is missing is left out."""
    values = {name: value for name, value in labels if isinstance(value, int)}
    return tuple(
        tuple((name, values[name]) for name in chain) for chain in levels if chain and values.keys() >= set(chain)
    )


def chains_planned(data: DataPlan) -> tuple[Chain, ...]:
    """The chains of a plan's classes, by its class indices: those that the names tell, else that of its levels."""
    named = chains_named(data.scored)
    if named or data.levels is None:
        return named
    return (tuple((data.names[index - 1], index) for index in data.levels.classes),)


def count_levels(pair: LabelPair, chains: Sequence[Chain], unnamed: Collection[str] = ()) -> tuple[Vertebra, ...]:
    """The vertebrae of a case, in the order of the chains, and behind those of each chain what is predicted beside.

    `unnamed` are the levels of which the prediction says that they are not certain.
    """
    return tuple(one for chain in chains for one in (*_vertebrae(pair, chain, unnamed), *_extra(pair, chain)))


def unnamed_rows(rows: Iterable[Mapping[str, str]]) -> Iterator[Mapping[str, str]]:
    """Those of the rows of `levels.csv` (`workflow.steps.levels`) that have a level which is not certain."""
    return (row for row in rows if row.get("named") == "no" and row.get("level"))


def levels_json(cases: Sequence[tuple[str, Sequence[Vertebra]]], chains: Sequence[Chain]) -> dict[str, Any]:
    """What metrics.json says of (case, its vertebrae): the rule, counts of all, of each level, and each mistake."""
    names = [name for chain in chains for name, _ in chain]
    every = [one for _, held in cases for one in held]
    return {
        "rule": RULE,
        "chains": [[name for name, _ in chain] for chain in chains],
        **counted_kinds(every),
        "by_level": {name: counted_kinds(one for one in every if one.level == name) for name in names},
        "mistakes": [
            {"case": case, "level": one.level, "kind": one.kind, "called": list(one.called)}
            for case, held in cases
            for one in held
            if one.kind not in ("right", "unknown")
        ],
    }


def counted_kinds(vertebrae: Iterable[Vertebra]) -> dict[str, int]:
    """How many vertebrae the reference has, and how many there are of each kind."""
    counts = Counter(one.kind for one in vertebrae)
    return {"vertebrae": sum(counts.values()) - counts["extra"], **{kind: counts[kind] for kind in KINDS}}


def _vertebrae(pair: LabelPair, chain: Chain, unnamed: Collection[str]) -> list[Vertebra]:
    """Each level that the reference has, as the prediction has it."""
    names = {value: name for name, value in chain}
    found = []
    for value, name in names.items():
        size = pair.counts(value).expected
        if not size:
            continue
        called = Counter({one.predicted: one.voxels for one in pair.meetings if one.expected == value})
        covering = Counter({names[held]: voxels for held, voxels in called.items() if held in names})
        covered = covering.total()
        if covered < COVERED * size:
            found.append(Vertebra(name, "missed"))
            continue
        most = tuple(level for level, voxels in covering.most_common() if voxels >= SHARED * covered)
        first = covering.most_common(1)[0][0]
        if len(most) > 1:
            found.append(Vertebra(name, "mixed", most))
        elif first in unnamed:
            found.append(Vertebra(name, "unknown", (first,)))
        else:
            found.append(Vertebra(name, "right" if first == name else "wrong", (first,)))
    return found


def _extra(pair: LabelPair, chain: Chain) -> list[Vertebra]:
    """Predicted pieces where the reference has no vertebra."""
    values = tuple(value for _, value in chain)
    counts = {value: pair.counts(value) for value in values}
    usual = [one.expected for one in counts.values() if one.expected]
    usual = usual or [one.predicted for one in counts.values() if one.predicted]
    found = []
    for name, value in chain:
        beside = counts[value].predicted - sum(
            one.voxels for one in pair.meetings if one.predicted == value and one.expected in values
        )
        # of an extra piece more than three quarters lie beside all vertebrae
        if beside and beside > (1 - COVERED) * SMALLEST_PIECE * median(usual):
            pieces = _pieces_beside(pair, value, values, SMALLEST_PIECE * median(usual))
            found += [Vertebra(name, "extra", (name,))] * pieces
    return found


def _pieces_beside(pair: LabelPair, value: int, chain: tuple[int, ...], least: float) -> int:
    """Pieces of a predicted level, of `least` voxels or more, that lie beside the vertebrae of the reference."""
    masks = pair.masks(value, chain)
    pieces, count = ndimage.label(masks.predicted, np.ones((3,) * masks.predicted.ndim, bool))
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    on = np.bincount(pieces[masks.expected], minlength=count + 1)
    known = np.ones(count + 1, bool)
    if masks.unknown is not None:
        known[np.unique(pieces[masks.unknown])] = False
    extra = (sizes >= least) & (on < COVERED * sizes) & known
    return int(np.count_nonzero(extra[1:]))
