"""Does a model hold on another scanner and sequence? Dice by level, and of all bodies, on a data set it never saw.

    python -m tests.benchmarks.cross_contrast MODEL [MODEL ...] --on lumbar-water [--out FOLDER]

Labels of the two data sets are matched by their names; what only one of them has counts for bodies alone. Vertebrae are
counted one by one, too: right, wrong, mixed, missed. Where the other data set calls all of them `vertebra`, with
their arches, its vertebrae are told apart, and one counts as found where a quarter of it is predicted; of what is
predicted, the share that lies in any of them.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import autospine
from autospine.data.codes.structures import is_vertebrae
from autospine.data.dataset import load_label, open_dataset
from autospine.data.geometry import to_canonical
from autospine.data.structure import Dataset
from autospine.data.volume import read_volume
from autospine.evaluation.label_pair import LabelPair
from autospine.evaluation.levels import chains_named, count_levels
from autospine.inference.instances import separate
from autospine.planning.document.model_file import read_model

FOUND = 0.25
"""Share of a vertebra that is predicted where it counts as found; its body is about half of it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--on", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for number, model in enumerate(asked.models):
            out = (asked.out or Path(temporary)) / f"{number}_{model.parent.name}_on_{asked.on.name}"
            autospine.predict(asked.on / "imagesTr", out, model=model)
            print(f"{model} on {asked.on.name}: {judged(out, model, asked.on)}", flush=True)


def judged(out: Path, model: Path, data: Path) -> str:
    """The figures of a folder of segmentations."""
    opened, card = open_dataset(data), read_model(model)
    if any(is_vertebrae(label.name) for label in opened.labels):
        return recall_of(out, opened)
    known = dict(card.data.labels)
    names = [label.name for label in opened.labels]
    common = [name for name in names if name in known]
    chains = chains_named([(name, names.index(name) + 1) for name in names])
    levels, bodies, worst = list[float](), list[float](), list[float]()
    kinds: dict[str, int] = {}
    for case in opened.cases:
        assert case.label is not None
        file = next(out.glob(f"{case.name}.*"))
        mask = load_label(opened, case, case.label)
        values = load_label_of(file)
        said = np.zeros(values.shape, np.uint8)
        for name in common:
            said[values == known[name]] = names.index(name) + 1
        said[(values > 0) & (said == 0)] = 255
        own = [dice(said == names.index(name) + 1, mask == names.index(name) + 1) for name in common]
        levels += own
        bodies.append(dice(values > 0, mask > 0))
        worst.append(float(np.mean(own)))
        for one in count_levels(LabelPair(said, mask), chains):
            kinds[one.kind] = kinds.get(one.kind, 0) + 1
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return (
        f"by level {np.mean(levels):.3f} (worst case {min(worst):.3f}), bodies {np.mean(bodies):.3f}; vertebrae: {told}"
    )


def recall_of(out: Path, opened: Dataset) -> str:
    """How many vertebrae without a level are found, and how much of what is found is one."""
    merged = [place for place, label in enumerate(opened.labels, 1) if is_vertebrae(label.name)]
    found = shown = inside = predicted = 0
    worst = list[tuple[float, str]]()
    for case in opened.cases:
        assert case.label is not None
        mask = np.isin(load_label(opened, case, case.label), merged)
        said = load_label_of(next(out.glob(f"{case.name}.*"))) > 0
        spacing_mm = to_canonical(read_volume(case.files[0])).geometry.spacing_mm
        numbers = separate(mask, 0, spacing_mm)
        sizes = np.bincount(numbers.ravel())[1:]
        hit = np.bincount(numbers[said], minlength=len(sizes) + 1)[1:]
        whole = sizes > 0.3 * np.median(sizes)
        found, shown = found + int((hit[whole] >= FOUND * sizes[whole]).sum()), shown + int(whole.sum())
        inside, predicted = inside + int((said & mask).sum()), predicted + int(said.sum())
        worst.append((float(np.mean(hit[whole] >= FOUND * sizes[whole])), case.name))
    share = inside / max(1, predicted)
    low = ", ".join(f"{name} {value:.2f}" for value, name in sorted(worst)[:3])
    return (
        f"{found} of {shown} vertebrae found ({found / shown:.1%}), {share:.1%} of what is predicted lies in one; {low}"
    )


def load_label_of(file: Path) -> np.ndarray:
    """Values of a segmentation on canonical axes."""
    return np.asarray(to_canonical(read_volume(file)).array[0])


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """1 where both are empty."""
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0


if __name__ == "__main__":
    main()
