"""Findings in one line."""

from __future__ import annotations

from autospine.data.findings import Finding


def test_a_finding_says_what_it_knows() -> None:
    whole = Finding("error", "a", "a.nii", "no such file", "an image", "add it")
    assert str(whole) == "error: a: no such file (a.nii); expected an image; add it"
    assert str(Finding("warning", "", "root", "nothing", "", "")) == "warning: nothing (root)"
