"""Write all that is made of known data: plans, and the weights, scores and masks of tiny trainings.

    python -m tests.golden.record OUT             into the folder OUT, as sorted text
    python -m tests.golden.record OUT --only plans
    python -m tests.golden.record --digests       `plans.json` anew, which `test_plans.py` compares with

It is for two checkouts on one machine, before and after a change that is to change nothing, each with its own folder in
PYTHONPATH; `diff -r BEFORE AFTER` is then empty. Other machines compute other bits: weights and masks are in no file
that is committed. OUT must not exist, so that nothing of an earlier record stays in it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import autospine
from tests.golden.fingerprints import REAL
from tests.golden.plans import Named, few_plans, of_real, plans

DIGESTS = Path(__file__).with_name("plans.json")
HASHES = (".folds.made_for", ".folds.made_by")
"""Keys of hashes of floats, which differ where the last bit does."""


def main() -> None:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", help="folder to write")
    parser.add_argument("--only", choices=("plans", "trainings"), help="leave the others out")
    parser.add_argument("--digests", action="store_true", help="write plans.json anew")
    arguments = parser.parse_args()
    if arguments.digests == (arguments.out is not None):
        parser.error("give OUT, or --digests")
    sys.stdout.write(f"recording {Path(autospine.__file__).parent}\n")
    if arguments.digests:
        write_digests()
        return
    arguments.out.mkdir(parents=True)
    if arguments.only != "trainings":
        write_plans(arguments.out / "plans")
    if arguments.only != "plans":
        os.environ["OMP_NUM_THREADS"] = "1"  # read by torch, which the trainings import
        from tests.golden.trainings import trainings

        for name, lines in trainings():
            write_lines(arguments.out / "trainings" / f"{name}.txt", lines)


def write_plans(folder: Path) -> None:
    """A text of each plan: `key = value  # why: reason`, by key; a reason of what has no value stands alone."""
    for name, values, reasons in plans():
        why = {key: f"  # why: {reason}" for key, reason in reasons.items()}
        rows = {key: f"{key} = {_text(values[key]) if key in values else ''}" for key in values.keys() | why.keys()}
        write_lines(folder / f"{name}.txt", (rows[key] + why.get(key, "") for key in sorted(rows)))


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """A text file, in folders made for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def write_digests() -> None:
    """`plans.json`: the plans of the test, and those of each real folder that is there; the others stay as they are."""
    kept = json.loads(DIGESTS.read_text(encoding="utf-8")) if DIGESTS.is_file() else {"real": {}}
    found = {name: digests(of_real(name)) for name in REAL}
    content = {"made": digests(few_plans()), "real": kept["real"] | {name: row for name, row in found.items() if row}}
    DIGESTS.write_text(json.dumps(content, indent=0, sort_keys=True) + "\n", encoding="utf-8")


def digests(named: Named) -> dict[str, str]:
    """Name -> the digests of values and reasons, as far as they are the same on every machine."""
    return {name: f"{_digest(_portable(name, values))} {_digest(reasons)}" for name, values, reasons in named}


def _portable(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """What does not hang on the last bit of a float: of measured data the fingerprint's hash does."""
    left_out = (*HASHES, "fingerprint_hash") if name.startswith("real/") else HASHES
    return {key: _rounded(value) for key, value in values.items() if not key.endswith(left_out)}


def _rounded(value: Any) -> Any:
    """Every float as text of nine digits."""
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value


def _digest(table: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:10]


def _text(value: Any) -> str:
    """A value on one line, the floats by their `repr`."""
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    main()
