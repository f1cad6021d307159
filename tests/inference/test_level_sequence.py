"""The posterior over the levels of a column: what the network says, what gaps say, and what the view shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import numpy.typing as npt
import pytest

from autospine.inference import level_sequence
from autospine.inference.level_sequence import ColumnSeen, LevelPosterior, find_levels
from autospine.planning.document.data import LevelSizes

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
    """The same by adding up every sequence, of patients of every size."""
    if column.sizes is not None:
        return mixed(column, column.sizes)
    found = weighed(column, lambda places: 0.0)[1]
    return replace(found, one_more=min(1, found.one_more), one_fewer=min(1, found.one_fewer))


def mixed(column: ColumnSeen, sizes: LevelSizes) -> LevelPosterior:
    """Of sequences in patients of every size, from half of the usual one to twice that."""
    every = np.arange(-0.8, 0.8, 0.03)
    prior = 1 / (1 + np.square(every / sizes.patient_spread))
    parts = []
    for size in every:
        said = log_density(column.extents_mm, sizes.extents_mm, sizes.extent_spread, float(size))
        apart = log_density(column.gaps_mm, sizes.gaps_mm, sizes.gap_spread, float(size))

        def fits(
            places: npt.NDArray[np.int64],
            said: npt.NDArray[np.float64] = said,
            apart: npt.NDArray[np.float64] = apart,
        ) -> float:
            sum_of = 0.0
            for row, place in zip(said, places, strict=True):
                sum_of += row[place] if 0 <= place < len(row) else mean_of(row)
            for row, (lower, upper) in zip(apart, pairwise(places), strict=True):
                sum_of += row[lower] if upper == lower + 1 and 0 <= lower < len(row) else mean_of(row)
            return sum_of

        parts.append(weighed(column, fits))
    totals = np.array([total for total, _, _ in parts]) * prior
    shares = totals / totals.sum()
    held = [posterior for _, posterior, _ in parts]
    best = max(range(len(parts)), key=lambda place: parts[place][2] + np.log(prior[place]))
    more, fewer = (float(np.dot(shares, [getattr(one, kind) for one in held])) for kind in ("one_more", "one_fewer"))
    chances = np.tensordot(shares, np.stack([one.chances for one in held]), 1)
    return LevelPosterior(held[best].best, chances, min(1, more), min(1, fewer))


def log_density(
    found_mm: npt.NDArray[np.float64], usual_mm: tuple[float, ...], spread: float, larger: float
) -> npt.NDArray[np.float64]:
    """Of each length that was found, at each place."""
    off = np.log(np.divide.outer(found_mm, np.array(usual_mm))) - larger
    wide, share = level_sequence.UNUSUAL_SPREAD, level_sequence.UNUSUAL
    density = (1 - share) * np.exp(-0.5 * (off / spread) ** 2) / spread
    density += share * np.exp(-0.5 * (off / wide) ** 2) / wide
    return np.asarray(np.nan_to_num(np.log(density)) * level_sequence.SIZE_WEIGHT)


def mean_of(logs: npt.NDArray[np.float64]) -> float:
    """Log of the mean."""
    return float(np.log(np.mean(np.exp(logs))))


def weighed(column: ColumnSeen, fits: Callable[[npt.NDArray[np.int64]], float]) -> tuple[float, LevelPosterior, float]:
    """The sum of all weights, the posterior, and the largest log weight; `fits` is added to that of a sequence."""
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
            here += fits(places)
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
    return total, LevelPosterior(best[1], chances / total, more / total, fewer / total), best[0]


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


GROWING = LevelSizes((36.0, 28.0, 26.0, 25.0, 24.5), (36.0, 34.0, 32.0, 30.0), 0.05, 0.05, 0.1)


def sized(extents: tuple[float, ...], gaps: tuple[float, ...], column: ColumnSeen) -> ColumnSeen:
    return replace(column, sizes=GROWING, extents_mm=np.array(extents), gaps_mm=np.array(gaps))


@pytest.mark.parametrize("seed", range(2))
def test_with_sizes_it_is_the_sum_over_all_sequences_and_patients(seed: int) -> None:
    rng = np.random.default_rng(seed)
    evidence = np.log(rng.dirichlet(np.ones(6), 3))
    column = ColumnSeen(evidence, rng.uniform(0.6, 2.2, 2), ROOM, (0.9, 0.6))
    column = sized((30.0, float("nan"), 27.0), (33.0, float("nan")), column)
    found, every = find_levels(column), brute(column)
    np.testing.assert_array_equal(found.best, every.best)
    np.testing.assert_allclose(found.chances, every.chances, atol=0.01)
    assert (found.one_more, found.one_fewer) == pytest.approx((every.one_more, every.one_fewer), abs=0.005)


@pytest.mark.parametrize("size", [0.62, 0.83, 0.97, 1.04, 1.17])
def test_where_the_network_is_not_sure_sizes_decide_for_children_and_giants(size: float) -> None:
    doubtful = seen({0: 0.5, 1: 0.5}, {1: 0.5, 2: 0.5}, {2: 0.5, 3: 0.5})
    without = find_levels(doubtful).chances
    assert without[0, 0] == pytest.approx(without[0, 1], rel=0.2)
    for first in (0, 1):
        extents = tuple(size * held for held in GROWING.extents_mm[first : first + 3])
        gaps = tuple(size * held for held in GROWING.gaps_mm[first : first + 2])
        found = find_levels(sized(extents, gaps, doubtful))
        assert found.best.tolist() == [first, first + 1, first + 2]


@pytest.mark.parametrize("off", [0.0, 0.25, 0.5])
def test_it_does_not_matter_whether_a_patient_lies_between_two_sizes(off: float) -> None:
    """Fourteen thoracic and lumbar vertebrae that grow by 2.5 % each."""
    usual = tuple(20.0 * 1.025**level for level in range(24))
    sizes = LevelSizes(usual, usual[:-1], 0.05, 0.05, 0.15)
    column = whole_spine(5, 14, 0.5)
    size = float(np.exp(off * 0.15))
    shown = np.array(usual[5:19]) * size
    found = find_levels(replace(column, sizes=sizes, extents_mm=shown, gaps_mm=shown[:-1]))
    assert found.best.tolist() == list(range(5, 19))
    assert found.best_chances.min() == pytest.approx(0.6, abs=0.12)


def test_a_broken_vertebra_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is half as high as L4 ever is, and of what the network thinks possible L2 is the smallest."""
    doubtful = seen({0: 0.52, 2: 0.48}, {1: 0.52, 3: 0.48}, {2: 0.52, 4: 0.48})
    even = replace(GROWING, extents_mm=(30.0, 30.0, 30.0, 24.0, 30.0), gaps_mm=(34.0,) * 4)
    broken = replace(sized((30.0, 15.0, 30.0), (34.0, 34.0), doubtful), sizes=even)
    assert find_levels(broken).best_chances.max() < 0.75
    monkeypatch.setattr(level_sequence, "UNUSUAL", 1e-200)
    assert find_levels(broken).best.tolist() == [2, 3, 4] and find_levels(broken).best_chances.min() > 0.9


