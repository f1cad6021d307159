from __future__ import annotations

from autospine.planning.decide.intensities import normalisation_of


def test_normalisation_follows_the_channel_name() -> None:
    assert [normalisation_of(name) for name in ("CT", "ct", "T2", "ADC")] == ["ct", "ct", "zscore", "zscore"]
