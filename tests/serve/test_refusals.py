from __future__ import annotations

import errno
from pathlib import Path

from autospine.errors import DataError, OutputError, PlanError
from autospine.serve.refusals import RequestError, refusal_of, without_folder

FOLDER = Path("/tmp/autospine-serve-x/request-y")


def test_a_fault_of_a_file_names_the_upload_and_no_path_of_the_server() -> None:
    refused = refusal_of(DataError(f"{FOLDER}/upload_1.nii", f"cut off, see {FOLDER}/upload_1.nii"), FOLDER)
    assert refused.status == 400
    assert refused.parts["where"] == "upload_1.nii"
    assert refused.parts["found"] == "cut off, see upload_1.nii"


def test_statuses() -> None:
    full = OutputError("out", "cannot be written")
    full.__cause__ = OSError(errno.ENOSPC, "no space left")
    assert refusal_of(DataError("image", "2 channels"), FOLDER).status == 422
    assert refusal_of(PlanError("configuration 2d", "NaN"), FOLDER).status == 500
    assert refusal_of(full, FOLDER).status == 503
    assert refusal_of(OutputError("out", "a PNG holds one slice"), FOLDER).status == 422


def test_the_folder_itself_is_the_upload() -> None:
    assert without_folder(f"no images in {FOLDER}", FOLDER) == "no images in upload"


def test_headers_that_belong_to_a_status() -> None:
    assert RequestError(503, "server", "busy").headers["Retry-After"].isdecimal()
    assert RequestError(401, "token", "none").headers == {"WWW-Authenticate": "Bearer"}
    assert RequestError(400, "body", "empty").headers == {}
