"""Which cases train and which validate, fold by fold, without ever splitting a subject.

Subjects are shuffled as the reference shuffles cases (`SEED` over sorted names), so with one case per subject
the folds are the reference's. Identical images count as one subject whatever their names say. Where a class is rare,
the folds share out the subjects that have it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autospine.data.disk.files import read_json, write_json
from autospine.errors import DataError

_CORRECT = "correct the file, or delete it to have folds made"
SEED = 12345
"""That of the reference."""
FULL = "full"
"""In the place of a number: the training on every case, which nothing is left to judge by."""
FoldName = int | str
"""A number, or `FULL`."""
RARE_CLASS = 0.5
"""Share of the subjects below which a class is rare: chance would leave one of five folds without it too easily."""


@dataclass(frozen=True)
class Fold:
    """One split of the cases."""

    train: tuple[str, ...]
    """Cases that are trained on, by name."""
    validation: tuple[str, ...]
    """Cases that are predicted and scored afterwards; none where there is but one subject."""


def fold_of(folds: Sequence[Fold], name: FoldName) -> Fold:
    """The fold of this name; `FULL` trains on the cases of all `folds`."""
    if isinstance(name, int):
        return folds[name]
    return Fold(tuple(sorted({case for fold in folds for case in (*fold.train, *fold.validation)})), ())


def group_cases(subjects: Mapping[str, str], digests: Mapping[str, str] | None = None) -> dict[str, str]:
    """Case -> group; cases of a subject or with the same digest share one, named after its first case.

    Groups join through either tie: a and b of one subject, b and c the same image -> a, b and c are one group.
    """
    group = {case: case for case in subjects}

    def root(case: str) -> str:
        while group[case] != case:
            case = group[case]
        return case

    for ties in (subjects, digests or {}):
        first: dict[str, str] = {}
        for case in sorted(subjects.keys() & ties.keys()):
            one, other = root(case), root(first.setdefault(ties[case], case))
            group[max(one, other)] = min(one, other)
    return {case: root(case) for case in sorted(subjects)}


def make_folds(
    subjects: Mapping[str, str],
    digests: Mapping[str, str] | None = None,
    classes: Mapping[str, Collection[int]] | None = None,
    count: int = 5,
) -> tuple[Fold, ...]:
    """`count` folds of the cases in `subjects` (case -> subject), fewer where there are fewer subjects.

    Cases that share a digest (`digests`: case -> image digest) are kept together too. Where a class (`classes`: case ->
    those in its mask) is rare, the folds share out those who have it. A single subject gives one fold that trains on
    everything and validates nothing. Raises `DataError` without cases.
    """
    if not subjects:
        raise DataError("folds", "no cases", "at least one case with a mask")
    groups = group_cases(subjects, digests)
    names = sorted(set(groups.values()))
    if len(names) == 1:
        return (Fold(tuple(groups), ()),)
    count = min(count, len(names))
    held: dict[str, set[int]] = {name: set() for name in names}
    for case, group in groups.items():
        held[group].update((classes or {}).get(case, ()))
    having = Counter(index for present in held.values() for index in present)
    rare = {index for index, groups_with_it in having.items() if groups_with_it < RARE_CLASS * len(names)}
    if rare:
        parts = _shared_out({name: present & rare for name, present in held.items()}, count)
    else:
        from sklearn.model_selection import KFold  # slow to import, and not needed where folds are only read

        chosen = (part for _, part in KFold(count, shuffle=True, random_state=SEED).split(np.array(names)))
        parts = [{names[index] for index in part} for part in chosen]
    folds = []
    for held_out in parts:
        train = tuple(case for case in groups if groups[case] not in held_out)
        folds.append(Fold(train, tuple(case for case in groups if groups[case] in held_out)))
    return tuple(folds)


def _shared_out(held: Mapping[str, set[int]], count: int) -> list[set[str]]:
    """Groups (name -> its rare classes) in `count` parts of about one size, each class spread over them evenly.

    Iterative stratification (Sechidis et al. 2011, doi 10.1007/978-3-642-23808-6_10): the class with the fewest groups
    left goes first, and each of its groups to the part that lacks it most.
    """
    rng = np.random.default_rng(SEED)
    parts: list[set[str]] = [set() for _ in range(count)]
    classes = sorted({index for present in held.values() for index in present})
    wanted = {index: sum(index in present for present in held.values()) / count for index in classes}
    left = dict(held)

    def lack(part: set[str], index: int | None) -> float:
        if index is None:
            return len(held) / count - len(part)
        return wanted[index] - sum(index in held[name] for name in part)

    while left:
        remaining = {index: [name for name in sorted(left) if index in left[name]] for index in classes}
        counts = {index: len(names) for index, names in remaining.items() if names}
        rarest = min(counts, key=lambda index: (counts[index], index)) if counts else None
        for name in rng.permutation(sorted(left) if rarest is None else remaining[rarest]).tolist():
            draw = rng.permutation(count)
            best = max(
                range(count), key=lambda place: (lack(parts[place], rarest), lack(parts[place], None), draw[place])
            )
            parts[best].add(name)
            del left[name]
    return parts


def write_folds(path: Path, folds: Sequence[Fold]) -> None:
    """Write the folds as `[{"train": [...], "val": [...]}, ...]`, the reference's form."""
    write_json(path, [{"train": list(fold.train), "val": list(fold.validation)} for fold in folds])


def read_folds(path: Path) -> tuple[Fold, ...]:
    """The folds of a file that `write_folds` wrote or the user did; `DataError` where it has another form."""
    content = read_json(path)
    form = 'a list of {"train": ["case", ...], "val": ["case", ...]}'
    if not isinstance(content, list) or not content:
        raise DataError(str(path), "no folds", form, _CORRECT)
    folds = []
    for number, entry in enumerate(content):
        parts = [entry.get(key) for key in ("train", "val")] if isinstance(entry, dict) else [None]
        if not all(isinstance(part, list) and all(isinstance(case, str) for case in part) for part in parts):
            raise DataError(str(path), f"fold {number} has another form", form, "correct it, or delete the file")
        folds.append(Fold(tuple(parts[0] or ()), tuple(parts[1] or ())))
    return tuple(folds)


def check_folds(
    folds: Sequence[Fold], cases: Iterable[str], groups: Mapping[str, str], where: str = "splits.json"
) -> None:
    """Raise a `DataError` listing all that is wrong with `folds`; `groups` is case -> subject (see `group_cases`).

    Wrong are: no training case, a case that is not in `cases`, a case twice, a subject in training and validation.
    """
    known, wrong = set(cases), []
    for number, fold in enumerate(folds):
        train, validation = set(fold.train), set(fold.validation)
        both = sorted(train & validation)
        unknown = sorted((train | validation) - known)
        repeated = len(train) + len(validation) < len(fold.train) + len(fold.validation)
        shared = {groups.get(case, case) for case in train} & {groups.get(case, case) for case in validation}
        shared -= {groups.get(case, case) for case in both}
        wrong += [f"fold {number} trains on no case"] if not train else []
        wrong += [f"fold {number} trains and validates on {', '.join(both)}"] if both else []
        wrong += [f"fold {number} names cases that are not there: {', '.join(unknown)}"] if unknown else []
        wrong += [f"fold {number} names a case twice"] if repeated else []
        wrong += [f"fold {number} splits the subject of {', '.join(sorted(shared))}"] if shared else []
    if wrong:
        expected = "every subject on one side of a fold, known cases only"
        raise DataError(where, "; ".join(wrong), expected, _CORRECT)
