"""`study.json`: what a study came to, from which its page is made again without looking at the arms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autospine.data.disk.files import write_json
from autospine.errors import PlanError
from autospine.planning.document.convert import from_table, to_table
from autospine.report.page.material import StudyMaterial

STUDY_FILE = "study.json"
STUDY_SCHEMA = 1
_REMEDY = "run the same `autospine study` again: what is trained is not trained again, and the file is written anew"


def write_study_file(study: StudyMaterial, folder: Path) -> None:
    """Write it in the folder of the study.

    Raises:
        OutputError: it cannot be written.
    """
    write_json(folder / STUDY_FILE, {"schema": STUDY_SCHEMA, **to_table(study)})


def study_of(content: Any, where: str) -> StudyMaterial:
    """The study in the content of its file.

    Raises:
        PlanError: it is not what autospine writes there.
    """
    if not isinstance(content, dict) or content.get("schema") != STUDY_SCHEMA:
        raise PlanError(where, "not a study's file of this version", f"schema {STUDY_SCHEMA}", _REMEDY)
    table = {key: value for key, value in content.items() if key != "schema"}
    return from_table(StudyMaterial, table, where, _REMEDY)
