"""`evidence.json` of a trained fold: what the predictions of its validation cases say of themselves.

The end of a training writes it on the way. For trainings from before there was any, `ensure_evidence` predicts the
validation cases again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autospine.data.disk.files import read_json, write_json
from autospine.data.folds import Fold, FoldName, read_folds
from autospine.errors import PlanError
from autospine.planning.document.evidence import EVIDENCE, EVIDENCE_SCHEMA, REMEDY, Evidence
from autospine.planning.document.model_file import fold_folder
from autospine.planning.document.promise import read_promise
from autospine.preprocessing.previous import PreviousStage
from autospine.preprocessing.store import Store
from autospine.workflow.progress import Progress, counted
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.runs.prepared import ensure_prepared
from autospine.workflow.steps.cascade import find_out_of_fold, segment_out_of_fold

if TYPE_CHECKING:
    import torch


def write_evidence(folder: Path, cases: Mapping[str, Evidence]) -> None:
    """Write `evidence.json` in the folder of a fold."""
    table = {name: one.to_json() for name, one in cases.items()}
    write_json(folder / EVIDENCE, {"schema": EVIDENCE_SCHEMA, "cases": table})


def read_evidence(folder: Path) -> dict[str, Evidence] | None:
    """Case -> its evidence, of the folder of a fold; None where there is none, or that of another version.

    Raises:
        PlanError: the file is there and is not what autospine writes.
    """
    path = folder / EVIDENCE
    if not path.is_file():
        return None
    content: Any = read_json(path, PlanError)
    cases = content.get("cases") if isinstance(content, dict) else None
    if not isinstance(cases, dict):
        raise PlanError(str(path), "no table of cases", "the file that train wrote", REMEDY)
    if content.get("schema") != EVIDENCE_SCHEMA:
        return None
    return {str(name): Evidence.from_json(one, f"{path}, {name}") for name, one in cases.items()}


def evidence_temperature(model: Path) -> float:
    """The temperature at which evidence of the folds of a model folder is gathered: all of it has to have one."""
    promise = read_promise(model)
    return 1.0 if promise is None else promise.temperature


def ensure_evidence(
    dataset: Path,
    run: RunFolder,
    configuration: str,
    folds: Sequence[int],
    device: torch.device,
    progress: Progress,
) -> dict[int, dict[str, Evidence]]:
    """Fold -> case -> evidence of its validation cases: what stands there, and made where it does not.

    `folds` are trained ones of a configuration of the plan. What has to be made is predicted on `device`, as at the end
    of a training; prepared cases are made where they are missing, from `dataset`.

    Raises:
        PlanError: no such configuration, a fold that is not trained, prepared files that are damaged, or a file that is
            no evidence.
        DataError: the dataset is needed and cannot be read.
    """
    splits, model = read_folds(run.splits), run.model(configuration)
    temperature, found = evidence_temperature(model), dict[int, dict[str, Evidence]]()
    for number in folds:
        held = read_evidence(fold_folder(model, number))
        whole = held is not None and set(splits[number].validation) <= set(held)
        if held is not None and whole and {one.temperature for one in held.values()} <= {temperature}:
            found[number] = held
    missing = [number for number in folds if number not in found]
    if not missing:
        return found
    store, previous = _cases(dataset, run, configuration, [splits[number] for number in missing], device, progress)
    for number in missing:
        title = f"Gathering evidence of the validation cases of {configuration} fold {number}"
        with progress.task(title) as update:
            tell = counted(update)
            found[number] = _gather(model, number, splits[number], store, previous, temperature, device, tell)
        write_evidence(fold_folder(model, number), found[number])
    return found


def _cases(
    dataset: Path,
    run: RunFolder,
    configuration: str,
    splits: Sequence[Fold],
    device: torch.device,
    progress: Progress,
) -> tuple[Store, PreviousStage | None]:
    """The prepared cases, and of a cascade what its previous stage says of the validation cases of `splits`."""
    plan = run.read_plan()
    asked = plan.configuration(configuration)
    prepare = partial(ensure_prepared, dataset, run, plan, progress=progress)
    store = prepare(asked)
    if asked.previous is None:
        return store, None
    cases = [name for split in splits for name in split.validation]
    source = find_out_of_fold(dataset, run, plan, asked, read_folds(run.splits), cases)
    segment_out_of_fold(source, store, partial(prepare, source.card.configuration), device, progress)
    return store, source.stage


def _gather(
    model: Path,
    fold: FoldName,
    split: Fold,
    store: Store,
    previous: PreviousStage | None,
    temperature: float,
    device: torch.device,
    tell: Any,
) -> dict[str, Evidence]:
    """Case -> evidence, of the validation cases of a fold."""
    from autospine.inference.loading import load_model

    predictor, found = load_model(model, device, (str(fold),)), dict[str, Evidence]()
    for done, name in enumerate(split.validation, 1):
        case = store.open(name)
        earlier = None if previous is None else previous.open(name, case.label.shape)
        _, found[name] = predictor.judged(case, earlier, temperature)
        tell(name, done, len(split.validation))
    return found