def whole_spine(first: int, count: int, doubt: float, beyond: tuple[float, float] = NOWHERE) -> ColumnSeen:
    """So many of 24 vertebrae, of each of which the network says itself or, with `doubt`, either neighbour."""
    said = [{place - 1: doubt / 2, place: 1 - doubt, place + 1: doubt / 2} for place in range(first, first + count)]
    kept = [{place: chance for place, chance in one.items() if 0 <= place < 24} for one in said]
    return seen(*kept, levels=24, beyond=beyond)


def test_a_whole_spine_is_named_where_every_vertebra_is_doubtful() -> None:
    found = find_levels(whole_spine(0, 24, 0.6, ROOM))
    assert found.best.tolist() == list(range(24)) and found.best_chances.min() > 0.95


def test_of_a_few_thoracic_vertebrae_the_doubt_stays() -> None:
    found = find_levels(whole_spine(10, 4, 0.6))
    assert found.best.tolist() == [10, 11, 12, 13] and found.best_chances.max() < 0.8


def test_a_cervical_gap_leaves_a_level_out() -> None:
    lower = {20: 0.9}, {21: 0.9}, {23: 0.9}
    assert find_levels(seen(*lower, levels=24, gaps=(1.0, 2.1))).best.tolist() == [20, 21, 23]
