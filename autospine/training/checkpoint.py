"""What a training leaves on disk: the state to go on from, and weights to predict with, of its end and its best.

Batches need no state of their own, since they are a function of the step. Both files are written whole or not at all,
and read without running any code that they might hold.

The best weights are what a prediction uses when a training is stopped for good. A moving average of the mean validation
Dice tells which epoch's they are, as nnU-Net chooses its best checkpoint (Isensee et al. 2021,
`nnUNetTrainer.on_epoch_end`): a single epoch's Dice over a few patches jumps. They are copied to the host's memory
where an epoch is better, and written with a checkpoint.
"""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from safetensors.torch import save

from autospine.data.disk.files import atomic_path, is_whole_archive, unreadable
from autospine.errors import OutputError, PlanError
from autospine.networks.weights import read_metadata
from autospine.planning.document.model_file import BEST, WEIGHTS
from autospine.planning.document.parts import TrainingPlan
from autospine.training.identity import Identity
from autospine.training.progress import EpochRecord

CHECKPOINT, EARLIER = "training.ckpt", "training.earlier.ckpt"
"""The newest, and the one before it, which a training goes on from where a disk has damaged the newest."""
SPARE = 1.2
"""Room for a new checkpoint, in sizes of the last, below which the earlier one goes."""
OLD = 0.9
"""Share of the average so far in the moving average; nnU-Net's."""


