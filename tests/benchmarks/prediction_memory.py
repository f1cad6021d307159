"""Memory that predicting a case takes beside the program: the peak of a process of its own, for each shape.

    python tests/benchmarks/prediction_memory.py                       # this checkout
    cd ANOTHER_CHECKOUT && python PATH/tests/benchmarks/prediction_memory.py

A 2D network of four features segments a case of noise, one thread, no mirrorings. What counts is the high-water mark of
the resident size that Linux keeps, less what the process has taken before the image is made.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CASES = (
    ((100, 512, 512), 1.0, 4),
    ((100, 500, 500), 1.0, 4),
    ((100, 500, 500), 1.25, 4),
    ((100, 512, 512), 1.0, 25),
    ((100, 500, 500), 1.0, 25),
)
"""Shape, spacing of the model in mm where the image has 1, classes with background; the patch is 512 x 512."""
CODE = """
import sys, numpy as np, torch
from dataclasses import replace
from pathlib import Path
from autospine.data.geometry import Geometry, Volume
from autospine.inference.predictor import Predictor
from autospine.networks.unet import UNet
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.data import DataPlan, IntensityPlan
import SimpleITK, nibabel, scipy.ndimage
from memory import plan

shape, spacing, classes = tuple(map(int, sys.argv[1].split("x"))), float(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(1)
configuration = replace(plan((512, 512), 2, (4, 8), classes - 1), spacing_mm=(spacing, spacing))
labels = tuple((f"k{value}", value) for value in range(1, classes))
card = ModelCard(DataPlan("noise", ("T2",), (IntensityPlan(0.0, 1.0, 0.0, 1.0),), labels), configuration)
torch.manual_seed(0)
network = UNet(configuration.network, (512, 512)).eval()
model = Predictor(card, (network,), torch.device("cpu"), mirror=False, precision="float32")
def peak():
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines()
                if line.startswith("VmHWM")) / 1e6
before = peak()
image = np.random.default_rng(0).normal(100, 10, (1, *shape)).astype(np.float32)
grid = Geometry(shape, (3.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
volume = Volume(image, grid)
del image
made = model.segment(volume, "noise").labels
print(f"{peak() - before:.2f} GB", int(made.array.astype(np.int64).sum()))
"""


def main() -> None:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    for shape, spacing, classes in CASES:
        text = "x".join(map(str, shape))
        done = subprocess.run(
            [sys.executable, "-c", CODE, text, str(spacing), str(classes)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(HERE)])},
        )
        print(f"{text} at {spacing:g} mm, {classes} classes: {done.stdout.strip() or done.stderr.strip()[-300:]}")


if __name__ == "__main__":
    main()
