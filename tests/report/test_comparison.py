"""The picture of a comparison: drawn for few and many, points beside each other and not on each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.image import imread

from autospine.report.comparison import _name, _swarm, plot_comparison
from tests.evaluation.test_comparison import case, compared


def test_two_arms_and_many_with_many_classes_are_drawn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    few = {arm: [case("a", {"x": 0.8})] for arm in ("base", "new")}
    plot_comparison(compared(few), tmp_path / "few.png")
    labels = [f"a class with a long name, number {number}, of $ and _" for number in range(9)]
    many = {
        f"an arm with a long name {arm}": [
            case(f"c{one}", dict.fromkeys(labels, float(rng.random()))) for one in range(6)
        ]
        for arm in range(5)
    }
    plot_comparison(compared(many), tmp_path / "many.png")
    shapes = [imread(tmp_path / name).shape for name in ("few.png", "many.png")]
    assert shapes[1][0] > shapes[0][0] + 200 and shapes[1][1] > shapes[0][1]


def test_points_of_about_one_height_stand_apart() -> None:
    values = np.array([0.0, 1.0, 0.001, 0.002, 0.5])
    across = _swarm(values, 0.2)
    assert len(set(across[[0, 2, 3]].tolist())) == 3 and across[1] == across[4] == 0
    assert np.abs(across).max() <= 0.2
    assert np.abs(_swarm(np.zeros(200), 0.2)).max() <= 0.2 and len(_swarm(np.zeros(0), 0.2)) == 0


def test_names_at_an_axis_have_short_lines() -> None:
    assert max(map(len, _name("a very long name of an arm with words").split("\n"))) <= 14
    assert _name("cost $5") == r"cost \$5"