@dataclass(frozen=True)
class Checkpoint:
    """A training between two steps."""

    network: dict[str, Any]
    optimiser: dict[str, Any]
    scaler: dict[str, Any]
    step: int
    seconds: float
    history: tuple[EpochRecord, ...]
    summed_loss: torch.Tensor
    """Sum of the losses since the last epoch ended, a scalar."""
    counted: int
    """Steps in that sum."""
    identity: str
    """Of the configuration, data and fold that this training belongs to: `Identity.exact`."""
    precision: str | None = None
    """In which the network computes; None in checkpoints that do not say."""
    any_length: str | None = None
    """Identity but for the length: `Identity.any_length`; None in checkpoints that do not say."""

    def is_of(self, identity: Identity) -> bool:
        """Whether the training of `identity` can go on from here, if it is long enough."""
        return self.identity == identity.exact or self.any_length == identity.any_length


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write `training.ckpt` in `folder`; the one before it is kept as `training.earlier.ckpt`.

    Raises:
        OutputError: it cannot be written; says what the same command goes on from.
    """
    content = {**vars(checkpoint), "history": [asdict(record) for record in checkpoint.history]}
    _make_room(folder)
    with saying_what_stands(folder), atomic_path(folder / CHECKPOINT, whole=is_whole_archive) as temporary:
        with temporary.open("wb") as file:  # torch's own files do not say why they cannot be written
            torch.save(content, file)
        if is_whole_archive(temporary):
            _keep_earlier(folder)


def _make_room(folder: Path) -> None:
    """Give up the earlier checkpoint where the disk has no room for another one beside the two."""
    with suppress(OSError):
        if shutil.disk_usage(folder).free < SPARE * (folder / CHECKPOINT).stat().st_size:
            forget_earlier(folder)


def _keep_earlier(folder: Path) -> None:
    """Give the newest checkpoint a second name, which stays with it when another becomes the newest."""
    if not is_whole_archive(folder / CHECKPOINT):
        return
    with atomic_path(folder / EARLIER) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(folder / CHECKPOINT, temporary)
        except OSError:  # not every file system has second names
            shutil.copyfile(folder / CHECKPOINT, temporary)


def forget_earlier(folder: Path) -> None:
    """Remove the checkpoint before the newest: a training has ended, and its weights stand beside that."""
    (folder / EARLIER).unlink(missing_ok=True)


def load_checkpoint(
    folder: Path,
    identity: Identity,
    device: torch.device,
    *,
    mmap: bool = False,
    tell: Callable[[str], None] = lambda text: None,
) -> Checkpoint | None:
    """The checkpoint of `folder`, or None where there is none; with `mmap` its tensors stay on disk until used.

    Where the newest is damaged or gone that is the one before it, of which `tell` is told.

    Raises:
        PlanError: none can be read, or it belongs to another plan, fold or dataset.
    """
    try:
        newest, damage = _read_checkpoint(folder / CHECKPOINT, identity, device, mmap=mmap), None
    except _DamagedError as fault:
        newest, damage = None, fault
    if newest is not None:
        return newest
    try:
        earlier = _read_checkpoint(folder / EARLIER, identity, device, mmap=mmap)
    except _DamagedError as fault:
        raise damage or fault from fault
    if earlier is None:
        if damage is not None:
            raise damage
        return None
    why = f"there is no {CHECKPOINT}" if damage is None else f"{damage.where}: {damage.found}"
    tell(f"{why}; the training goes on from the checkpoint before it, of step {earlier.step}")
    return earlier


class _DamagedError(PlanError):
    """A checkpoint that cannot be read."""


def _read_checkpoint(path: Path, identity: Identity, device: torch.device, *, mmap: bool) -> Checkpoint | None:
    """That at `path`, None where there is none; raises `_DamagedError`, or `PlanError` of another training."""
    remedy = "delete its folder, or give --overwrite, to start anew"
    try:
        path.open("rb").close()  # torch has words of its own for what keeps it from reading
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error, PlanError) from error
    try:
        with ZipFile(path) as archive:  # torch itself does not look at the checksums that it has written
            if archive.testzip() is not None:
                raise BadZipFile("a checksum is wrong")
        content = torch.load(path, map_location=device, weights_only=True, mmap=mmap)
        history = tuple(EpochRecord.from_dict(record) for record in content.pop("history"))
        checkpoint = Checkpoint(**content, history=history)
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError, BadZipFile) as e:
        raise _DamagedError(str(path), f"this checkpoint cannot be read ({e})", remedy=remedy) from e
    if not checkpoint.is_of(identity):
        found = "this checkpoint was made with another plan, fold, split or other data"
        raise PlanError(str(path), found, "the plan and data it was started with", remedy)
    return checkpoint


def recorded_precision(folder: Path) -> str | None:
    """The precision of the checkpoint of `folder`; None where there is none, or none that says or can be read."""
    recorded: str | None = _read_lightly(folder).get("precision")
    return recorded


def save_weights(folder: Path, network: torch.nn.Module) -> None:
    """Write `model.safetensors` in `folder`; raises as `save_checkpoint` does."""
    write_weights(folder / WEIGHTS, network.state_dict())


def write_weights(path: Path, weights: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write `weights` as safetensors, with `metadata` in the file's header; raises as `save_checkpoint` does."""
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    # the library's own files are private, whatever the umask
    content = save(kept, None if metadata is None else dict(metadata))
    with saying_what_stands(path.parent), atomic_path(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def saying_what_stands(folder: Path) -> Iterator[None]:
    """A block of writing whose `OutputError` says what the checkpoint in `folder` has kept of the training."""
    try:
        yield
    except OutputError as error:
        step = _read_lightly(folder).get("step")
        kept = f"the last checkpoint, of step {step}, is whole, and the same command goes on from it"
        if step is None:
            kept = "there is no checkpoint yet, so the same command begins this training anew"
        raise OutputError(error.where, error.found, error.expected, f"{error.remedy}: {kept}") from error


def _read_lightly(folder: Path) -> dict[str, Any]:
    """What the checkpoint of `folder` holds, its tensors left on disk; empty where there is none that can be read."""
    for name in (CHECKPOINT, EARLIER):
        try:
            content = torch.load(folder / name, map_location="cpu", weights_only=True, mmap=True)
        except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
            continue
        if isinstance(content, dict):
            return content
    return {}


def moving_dice(history: Sequence[EpochRecord]) -> float | None:
    """The moving average of the mean Dice after the last of these epochs; None where none has a Dice."""
    average: float | None = None
    for record in history:
        if record.mean_dice is not None:
            average = record.mean_dice if average is None else OLD * average + (1 - OLD) * record.mean_dice
    return average


class BestWeights:
    """Keeps the best weights of the training in a folder, as `best.safetensors`."""

    def __init__(self, folder: Path, training: TrainingPlan) -> None:
        """Go on with what stands in `folder`."""
        self._path, self._training = folder / BEST, training
        self._dice = _written_dice(self._path)
        """Moving Dice of the best epoch; None before there is one."""
        self._kept: dict[str, torch.Tensor] = {}
        self._about: dict[str, str] = {}
        """Of `_kept`; empty once it is written."""

    def remove(self) -> None:
        """Forget all of it, the file too: a training begins, or has ended."""
        self._path.unlink(missing_ok=True)
        self._dice, self._about = None, {}

    def look(self, weights: Mapping[str, torch.Tensor], history: Sequence[EpochRecord]) -> None:
        """Keep a copy of `weights` where the epoch that has just ended, the last of `history`, is the best."""
        dice = moving_dice(history)
        if history[-1].mean_dice is None or dice is None or (self._dice is not None and dice <= self._dice):
            return
        self._dice = dice
        for name, tensor in weights.items():
            if name not in self._kept:
                self._kept[name] = torch.empty_like(tensor, device="cpu")
            self._kept[name].copy_(tensor)
        self._about = {**self._stand(history[-1].step, len(history)), "moving_dice": repr(dice)}

    def write(self, weights: Mapping[str, torch.Tensor], step: int, history: Sequence[EpochRecord]) -> None:
        """Bring the best to the disk where they are not there; before there is a Dice to go by, these `weights`."""
        if self._dice is None:
            write_weights(self._path, weights, self._stand(step, len(history)))
        elif self._about:
            write_weights(self._path, self._kept, self._about)
            self._about = {}

    def _stand(self, step: int, epoch: int) -> dict[str, str]:
        planned = {"epochs": str(self._training.epochs)} if self._training.budget_s is None else {}
        return {"step": str(step), "epoch": str(epoch), **planned}


def _written_dice(path: Path) -> float | None:
    """The moving Dice of the weights at `path`; None where there are none that say."""
    try:
        return float(read_metadata(path)["moving_dice"])
    except (KeyError, ValueError):
        return None
