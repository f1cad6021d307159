"""Synthetic spines: labelled volumes that behave like MR scans, for the demo and the tests.

    spine       sagittal T2, every level with its name: all levels look alike, and a network has to see where it stands
    lumbar      axial T2 slices, large anatomy and small (Zhang et al. 2023)
    metastases  lytic and sclerotic lesions in T1, T2 and STIR, of which a case may lack one (Hille et al. 2020)
    tumour      one tumour after gadolinium, among vessels as bright (Chen et al. 2024)

A scene is drawn on a grid finer than a voxel (grid.py) and scanned (scan.py): partial volume, a receive
field, Rician noise, an oblique file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np

from autospine.data.disk.files import read_json, write_json
from autospine.data.volume import write_volume
from autospine.errors import OutputError
from autospine.machine.jobs import Progress
from autospine.phantom import anatomy, axial, lesions, tumour
from autospine.phantom.scan import PhantomCase, scan

Scenario = Literal["spine", "lumbar", "metastases", "tumour"]
SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)
Labels = tuple[tuple[str, int], ...]

DESCRIPTION = (
    "autospine phantom: synthetic images of a lumbar spine, drawn by a computer program from a random seed. "
    "No patient, no scanner; scores on it say that the software works, nothing about clinical use."
)


def write_phantom(
    root: Path,
    *,
    scenario: Scenario = "spine",
    cases: int = 12,
    test_cases: int = 3,
    seed: int = 0,
    progress: Progress = lambda case, done, total: None,
) -> Path:
    """Writes a phantom dataset in nnU-Net's raw layout and returns `root`.

    `imagesTr`/`labelsTr` hold the cases to train on, `imagesTs`/`labelsTs` those kept apart. The same seed gives the
    same voxels. A phantom that is there already is replaced.

    Args:
        root: the dataset's folder, made where it is missing.
        scenario: what is drawn.
        cases: number of training cases.
        test_cases: number of cases kept apart.
        seed: of everything that is random.
        progress: called with (case, done, total) after each case.

    Raises:
        OutputError: the folder cannot be written, or holds a dataset that is not a phantom.
    """
    root, manifest = Path(root), Path(root) / "dataset.json"
    if manifest.exists() and not _is_phantom(manifest):
        found = "holds a dataset that is not a phantom"
        raise OutputError(str(root), found, "an empty or new folder", "give another folder")
    _remove_cases(root)
    channels, labels = channels_and_labels(scenario)
    total = cases + test_cases
    for number in range(total):
        name = f"phantom_{number + 1:03d}"
        suffix, place = ("Tr", number) if number < cases else ("Ts", number - cases)
        case = draw_case(seed, number, scenario)
        for channel, image in enumerate(case.image):
            if channel != missing_channel(scenario, place):
                write_volume(root / f"images{suffix}" / f"{name}_{channel:04d}.nii.gz", case.stored(image))
        write_volume(root / f"labels{suffix}" / f"{name}.nii.gz", case.stored(case.label))
        progress(name, number + 1, total)
    write_json(
        manifest,
        {
            "name": "phantom" if scenario == "spine" else f"phantom {scenario}",
            "description": DESCRIPTION,
            "channel_names": {str(index): name for index, name in enumerate(channels)},
            "labels": {"background": 0} | dict(labels),
            "numTraining": cases,
            "file_ending": ".nii.gz",
        },
    )
    return root


def _is_phantom(manifest: Path) -> bool:
    """Whether a dataset.json was written by `write_phantom`."""
    content = read_json(manifest)
    return isinstance(content, dict) and content.get("description") == DESCRIPTION


def _remove_cases(root: Path) -> None:
    """Removes the cases of an earlier phantom, which may have had more of them."""
    try:
        for folder in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
            for stale in (root / folder).glob("phantom_*.nii.gz"):
                stale.unlink()
    except OSError as error:
        raise OutputError(str(root), f"cannot be cleared ({error})", remedy="give another folder") from error


def draw_case(seed: int, number: int, scenario: Scenario = "spine") -> PhantomCase:
    """Phantom `number` of the series `seed`: its own size, voxels, pose, anatomy, contrast, field and noise."""
    rng = np.random.default_rng((seed, number))
    match scenario:
        case "spine":
            scene = anatomy.draw_spine(rng)
        case "lumbar":
            scene = axial.draw_axial(rng)
        case "metastases":
            scene = lesions.draw_metastases(rng, number)
        case "tumour":
            scene = tumour.draw_tumour(rng)
    return scan(rng, scene)


def channels_and_labels(scenario: Scenario) -> tuple[tuple[str, ...], Labels]:
    """Names of the sequences, and (name, value on disk) of the classes."""
    match scenario:
        case "spine":
            return anatomy.CHANNELS, anatomy.LABELS
        case "lumbar":
            return axial.CHANNELS, axial.LABELS
        case "metastases":
            return lesions.CHANNELS, lesions.LABELS
        case "tumour":
            return tumour.CHANNELS, tumour.LABELS


def missing_channel(scenario: Scenario, place: int) -> int | None:
    """The channel that case `place` of a split lacks: of metastases, every third case lacks one of the three in turn.

    The first case of a split lacks none.
    """
    if scenario != "metastases" or place % 3 != 1:
        return None
    return (2, 1, 0)[place // 3 % 3]
