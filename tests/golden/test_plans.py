"""The plans of known data stay as they are: each is compared with its digest in `plans.json`.

Where a plan is meant to change, `python -m tests.golden.record --digests` writes the digests anew.
"""

from __future__ import annotations

import json

import pytest

from tests.golden.fingerprints import REAL, real
from tests.golden.plans import few_plans, of_real
from tests.golden.record import DIGESTS, digests

CONTENT = json.loads(DIGESTS.read_text(encoding="utf-8"))


def compare(found: dict[str, str], kept: dict[str, str]) -> None:
    """Fail with the names of the plans that differ."""
    assert sorted(found) == sorted(kept), "other plans are made: python -m tests.golden.record --digests"
    changed = []
    for name, row in found.items():
        pairs = zip(("values", "reasons"), row.split(), kept[name].split(), strict=True)
        changed += [f"{name}: other {what}" for what, now, before in pairs if now != before]
    how = "run `PYTHONPATH=. python -m tests.golden.record OUT --only plans` in a checkout of before and in this one, "
    assert not changed, "\n".join([*changed, f"{how}each with an OUT of its own, and compare the two with `diff -r`"])


def test_plans_stay_as_they_are() -> None:
    compare(digests(few_plans()), CONTENT["made"])


@pytest.mark.parametrize("name", REAL)
def test_plans_of_real_data_stay_as_they_are(name: str) -> None:
    if real(name) is None:
        pytest.skip(f"the real data set {REAL[name][0]!r} is not beside this checkout (../shared/data)")
    compare(digests(of_real(name)), CONTENT["real"][name])
