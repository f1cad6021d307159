"""lumbar-t2 with two classes of very different size, for the size-adaptive loss (docs/benchmarks/budget.md).

    python tests/benchmarks/small_class.py lumbar-t2 OUT --shrink 3

Class 1 are all levels but the topmost, class 2 is the core of the topmost: its slices without their outer `--shrink`
pixels (column over core: 15 times with 3, 60 with 6). OUT is a dataset whose images are linked to.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
from scipy import ndimage

from autospine.data.dataset import open_dataset
from autospine.data.volume import read_volume, write_volume

TOPMOST = 7


def main() -> None:
    """Write the masks and print the median ratio of pixels in a slice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--shrink", type=int, required=True)
    asked = parser.parse_args()
    dataset = open_dataset(asked.dataset)
    asked.out.mkdir(parents=True)
    (asked.out / "imagesTr").symlink_to((asked.dataset / "imagesTr").resolve())
    ratios = []
    for case in dataset.cases:
        assert case.label is not None
        volume = read_volume(case.label)
        array = volume.array[0]
        through = int(np.argmax(volume.geometry.spacing_mm))
        window = np.ones([1 if axis == through else 3 for axis in range(3)], bool)
        core = ndimage.binary_erosion(array == TOPMOST, window, iterations=asked.shrink)
        made = np.where(core, 2, (array > 0) & (array < TOPMOST)).astype(np.uint8)
        others = tuple(axis for axis in range(3) if axis != through)
        column, small = ((made == value).sum(axis=others) for value in (1, 2))
        ratios.append(median(column[column > 0]) / median(small[small > 0]))
        write_volume(asked.out / "labelsTr" / case.label.name, replace(volume, array=made[None]))
    described = {
        "channel_names": {"0": "T2"},
        "labels": {"background": 0, "column": 1, "core": 2},
        "file_ending": ".nii.gz",
    }
    (asked.out / "dataset.json").write_text(json.dumps(described))
    print(f"column over core: {median(ratios):.1f} times")


if __name__ == "__main__":
    main()
