"""nnU-Net as one side of `prediction_speed.py`: it plans, makes networks that nobody trained, and predicts when asked.

Run by that script with the Python of an environment that has ``nnunetv2`` (autospine is not imported here). On standard
output it says ``ready``, then answers each line of standard input, ``<configuration> <mirror, 0 or 1> <image>``, with
the seconds from file to file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from nnunet_reference import PLANS_NAME, link_dataset, plan, plan_essentials, set_environment


def predictors(plans: dict[str, Any], dataset: dict[str, Any], configuration: str) -> dict[bool, Any]:
    """nnU-Net's predictor with the planned network and its defaults, with mirroring along all axes and without."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(plans)
    planned = manager.get_configuration(configuration)
    channels = determine_num_input_channels(manager, planned, dataset)
    torch.manual_seed(0)
    network = get_network_from_plans(
        planned.network_arch_class_name,
        planned.network_arch_init_kwargs,
        planned.network_arch_init_kwargs_req_import,
        channels,
        manager.get_label_manager(dataset).num_segmentation_heads,
        deep_supervision=False,
    ).eval()
    axes = tuple(range(len(planned.patch_size)))
    made = {}
    for mirror in (True, False):
        made[mirror] = nnUNetPredictor(
            tile_step_size=0.5,
            use_gaussian=True,
            use_mirroring=mirror,
            perform_everything_on_device=False,
            device=torch.device("cpu"),
            allow_tqdm=False,
        )
        parameters = [network.state_dict()]
        made[mirror].manual_initialization(network, manager, planned, parameters, dataset, "nnUNetTrainer", axes)
    return made


def main() -> None:
    """Answer until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    work = asked.work.resolve()
    set_environment(work, asked.threads)
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        import torch

        torch.set_num_threads(asked.threads)
        name = link_dataset(asked.dataset, work)
        plan(name, work, asked.threads)
        plans = json.loads((work / "preprocessed" / name / f"{PLANS_NAME}.json").read_text())
        dataset = json.loads((work / "raw" / name / "dataset.json").read_text())
        made = {key: predictors(plans, dataset, key) for key in ("2d", "3d_fullres")}
        for key in made:
            print(json.dumps(plan_essentials(plans, key)), file=sys.stderr)
        print("ready", file=answers, flush=True)
        for line in sys.stdin:
            configuration, mirror, image = line.rstrip("\n").split(" ", 2)
            start = time.perf_counter()
            made[configuration][mirror == "1"].predict_from_files_sequential([[image]], [str(work / "predicted")])
            print(time.perf_counter() - start, file=answers, flush=True)


if __name__ == "__main__":
    main()
