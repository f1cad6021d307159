"""What stands in a training's folder, and what becomes of it when the training is asked for again.

    run.toml of      checkpoint of     the training       with --overwrite
    -                -                 begins             begins
    -                this one          goes on            goes on: what was begun is not lost
    -                another length    goes on            begins anew
    -                another           is refused         begins anew
    this one         any               has ended          begins anew, once
    another length   this or another   goes on            begins anew
    another          any               is refused         begins anew

"Once": `.begun.json` in the folder names the folds that the command with --overwrite replaces, until that has ended.
Where it is repeated after a stop, what it has trained already is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from autospine.data.disk.files import read_json, write_json
from autospine.data.folds import FULL
from autospine.errors import OutputError, PlanError
from autospine.planning.document.evidence import EVIDENCE
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.model_file import (
    BEST,
    CALIBRATION,
    MODEL,
    WEIGHTS,
    fold_folder,
    read_model,
    write_model,
)
from autospine.planning.document.parts import TrainingPlan
from autospine.planning.document.postprocessing import POSTPROCESSING
from autospine.planning.document.promise import PROMISE
from autospine.planning.document.trust import TRUST
from autospine.workflow.runs.folder import RECORD, alone, read_record, remove_training, training_alone

if TYPE_CHECKING:
    from autospine.training.checkpoint import Checkpoint
    from autospine.training.identity import Identity

BEGUN = ".begun.json"
"""In the folder of a training that has begun, until the command has ended that began it."""
Course = Literal["begins", "goes on", "has ended"]


def choose_course(
    folder: Path,
    identity: Identity,
    training: TrainingPlan,
    replaces: Sequence[Path],
    tell: Callable[[str], None],
) -> Course:
    """What becomes of the training of `identity` that is asked for in `folder`; what is not plain is told.

    `replaces` are the folders that the command replaces, with --overwrite; without it there are none.

    Raises:
        PlanError: another training stands there, or one that is longer already, or nothing is left to go on from.
    """
    from autospine.training.checkpoint import CHECKPOINT
    from autospine.training.schedule import Schedule

    if replaces:
        return _choose_again(folder, identity, replaces, tell)
    record = read_record(folder)
    if record is not None:
        if record.get("identity") == identity.exact:
            return "has ended"
        if record.get("identity_any_length") != identity.any_length:
            found = "this was trained with another plan, split, --init, previous stage, other images or other data"
            if "identity_any_length" not in record:
                found = (
                    "an earlier version has trained this, for another time or epochs or by another plan or other data"
                )
            remedy = "train with --overwrite to replace it, or use another --runs"
            raise PlanError(str(folder), found, "the same as now", remedy)
    reached = _read_reached(folder, identity, tell)
    if reached is None and record is None:
        return "begins"
    if reached is None:
        found = "this was trained for another --budget or --epochs, and its checkpoint is not there to go on from"
        raise PlanError(str(folder), found, CHECKPOINT, "train anew with --overwrite")
    if reached.identity != identity.exact:
        Schedule(training).check_goes_on(str(folder), reached.step, reached.seconds)
        tell(f"{_describe_way(folder, reached, training)}; the learning rate follows the schedule of that length")
    return "goes on"


def _choose_again(folder: Path, identity: Identity, replaces: Sequence[Path], tell: Callable[[str], None]) -> Course:
    """The same, with --overwrite: nothing is refused."""
    try:
        record = read_record(folder)
        if record is not None:
            kept = record.get("identity") == identity.exact and _is_begun_by(folder, replaces)
            return "has ended" if kept else "begins"
        reached = _read_reached(folder, identity, tell)
    except PlanError:
        return "begins"
    if reached is None or reached.identity != identity.exact:
        return "begins"
    tell(
        f"Goes on with the training of {folder} that was stopped after {reached.step} steps; to begin with nothing, "
        "delete that folder"
    )
    return "goes on"


def _read_reached(folder: Path, identity: Identity, tell: Callable[[str], None]) -> Checkpoint | None:
    """How far the training in `folder` has come; its tensors stay on disk. Raises as `load_checkpoint` does."""
    import torch

    from autospine.training.checkpoint import load_checkpoint

    return load_checkpoint(folder, identity, torch.device("cpu"), mmap=True, tell=tell)


def _describe_way(folder: Path, reached: Checkpoint, training: TrainingPlan) -> str:
    """From where to where a training goes on."""
    if training.budget_s is not None:
        return f"{folder} goes on from {reached.seconds:.0f} s of training to {training.budget_s:g} s"
    return f"{folder} goes on from epoch {reached.step / training.steps_per_epoch:.4g} to {training.epochs}"


def check_model(model: Path, folder: Path, card: ModelCard, course: Course, replaces: Sequence[Path]) -> None:
    """Nothing; raises as `begin_in_model` does, before cases are prepared.

    Those of the plan that stands make way for them, and the folds that would be refused still need theirs.
    """
    with ExitStack() as held:
        others = _replaced_beside(folder, course, replaces)
        for other in others:
            held.enter_context(training_alone(other))
        _check_card(model, card, (folder, *others))


def begin_in_model(
    model: Path,
    folder: Path,
    card: ModelCard,
    course: Course,
    replaces: Sequence[Path],
    tell: Callable[[str], None],
) -> None:
    """Make `model` ready for the training in `folder`, one of its folds: what is replaced goes, then the card comes.

    The first fold that a command with --overwrite trains takes all folds along that it `replaces`: those of an earlier
    plan would else stand in its way. Folds that were begun alike and stopped wait for their own turn.

    Raises:
        PlanError: folds of another plan stand in `model` and are not replaced.
        OutputError: another process trains a fold that is replaced, or it cannot be removed.
    """
    others = _replaced_beside(folder, course, replaces)
    with ExitStack() as held:
        # two folds that start at once: the second sees what the first has begun
        held.enter_context(alone(model / ".model.lock", model, tell))
        for other in others:
            held.enter_context(training_alone(other))
        same_meaning = _check_card(model, card, (folder, *others))
        going = [folder] if replaces and course == "begins" else []
        for other in others:
            waits = _is_begun_by(other, replaces) or not (other / RECORD).is_file()
            going += [] if same_meaning and waits else [other]
        _forget(model, going)
        for one in going:
            remove_training(one)
        write_model(model, card)  # after that: a card must never describe weights that it does not belong to
        mark_begun(folder, replaces)


def _forget(model: Path, going: Sequence[Path]) -> None:
    """Remove what was learnt of the folds of `model` that are `going`: it would be said of those that come.

    What all of them taught together, a promise and the trust in levels, goes with any of them; temperature and
    postprocessing, which belong to no fold, with the last one.
    """
    judged = [one for one in going if one != fold_folder(model, FULL)]
    if not any((one / name).is_file() for one in judged for name in (WEIGHTS, EVIDENCE)):
        return
    stays = any(path.parent not in going for path in model.glob(f"fold_*/{WEIGHTS}"))
    for name in (PROMISE, TRUST) if stays else (PROMISE, TRUST, CALIBRATION, POSTPROCESSING):
        (model / name).unlink(missing_ok=True)


def _replaced_beside(folder: Path, course: Course, replaces: Sequence[Path]) -> list[Path]:
    """The folds that go with that in `folder`: all, unless a command that was stopped has removed them before."""
    first = course == "begins" or not _is_begun_by(folder, replaces)
    return [other for other in replaces if other != folder] if first else []


def _check_card(model: Path, card: ModelCard, replaced: Sequence[Path]) -> bool:
    """Whether the card in `model` means what `card` does.

    Raises:
        PlanError: it does not, and there are folds that are trained, or have begun, and not `replaced`.
    """
    from autospine.training.checkpoint import CHECKPOINT

    telling = (WEIGHTS, BEST, CHECKPOINT, BEGUN)
    standing = {path.parent for name in telling for path in model.glob(f"fold_*/{name}")}
    others = sorted(folder.name for folder in standing - set(replaced))
    if not (model / MODEL).is_file() and not others:
        return False
    try:
        same = card.takes_weights_of(read_model(model))
    except PlanError:
        if others:
            raise
        return False
    if others and not same:
        found = f"{', '.join(others)} were trained with another plan, or have begun to be"
        raise PlanError(str(model), found, "folds of one plan", "remove them, or use another --runs")
    return same


def mark_begun(folder: Path, replaces: Sequence[Path]) -> None:
    """Write down that the training in `folder` has begun, in a command that `replaces` these with --overwrite."""
    write_json(folder / BEGUN, {"replaces": [other.name for other in replaces]})


def settle(folders: Sequence[Path], own: Path) -> None:
    """Say that the command has ended that trains in `folders`; this process holds the lock of `own` alone.

    What a command for more folds has begun stays marked.
    """
    names = {folder.name for folder in folders}
    for folder in folders:
        with suppress(OutputError), ExitStack() as held:  # who trains in one of them meanwhile has a mark of their own
            if folder != own:
                held.enter_context(training_alone(folder))
            if names.issuperset(_read_begun(folder)):
                (folder / BEGUN).unlink(missing_ok=True)


def _is_begun_by(folder: Path, replaces: Sequence[Path]) -> bool:
    """Whether a command that replaces just these has begun the training in `folder`."""
    return (folder / BEGUN).is_file() and _read_begun(folder) == [other.name for other in replaces]


def _read_begun(folder: Path) -> list[str]:
    """The names of the folders that the command replaces which began the training in `folder`."""
    try:
        names = read_json(folder / BEGUN, PlanError)["replaces"]
    except (PlanError, KeyError, TypeError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []
