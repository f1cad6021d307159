"""The tables of signals: in each sequence the tissues stand in the order that scanners show them in."""

from __future__ import annotations

from dataclasses import fields

import pytest

from autospine.phantom.contrast import STIR, T1, T1_GADOLINIUM, T2, Contrast

SEQUENCES = {"T2": T2, "T1": T1, "STIR": STIR, "T1 Gd": T1_GADOLINIUM}


def signal(contrast: Contrast, tissue: str) -> float:
    """Of what varies, the middle."""
    held = getattr(contrast, tissue)
    return sum(held) / len(held) if isinstance(held, tuple) else float(held)


@pytest.mark.parametrize(
    ("contrast", "brightest_first"),
    [
        (T2, ("fluid", "skin_fat", "nuclei", "marrow", "cord", "annulus", "cortex", "blood")),
        (T1, ("skin_fat", "epidural_fat", "marrow", "cord", "nuclei", "fluid", "cortex", "blood")),
        (STIR, ("fluid", "nuclei", "cord", "muscle", "marrow", "annulus", "skin_fat", "cortex")),
        (T1_GADOLINIUM, ("blood", "epidural_fat", "marrow", "vessel_wall", "cord", "fluid", "cortex")),
    ],
    ids=SEQUENCES,
)
def test_tissues_by_their_brightness(contrast: Contrast, brightest_first: tuple[str, ...]) -> None:
    held = [signal(contrast, tissue) for tissue in brightest_first]
    assert held == sorted(held, reverse=True) and len(set(held)) == len(held)


def test_fluid_tells_t1_from_t2_and_fat_tells_stir_from_both() -> None:
    assert T2.fluid == STIR.fluid > 5 * T1.fluid
    for fat in ("skin_fat", "epidural_fat", "marrow", "bowel"):
        assert signal(STIR, fat) < signal(T2, fat) / 2 < signal(T1, fat) / 2


@pytest.mark.parametrize("name", SEQUENCES)
def test_signals_are_shares_and_ranges_rise(name: str) -> None:
    contrast = SEQUENCES[name]
    assert all(0 <= signal(contrast, field.name) <= 1 for field in fields(contrast) if field.name != "streaks")
    assert contrast.marrow[0] < contrast.marrow[1]
    healthy, dry, degenerated = contrast.nuclei
    assert healthy > dry > degenerated > contrast.annulus
    assert contrast.cortex < min(contrast.marrow[0], contrast.process_marrow)


def test_gadolinium_shows_what_has_vessels() -> None:
    """Blood more than all else; fat, cord and cortex keep their signal."""
    gains = {field.name: signal(T1_GADOLINIUM, field.name) - signal(T1, field.name) for field in fields(T1)}
    assert max(gains, key=lambda tissue: gains[tissue]) == "blood" and gains["blood"] > 0.8
    assert min(gains["vessel_wall"], gains["dura"], gains["muscle"]) > 0.03
    assert {tissue for tissue, gain in gains.items() if gain == 0} >= {"skin_fat", "cord", "cortex", "annulus"}
