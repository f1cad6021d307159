"""The posterior over the levels of a column: what the network says, what gaps say, and what the view shows."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
import pytest

from autospine.inference import level_sequence
from autospine.inference.level_sequence import ColumnSeen, LevelPosterior, find_levels

NOWHERE, ROOM = (0.0, 0.0), (2.0, 2.0)
"""Beyond the first and the last vertebra: no room for another, and room for two."""
ALWAYS = (0.98, 0.98)


def seen(
    *said: dict[int, float],
    levels: int = 5,
    gaps: tuple[float, ...] | None = None,
    beyond: tuple[float, float] = NOWHERE,
    weight: float | None = None,
) -> ColumnSeen:
    """A column of which the network says position -> probability of each vertebra; the rest is shared by the others."""
    evidence = np.zeros((len(said), levels + 1))
    for row, one in zip(evidence, said, strict=True):
        row[:] = (1 - sum(one.values())) / (levels + 1 - len(one))
        for position, chance in one.items():
            row[position] = chance
    logs: npt.NDArray[np.float64] = np.log(np.maximum(evidence, 1e-3)) * (weight or 1 / len(said))
    return ColumnSeen(logs, np.array(gaps if gaps is not None else (1.0,) * (len(said) - 1)), beyond, ALWAYS)


def brute(column: ColumnSeen) -> LevelPosterior:
    """The same by adding up every sequence."""
    count, levels = len(column.evidence), column.evidence.shape[1] - 1
    chances, total, best = np.zeros((count, levels + 1)), 0.0, (-np.inf, np.zeros(count, np.int64))
    more = fewer = 0.0
    for first in range(-count, levels + count):
        for changes in product(range(5), repeat=count - 1):
            places = np.concatenate(([first], first + np.cumsum(changes, dtype=np.int64)))
            if places[-1] >= levels + count:
                continue
            inside = (places >= 0) & (places < levels)
            emitted = np.where(inside, places, levels)
            said = column.evidence[np.arange(count), emitted]
            nearest = column.evidence[np.arange(count), np.clip(places, 0, levels - 1)]
            here = float(np.where(inside, said, np.maximum(said, nearest)).sum())
            here += level_sequence._end(places[:1], column.beyond[0], column.ends_seen[0])[0]
            here += level_sequence._end(levels - 1 - places[-1:], column.beyond[1], column.ends_seen[1])[0]
            odd = {0: 0.0, 2: 0.0}
            for gap, change in zip(column.gaps, changes, strict=True):
                steps = level_sequence._steps(float(gap), 6)
                here += steps.every[0, change]
                for kind, table in ((0, steps.more), (2, steps.fewer)):
                    if change == kind:
                        odd[kind] += np.exp(table[0, change] - steps.every[0, change])
            if here == -np.inf:
                continue
            weight = np.exp(here)
            total += weight
            more, fewer = more + weight * odd[0], fewer + weight * odd[2]
            chances[np.arange(count), emitted] += weight
            if here > best[0]:
                best = here, places
    return LevelPosterior(best[1], chances / total, min(1, more / total), min(1, fewer / total))


@pytest.mark.parametrize("beyond", [NOWHERE, ROOM, (0.0, 1.4)])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_sum_over_all_sequences(seed: int, beyond: tuple[float, float]) -> None:
    rng = np.random.default_rng(seed)
    evidence = np.log(rng.dirichlet(np.ones(5), 3))
    column = ColumnSeen(evidence, rng.uniform(0.6, 2.2, 2), beyond, (0.9, 0.6))
    found, every = find_levels(column), brute(column)
    np.testing.assert_array_equal(found.best, every.best)
    np.testing.assert_allclose(found.chances, every.chances, atol=1e-12)
    np.testing.assert_allclose(found.chances.sum(axis=1), 1)
    assert (found.one_more, found.one_fewer) == pytest.approx((every.one_more, every.one_fewer))


def test_neighbours_with_one_name_are_put_in_order() -> None:
    found = find_levels(seen({0: 0.9}, {1: 0.9}, {1: 0.5, 2: 0.4}, {3: 0.9}, {4: 0.9}))
    assert found.best.tolist() == [0, 1, 2, 3, 4] and found.best_chances.min() > 0.9


def test_a_gap_of_two_steps_skips_a_level() -> None:
    found = find_levels(seen({0: 0.9}, {1: 0.5, 2: 0.4}, gaps=(2.0,)))
    assert found.best.tolist() == [0, 2]


def test_of_a_view_without_an_end_the_network_alone_has_a_say_and_its_doubt_stays() -> None:
    doubtful = ({1: 0.5, 2: 0.5}, {2: 0.5, 3: 0.5})
    assert find_levels(seen(*doubtful)).best_chances.max() < 0.6
    # the end of the image is far below the first vertebra: there would be another one
    whole = find_levels(seen({0: 0.5, 1: 0.5}, {1: 0.5, 2: 0.5}, levels=3, beyond=(2.0, 2.0)))
    assert whole.best.tolist()[0] in (0, 1) and find_levels(
        seen({0: 0.5, 1: 0.5}, {1: 0.5, 2: 0.5}, {2: 0.5, 3: 0.5}, levels=4, beyond=(2.0, 0.0))
    ).best.tolist() == [0, 1, 2]


def test_a_vertebra_beyond_the_chain_is_none() -> None:
    found = find_levels(seen({0: 0.9}, {1: 0.9}, {2: 0.9}, {2: 0.6, 3: 0.1}, levels=3))
    assert found.best.tolist() == [0, 1, 2, 3] and found.chances[3, 3] > 0.3


def test_one_vertebra_more_than_usual_is_said() -> None:
    usual = find_levels(seen({0: 0.99}, {1: 0.99}, {2: 0.99}, weight=1))
    assert usual.one_more < 0.01 and usual.one_fewer < 0.01
    more = find_levels(seen({0: 0.99}, {1: 0.99}, {1: 0.99}, {2: 0.99}, levels=3, weight=1))
    assert more.one_more > 0.5
    fewer = find_levels(seen({0: 0.99}, {2: 0.99}, {3: 0.99}, weight=1))
    assert fewer.one_fewer > 0.5
