"""The promise of a model: learnt from all of its folds that are scored, and said of the cases that it segments.

fold_0/evidence.json, metrics.json
fold_1/evidence.json, metrics.json    --learn_promise-->    promise.json    --of a new case-->    OUT/promise.csv
...
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autospine.data.disk.files import read_json
from autospine.data.disk.locks import locked
from autospine.data.disk.tables import write_table
from autospine.data.folds import group_cases
from autospine.data.wording import plural, told_first
from autospine.errors import PlanError
from autospine.evaluation.promise import FEWEST, Known, learn_promise
from autospine.evaluation.subjects import subjects_named
from autospine.planning.document.evidence import EVIDENCE
from autospine.planning.document.model_file import read_model
from autospine.planning.document.promise import PROMISE, Promise, write_promise
from autospine.planning.document.promised import Promised, promised
from autospine.workflow.runs.folder import METRICS_FILE, RunFolder
from autospine.workflow.steps.evidence import read_evidence

COLUMNS = ("case", "structure", "promised_dice", "expected_dice", "confidence", "cases", "flags")
_LOCK = ".promise.lock"
_MOST_NAMED = 3
"""Cases that are named in a line (ours)."""


def fit_promise(folder: Path) -> Promise | None:
    """Learn what the model in `folder` promises, from all of its folds that are scored, and write it there.

    None, and no file, where no fold is scored and has evidence.

    Raises:
        PlanError: no model, or scores or evidence that are not as autospine writes them.
        OutputError: the folder cannot be written.
    """
    with locked(folder / _LOCK, folder, lambda note: None):
        known = known_cases(folder)
        if not known:
            (folder / PROMISE).unlink(missing_ok=True)
            return None
        promise = learn_promise(known)
        write_promise(folder, promise)
        return promise


def known_cases(folder: Path) -> list[Known]:
    """All cases of a model folder whose Dice and evidence are known, of the folds that did not train on them.

    Where evidence of some folds was gathered at another temperature than that of most, it is left out.

    Raises:
        PlanError: as `fit_promise`.
    """
    structures = read_model(folder).data.targets
    known = list[Known]()
    for place in sorted(folder.glob("fold_*")):
        fold = place.name.removeprefix("fold_")
        if not (fold.isdecimal() and (place / METRICS_FILE).is_file() and (place / EVIDENCE).is_file()):
            continue
        evidence, dice = read_evidence(place) or {}, _dice(place / METRICS_FILE)
        for case in sorted(evidence.keys() & dice.keys()):
            if set(evidence[case].structures) == set(structures):
                known.append(Known(case, case, fold, evidence[case], dice[case]))
    temperatures = Counter(one.evidence.temperature for one in known)
    usual = max(temperatures, key=lambda value: (temperatures[value], -value), default=1.0)
    subjects = _subjects(folder, [one.case for one in known])
    return [
        Known(one.case, subjects[one.case], one.fold, one.evidence, one.dice)
        for one in known
        if one.evidence.temperature == usual
    ]


def promised_out_of_fold(known: Sequence[Known]) -> dict[str, Promised]:
    """Case -> what all other folds promise of it: as for a new case, with its Dice at hand to compare.

    Of subjects that edited folds have in several, none teaches what is promised of itself.
    """
    said = dict[str, Promised]()
    for fold in sorted({one.fold for one in known}):
        own = {one.subject for one in known if one.fold == fold}
        others = [one for one in known if one.fold != fold and one.subject not in own]
        if others:
            promise = learn_promise(others)
            said |= {one.case: promised(promise, one.evidence) for one in known if one.fold == fold}
    return said


def _dice(path: Path) -> dict[str, dict[str, float]]:
    """Case -> Dice of each structure that prediction or reference show, of the scores of a fold."""
    content: Any = read_json(path, PlanError)
    try:
        return {
            str(case["case"]): {
                str(name): float(scores["dice"])
                for name, scores in case["classes"].items()
                if scores["dice"] is not None
            }
            for case in content["cases"]
        }
    except (KeyError, TypeError, AttributeError, ValueError) as fault:
        expected, remedy = "the file that train wrote", "remove it, or restore it"
        raise PlanError(str(path), f"not scores of a fold ({fault})", expected, remedy) from fault


def _subjects(folder: Path, cases: Sequence[str]) -> Mapping[str, str]:
    """Case -> who was imaged, as the fingerprint beside the model says; where there is none, as names of cases do."""
    alone = subjects_named(dict.fromkeys(cases, False))
    run = RunFolder(folder.resolve().parent)
    if not run.fingerprint.is_file():
        return alone
    fingerprint = run.read_fingerprint()
    return alone | group_cases(fingerprint.subjects, fingerprint.digests)


def describe_promise(promise: Promise | None) -> str:
    """A line on what was learnt, for the end of a training."""
    if promise is None:
        return "No promise: no validation case with evidence and scores"
    seen = f"{plural(promise.subjects, 'subject')} in the validation of {plural(len(promise.folds), 'fold')}"
    if not promise.bounds:
        more = f"a bound on Dice takes {FEWEST} or more"
        return f"No promise yet: {seen}; {more}. Training further folds adds their cases"
    alarms = f"{promise.alarms:.0%}" if promise.alarms >= 0.01 else "fewer than 1 %"
    return f"Promise: learnt from {seen}, for {promise.confidence:.0%} of cases; flags at most {alarms} of usual ones"


def why_none(promise: Promise | None, *, withheld: bool, members: Sequence[str] = ()) -> str:
    """What is said before a prediction that promises nothing, and why; empty where it does.

    `withheld` as `Origin.promise_withheld` has it; `members` are those of an ensemble.
    """
    if promise is not None and (promise.bounds or promise.gauges):
        return ""
    if members:
        return "No promise of Dice: models promise it of what each makes alone, and of nothing that they make together"
    if withheld:
        return (
            "No promise of Dice: that is for folds trained to their end, which have cases to be judged by, and used as "
            "they were validated, mirrored and with the plan's overlap"
        )
    if promise is not None:
        return f"No promise of Dice: {plural(promise.subjects, 'subject')} taught it, and it takes {FEWEST} or more"
    return "No promise of Dice: this model has none (train further folds, or use a version that learns it)"


def promise_rows(case: str, said: Promised) -> list[tuple[object, ...]]:
    """The rows of a case in `promise.csv`: the case as a whole, where something is off, then its structures."""

    def flags(structure: str | None) -> str:
        return "; ".join(flag.text.replace(";", ",") for flag in said.flags if flag.structure == structure)

    rows: list[tuple[object, ...]] = [(case, None, None, None, None, None, flags(None))] if flags(None) else []
    for one in said.structures:
        expected = None if one.expected_dice is None else f"{one.expected_dice:.3f}"
        # rounded up it would be more than is promised
        dice = None if one.promised_dice is None else f"{math.floor(1000 * one.promised_dice + 1e-6) / 1000:.3f}"
        confidence = None if dice is None else f"{said.confidence:g}"
        rows.append((case, one.structure, dice, expected, confidence, one.cases, flags(one.structure)))
    return rows


def write_promised(path: Path, case: str, said: Promised) -> None:
    """Write the table of a case; raises `OutputError` where it cannot be."""
    write_table(path, COLUMNS, promise_rows(case, said))


def flagged_cases(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Case -> what is off first, of the `rows` of `promise.csv`."""
    flagged = dict[str, str]()
    for row in rows:
        case, structure, flags = (row.get(key) or "" for key in ("case", "structure", "flags"))
        if flags:
            flagged.setdefault(case, (f"{structure}: " if structure else "") + flags.split("; ")[0])
    return flagged


def describe_flagged(flagged: Mapping[str, str], cases: int, table: Path) -> list[str]:
    """A line or two for the end of a prediction of so many cases: which need a look, and why; empty where none does.

    `table` is where all of it is written.
    """
    if not flagged:
        return []
    need = f"{len(flagged)} of {plural(cases, 'case')} need{'s' * (len(flagged) == 1)} a look"
    return [f"{need} ({table.name} in {table.parent} says why):", f"  {told_first(flagged, _MOST_NAMED)}"]
