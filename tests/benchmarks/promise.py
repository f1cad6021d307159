"""Is a promise kept, and are wrong inputs flagged? On the trained folds of runs, each judged by what the others taught.

    python -m tests.benchmarks.promise runs/hippocampus/3d_fullres --dataset DATA/hippocampus
    python -m tests.benchmarks.promise runs/lumbar-water/2d --dataset DATA/lumbar-water --wrong DATA --cases 4

Of each fold the promise is learnt from the cases of all other folds, whose networks these had not seen, and is tried on
the fold's own. That asks what a user asks: does it hold for the next cases, segmented by another network?

- kept: share of structures in which the Dice is at least what was promised; width: by how much, in the mean
- worst tenth: of the structures with the lowest Dice, how many are among as many with the lowest bound (or expected
  Dice, or the highest entropy, or disagreement where mirrorings give one); AUROC of the same
- false alarms: share of these cases that is flagged
- wrong inputs, made of the fold's cases or taken from other data sets: share that is flagged. `as it is` keeps the grid
  of the other image; `regridded` lays it on the grid of one of the fold's cases, so that only its content is wrong.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from autospine.data.dataset import load_case, open_dataset
from autospine.data.folds import read_folds
from autospine.data.geometry import Volume
from autospine.data.structure import Reading
from autospine.data.volume import read_volume
from autospine.errors import AutospineError
from autospine.evaluation.promise import Known, learn_promise
from autospine.inference.loading import load_model
from autospine.inference.predictor import Predictor
from autospine.inference.segmentation import Wanted
from autospine.planning.document.promise import Promise
from autospine.planning.document.promised import promised
from autospine.workflow.progress import Silent
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.steps.evidence import ensure_evidence
from autospine.workflow.steps.promise import known_cases

CPU = torch.device("cpu")
OTHERS = ("cord-axial", "hippocampus", "lumbar-t2", "lumbar-water", "muscle-axial", "spider-t2")
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, help="model folders with several trained folds")
    parser.add_argument("--dataset", type=Path, help="of which they were trained; for evidence and wrong inputs")
    parser.add_argument("--wrong", type=Path, help="folder of other data sets, of which images are taken")
    parser.add_argument("--cases", type=int, default=2, help="of each fold that wrong inputs are made of (default: 2)")
    parser.add_argument("--only-evidence", action="store_true", help="no wrong inputs")
    asked = parser.parse_args()
    for model in asked.models:
        print(f"# {model}")
        if asked.dataset is not None:
            run = RunFolder(model.resolve().parent)
            ensure_evidence(asked.dataset, run, model.name, trained(model, run), CPU, Silent())
        known = known_cases(model)
        promises = nested(known)
        judge_bounds(known, promises)
        judge_alarms(known, promises)
        if asked.dataset is not None and not asked.only_evidence:
            judge_wrong(model, asked.dataset, asked.wrong, known, promises, asked.cases)


def trained(model: Path, run: RunFolder) -> list[int]:
    """Folds that are trained to their end and validate something."""
    folds = read_folds(run.splits)
    return [
        number
        for number, fold in enumerate(folds)
        if fold.validation and (model / f"fold_{number}/metrics.json").is_file()
    ]


def nested(known: Sequence[Known]) -> dict[str, Promise]:
    """Fold -> what all other folds teach."""
    folds = sorted({one.fold for one in known})
    learnt = {fold: learn_promise([one for one in known if one.fold != fold]) for fold in folds}
    for fold, promise in learnt.items():
        print(f"fold {fold}: learnt from {promise.cases} cases, {len(promise.bounds)} bounds")
    return learnt


def judge_bounds(known: Sequence[Known], promises: dict[str, Promise]) -> None:
    rows = []
    for one in known:
        said = promised(promises[one.fold], one.evidence)
        for name, dice in one.dice.items():
            own, bound = one.evidence.structures[name], said.of(name)
            if bound.promised_dice is not None:
                apart = np.nan if own.disagreement is None else own.disagreement
                rows.append((name, dice, bound.promised_dice, bound.expected_dice, own.entropy, apart, one.fold))
    silent = sum(len(one.dice) for one in known) - len(rows)
    if not rows:
        print("nothing was promised")
        return
    names, folds = np.array([row[0] for row in rows]), np.array([row[6] for row in rows])
    dice, bound, expected, entropy, apart = np.array([row[1:6] for row in rows], float).T
    kept = dice >= bound
    print(f"{len(rows)} structures of {len(known)} cases, {silent} without a promise")
    print(
        f"kept {kept.mean():.1%}; mean Dice {dice.mean():.3f}, promised {bound.mean():.3f}, "
        f"width {(dice - bound).mean():.3f}"
    )
    for label, of in (("structure", names), ("fold", folds)):
        parts = ", ".join(f"{one} {kept[of == one].mean():.0%}" for one in dict.fromkeys(of))
        print(f"  kept by {label}: {parts}")
    # what a bound that knows nothing of the case would have promised: the lowest tenth of the structure's Dice
    plain = np.array(
        [np.quantile(dice[(names == name) & (folds != fold)], 0.1) for name, fold in zip(names, folds, strict=True)]
    )
    print(
        f"  without evidence (the lowest tenth of others): kept {(dice >= plain).mean():.1%}, "
        f"promised {plain.mean():.3f}"
    )
    print(
        f"  rank correlation with Dice: bound {spearman(bound, dice):.2f}, expected {spearman(expected, dice):.2f}, "
        f"entropy {spearman(-entropy, dice):.2f}"
    )
    worst = dice <= np.quantile(dice, 0.1)
    for label, score in (
        ("bound", bound),
        ("expected Dice", expected),
        ("entropy", -entropy),
        ("disagreement", -apart),
    ):
        if np.isnan(score).any():
            continue
        found = (score <= np.sort(score)[int(worst.sum()) - 1])[worst].mean()
        print(f"  worst tenth by {label}: {found:.0%} found, AUROC {auroc(-score, worst):.3f}")


def judge_alarms(known: Sequence[Known], promises: dict[str, Promise]) -> None:
    flagged = [promised(promises[one.fold], one.evidence) for one in known]
    alarms = [bool(said.flags) for said in flagged]
    print(f"false alarms: {sum(alarms)} of {len(known)} ({np.mean(alarms):.1%})")
    for one, said in zip(known, flagged, strict=True):
        if said.flags:
            worst = min(one.dice.values(), default=np.nan)
            print(f"  {one.case} (lowest Dice {worst:.2f}): {said.flags[0].structure or ''} {said.flags[0].text}")


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(one, other)[0])


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(positive, score)) if 0 < positive.sum() < len(positive) else np.nan


def turned(axis: int) -> Change:
    return lambda array, rng: np.flip(array, 1 + axis).copy()


def cropped(axis: int, first: float, last: float) -> Change:
    def change(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        size = array.shape[1 + axis]
        span = [slice(None)] * 4
        span[1 + axis] = slice(round(first * size), max(round(first * size) + 1, round(last * size)))
        return array[tuple(span)].copy()

    return change


def noise(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(array.mean(), array.std(), array.shape).astype(np.float32)


def speckled(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (array + rng.normal(0, array.std(), array.shape)).astype(np.float32)


CHANGES: dict[str, Change] = {
    "upside down": turned(0),
    "front to back": turned(1),
    "upper half": cropped(0, 0.5, 1),
    "lower half": cropped(0, 0, 0.5),
    "front half": cropped(1, 0, 0.5),
    "noise": noise,
    "noisy": speckled,
    "inverted": lambda array, rng: array.max() + array.min() - array,
    "square of it": lambda array, rng: (array - array.min()) ** 2,
    "blurred": lambda array, rng: ndimage.gaussian_filter(array, (0, 3, 3, 3)),
}
"""Of canonical images (C, Z, Y, X)."""


def judge_wrong(
    model: Path, dataset: Path, others: Path | None, known: Sequence[Known], promises: dict[str, Promise], count: int
) -> None:
    run = RunFolder(model.resolve().parent)
    whole = open_dataset(dataset, run.read_reading() if run.request.is_file() else Reading())
    by_name = {case.name: case for case in whole.cases}
    flagged: dict[str, list[bool]] = defaultdict(list)
    why: dict[str, str] = {}
    begun = time.monotonic()
    for fold in sorted(promises):
        predictor = replace(load_model(model, CPU, (fold,)), promise=promises[fold])
        own = [one for one in known if one.fold == fold][:count]
        for place, one in enumerate(own):
            image = load_case(whole, by_name[one.case]).image
            volume = Volume(image.array.astype(np.float32), image.geometry)
            rng = np.random.default_rng(place)
            for kind, array in wrong_inputs(volume, dataset, others, place, rng):
                said = flags_of(predictor, array)
                flagged[kind].append(bool(said))
                why.setdefault(kind, said[0] if said else "")
    for kind, values in flagged.items():
        print(f"  {kind}: {sum(values)} of {len(values)} flagged   {why[kind][:110]}")
    wrong = [value for kind, values in flagged.items() if kind != "unchanged" for value in values]
    print(
        f"wrong inputs flagged: {sum(wrong)} of {len(wrong)} ({np.mean(wrong):.1%}), {time.monotonic() - begun:.0f} s"
    )


def wrong_inputs(
    volume: Volume, dataset: Path, others: Path | None, place: int, rng: np.random.Generator
) -> Iterator[tuple[str, Volume]]:
    yield "unchanged", volume
    for kind, change in CHANGES.items():
        array = change(volume.array, rng)
        shape = (array.shape[1], array.shape[2], array.shape[3])
        yield kind, Volume(array, replace(volume.geometry, shape=shape))
    channels = len(volume.array)
    for name in OTHERS:
        if others is None or name == dataset.name or not (others / name / "imagesTr").is_dir():
            continue
        files = sorted((others / name / "imagesTr").glob("*_0000.nii.gz"))
        image = read_volume(files[place % len(files)])
        array = np.repeat(image.array[:1].astype(np.float32), channels, 0)
        yield f"{name} as it is", Volume(array, image.geometry)
        yield f"{name} regridded", regridded(array, image, volume)


def regridded(array: np.ndarray, image: Volume, like: Volume) -> Volume:
    """`array` in canonical axes, stretched onto the grid of another image."""
    from autospine.data.geometry import to_canonical

    canonical = to_canonical(Volume(array, image.geometry)).array
    factors = [new / old for new, old in zip(like.array.shape[1:], canonical.shape[1:], strict=True)]
    made = np.stack([ndimage.zoom(one, factors, order=1, mode="nearest", grid_mode=True) for one in canonical])
    return Volume(made.astype(np.float32), like.geometry)


def flags_of(predictor: Predictor, volume: Volume) -> list[str]:
    """What is off, in words; an image that is refused is one that is told of."""
    try:
        said = predictor.predict(volume, wanted=Wanted(evidence=True)).promise
    except AutospineError as fault:
        return [f"refused: {fault.found}"]
    assert said is not None
    return [f"{flag.kind}: {flag.structure or ''} {flag.text}" for flag in said.flags]


if __name__ == "__main__":
    main()
