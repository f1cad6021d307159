"""What a prediction says of itself comes back from its file, or is refused in one message."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from autospine.errors import PlanError
from autospine.planning.document.evidence import Evidence, StructureEvidence
from tests.evidence import CHANNEL, evidence_of, missing, structure_of


def test_it_comes_back() -> None:
    for evidence in (
        evidence_of({"L5": structure_of(0.9, disagreement=0.1), "L4": missing()}, networks=5, temperature=1.4),
        evidence_of({"all": structure_of(0.9)}, channels=(None, CHANNEL), levels_missing=1, sides_swapped=2),
    ):
        assert Evidence.from_json(json.loads(json.dumps(evidence.to_json()))) == evidence


def test_the_expected_dice_is_that_of_the_probabilities() -> None:
    """Four voxels where it wins, with .9 .8 .7 .6, and two where it does not, with .3 and .2."""
    own = StructureEvidence(4, 3.5, 3.0, 0.1, islands=1)
    assert own.expected_dice == pytest.approx(2 * 3.0 / (4 + 3.5)) and own.found
    assert missing().expected_dice is None and not missing().found
    assert not replace(own, islands=0).found  # lost on the way to the image's own grid
    assert StructureEvidence(2, 2.0, 2.0, 0.0).expected_dice == 1.0


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda table: table.pop("structures"), "a table of structures"),
        (lambda table: table.update(structures=[1]), "a table of structures"),
        (lambda table: table["structures"]["L5"].update(entropy=1.5), "key L5.entropy.*from 0 to 1"),
        (lambda table: table["structures"]["L5"].pop("inside"), "the key `inside` is missing"),
        (lambda table: table["channels"][0].update(layout=[0.0]), "27 numbers"),
        (lambda table: table["channels"][0].update(noise=-1), "at least 0"),
        (lambda table: table.update(spacing_mm=[1.0, 1.0]), "a list of 3 values"),
        (lambda table: table.update(levels_missing=-1), "at least 0"),
        (lambda table: table.update(patient="Miller"), "no key `patient`"),
        (lambda table: table["channels"][0].update(percentiles=[float("inf")] * 7), "finite"),
    ],
)
def test_what_is_no_evidence_is_refused_with_its_key(edit: Any, said: str) -> None:
    table = json.loads(json.dumps(evidence_of({"L5": structure_of(0.9)}).to_json()))
    edit(table)
    with pytest.raises(PlanError, match=f"(?s){said}") as fault:
        Evidence.from_json(table, "evidence.json, a")
    assert "evidence.json, a" in str(fault.value)
    with pytest.raises(PlanError):
        Evidence.from_json("nothing")
