"""How long a tree of DICOM files is looked through, and what of it is chosen: 10 000 files of 50 studies, or fewer.

    python -m tests.benchmarks.dicom_tree [--files 10000] [--flat]

Says for a warm file cache what `find_inputs` takes, in seconds and in milliseconds a file, and what reading the headers
of a chosen series takes beside it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from autospine.data.inputs import find_inputs
from autospine.data.series_choice import Sought
from autospine.data.volume import read_geometry
from tests.data.studies import SHAPE, Study, whole_study

SERIES_OF_A_STUDY = 7


def main() -> None:
    """Write the tree, look through it, say what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--flat", action="store_true", help="all files in one folder")
    asked = parser.parse_args()
    studies = max(1, asked.files // (SERIES_OF_A_STUDY * SHAPE[0]))
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for number in range(studies):
            name = f"{number:04d}" if not asked.flat else "all"
            whole_study(
                Study.of(root, f"patient {number}"),
                lambda series, name=name, number=number: f"{name}/{series}" if not asked.flat else f"{name}",
                begin=f"{number:04d}_" if asked.flat else "",
            )
        files = sum(1 for path in root.rglob("*") if path.is_file())
        for turn in ("first", "second"):
            start = time.perf_counter()
            cases = find_inputs(root, ("T2",), sought=Sought("sagittal", True), tell=lambda note: None)
            took = time.perf_counter() - start
            print(
                f"{turn}: {files} files, {len(cases)} cases of {studies} studies in {took:.2f} s, "
                f"{1000 * took / files:.2f} ms a file"
            )
        start = time.perf_counter()
        for _, (path,) in cases[:10]:
            assert path is not None
            read_geometry(path)
        print(f"the headers of a chosen series: {(time.perf_counter() - start) / min(10, len(cases)):.3f} s")


if __name__ == "__main__":
    main()
