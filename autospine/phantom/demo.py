"""`autospine demo`: the commands a user would type, run on synthetic spines."""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from autospine import __version__
from autospine.data.disk.files import read_json, write_json
from autospine.data.geometry import to_canonical
from autospine.data.slices import slices_of
from autospine.data.volume import read_volume
from autospine.errors import AutospineError, OutputError, Stopped
from autospine.phantom.dataset import Scenario, channels_and_labels, write_phantom
from autospine.planning.document.plan import PLAN_SCHEMA
from autospine.report.cases import write_case_picture
from autospine.workflow.progress import Progress, counted


@dataclass(frozen=True)
class DemoResult:
    """How the demonstration came out."""

    mean_dice: float
    """Mean over the classes, on the held-out cases."""
    cases: int
    seconds: float
    picture: Path
    report: Path
    """Of what was segmented, as HTML."""


@dataclass(frozen=True)
class Staging:
    """How a scenario is put on: what the user is told, and what it adds to the commands."""

    said: str
    """What the images show."""
    cases: int = 12
    """To train on; three more are held out."""
    plan: tuple[str, ...] = ()
    """Options of `plan`."""
    evaluate: tuple[str, ...] = ()
    """Options of `evaluate`."""


def staging(scenario: Scenario) -> Staging:
    """What differs from one scenario to the next."""
    match scenario:
        case "spine":
            return Staging("a lumbar spine")
        case "lumbar":
            return Staging("axial slices of a lumbar spine", plan=("--recipe", "lumbar"))
        case "metastases":
            said = "spinal metastases in three sequences, of which some cases lack one"
            return Staging(said, 20, ("--recipe", "metastases", "--allow-missing"), ("--lesions",))
        case "tumour":
            return Staging("a spinal tumour after gadolinium", 20, ("--recipe", "tumour"), ("--lesions",))


def run_demo(
    folder: Path, budget_s: float, seed: int, device: str, scenario: Scenario = "spine", *, progress: Progress
) -> DemoResult:
    """Write a phantom below `folder`, then plan, train, predict, evaluate and report on it with the real commands.

    Scenarios do not mix: beside the spine's each has a folder of its own below `folder`.

    Raises:
        AutospineError: one of the commands failed; it has said why.
        OutputError: `folder` cannot be written.
        Stopped: the user stopped; the same call goes on.
    """
    start = time.monotonic()
    stage = staging(scenario)
    home, name = (folder, "phantom") if scenario == "spine" else (folder / scenario, f"phantom_{scenario}")
    progress.note(f"A phantom: synthetic images of {stage.said}, not patients. It shows that everything runs.")
    dataset, runs, predictions, stamp = home / name, home / "runs", home / "predictions", home / "demo.json"
    asked = {"scenario": scenario, "seed": seed, "budget_s": budget_s, "device": device, "version": __version__}
    asked["plans"] = PLAN_SCHEMA  # runs of an earlier format cannot go on
    if not stamp.is_file() or read_json(stamp) != asked:
        made_before = [place for place in (runs, predictions) if place.exists()]
        if made_before and not stamp.is_file():
            listed, remedy = ", ".join(place.name for place in made_before), "give another --folder"
            raise OutputError(str(home), f"holds {listed}, which no demonstration made", "a folder of its own", remedy)
        for place in made_before:
            shutil.rmtree(place, ignore_errors=True)
        with progress.task("Writing the phantom") as update:
            write_phantom(dataset, scenario=scenario, cases=stage.cases, seed=seed, progress=counted(update))
        write_json(stamp, asked)
    budget = f"{budget_s:g}s"
    _run(progress, "plan", dataset, *stage.plan, "--budget", budget, "--device", device, "--runs", runs)
    _run(progress, "train", dataset, "0", "--device", device, "--runs", runs)
    _run(progress, "predict", dataset / "imagesTs", predictions, "--device", device, "--runs", runs)
    _run(progress, "evaluate", predictions, dataset / "labelsTs", *stage.evaluate)
    _run(progress, "report", predictions, "--ref", dataset / "labelsTs", "--images", dataset / "imagesTs")

    content, picture = read_json(predictions / "metrics.json"), home / "demo.png"
    _draw(scenario, dataset, predictions, picture)
    report = predictions / "report.html"
    return DemoResult(content["mean"]["dice"], len(content["cases"]), time.monotonic() - start, picture, report)


def _run(progress: Progress, *words: object) -> None:
    """Print a command, then run it in a process of its own."""
    arguments = [str(word) for word in words]
    progress.note(f"\n$ autospine {shlex.join(arguments)}")
    # in a session of its own: Ctrl-C reaches this process alone, which passes it on once and waits for the checkpoint
    process = subprocess.Popen([sys.executable, "-m", "autospine", *arguments], start_new_session=True)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        _end(process)
        raise Stopped("the same command goes on from there") from None
    if code != 0:
        raise AutospineError(f"autospine {shlex.join(arguments)}", f"ended with exit code {code}", "exit code 0")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Pass a Ctrl-C on and wait until it has been answered; a second one stops at once, a third kills."""
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGKILL):
        process.send_signal(number)
        try:
            process.wait()
        except KeyboardInterrupt:
            continue
        return
    process.wait()


def _draw(scenario: Scenario, dataset: Path, predictions: Path, picture: Path) -> None:
    """The first held-out case: image, mask, prediction and what is wrong with it, side by side."""
    reference_path = sorted((dataset / "labelsTs").iterdir())[0]
    name = reference_path.name.removesuffix(".nii.gz")
    # of several sequences, the first that the case has
    image = to_canonical(read_volume(sorted((dataset / "imagesTs").glob(f"{name}_*.nii.gz"))[0]))
    reference = to_canonical(read_volume(reference_path))
    prediction = to_canonical(read_volume(predictions / reference_path.name))
    write_case_picture(
        picture,
        image.array[0],
        reference.array[0],
        prediction.array[0],
        image.geometry.spacing_mm,
        channels_and_labels(scenario)[1],
        slices_of(image.geometry),
        f"{name} (phantom, held out)",
    )
