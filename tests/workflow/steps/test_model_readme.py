"""The card of a model for people."""

from __future__ import annotations

from collections.abc import Callable

from autospine.planning.document.about import About, Figures, Validated, WeightsOf, limits_of
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.trained_on import TrainedOn
from autospine.workflow.steps.model_readme import model_readme
from tests.cards import card_of

SEEN = TrainedOn(12, ((3.0, 0.5, 0.5),) * 3, ((15, 300, 300),) * 3, "sagittal", ("t2 | sag",))
LABELS = (("L5", 1), ("a|b", 2), ("<script>alert(1)</script>", 3))


def test_all_that_is_known(make_configuration: Callable[..., Configuration]) -> None:
    card = card_of(make_configuration(), labels=LABELS)
    figures = Figures("a|b", 3, 0.912, 0.8, 0.9, None, 1.0, 2.5)
    about = About(
        SEEN,
        "0.1.0",
        "2.13.0",
        "2026-11-30",
        "CC-BY-4.0",
        limits_of(SEEN, card.data.channels),
        (Validated("0", 3, 0.9, 0.875, (figures,)), Validated("1", 4, None, None, ())),
        (WeightsOf("0", "ab"),),
    )
    text = model_readme(card, about)
    for line in (
        "# A model of autospine: toy, 3d_fullres",
        "- It is not a medical device: no diagnosis and no treatment may rest on it without a person who checks each "
        "segmentation.",
        "CC-BY-4.0",
        "| cases | 12 |",
        "| spacing Z, Y, X in mm, median | 3 x 0.5 x 0.5 |",
        "| DICOM series called | t2 \\| sag |",
        "Fold 0, 3 cases that it was not trained on: mean Dice 0.900; 0.875 with `--fast`.",
        "| a\\|b | 3 | 0.912 | 0.900 | not known | 2.500 |",
        "Fold 1, 4 cases that it was not trained on: mean Dice not known.",
        "| 2 | a\\|b |",
        "| SHA-256 of fold 0 | ab |",
        "| date of the training | 2026-11-30 |",
    ):
        assert line in text.splitlines(), line
    assert "<script" not in text and "&lt;script" in text


def test_what_nobody_knows_is_said(make_configuration: Callable[..., Configuration]) -> None:
    text = model_readme(card_of(make_configuration()), About())
    assert "Ask whoever gave you this model what you may do with it." in text
    assert "The number of cases, their grids and scanners are not known." in text
    assert "How well it did on cases that it was not trained on is not known." in text
    assert "| torch | not known |" in text
