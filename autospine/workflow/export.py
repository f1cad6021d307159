"""`autospine export`: a trained model as one file to be given away, or as ONNX networks for other software.

What leaves is made for strangers: weights, decisions, names of structures, figures of whole folds. Names of cases, of
patients and of files stay behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autospine.data.disk.files import read_json
from autospine.data.folds import FULL
from autospine.errors import OutputError, PlanError
from autospine.inference.settings import Settings
from autospine.planning.document.about import (
    ABOUT,
    About,
    Validated,
    WeightsOf,
    about_table,
    limits_of,
    read_about,
)
from autospine.planning.document.convert import MOST_DOCUMENT_BYTES, Reader, to_table
from autospine.planning.document.data import DataPlan
from autospine.planning.document.model_archive import (
    LABELS,
    README,
    SUFFIX,
    json_bytes,
    opened_model,
    write_archive,
)
from autospine.planning.document.model_file import CALIBRATION, MODEL, PREVIOUS, fold_folder, fold_weights
from autospine.planning.document.postprocessing import POSTPROCESSING, postprocessing_table
from autospine.planning.document.promise import PROMISE, promise_table, read_promise
from autospine.planning.document.trust import TRUST, read_trust, trust_table
from autospine.workflow.progress import Progress, Silent
from autospine.workflow.runs.fast import FAST_FILE
from autospine.workflow.runs.folder import METRICS_FILE
from autospine.workflow.runs.selection import choose_models
from autospine.workflow.steps.about import trained_before
from autospine.workflow.steps.model_readme import model_readme
from autospine.workflow.steps.outputs import structures_written

if TYPE_CHECKING:
    from autospine.inference.predictor import Predictor

ONNX_SUFFIX = ".onnx"


@dataclass(frozen=True)
class ExportRequest:
    """What the user asked for."""

    model: Path
    """A model folder, the folder of a run in which one was selected, or a file that was exported before."""
    folds: tuple[str, ...] | None = None
    """Folds to give away; None: all that are trained."""
    licence: str | None = None
    """Under which the model may be used; None: what the model says already."""
    onnx: bool = False
    """Write ONNX networks beside the model's file, too."""
    image: Path | None = None
    """An image with all channels, on which ONNX networks are compared as well."""
    overwrite: bool = False
    """Replace files that stand there."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    files: tuple[Path, ...]
    folds: tuple[str, ...]
    differences: Mapping[str, float]
    """ONNX file -> largest difference between its logits and torch's."""


def export_model(target: Path, request: ExportRequest, *, progress: Progress | None = None) -> Exported:
    """Write a model as `target`: one `.autospine` file, or one `.onnx` file a network with a JSON beside them.

    The model is loaded first, with all checks that a prediction makes. The same model gives the same `.autospine`
    file, byte by byte.

    Raises:
        PlanError: no model, a broken one, no such fold, or an ONNX network that does not compute as torch's does.
        OutputError: `target` has another ending, is there already, or cannot be written.
    """
    progress = progress or Silent()
    one_file = target.suffix.lower() == SUFFIX
    if not one_file and target.suffix.lower() != ONNX_SUFFIX:
        found = f"cannot tell by the ending {target.suffix!r} what to write"
        remedy = f"name it {target.stem or 'model'}{SUFFIX}, or {target.stem or 'model'}{ONNX_SUFFIX} for ONNX"
        raise OutputError(str(target), found, f"{SUFFIX} or {ONNX_SUFFIX}", remedy)
    with_onnx = request.onnx or not one_file
    if request.image is not None and not with_onnx:
        raise PlanError("--image", "nothing to compare on it", "an export of ONNX networks", "add --onnx")
    if with_onnx:
        from autospine.networks.onnx import check_installed

        check_installed()
    with opened_model(_one_model(request.model), request.folds) as folder:
        model = _load(folder, request)
        for stage in model.stages:
            for said in stage.origin.unfinished:
                progress.note(said)
        networks = _onnx_names(target, model) if with_onnx else {}
        written = [*([target] if one_file else []), *networks.values()]
        if networks:
            written.append(target.with_suffix(".json"))
        _check_free(written, request.overwrite)
        if one_file:
            with progress.task(f"Writing {target.name}"):
                _write_file(target, folder, model, request.licence)
        differences = _write_onnx(target, model, networks, request.image, progress) if networks else {}
    return Exported(tuple(written), model.origin.folds, differences)


def _one_model(path: Path) -> Path:
    """The model that is meant by `path`: itself, or the one that was selected in the folder of a run.

    Raises:
        PlanError: an ensemble was selected, which is no one model.
    """
    found = choose_models(path)
    if len(found.folders) > 1:
        named = " and ".join(str(folder) for folder in found.folders)
        said = f"an ensemble was selected here ({' + '.join(folder.name for folder in found.folders)})"
        raise PlanError(str(path), said, "one model", f"export each of its members: {named}")
    return found.folders[0]


def _load(folder: Path, request: ExportRequest) -> Predictor:
    """The model, whole and sound, on the CPU."""
    import torch

    from autospine.inference.loading import load_stages

    return load_stages(folder, torch.device("cpu"), Settings(request.folds))


def _check_free(paths: Sequence[Path], overwrite: bool) -> None:
    """Raise `OutputError` where something stands there that is not to be replaced."""
    there = [path for path in paths if path.exists()]
    if any(not path.is_file() for path in there) or (there and not overwrite):
        named = ", ".join(path.name for path in there[:3])
        raise OutputError(
            str(paths[0]), f"{named} stands there already", "", "choose another name, or give --overwrite"
        )


def _write_file(target: Path, folder: Path, model: Predictor, licence: str | None) -> None:
    """Write the model and what it starts from as one file."""
    members: dict[str, Path | bytes] = {}
    digests: dict[str, str] = {}
    about = None
    for stage in model.stages:
        name = stage.card.configuration.name
        place = folder if stage is model else folder.resolve().parent / name
        told = _about(place, stage, licence)
        about = about or told
        members |= {
            f"{name}/{ABOUT}": json_bytes(about_table(told)),
            f"{name}/{LABELS}": json_bytes(labels_table(stage.card.data)),
            f"{name}/{MODEL}": place / MODEL,
        }
        if (place / CALIBRATION).is_file():
            members[f"{name}/{CALIBRATION}"] = json_bytes({"temperature": stage.temperature})
        if stage.postprocessing:
            members[f"{name}/{POSTPROCESSING}"] = json_bytes(postprocessing_table(stage.postprocessing))
        promise = read_promise(place)
        if promise is not None and FULL not in stage.origin.folds:  # of which nobody knows what it keeps
            members[f"{name}/{PROMISE}"] = json_bytes(promise_table(promise))
        trust = read_trust(place)
        if trust is not None:
            members[f"{name}/{TRUST}"] = json_bytes(trust_table(trust))
        digests[f"{name}/{MODEL}"] = stage.origin.digests[0]
        for fold, digest in zip(stage.origin.folds, stage.origin.digests[1:], strict=True):
            weights = fold_weights(place, fold)
            members[f"{name}/fold_{fold}/{weights.name}"] = weights
            digests[f"{name}/fold_{fold}/{weights.name}"] = digest
            if stage.card.configuration.previous is not None:
                members[f"{name}/fold_{fold}/{PREVIOUS}"] = fold_folder(place, fold) / PREVIOUS
    assert about is not None  # of the model itself
    members[README] = model_readme(model.card, about).encode("utf-8", "replace")
    write_archive(target, model.card.configuration.name, members, digests)


def labels_table(data: DataPlan) -> dict[str, Any]:
    """What the values in a segmentation mean: names, codes and colours as predictions write them.

    A label that is in no segmentation, since regions are written in its place, has its name and value alone.
    """
    written = {one.value: to_table(one) for one in structures_written(data)}
    labels = [written.get(value, {"name": name, "value": value}) for name, value in data.labels]
    table: dict[str, Any] = {"labels": labels}
    if data.regions:
        table["regions"] = [
            {"name": one.name, "values": list(one.values), "written_as": one.written} for one in data.regions
        ]
    return table


