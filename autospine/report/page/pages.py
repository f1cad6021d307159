"""Pages put together of their sections, those left out for which there is nothing."""

from __future__ import annotations

from autospine.report.page.blocks import Page, Section
from autospine.report.page.chosen import choice_section, worklist_section
from autospine.report.page.material import PredictionMaterial, RunMaterial
from autospine.report.page.measured import data_section
from autospine.report.page.planned import plan_section
from autospine.report.page.predicted import prediction_summary, previews_section, volumes_section
from autospine.report.page.promised import prediction_promise_section, run_promise_section
from autospine.report.page.recorded import commands_section, model_section, settings_section
from autospine.report.page.scored import scores_section
from autospine.report.page.shown import cases_section
from autospine.report.page.summary import summary_section
from autospine.report.page.trained import training_section


def run_page(run: RunMaterial, made: str) -> Page:
    """The page of a configuration that was trained."""
    sections = (
        summary_section(run),
        scores_section(run.scores),
        cases_section(run.viewers, bool(run.scores.cases)),
        run_promise_section(run),
        choice_section(run),
        worklist_section(run),
        data_section(run),
        plan_section(run),
        training_section(run),
        model_section(run),
        settings_section(run),
        commands_section(run.commands),
    )
    data = run.estimated.plan.data
    return Page(data.dataset, f"Training of {run.configuration}", _there(sections), made)


def prediction_page(prediction: PredictionMaterial, made: str) -> Page:
    """The page of a folder of segmentations."""
    sections = (
        prediction_summary(prediction),
        prediction_promise_section(prediction.promises, prediction.scores),
        None if prediction.scores is None else scores_section(prediction.scores),
        cases_section(prediction.viewers, prediction.scores is not None),
        volumes_section(prediction),
        previews_section(prediction),
        commands_section(prediction.commands),
    )
    return Page(prediction.name, "Segmentations", _there(sections), made)


def _there(sections: tuple[Section | None, ...]) -> tuple[Section, ...]:
    return tuple(section for section in sections if section is not None)
