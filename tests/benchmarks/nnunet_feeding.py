"""nnU-Net as one side of `feeding.py`: it plans, preprocesses, and builds augmented training batches when asked.

Run by that script with the Python of an environment that has ``nnunetv2`` (autospine is not imported here). On standard
output it says ``ready``, then answers each line of standard input, ``<configuration> <batches>``, with the processor
seconds that so many batches took and the samples of a batch.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from nnunet_reference import PLANS_NAME, link_dataset, plan, preprocess, set_environment


def loader(plans: dict[str, Any], dataset: dict[str, Any], configuration: str) -> tuple[Any, int]:
    """nnU-Net's own loader of training batches with its own transforms, in this process; and its batch size."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    trainer = nnUNetTrainer(
        plans={**plans, "continue_training": False},
        configuration=configuration,
        fold=0,
        dataset_json=dataset,
        device=torch.device("cpu"),
    )
    trainer._set_batch_size_and_oversample()
    training, _ = trainer.get_dataloaders()
    return training, trainer.batch_size


def main() -> None:
    """Answer until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    asked = parser.parse_args()
    work = asked.work.resolve()
    set_environment(work, 1)
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        import torch

        name = link_dataset(asked.dataset, work)
        plan(name, work, 1)
        for key in ("2d", "3d_fullres"):
            preprocess(key, work, 1)
        plans = json.loads((work / "preprocessed" / name / f"{PLANS_NAME}.json").read_text())
        dataset = json.loads((work / "raw" / name / "dataset.json").read_text())
        os.environ["nnUNet_n_proc_DA"] = "0"
        torch.set_num_threads(1)
        made = {key: loader(plans, dataset, key) for key in ("2d", "3d_fullres")}
        print("ready", file=answers, flush=True)
        for line in sys.stdin:
            key, count = line.split()
            batches, size = made[key]
            start = time.process_time()
            for _ in range(int(count)):
                next(batches)
            print(time.process_time() - start, size, file=answers, flush=True)


if __name__ == "__main__":
    main()
