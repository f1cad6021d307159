from __future__ import annotations

from pathlib import Path

import torch

from autospine.training.epochs import FitResult
from autospine.training.identity import Identity
from autospine.workflow.runs.folder import read_record
from autospine.workflow.runs.record import write_record


def test_a_record_is_read_as_it_was_written_without_what_was_not_given(tmp_path: Path) -> None:
    result = FitResult(12, 3.456, (), 0.123456, 5 * 2**20)
    flags = {"init": Path("there"), "epochs": None, "overwrite": False}
    sources = {"split": {"train": ["a"], "validation": []}}
    write_record(
        tmp_path, Identity("one", "any"), flags, sources, torch.device("cpu"), result, {"images": [{"case": "a"}]}
    )
    record = read_record(tmp_path)
    assert record is not None
    assert (record["identity"], record["identity_any_length"]) == ("one", "any")
    assert record["flags"] == {"init": "there", "overwrite": False}
    assert record["split"] == sources["split"] and record["images"] == [{"case": "a"}]
    took = {"steps": 12, "seconds": 3.5, "seconds_per_step": 0.1235, "peak_memory_mib": 5}
    assert record["result"] == took
    assert read_record(tmp_path / "elsewhere") is None