def _about(folder: Path, stage: Predictor, licence: str | None) -> About:
    """What is told of a stage: what its folder says, with what is known of its folds."""
    data, origin = stage.card.data, stage.origin
    known = read_about(folder) or About()
    seen = known.trained_on or trained_before(folder, data)
    before = {one.fold: one for one in known.validation}
    scored = [_validated(folder, fold, data) or before.get(fold) for fold in origin.folds]
    weights = zip(origin.folds, origin.digests[1:], strict=True)
    return replace(
        known,
        trained_on=seen,
        licence=licence or known.licence,
        limits=known.limits or limits_of(seen, data.channels),
        validation=tuple(one for one in scored if one is not None),
        weights=tuple(WeightsOf(fold, digest) for fold, digest in weights),
    )


def _validated(folder: Path, fold: str, data: DataPlan) -> Validated | None:
    """How a fold did on its validation cases, without their names; None where that is not known.

    Raises:
        PlanError: its file is there and is not what a training writes.
    """
    path = fold_folder(folder, fold) / METRICS_FILE
    if not path.is_file():
        return None
    content = read_json(path, PlanError)
    try:
        classes, mean = content["classes"], content["mean"]["dice"]
        structures = [_figures(name, classes[name]) for name in data.targets if name in classes]
        table = {
            "fold": fold,
            "cases": len(content["cases"]),
            "dice": mean,
            "fast_dice": _fast_dice(path),
            "structures": structures,
        }
    except (KeyError, TypeError, AttributeError) as fault:
        expected, remedy = "the file that train wrote", "remove it, or restore it"
        raise PlanError(str(path), f"not scores of a fold ({fault})", expected, remedy) from fault
    reader = Reader(str(path), "remove the file, or restore it")
    return reader.sound(reader.table(Validated, table))


def _figures(name: str, scores: Mapping[str, Any]) -> dict[str, Any]:
    """A class of `metrics.json` as `Figures` has it."""
    kinds = ("dice", "iou", "precision", "sensitivity", "specificity", "hd95_mm")
    # a file of an earlier version may lack some
    return {"structure": name, "cases": scores["cases"]["dice"], **{kind: scores.get(kind) for kind in kinds}}


def _fast_dice(metrics: Path) -> float | None:
    """The mean Dice of the fold as `--fast` predicts; None where nobody measured it."""
    path = metrics.with_name(FAST_FILE)
    if not path.is_file():
        return None
    content = read_json(path, PlanError, MOST_DOCUMENT_BYTES)
    try:
        value: float | None = content["fast_dice"]
    except (KeyError, TypeError) as fault:
        remedy = "remove it, or restore it"
        raise PlanError(
            str(path), "not the scores of a fast prediction", "the file that train wrote", remedy
        ) from fault
    return value


def _onnx_names(target: Path, model: Predictor) -> dict[tuple[str, str], Path]:
    """(configuration, fold) -> file of its network: `target` itself where it is the only one."""
    pairs = [(stage.card.configuration.name, fold) for stage in model.stages for fold in stage.origin.folds]
    if len(pairs) == 1:
        return {pairs[0]: target.with_suffix(ONNX_SUFFIX)}
    several = len(model.stages) > 1
    return {
        (name, fold): target.with_name(f"{target.stem}{f'_{name}' if several else ''}_fold_{fold}{ONNX_SUFFIX}")
        for name, fold in pairs
    }


def _write_onnx(
    target: Path,
    model: Predictor,
    files: Mapping[tuple[str, str], Path],
    image: Path | None,
    progress: Progress,
) -> dict[str, float]:
    """Write each network and what belongs around them; ONNX file -> largest difference."""
    from autospine.data.disk.files import write_json
    from autospine.networks.onnx import write_onnx
    from autospine.workflow.steps.onnx_description import describe_stages, real_patches

    differences: dict[str, float] = {}
    with progress.task("Writing ONNX networks") as update:
        for stage in model.stages:
            configuration = stage.card.configuration
            patches = None if image is None else real_patches(image, stage.card)
            for fold, network in zip(stage.origin.folds, stage.networks, strict=True):
                path = files[configuration.name, fold]
                update(path.name, len(differences) / len(files))
                differences[path.name] = write_onnx(path, network, configuration, patches)
                on = "random numbers" if image is None else f"random numbers and {image.name}"
                progress.note(
                    f"{path.name}: its output differs from torch's by at most {differences[path.name]:.2g} on {on}"
                )
    write_json(target.with_suffix(".json"), describe_stages(model, files, differences))
    return differences
