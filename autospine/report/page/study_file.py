"""`study.json`: what a study came to, from which its page is made again without looking at the arms."""

from __future__ import annotations

from pathlib import Path

from autospine.data.disk.files import write_json
from autospine.planning.document.versioned import read_versioned, versioned_table
from autospine.report.page.material import StudyMaterial

STUDY_FILE = "study.json"
STUDY_SCHEMA = 1
_REMEDY = "run the same `autospine study` again: what is trained is not trained again, and the file is written anew"


def write_study_file(study: StudyMaterial, folder: Path) -> None:
    """Write it in the folder of the study.

    Raises:
        OutputError: it cannot be written.
    """
    write_json(folder / STUDY_FILE, versioned_table(STUDY_SCHEMA, study))


def read_study_file(folder: Path) -> StudyMaterial:
    """The study in a folder.

    Raises:
        PlanError: there is no such file, or it is not what autospine writes there.
    """
    return read_versioned(StudyMaterial, folder / STUDY_FILE, STUDY_SCHEMA, _REMEDY)
