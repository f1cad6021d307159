"""Write what nnU-Net's planners decide for data sets that are given as numbers: the reference for our own planner.

Run it with the Python of an environment that has ``nnunetv2`` (autospine is not imported here)::

    python nnunet_plans.py references_input.json references.json

Nothing of nnU-Net is replaced. Each data set becomes a temporary raw folder without images: a ``dataset.json`` and the
``dataset_fingerprint.json`` that nnU-Net would have extracted, from which its planner classes plan. The networks
that they build to count feature maps are made on torch's meta device, which has shapes but no weights: the counts are
the same, and a network takes milliseconds.

The output holds per data set, planner and configuration: axis order, spacing, patch, batch, strides, kernels, features,
blocks (convolutions or residual blocks per encoder stage), convolutions per decoder stage and batch Dice; strides and
kernels as one string of digits per stage. A configuration that the planner leaves out is not there.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import io
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

PLANNERS = {
    "plain": "ExperimentPlanner",
    "residual_m": "nnUNetPlannerResEncM",
    "residual_l": "nnUNetPlannerResEncL",
    "residual_xl": "nnUNetPlannerResEncXL",
}
FOLDERS = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("input", type=Path, help="data sets as numbers (references_input.json)")
    parser.add_argument("output", type=Path, help="file to write (references.json)")
    parser.add_argument("--only", nargs="+", default=None, metavar="NAME", help="plan only these data sets")
    return parser.parse_args(argv)


def write_dataset(work: Path, name: str, entry: dict[str, Any]) -> None:
    """Write the two files from which nnU-Net plans."""
    cases = [(shape, spacing) for count, shape, spacing in entry["cases"] for _ in range(count)]
    description = {
        "channel_names": {str(index): f"MR{index}" for index in range(entry["channels"])},
        "labels": {"background": 0, **{f"class_{value}": value for value in range(1, entry["classes"] + 1)}},
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
        "dataset": {"case": {"images": ["case_0000.nii.gz"], "label": "case.nii.gz"}},
    }
    fingerprint = {
        "spacings": [spacing for _, spacing in cases],
        "shapes_after_crop": [shape for shape, _ in cases],
        "foreground_intensity_properties_per_channel": {},
        "median_relative_size_after_cropping": 1.0,
    }
    for folder, file, content in (
        ("nnUNet_raw", "dataset.json", description),
        ("nnUNet_preprocessed", "dataset_fingerprint.json", fingerprint),
    ):
        path = work / folder / name
        path.mkdir(parents=True)
        (path / file).write_text(json.dumps(content))


def run_planner(name: str, planner: str) -> dict[str, Any]:
    """The plans of one nnU-Net planner class with its own defaults."""
    import nnunetv2
    import torch
    from nnunetv2.utilities.find_class_by_name import recursive_find_python_class

    folder = os.path.join(nnunetv2.__path__[0], "experiment_planning", "experiment_planners")
    planner_class = recursive_find_python_class(folder, planner, "nnunetv2.experiment_planning.experiment_planners")
    with contextlib.redirect_stdout(io.StringIO()), torch.device("meta"):
        plans: dict[str, Any] = planner_class(name).plan_experiment()
    return plans


def shorten(plans: dict[str, Any]) -> dict[str, Any]:
    """The numbers that are compared, per configuration."""
    kept: dict[str, Any] = {}
    for which in ("2d", "3d_fullres", "3d_lowres"):
        if which not in plans["configurations"]:
            continue
        configuration = plans["configurations"][which]
        network = configuration["architecture"]["arch_kwargs"]
        blocks = network["n_conv_per_stage"] if "n_conv_per_stage" in network else network["n_blocks_per_stage"]
        kept[which] = {
            "axis_order": list(plans["transpose_forward"]),
            "spacing": [float(value) for value in configuration["spacing"]],
            "patch": [int(edge) for edge in configuration["patch_size"]],
            "batch": int(configuration["batch_size"]),
            "strides": ["".join(str(step) for step in stage) for stage in network["strides"]],
            "kernels": ["".join(str(edge) for edge in stage) for stage in network["kernel_sizes"]],
            "features": list(network["features_per_stage"]),
            "blocks": list(blocks),
            "convs_decoder": next(iter(network["n_conv_per_stage_decoder"]), 0),  # none for a single stage
            "batch_dice": bool(configuration["batch_dice"]),
        }
    cascade = "3d_cascade_fullres" in plans["configurations"]
    assert cascade == ("3d_lowres" in kept), "a cascade without its first stage"
    return kept


def to_text(version: str, references: dict[str, Any]) -> str:
    """JSON with one line per configuration, so that a difference reads as one line."""
    datasets = []
    for name, planners in references.items():
        blocks = []
        for planner, configurations in planners.items():
            rows = ",\n".join(f"   {json.dumps(which)}: {json.dumps(row)}" for which, row in configurations.items())
            blocks.append(f"  {json.dumps(planner)}: {{\n{rows}}}")
        datasets.append(f" {json.dumps(name)}: {{\n" + ",\n".join(blocks) + "}")
    return f'{{"nnunetv2": {json.dumps(version)}, "datasets": {{\n' + ",\n".join(datasets) + "}}\n"


def main() -> None:
    """Plan every data set with every planner."""
    args = parse_args()
    entries = json.loads(args.input.read_text())
    references: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for variable in FOLDERS:  # nnU-Net reads them when it is first imported
            os.environ[variable] = os.path.join(folder, variable)
        for number, name in enumerate(args.only or entries, 1):
            start = time.perf_counter()
            full_name = f"Dataset{number:03d}_{name}"
            write_dataset(Path(folder), full_name, entries[name])
            references[name] = {key: shorten(run_planner(full_name, planner)) for key, planner in PLANNERS.items()}
            print(f"{name}: {time.perf_counter() - start:.1f} s", flush=True)
    args.output.write_text(to_text(importlib.metadata.version("nnunetv2"), references))


if __name__ == "__main__":
    main()
